"""How what looks back may begin: W_hh orthogonal, identity, or random of a given size."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from rnn_jax.errors import BadInput

Array = jax.Array
How = Literal["orthogonal", "identity", "gaussian", "spectral"]
WAYS = get_args(How)


def square(key: Array, hidden: int, how: How, radius: float = 1.0) -> Array:
    """A matrix [H, H] that maps h to h W.

    orthogonal: ``radius Q``, all singular values are the radius (Saxe et al. 2014); identity:
    ``radius I`` (Le, Jaitly and Hinton 2015); gaussian: entries from N(0, radius² / H), whose
    spectral radius comes near `radius` as H grows; spectral: the same scaled to exactly that
    spectral radius, as reservoirs have it (Jaeger 2001).
    """
    if how == "orthogonal":
        return radius * jax.nn.initializers.orthogonal()(key, (hidden, hidden))
    if how == "identity":
        return radius * jnp.eye(hidden)
    if how not in WAYS:
        raise BadInput(f"no initialisation {how!r}; use {', '.join(WAYS)}")
    W = jax.random.normal(key, (hidden, hidden)) / hidden**0.5
    return W * (radius / spectral_radius(W)) if how == "spectral" else W * radius


def spectral_radius(W: Array) -> Array:
    """``max |λ_i(W)|`` of W [..., H, H]; eigenvalues of a general matrix want a CPU."""
    return jnp.abs(jnp.linalg.eigvals(W)).max(-1)


def restarted(key: Array, params: Any, how: How, radius: float = 1.0) -> Any:
    """params with every W_hh [H, kH] drawn anew, each of its k blocks [H, H] by itself."""
    found, tree = jax.tree_util.tree_flatten_with_path(params)
    leaves = []
    for place, (path, W) in enumerate(found):
        if getattr(path[-1], "key", None) == "W_hh":
            H = W.shape[0]
            keys = jax.random.split(jax.random.fold_in(key, place), W.shape[1] // H)
            W = jnp.concatenate([square(k, H, how, radius) for k in keys], axis=1).astype(W.dtype)
        leaves.append(W)
    return jax.tree.unflatten(tree, leaves)
