"""Layers without memory: `Layer(init, apply)` bundles of pure functions."""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.affine import affine, lookup

Array = jax.Array


class Layer(NamedTuple):
    """``apply(w, x) -> y`` on any leading axes, with ``w = init(key)``."""

    init: Callable[[Array], Any]
    apply: Callable[[Any, Any], Any]


def dense(inputs: int, outputs: int) -> Layer:
    """``y = x W_hy + b_y``, the slides' read-out: W_hy [X, Y] Glorot-uniform, b_y [Y] zero."""

    def init(key: Array) -> Any:
        W_hy = jax.nn.initializers.glorot_uniform()(key, (inputs, outputs))
        return {"W_hy": W_hy, "b_y": jnp.zeros(outputs)}

    return Layer(init, lambda w, x: affine(x, w["W_hy"], w["b_y"]))


def embedding(vocabulary: int, size: int) -> Layer:
    """``x_t = R[token_t]``: R [V, E] drawn from N(0, 1 / E)."""

    def init(key: Array) -> Any:
        return {"R": jax.random.normal(key, (vocabulary, size)) / size**0.5}

    return Layer(init, lambda w, tokens: lookup(w["R"], tokens))


def dropout(keys: Array | None, x: Array, rate: float, *, locked: bool = False) -> Array:
    """x [T, B, H] with each entry zeroed with probability `rate` and the others over ``1 - rate``.

    keys: one a lane, [B], so that a lane's mask does not depend on which device holds it; None
    leaves x as it is. locked: a unit of a lane is zeroed at every t or at none (variational
    dropout, Gal and Ghahramani 2016).
    """
    if keys is None or rate == 0:
        return x
    shape = (1 if locked else x.shape[0], x.shape[-1])
    keep = jax.vmap(lambda key: _kept(key, shape, rate), out_axes=1)(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def weight_drop(key: Array, params: Any, rate: float) -> Any:
    """params with each entry of every W_hh zeroed with probability `rate`, the others over
    ``1 - rate``: DropConnect for what looks back (Merity et al. 2018), one draw for all steps.
    """

    def drop(path: Any, W: Array) -> Array:
        if getattr(path[-1], "key", None) != "W_hh":
            return W
        place = zlib.crc32(jax.tree_util.keystr(path).encode())
        return jnp.where(_kept(jax.random.fold_in(key, place), W.shape, rate), W / (1 - rate), 0)

    return jax.tree_util.tree_map_with_path(drop, params)


def _kept(key: Array, shape: tuple[int, ...], rate: float) -> Array:
    """True with probability ``1 - rate``; the rate is met to 1/65536."""
    bits = jax.random.bits(key, shape, jnp.uint16)
    return bits >= jnp.uint16(min(round(rate * 65536), 65535))
