"""What may be written next: top-k, top-p, and no run of tokens twice."""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def restrict(logits: Array, *, top_k: int = 0, top_p: float = 1.0) -> Array:
    """logits [..., V] with -inf for what may not be drawn.

    top_k: only the k most probable (0: all). top_p: only the smallest set of most probable tokens
    whose probabilities sum to at least p (Holtzman et al. 2020); the most probable always stays.
    Tokens that tie with the last one kept are kept.
    """
    V = logits.shape[-1]
    if 0 < top_k < V:
        kth = lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits >= kth, logits, -jnp.inf)
    if top_p < 1:
        ordered = jnp.sort(logits, axis=-1, descending=True)
        p = jax.nn.softmax(ordered, axis=-1)
        before = jnp.cumsum(p, axis=-1) - p  # the mass of all that is more probable
        kept = (before < top_p).at[..., 0].set(True)
        least = jnp.where(kept, ordered, jnp.inf).min(axis=-1, keepdims=True)
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    return logits


def repeats(tokens: Array, t: Array, n: int, vocabulary: int) -> Array:
    """Which token would make the same n tokens stand in a text twice, bool [..., V].

    tokens [..., N], of which the first t are written.
    """
    N = tokens.shape[-1]
    if n > N:
        return jnp.zeros((*tokens.shape[:-1], vocabulary), bool)
    same = jnp.ones((*tokens.shape[:-1], N - n + 1), bool)
    for i in range(n - 1):
        now = jnp.take(tokens, jnp.maximum(t - n + 1 + i, 0), axis=-1)[..., None]
        same &= tokens[..., i : N - n + 1 + i] == now
    written = jnp.broadcast_to(jnp.arange(n - 1, N) < t, same.shape)
    after = jnp.where(same & written, tokens[..., n - 1 :], vocabulary)  # past the end: none
    lanes = after.reshape(-1, N - n + 1)
    marked = jnp.zeros((lanes.shape[0], vocabulary), bool)
    marked = marked.at[jnp.arange(lanes.shape[0])[:, None], lanes].set(True, mode="drop")
    return marked.reshape(*tokens.shape[:-1], vocabulary)
