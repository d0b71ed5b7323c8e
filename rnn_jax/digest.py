"""Trees of arrays by path, on the host, and their digests: equal means equal to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xxhash


def named_leaves(tree: Any) -> dict[str, Any]:
    """{path: leaf} in the tree's order, with paths such as ``params/0/W_xh``.

    A ``None`` or an empty tuple has no leaf. Raises ValueError where two leaves get one path
    (a dict key with a slash in it).
    """
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in leaves:
            raise ValueError(f"two leaves of the tree are called {name!r}")
        leaves[name] = leaf
    return leaves


def is_key(leaf: Any) -> bool:
    """Whether a leaf (or its abstract form) is a typed PRNG key array."""
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)


def host_copy(leaf: Any) -> np.ndarray:
    """A leaf's numbers in memory of our own: no device, no sharding, keys as their key data.

    A copy, because the array may be a window on a buffer that the next step is given to reuse.
    """
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def host_shape(leaf: Any) -> jax.ShapeDtypeStruct:
    """What ``host_copy`` of a leaf, or of its abstract form, has for shape and dtype."""
    if is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)


def from_host(array: np.ndarray, like: Any) -> jax.Array:
    """``host_copy`` undone: a leaf like ``like`` on the default device, uncommitted."""
    if is_key(like):
        # Of an abstract key only the dtype knows the implementation.
        impl = jax.random.key_impl(jax.numpy.empty((), like.dtype))
        return jax.random.wrap_key_data(array, impl=impl)
    # Not jax.numpy.array, which compiles a program for each shape. The copy is nobody else's.
    return jax.device_put(np.array(array))


def array_digest(path: str, array: np.ndarray) -> str:
    """The xxh3 hash (128 bits, hex) of a path, a dtype, a shape and the bytes of an array."""
    state = xxhash.xxh3_128(f"{path}\0{array.dtype}\0{array.shape}\0".encode())
    # Seen as bytes: numpy exports no buffer for bfloat16 and its like.
    state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return state.hexdigest()


def leaf_digests(tree: Any) -> dict[str, str]:
    """{path: digest} of every leaf of a tree of numpy or JAX arrays."""
    return {path: array_digest(path, host_copy(leaf)) for path, leaf in named_leaves(tree).items()}


def digest(tree: Any) -> str:
    """One hash (32 hex digits) over path, dtype, shape and bytes of every leaf, in order.

    Where an array lives, and on how many devices, does not enter.
    """
    return combined(leaf_digests(tree))


def combined(leaves: Mapping[str, str]) -> str:
    """The `digest` of the tree whose `leaf_digests` these are."""
    state = xxhash.xxh3_128()
    for leaf in leaves.values():
        state.update(bytes.fromhex(leaf))
    return state.hexdigest()
