"""What goes into one dispatch: how many steps, before something else is due, and their batches."""

import time
from typing import Protocol

import jax
import numpy as np

from rnn_jax.tasks import Batch, Task

# As many steps go into one dispatch as fit in about this many seconds: enough to hide the cost of
# dispatching, few enough that the display lives and Ctrl-C is heard. Never more than _MOST, for
# the CPU's collectives can deadlock behind a long queue, nor than take _BYTES.
_DISPATCH_SECONDS = 0.2
_MOST, _BYTES = 32, 2**26


class Intervals(Protocol):
    """What `fit` reads of an experiment's Config.

    None of it but `invariant` is part of the run's identity.
    """

    steps: int
    devices: str
    invariant: bool
    log_every: int
    eval_every: int
    save_every: int
    max_skipped: int
    patience: int
    tensorboard: bool
    out: str
    checkpoints: str


class Pace:
    """How long a step takes, without the first dispatch of each shape: that is mostly compiling."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps, self.seconds = 0, 0.0
        self._compiled: set[tuple] = set()

    def add(self, steps: int, seconds: float, data: Batch | None = None) -> None:
        """A dispatch of so many steps, with this data, has taken so long."""
        if (shapes := tuple(_shapes(data))) in self._compiled:
            self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        self._compiled.add(shapes)

    def count(self, step: int, config: Intervals, room: int) -> int:
        """Steps for the next dispatch, never past a step at which something else is due."""
        edges = (config.eval_every, config.save_every)
        until = min(config.steps - step, *(every - step % every for every in edges))
        if not self.steps:
            return 1
        fitting = int(_DISPATCH_SECONDS * self.steps / max(self.seconds, 1e-9))
        return max(1, min(until, fitting, room))


def room(task: Task) -> int:
    """The largest number of batches for one dispatch."""
    bytes_each = sum(np.asarray(a).nbytes for a in jax.tree.leaves(task.batch(0)))
    return max(1, min(_MOST, _BYTES // max(bytes_each, 1)))


def batches(
    task: Task, position: int, count: int, room: int, lanes: slice = slice(None)
) -> tuple[Batch, int]:
    """Batches from `position` on, stacked to leaves [room, B, ...], the rest zeros; and how many.

    At most `count`; fewer where a batch has another shape, for a dispatch has one. lanes: those to
    take, where other processes take the others.
    """
    parts: list[Batch] = []
    for i in range(count):
        part = jax.tree.map(lambda a: a[lanes], task.batch(position + i))
        if parts and _shapes(part) != _shapes(parts[0]):
            break
        parts.append(part)

    def join(*leaves: np.ndarray) -> np.ndarray:
        out = np.zeros((room, *leaves[0].shape), leaves[0].dtype)
        out[: len(leaves)] = leaves
        return out

    return jax.tree.map(join, *parts), len(parts)


def _shapes(batch: Batch | None) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(batch)]
