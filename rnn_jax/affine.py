"""The products all layers are made of: ``x W + b``, and the lookup a one-hot product becomes."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

# Up to this many rows an accelerator's derivative of a lookup is one product with the one-hot
# inputs, for it sums in a fixed order. A CPU's scatter-add does so too, and is 3 to 6 times as fast
# as the product (65 and 164 rows, 128 to 2,500 tokens, 256 and 512 columns).
_ONE_HOT_ROWS = 512


def against(b: Array, x: Array) -> Array:
    """b [G] with leading axes of length one, so that it meets x [..., G] without rank promotion."""
    return jnp.expand_dims(b, tuple(range(x.ndim - b.ndim)))


def affine(x: Array, W: Array, b: Array | None) -> Array:
    """``x W + b`` [..., G]: x [..., X] floating, or tokens [...]; W [X, G]; b [G] or None.

    An integer x stands for a one-hot vector: its product with W is row x of W (the slide's lookup
    table), and no product is done.
    """
    if jnp.issubdtype(x.dtype, jnp.integer):
        return lookup(W if b is None else W + against(b, W), x)
    # As one plain matrix: over several axes XLA's CPU product of the gradient is twice as slow.
    z = (x.reshape(-1, x.shape[-1]) @ W).reshape(*x.shape[:-1], W.shape[-1])
    return z if b is None else z + against(b, z)


@jax.custom_jvp
def lookup(W: Array, tokens: Array) -> Array:
    """``one_hot(tokens) W`` without the product: W [V, G], tokens [...] integers -> [..., G].

    A token outside [0, V) reads the nearest row.
    """
    return W[jnp.clip(tokens, 0, W.shape[0] - 1)]


@lookup.defjvp
def _lookup_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    (W, tokens), (W_dot, _) = primals, tangents
    rows = W.shape[0]
    nearest = jnp.clip(tokens, 0, rows - 1)

    def read(W_dot: Array) -> Array:
        return W_dot[nearest]

    def multiply(W_dot: Array) -> Array:
        return jax.nn.one_hot(nearest, rows, dtype=W.dtype) @ W_dot

    default = read if rows > _ONE_HOT_ROWS else multiply
    return lookup(W, tokens), lax.platform_dependent(W_dot, cpu=read, default=default)
