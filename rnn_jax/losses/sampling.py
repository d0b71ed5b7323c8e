"""Which words stand for all of them: samples of fixed size, without a word twice.

A word j is in the sample with probability π_j, and ``Σ_j π_j = S``; a sum over all words is
estimated without bias by the sample's, each term over its π_j (Horvitz and Thompson 1952). The
sample is a systematic one: a comb of S teeth at distance 1 falls at random on the cumulative π.
What has π_j = 1 is always in; with S = V everything is, and the estimate is the sum.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.errors import BadInput

Array = jax.Array


class Sampler(NamedTuple):
    """draw: ``key -> words [S]``, ascending and distinct; inclusion: π [V], float32."""

    draw: Callable[[Array], Array]
    inclusion: np.ndarray


def log_uniform(vocabulary: int) -> np.ndarray:
    """``q_j ∝ log((j + 2) / (j + 1))``, Zipf's law for words numbered by falling frequency [V]."""
    rank = np.arange(vocabulary)
    return np.log((rank + 2) / (rank + 1))


def by_frequency(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """``q_j ∝ count_j^power`` [V]; what never occurs counts as one.

    power: below 1 rare words are drawn more often than they occur (Mikolov et al. 2013).
    """
    return np.maximum(np.asarray(counts, np.float64), 1) ** power


def systematic(weights: np.ndarray, size: int) -> Sampler:
    """Samples of `size` words with π proportional to weights [V], as far as no π is above 1."""
    weights = np.asarray(weights, np.float64)
    if not 0 < size <= len(weights):
        raise BadInput(f"--samples {size}: must be from 1 to the {len(weights)} words there are")
    scale = (2**32 - 1) // size  # of the comb: whole numbers, so that no rounding hits a word twice
    widths = _widths(_inclusion(weights, size), scale, size)
    ends = jnp.asarray(np.cumsum(widths).astype(np.uint32))

    def draw(key: Array) -> Array:
        first = jax.random.bits(key, dtype=jnp.uint32) % jnp.uint32(scale)
        teeth = first + jnp.arange(size, dtype=jnp.uint32) * jnp.uint32(scale)
        return jnp.searchsorted(ends, teeth, side="right").astype(jnp.int32)

    return Sampler(draw, (widths / scale).astype(np.float32))


def _widths(inclusion: np.ndarray, scale: int, size: int) -> np.ndarray:
    """π in whole parts of `scale`, at least 1, at most `scale` and `size * scale` in sum [V]."""
    widths = np.maximum(np.floor(inclusion * scale), 1).astype(np.int64)
    missing = size * scale - int(widths.sum())
    free = np.flatnonzero(inclusion < 1)
    heaviest = free[np.argsort(-inclusion[free], kind="stable")]
    widths[heaviest[: abs(missing)]] += np.sign(missing)
    return widths


def _inclusion(weights: np.ndarray, size: int) -> np.ndarray:
    """π [V]: the weights scaled to the sum `size`, the largest cut off at 1."""
    order = np.argsort(-weights, kind="stable")
    ordered = weights[order]
    rest = np.cumsum(ordered[::-1])[::-1]  # of a word and all that are lighter
    certain = 0
    while certain < size and ordered[certain] * (size - certain) >= rest[certain]:
        certain += 1
    found = np.ones(len(weights))
    if certain < len(weights):
        tail = slice(certain, None)
        found[order[tail]] = ordered[tail] * (size - certain) / rest[certain]
    return found
