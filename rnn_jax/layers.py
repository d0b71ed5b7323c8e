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


def spelled(outputs: int, letter: int = 16, width: int = 3) -> Layer:
    """A word from its letters: ``y = max_t relu(c_{t}…c_{t+width-1} K + b) W`` (Kim et al. 2016).

    Letters [..., L] integers in 0 … 256, 0 where there is none; -> [..., Y]. w: C [257, letter] the
    letters' vectors, K [width letter, Y] and b_K [Y] what is looked for at every place, W_y [Y, Y].
    """

    def init(key: Array) -> Any:
        k_C, k_K, k_W = jax.random.split(key, 3)
        glorot = jax.nn.initializers.glorot_uniform()
        C = jax.random.normal(k_C, (257, letter))
        K = glorot(k_K, (width * letter, outputs))
        return {"C": C, "K": K, "b_K": jnp.zeros(outputs), "W_y": glorot(k_W, (outputs, outputs))}

    def apply(w: Any, letters: Array) -> Array:
        # Each place sees the letters from it on; a word shorter than the width sees what is behind.
        padding = [(0, 0)] * (letters.ndim - 1) + [(0, width - 1)]
        c = lookup(w["C"], jnp.pad(letters, padding))
        places = letters.shape[-1]
        seen = jnp.concatenate([c[..., i : i + places, :] for i in range(width)], axis=-1)
        found = jax.nn.relu(affine(seen, w["K"], w["b_K"]))
        # At a place without a letter nothing is found, and no relu is below zero.
        there = jnp.where((letters > 0)[..., None], found, 0).max(-2)
        return affine(there, w["W_y"], None)

    return Layer(init, apply)


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
