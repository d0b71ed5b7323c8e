"""Layers without memory: `Layer(init, apply)` bundles of pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.affine import affine

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


def dropout(keys: Array | None, x: Array, rate: float) -> Array:
    """x [T, B, H] with each entry zeroed with probability `rate` and the others over ``1 - rate``.

    keys: one a lane, [B], so that a lane's mask does not depend on which device holds it; None
    leaves x as it is. The rate is met to 1/65536.
    """
    if keys is None or rate == 0:
        return x
    T, _, H = x.shape
    bits = jax.vmap(lambda key: jax.random.bits(key, (T, H), jnp.uint16), out_axes=1)(keys)
    keep = bits >= jnp.uint16(min(round(rate * 65536), 65535))
    return jnp.where(keep, x / (1 - rate), 0)
