"""Pictures to vectors and maps, by convolutions in Flax."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnn_jax.layers import Layer

Array = jax.Array


class Convolutions(nn.Module):
    """Pictures [N, H, W, C] to a map [N, H / 2^n, W / 2^n, F]: n times 3 by 3, relu, pooled.

    fold: pixels a side that become channels before all that (sides of f 2^n pixels to one); what
    a large picture costs is mostly its first layer's memory. depth: convolutions before each
    pooling; from the second on each adds to what it reads (He et al. 2016). norm: before each
    relu a layer norm over the F numbers of a place, so that faint detail counts as much as thick
    strokes. A 3 by 3 convolution is a dense layer on the nine shifted pictures, pooling is
    comparing pixels: within a loop over steps XLA's own are many times slower on a CPU.
    """

    features: Sequence[int]
    fold: int = 1
    norm: bool = False
    depth: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The map."""
        x = folded(x, self.fold)
        for count in self.features:
            x = self._convolved(x, count)
            for _ in range(self.depth - 1):
                x = x + self._convolved(x, count)
            x = halved(x)
        return x

    def _convolved(self, x: Array, count: int) -> Array:
        x = nn.Dense(count)(neighbours(x))
        return nn.relu(nn.LayerNorm()(x) if self.norm else x)


def folded(x: Array, by: int) -> Array:
    """Squares of `by` pixels a side as channels, [N, H / by, W / by, by² C]; zeros fill up."""
    many, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, -height % by), (0, -width % by), (0, 0)))
    x = x.reshape(many, -(-height // by), by, -(-width // by), by, channels)
    return x.swapaxes(2, 3).reshape(*x.shape[:2], x.shape[3], by * by * channels)


def neighbours(x: Array) -> Array:
    """Each pixel with the eight around it, [N, H, W, 9 C]; zeros beyond the edge."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def halved(x: Array) -> Array:
    """The largest of each two by two pixels; x is not below 0, and zeros fill up odd sides.

    By comparing pixels with each other: the gradient of a maximum compares them with what it has
    found, and is lost where XLA makes the two in loops that round differently.
    """
    many, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    x = x.reshape(many, -(-height // 2), 2, -(-width // 2), 2, channels)
    x = jnp.where(x[:, :, 0] >= x[:, :, 1], x[:, :, 0], x[:, :, 1])
    return jnp.where(x[:, :, :, 0] >= x[:, :, :, 1], x[:, :, :, 0], x[:, :, :, 1])


class Summary(nn.Module):
    """Pictures [N, H, W, C] to vectors [N, Y]: `Convolutions`, then one dense layer with relu."""

    features: Sequence[int]
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The vectors."""
        x = Convolutions(self.features)(x)
        return nn.relu(nn.Dense(self.outputs)(x.reshape(x.shape[0], -1)))


def from_module(module: Any, shape: Sequence[int]) -> Layer:
    """A Flax module on pictures as a `Layer` on any leading axes: [..., H, W] or [..., H, W, C].

    shape: of one picture, (H, W) or (H, W, C). Pixels of uint8 are read as 0 to 1.
    """
    rank = len(shape)
    one = (1, *shape) if rank == 3 else (1, *shape, 1)

    def apply(w: Any, x: Array) -> Array:
        leading = x.shape[: x.ndim - rank]
        if x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 255
        y = module.apply({"params": w}, x.reshape(-1, *one[1:]))
        return y.reshape(*leading, *y.shape[1:])

    return Layer(lambda key: module.init(key, jnp.zeros(one))["params"], apply)
