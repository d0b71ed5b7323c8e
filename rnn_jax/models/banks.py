"""Filter banks: an image seen through a few rows and columns of filters, and painted through them.

A bank is F [B, N, S]: N filters over the S pixels of a side. Looking at an image [B, H, W] through
one bank a side is two matrix products, ``F_y x F_x^T``; painting is the same turned around. Places
are in pixels, the first pixel's middle being 0.
"""

import jax
import jax.numpy as jnp

Array = jax.Array


def boxes(centre: Array, count: int, width: float, side: int) -> Array:
    """N boxes side by side around `centre` [B], each the mean of `width` pixels: [B, N, side].

    A pixel weighs by how much of it lies in the box, so a bank is piecewise linear in its centre;
    what lies outside the image counts as 0.
    """
    left = centre[:, None, None] + (jnp.arange(count)[None, :, None] - count / 2) * width
    pixel = jnp.arange(side)[None, None]
    overlap = jnp.minimum(left + width, pixel + 0.5) - jnp.maximum(left, pixel - 0.5)
    return jnp.maximum(overlap, 0) / width


def gaussians(centre: Array, stride: Array, variance: Array, count: int, side: int) -> Array:
    """``F[i, a] = exp(-(a - mu_i)^2 / 2 sigma^2) / Z_i``, ``mu_i = g + (i - (N - 1) / 2) delta``:
    [B, N, side]; centre g, stride delta and variance sigma^2 [B] (Gregor et al. 2015, eq. 19-26).

    Each filter sums to 1, also one whose middle is far outside.
    """
    steps = jnp.arange(count)[None] - (count - 1) / 2
    means = centre[:, None] + steps * stride[:, None]
    squares = (jnp.arange(side)[None, None] - means[:, :, None]) ** 2
    return jnp.exp(jax.nn.log_softmax(-squares * (0.5 / variance)[:, None, None], axis=-1))


def look(F_y: Array, image: Array, F_x: Array) -> Array:
    """``F_y x F_x^T``: [B, N, H], [B, H, W], [B, M, W] -> [B, N, M]."""
    return F_y @ image @ F_x.swapaxes(1, 2)


def paint(F_y: Array, patch: Array, F_x: Array) -> Array:
    """``F_y^T w F_x``: [B, N, H], [B, N, M], [B, M, W] -> [B, H, W]."""
    return F_y.swapaxes(1, 2) @ patch @ F_x
