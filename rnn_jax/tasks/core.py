"""What every task is made of."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

Array = jax.Array


class Batch(NamedTuple):
    """One chunk of every lane, lanes first; a Task makes NumPy arrays.

    inputs, targets: [B, T, ...]. weights [B, T]: the loss looks here (0 where masked, but 0 does
    not mean masked); None is 1 wherever there is a step. mask [B, T]: this step exists; None: all.
    fresh: [B], the carry restarts before the chunk, or [B, T], before that step; True at a run's
    first step, so that a learned h_0 gets its gradient. context: leaves [B, ...], what each
    sequence begins from (`Model.condition`); with it no carry comes from the batch before.
    """

    inputs: Any
    targets: Any
    weights: Any = None
    mask: Any = None
    fresh: Any = None
    context: Any = None


class Task(NamedTuple):
    """What is learned, from data that is a pure function of the step.

    batch: ``position -> Batch``; valid: the held-out chunks in order, whose own carry goes from one
    to the next; loss: ``(ys, targets) -> per step``; lanes: B; chunks: batches before the data
    begins again; tokens: steps that count in one batch. error: ``(ys, targets) -> per step``, what
    is wrong with an answer (1 or 0, say); where there is one it is evaluated beside the loss, and
    the weights with the least of it are the best.
    Batches may differ in T (buckets of lengths); those of one dispatch do not.
    """

    batch: Callable[[int], Batch]
    valid: Callable[[], Iterable[Batch]]
    loss: Callable[[Array, Array], Array]
    lanes: int
    chunks: int
    tokens: int
    error: Callable[[Any, Any], Array] | None = None
