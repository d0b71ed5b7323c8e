"""How much of what inputs tell of their targets a cut gradient sees.

With y' targets that belong to other inputs, ``L(x, y) - L(x, y')`` has the mean ``-Σ Cov(output,
target)``, for the cross-entropy of a softmax as for half a squared error: all that can be learned
without looking at the inputs has dropped out. It is a sum over inputs x_t and losses L_s of what
the one does to the other, and so is its derivative by a gain on the inputs about their mean,

    d/dg [L(x, y) - L(x, y')]  at g = 1, every x_t being  x̄ + g (x_t - x̄)
    = Σ_t (x_t - x̄) W_xh z̄_t  =  ⟨W_xh, W̄_xh⟩ - ⟨x̄ W_xh, b̄_h⟩

with bars for derivatives. A cut gradient has the pairs that no cut parts: where answers lie τ steps
after what they depend on, none of k2 <= τ.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from rnn_jax.tasks import Batch


def crossed(batch: Batch) -> Batch:
    """The batch with targets (own, others'): of the next step asked, lanes first, then time.

    Where all lanes are asked at a step, all but the last have those of another lane at that step.
    """
    asked = np.ones(jax.tree.leaves(batch.inputs)[0].shape[:2], bool)
    for part in (batch.mask, batch.weights):
        asked = asked if part is None else asked & (np.asarray(part) != 0)
    t, lane = np.nonzero(asked.T)

    def others(targets: np.ndarray) -> np.ndarray:
        out = np.array(targets)
        out[lane, t] = np.roll(out[lane, t], -1, axis=0)
        return out

    return batch._replace(targets=(batch.targets, jax.tree.map(others, batch.targets)))


def crossed_loss(loss: Callable) -> Callable:
    """``L(ys, own) - L(ys, others')``, for batches that are `crossed`."""
    return lambda ys, targets: loss(ys, targets[0]) - loss(ys, targets[1])


def mean_input(batches: Iterable[Batch], inputs: int) -> np.ndarray:
    """x̄ [X] over all steps; of tokens how often each comes."""
    xs = np.concatenate([np.asarray(batch.inputs) for batch in batches])
    if np.issubdtype(xs.dtype, np.integer):
        return np.bincount(xs.ravel(), minlength=inputs) / xs.size
    return xs.reshape(-1, inputs).mean(0)


def by_gain(layer: Any, bars: Any, mean: np.ndarray) -> np.ndarray:
    """The derivative by the gain: [N] from the first layer's W_xh, b_h and theirs, [N, ...]."""
    given = layer["W_xh"], bars["W_xh"], bars["b_h"]
    W, W_bar, b_bar = (np.asarray(a, np.float64) for a in given)
    return (W * W_bar).sum((1, 2)) - b_bar @ (mean @ W)


def share(full: np.ndarray, cut: np.ndarray) -> tuple[float, float]:
    """What `cut` sees of `full`, derivatives [N] of the same batches, with its standard error.

    The ratio of their means. NaN where the full gradient has no dependence to see: its mean is
    within three standard errors of 0, or the share is not known to a half.
    """

    def error(values: np.ndarray) -> float:
        return values.std(ddof=1) / len(values) ** 0.5

    mean = full.mean()
    if abs(mean) <= 3 * error(full):
        return math.nan, math.nan
    seen = cut.mean() / mean
    wide = error(cut - seen * full) / abs(mean)
    return (float(seen), float(wide)) if wide < 0.5 else (math.nan, math.nan)
