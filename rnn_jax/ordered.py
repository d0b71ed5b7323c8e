"""Sums over lanes whose bits do not depend on how many devices share the lanes.

A floating-point sum depends on the order of its terms, and a product on the shapes it is taken at.
So the lanes are cut into S shards, a number that no device changes: each shard's sums come from one
program at one shape, run one shard after another, and all S are added in the order of a fixed
binary tree, ((0 + 1) + (2 + 3)) + …, on every device alike.

That holds as far as XLA compiles a shard's program alike. For several devices it partitions first,
and does not see afterwards that an array is divided by one number, where for one device it
multiplies by its inverse, which rounds otherwise. So no model divides by what it has computed: a
softmax is the exponential of its logarithm.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

_MOST = 8


def shards(lanes: int) -> int:
    """S: the largest power of two, 8 at most, that divides the lanes; on 1, 2, … S devices."""
    return max(n for n in (1, 2, 4, _MOST) if lanes % n == 0)


def summed(
    f: Callable[[Any], tuple[Any, Any]], lanes: Any, shards: int, axis: str | None, some: Array
) -> tuple[Any, Any]:
    """``f(lanes)`` with its first result summed over all shards and its second lane by lane.

    f: ``part -> (sums, own)``; lanes: leaves [b, ...], this device's part of all; own likewise;
    shards: S of all devices, a multiple of their number; axis: the devices' mapped axis; some:
    above 0, but only at run time. Moves S gradients where an ordinary sum moves one.
    """
    here = shards // (1 if axis is None else lax.axis_size(axis))
    parts = jax.tree.map(lambda a: a.reshape(here, a.shape[0] // here, *a.shape[1:]), lanes)

    def body(i: Array, results: Any) -> Any:
        result = f(jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, 0, False), parts))
        return jax.tree.map(lambda a, x: a.at[i].set(x), results, result)

    one = jax.eval_shape(f, jax.tree.map(lambda a: a[0], parts))
    empty = jax.tree.map(lambda a: jnp.zeros((here, *a.shape), a.dtype), one)
    # A loop whose length the compiler knew to be 1 would be dissolved in what stands around it, and
    # its sums rounded in another way.
    length = jnp.where(some > 0, here, 0)
    sums, own = lax.fori_loop(0, length, body, empty)
    if axis is not None:
        sums = jax.tree.map(lambda a: lax.all_gather(a, axis, tiled=True), sums)
    own = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), own)
    return jax.tree.map(_in_pairs, sums), own


def _in_pairs(a: Array) -> Array:
    while a.shape[0] > 1:
        a = a[0::2] + a[1::2]
    return a[0]
