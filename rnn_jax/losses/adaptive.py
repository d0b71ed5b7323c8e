"""Frequent words with many numbers each, rare ones with few: adaptive softmax."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.affine import against
from rnn_jax.errors import BadInput
from rnn_jax.losses.output import Output, blocked

Array = jax.Array


class _Cluster(NamedTuple):
    """Words first … end, each a row of `size` numbers; share: of a batch, that room is made for."""

    first: int
    end: int
    size: int
    share: float


def adaptive(
    vocabulary: int,
    size: int,
    cutoffs: tuple[int, ...] = (),
    shrink: int = 4,
    shares: tuple[float, ...] = (),
    scale: float = 0.05,
) -> Output:
    """The head's softmax for frequent words, for others ``p(cluster | h) p(word | cluster, h)``.

    Words are numbered by falling frequency. Those before the first cutoff are in the head, beside
    one place for each cluster between cutoffs; cluster i scores ``(h P_i) W_i^T`` in
    E / shrink^(i+1) numbers (Grave et al. 2017). A cluster is scored only for its own targets: room
    is made for a share of the batch, and where more of it fall in one, all of it is scored there.
    cutoffs: rising, between 1 and V; by default V / 50 and V / 10. shares: of each cluster, a
    quarter by default.
    w: W_head [n + clusters, E], b_head, and for cluster i P_i [E, e_i], W_i [words, e_i].
    """
    clusters = _clusters(vocabulary, size, cutoffs, shrink, shares)
    head = clusters[0].first

    def nats(w: Any, h: Array, targets: Array) -> Array:
        y = _head(w, h)
        place = jnp.minimum(targets, head)
        for i, c in enumerate(clusters):
            place = jnp.where((targets >= c.first) & (targets < c.end), head + i, place)
        total = jax.nn.logsumexp(y, axis=-1) - jnp.take_along_axis(y, place[:, None], 1)[:, 0]
        for i, c in enumerate(clusters):
            total = total + _in_cluster(w[f"tail_{i}"], c, h, targets)
        return total

    def log_probs(w: Any, h: Array) -> Array:
        top = jax.nn.log_softmax(_head(w, h))
        parts = [top[..., :head]]
        for i in range(len(clusters)):
            inside = jax.nn.log_softmax(_tail(w[f"tail_{i}"], h))
            parts.append(top[..., head + i, None] + inside)
        return jnp.concatenate(parts, axis=-1)

    def loss(w: Any, h: Array, targets: Array, key: Array) -> Array:
        return nats(w, h, targets)

    def init(key: Array) -> dict[str, Any]:
        return _initial(key, size, clusters, scale)

    return Output(init, loss, blocked(nats, max(head, vocabulary // 4)), log_probs)


def _clusters(
    vocabulary: int, size: int, cutoffs: tuple[int, ...], shrink: int, shares: tuple[float, ...]
) -> list[_Cluster]:
    cutoffs = cutoffs or tuple(sorted({max(1, vocabulary // 50), max(1, vocabulary // 10)}))
    edges = (*cutoffs, vocabulary)
    if list(edges) != sorted(set(edges)) or edges[0] < 1:
        raise BadInput(f"--cutoffs {cutoffs}: must rise, from 1 to less than {vocabulary} words")
    sizes = [max(1, size // shrink ** (i + 1)) for i in range(len(cutoffs))]
    shares = shares or (0.25,) * len(cutoffs)
    return [_Cluster(*c) for c in zip(edges[:-1], edges[1:], sizes, shares, strict=True)]


def _initial(key: Array, size: int, clusters: list[_Cluster], scale: float) -> dict[str, Any]:
    def uniform(key: Array, *shape: int) -> Array:
        return jax.random.uniform(key, shape, minval=-scale, maxval=scale)

    k_head, *keys = jax.random.split(key, 1 + len(clusters))
    places = clusters[0].first + len(clusters)
    w = {"W_head": uniform(k_head, places, size), "b_head": jnp.zeros(places)}
    for i, (k, c) in enumerate(zip(keys, clusters, strict=True)):
        P = jax.nn.initializers.glorot_uniform()(k, (size, c.size))
        W = uniform(jax.random.fold_in(k, 1), c.end - c.first, c.size)
        w[f"tail_{i}"] = {"P": P, "W": W, "b": jnp.zeros(c.end - c.first)}
    return w


def _head(w: Any, h: Array) -> Array:
    return h @ w["W_head"].T + against(w["b_head"], h)


def _tail(w: Any, h: Array) -> Array:
    return h @ w["P"] @ w["W"].T + against(w["b"], h)


def _in_cluster(w: Any, c: _Cluster, h: Array, targets: Array) -> Array:
    """``-log p(target | cluster, h)`` [N] where the target is in the cluster, else 0."""
    N = len(targets)
    inside = (targets >= c.first) & (targets < c.end)
    room = min(N, -(-int(c.share * N) // 8) * 8 or N)

    def scored(w: Any, h: Array, targets: Array) -> Array:
        y = _tail(w, h)
        at = jnp.clip(targets - c.first, 0, c.end - c.first - 1)
        return jax.nn.logsumexp(y, axis=-1) - jnp.take_along_axis(y, at[:, None], 1)[:, 0]

    def few(w: Any, h: Array, targets: Array) -> Array:
        (at,) = jnp.nonzero(inside, size=room, fill_value=N)
        found = scored(w, h[jnp.minimum(at, N - 1)], targets[jnp.minimum(at, N - 1)])
        return jnp.zeros(N, h.dtype).at[at].set(found, mode="drop")

    def many(w: Any, h: Array, targets: Array) -> Array:
        return jnp.where(inside, scored(w, h, targets), 0)

    if room == N:
        return many(w, h, targets)
    # Checkpoints, for else the gradient of a cond keeps room for both branches' scores.
    branches = jax.checkpoint(few), jax.checkpoint(many)
    return lax.cond(inside.sum() <= room, *branches, w, h, targets)
