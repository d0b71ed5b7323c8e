"""How good weights are: the loss, and the error where a task has one, over what is held out."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.models import Model
from rnn_jax.objective import outputs, time_first, weighted
from rnn_jax.tasks import Batch, Task

Array = jax.Array


class Evaluation(NamedTuple):
    """Mean loss [nats a step] and mean error over the held-out steps; None without a Task.error."""

    loss: float
    error: float | None

    @property
    def rank(self) -> float:
        """What says how good the weights are: lower is better."""
        return self.loss if self.error is None else self.error

    def row(self) -> dict[str, float]:
        """As part of a row of metrics.jsonl."""
        return {"valid": self.loss} | ({} if self.error is None else {"error": self.error})

    def describe(self) -> str:
        """In words."""
        error = "" if self.error is None else f", error {self.error:.4f}"
        return f"validation {self.loss:.4f} nats a step{error}"


def ranks(rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """`Evaluation.rank` of each evaluation in a run's rows; None where it was not finite."""
    return [row.get("error", row["valid"]) for row in rows if "valid" in row]


def best(rows: Sequence[Mapping[str, Any]]) -> float:
    """The lowest of them; infinite before the first."""
    return min((rank for rank in ranks(rows) if rank is not None), default=math.inf)


def best_step(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The step at which it was first seen; None before the first."""
    evaluated = [row["step"] for row in rows if "valid" in row]
    pairs = zip(ranks(rows), evaluated, strict=True)
    return min(((rank, step) for rank, step in pairs if rank is not None), default=(0, None))[1]


def stale(rows: Sequence[Mapping[str, Any]], every: int) -> int:
    """How many evaluations in a row, the last one included, were no better than one before them.

    Only those at multiples of `every` count: a command also evaluates where it ends, and a run that
    was made by several commands has to be stopped where that of one is.
    """
    regular = ranks([row for row in rows if row["step"] % every == 0])
    found = [math.inf if rank is None else rank for rank in regular]
    return len(found) - 1 - found.index(min(found)) if found else 0


def make_evaluate(model: Model, task: Task) -> Callable[[Any], Evaluation]:
    """``params -> Evaluation`` over ``task.valid()``, with a carry of its own."""
    chunk = _chunk(model, *([task.loss] if task.error is None else [task.loss, task.error]))

    def evaluate(params: Any) -> Evaluation:
        carry, sums, before = None, [], 0
        for batch in task.valid():
            lanes = jax.tree.leaves(batch.inputs)[0].shape[0]
            if lanes != before:
                carry, before = _start(model, params, lanes), lanes
            totals, weight, carry = chunk(params, carry, batch)
            sums.append((*totals, weight))
        *totals, weight = np.asarray(sums, np.float64).sum(0)
        means = [float(total / weight) for total in totals]
        return Evaluation(means[0], means[1] if task.error else None)

    return evaluate


# With params, also where the carry is made without them, it lies where they do, as later ones.
@partial(jax.jit, static_argnames=("model", "lanes"), keep_unused=True)
def _start(model: Model, params: Any, lanes: int) -> Any:
    """The first carry, by one program and not by one for each array in it."""
    return model.start(params, lanes)


@lru_cache(maxsize=16)  # so that JAX traces once for all runs of the same model
def _chunk(model: Model, *measures: Callable) -> Callable[..., tuple[list[Array], Array, Any]]:
    """``(params, carry, batch) -> (sums of each measure, of the weights, carry)``."""

    @jax.jit
    def chunk(params: Any, carry: Any, batch: Batch) -> tuple[list[Array], Array, Any]:
        steps = time_first(batch)
        carry, ys = outputs(model, params, carry, steps, None)
        sums = [weighted(measure(ys, steps.targets), steps) for measure in measures]
        return [total for total, _ in sums], sums[0][1], carry

    return chunk
