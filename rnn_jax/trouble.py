"""Numbers that go wrong: losses that jump, updates that are skipped again and again."""

import io
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from rnn_jax.digest import named_leaves
from rnn_jax.errors import BadInput
from rnn_jax.tasks import Batch
from rnn_jax.train import TrainState

_LAST, _FEWEST = 200, 50  # losses that a spike is compared with: at most, and at least
_HIGH = 6.0  # standard deviations above their mean


class Spikes:
    """The losses logged last; so a run that is resumed knows the same ones."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._last: deque[float] = deque(maxlen=_LAST)
        self._limit: float | None = None
        for row in rows:
            self.add(row.get("loss"))

    def add(self, loss: Any) -> None:
        """A loss that was logged; what is no finite number is passed over."""
        if isinstance(loss, float) and math.isfinite(loss):
            self._last.append(loss)
            self._limit = None

    def height(self, loss: float) -> float | None:
        """Standard deviations above the mean of the last 200 where that is more than 6, or None."""
        if len(self._last) < _FEWEST or not math.isfinite(loss):
            return None
        if self._limit is None:
            self._mean, self._deviation = float(np.mean(self._last)), float(np.std(self._last))
            self._limit = self._mean + _HIGH * self._deviation
        # Of losses that are all the same each other one would be a spike.
        if loss <= self._limit or self._deviation < 1e-6 * abs(self._mean):
            return None
        return (loss - self._mean) / self._deviation


def skipped_in_a_row(rows: Sequence[Mapping[str, Any]], step: int) -> int:
    """How many updates up to `step` were skipped one after the other; each has a row."""
    count = 0
    for row in reversed(rows):
        finite = row.get("loss") is not None and row.get("gradient_norm") is not None
        if finite or row["step"] != step - count:
            break
        count += 1
    return count


def check(
    make: Callable[[optax.GradientTransformation], Callable],
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    keep: Callable[[str, bytes], Any],
) -> None:
    """BadInput with the leaf's name if the next step would be skipped too; its batch is kept.

    keep: ``(name, content) -> path``; the batch is a file of NumPy arrays, no pickle. The others as
    in `not_finite`.
    """
    names, step = not_finite(make, state, batch, key), int(state.step) + 1
    if not names:
        return
    file = io.BytesIO()
    np.savez(file, **{name: np.asarray(leaf) for name, leaf in named_leaves(batch).items()})
    path = keep(f"skipped-{step}.npz", file.getvalue())
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    raise BadInput(
        f"step {step}: the updates before it were skipped, and in this one too {names[0]}{more}"
        f" has a gradient that is not finite; its batch is in {path}, the state is saved;"
        " try a lower --lr, or --max-skipped 0 to go on all the same"
    )


def not_finite(
    make: Callable[[optax.GradientTransformation], Callable],
    state: TrainState,
    batch: Batch,
    key: jax.Array,
) -> list[str]:
    """What is not finite in the next step: paths of leaves with such a gradient, then "loss".

    make: of an optimizer, the step that is trained with; it is run as it is, but its optimizer only
    looks. Empty where the step would be done; "norm" where only the sum of squares overflows.
    """
    seen: list[Any] = []

    def look(bars: Any, opt_state: Any, params: Any = None) -> tuple[Any, Any]:
        seen[:] = [bars]
        return jax.tree.map(jax.numpy.zeros_like, bars), opt_state

    step = make(optax.GradientTransformation(lambda params: (), look))

    @jax.jit  # else each of its operations would be compiled alone
    def looking(*given: Any) -> tuple[Any, Any]:
        metrics = step(*given)[1]
        return seen.pop(), metrics

    bars, metrics = looking(state.replace(opt_state=(), average=()), batch, key)
    found = named_leaves(bars)
    names = [f"params/{name}" for name, bar in found.items() if not np.isfinite(bar).all()]
    if not names and not np.isfinite(metrics.gradient_norm):
        names = ["norm"]
    return names + ["loss"] * (not np.isfinite(metrics.loss))
