"""The products all layers are made of: ``x W + b``, and the lookup a one-hot product becomes."""

import jax
import jax.numpy as jnp

Array = jax.Array

# Up to this many rows the gradient of a lookup is one matrix product with the one-hot inputs,
# which a CPU does several times faster than the scatter-add it equals.
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
    z = x @ W
    return z if b is None else z + against(b, z)


@jax.custom_vjp
def lookup(W: Array, tokens: Array) -> Array:
    """``one_hot(tokens) W`` without the product: W [V, G], tokens [...] integers -> [..., G].

    A token outside [0, V) is clamped to the nearest row, as XLA's gather does.
    """
    return W.at[tokens].get(mode="clip")


def _lookup_forward(W: Array, tokens: Array) -> tuple[Array, tuple[Array, Array]]:
    # The empty slice carries W's shape and dtype to the backward pass at no cost.
    return lookup(W, tokens), (tokens, W[:, :0])


def _lookup_backward(saved: tuple[Array, Array], z_bar: Array) -> tuple[Array, None]:
    tokens, shape = saved
    rows = shape.shape[0]
    flat = jnp.clip(tokens.reshape(-1), 0, rows - 1)
    bars = z_bar.reshape(-1, z_bar.shape[-1])
    if rows <= _ONE_HOT_ROWS:
        one_hot = jax.nn.one_hot(flat, rows, dtype=bars.dtype, axis=0)
        return one_hot @ bars, None
    return jnp.zeros((rows, bars.shape[1]), bars.dtype).at[flat].add(bars), None


lookup.defvjp(_lookup_forward, _lookup_backward)
