"""Optimizers from numbers alone, by Optax: clipping, a learning rate that may fall, a rule.

The same numbers give the same object, so that JAX traces a training step once for all runs of a
process that differ in seed or data alone.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

_kept = lru_cache(maxsize=32)
_ADAMS_STEP = 0.2  # root mean square of Adam's updates, of `lr`
_ROWS = {"R", "P"}  # matrices whose rows are looked up or added


def clipping(bound: float, by: str = "norm") -> optax.GradientTransformation:
    """Of the gradient's norm, or by "value" of each of its entries; 0 leaves it as it is."""
    if not bound:
        return optax.identity()
    return {"norm": optax.clip_by_global_norm, "value": optax.clip}[by](bound)


def falling(
    lr: float, *, factor: float = 1.0, after: int = 1, epoch: int = 1, horizon: int = 0
) -> optax.Schedule:
    """``step -> rate``: `lr`, times `factor` for each epoch from number `after` on, times a cosine.

    epoch: its steps; horizon: steps over which half a cosine falls to 0, 0 for none.
    """
    if factor == 1:  # no epoch matters, and texts of all lengths share one object
        after = epoch = 1
    return _falling(lr, factor, after, epoch, horizon)


@_kept
def _falling(lr: float, factor: float, after: int, epoch: int, horizon: int) -> optax.Schedule:
    cosine = optax.cosine_decay_schedule(1.0, horizon) if horizon else None

    def rate(step: Any) -> Any:
        decays = jnp.maximum(0, step // epoch - after + 1)
        return lr * factor**decays * (cosine(step) if cosine else 1.0)

    return rate


@_kept
def adam(
    lr: float, clip: float, horizon: int = 0, least: float = 0.0
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) behind a clipped norm.

    horizon: steps over which the rate falls along half a cosine to `least` times `lr`; 0 keeps it.
    """
    rate = optax.cosine_decay_schedule(lr, horizon, least) if horizon else lr
    return optax.chain(clipping(clip), optax.adam(rate))


@_kept
def muon(
    rate: optax.ScalarOrSchedule, clip: float, by: str = "norm"
) -> optax.GradientTransformation:
    """Muon (Jordan 2024) for matrices, for all else Adam with Nesterov's momentum (Dozat 2016).

    A matrix goes along its momentum with singular values made about equal, by five iterations, and
    by as much an entry as Adam would (Liu et al. 2025), so that one rate is for both. A matrix is
    every leaf of two axes but those named R or P, rows that are looked up or added: a cell's gates
    side by side are one, and the read-out is one, which Jordan leaves to Adam.
    """
    sizes = {"consistent_rms": _ADAMS_STEP, "muon_weight_dimension_numbers": _multiplying}
    return optax.chain(clipping(clip, by), contrib.muon(rate, **sizes))


def _multiplying(params: Any) -> Any:
    """Of each leaf which axes Muon takes for a matrix's; None where Adam steps."""

    def axes(path: tuple, leaf: Any) -> Any:
        named = {getattr(key, "key", None) for key in path[-1:]}
        return contrib.MuonDimensionNumbers() if leaf.ndim == 2 and not named & _ROWS else None

    return jax.tree_util.tree_map_with_path(axes, params)


@_kept
def adamw(
    rate: optax.ScalarOrSchedule, clip: float, by: str, decay: float, biases: bool = False
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019): `decay`, times the rate, off matrices; also off biases,
    where that is asked.
    """
    mask = None if biases else matrices
    return optax.chain(clipping(clip, by), optax.adamw(rate, weight_decay=decay, mask=mask))


@_kept
def rmsprop(rate: optax.ScalarOrSchedule, clip: float, by: str) -> optax.GradientTransformation:
    """char-rnn's RMSProp: smoothing 0.95, and 1e-8 added to the root, not under it."""
    rule = optax.rmsprop(rate, decay=0.95, eps=1e-8, eps_in_sqrt=False)
    return optax.chain(clipping(clip, by), rule)


def matrices(params: Any) -> Any:
    """What weight decay is for, as a mask."""
    return jax.tree.map(lambda a: a.ndim > 1, params)
