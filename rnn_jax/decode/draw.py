"""One text a lane: the most probable token each time, or one drawn."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.models import Model

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


def begin(model: Model, params: Any, lanes: int, context: Any = None) -> Any:
    """The carry before the first token: of a conditioned model from the context [B, ...]."""
    if context is None:
        return model.start(params, lanes)
    return model.condition(params, context, None)


@partial(jax.jit, static_argnames=("model", "length", "top_k", "top_p", "greedy", "forbid"))
def generate(
    model: Model,
    params: Any,
    prompt: Array,
    key: Array,
    length: int,
    *,
    temperature: float | Array = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    greedy: bool = False,
    forbid: int | None = None,
    context: Any = None,
) -> tuple[Array, Array]:
    """Read prompt [B, P] (P at least 1), then write N tokens: these and their log p, both [B, N].

    The temperature divides the logits before `restrict`; greedy takes the most probable token.
    forbid: a token never written (the unknown symbol). context: leaves [B, ...], what the model
    begins from where it is a conditioned one. The log-probabilities are the model's own,
    log p(token | all before) in nats, untouched by temperature, top-k or top-p, over all tokens
    but the forbidden one.
    """

    def allowed(logits: Array) -> Array:
        return logits if forbid is None else logits.at[..., forbid].set(-jnp.inf)

    def write(
        state: tuple[Any, Array], key: Array
    ) -> tuple[tuple[Any, Array], tuple[Array, Array]]:
        carry, logits = state
        if greedy:
            token = logits.argmax(-1)
        else:
            shaped = restrict(logits / temperature, top_k=top_k, top_p=top_p)
            token = jax.random.categorical(key, shaped)
        token = token.astype(prompt.dtype)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], 1)[:, 0]
        carry, ys = model.apply(params, carry, token[None])
        return (carry, allowed(ys[0])), (token, chosen)

    carry, ys = model.apply(params, begin(model, params, prompt.shape[0], context), prompt.T)
    _, (tokens, log_probs) = lax.scan(
        write, (carry, allowed(ys[-1])), jax.random.split(key, length)
    )
    return tokens.T, log_probs.T
