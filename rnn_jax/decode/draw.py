"""One text a lane: the most probable token each time, or one drawn."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnn_jax.decode.reading import Read, read
from rnn_jax.decode.shaping import repeats, restrict
from rnn_jax.models import Model

Array = jax.Array

_DRAWN = ("top_k", "top_p", "greedy", "forbid", "block")  # what a program is compiled for


class _State(NamedTuple):
    """Before token t: where the model stands, and all tokens so far [B, N] where block asks."""

    t: Array
    read: Read
    tokens: Array | None


@partial(jax.jit, static_argnames=("model", "length", *_DRAWN))
def generate(
    model: Model,
    params: Any,
    prompt: Array,
    key: Array,
    length: int,
    *,
    mask: Array | None = None,
    context: Any = None,
    temperature: float | Array = 1.0,
    **how: Any,
) -> tuple[Array, Array]:
    """Read prompt [B, P] (P at least 1), then write N tokens: these and their log p, both [B, N].

    mask [B, P]: where the prompt has a token, of which each lane has one at least (None: all).
    context [B, ...]: what the carry is made from by ``model.condition``; None: ``model.start``.
    temperature: divides the logits before top_k and top_p, as in `restrict`. greedy: take the most
    probable token. forbid: a token never written (the unknown symbol). block: no run of so many
    written tokens comes twice, unless nothing else is left (0: it may).

    The log-probabilities are the model's own, log p(token | all before) in nats, untouched by
    temperature, top-k, top-p or block, over all tokens but the forbidden one.
    """
    state = _begin(read(model, params, prompt, mask=mask, context=context), length, **how)
    keys = jax.random.split(key, length)
    return _write(model, params, state, keys, temperature, **how)[1]


def stream(
    model: Model,
    params: Any,
    begun: Read,
    key: Array,
    length: int,
    *,
    chunk: int = 8,
    temperature: float | Array = 1.0,
    **how: Any,
) -> Iterator[tuple[Array, Array]]:
    """What `generate` writes after what was read, as it is written: tokens and log p [B, chunk].

    The last chunk is shorter. how: as in `generate`.
    """
    state = _begin(begun, -(-length // chunk) * chunk, **how)
    keys = jax.random.split(key, length)
    for begin in range(0, length, chunk):
        count = min(chunk, length - begin)
        some = _chunk(keys, begin, chunk)
        state, written = _write_jitted(model, params, state, some, temperature, **how)
        yield written if count == chunk else tuple(part[:, :count] for part in written)


@partial(jax.jit, static_argnames="count")
def _chunk(keys: Array, begin: Array, count: int) -> Array:
    """So many of the keys, the last one as often as there are none left."""
    return keys[jnp.minimum(begin + jnp.arange(count), len(keys) - 1)]


def _begin(begun: Read, length: int, *, block: int = 0, **_: Any) -> _State:
    lanes = begun.logits.shape[0]
    tokens = jnp.zeros((lanes, length), jnp.int32) if block else None
    return _State(np.zeros((), np.int32), begun, tokens)


def _write(
    model: Model,
    params: Any,
    state: _State,
    keys: Array,
    temperature: float | Array,
    *,
    top_k: int = 0,
    top_p: float = 1.0,
    greedy: bool = False,
    forbid: int | None = None,
    block: int = 0,
) -> tuple[_State, tuple[Array, Array]]:
    """One token for each key; the state after them, the tokens and their log p [B, keys]."""

    def body(state: _State, key: Array) -> tuple[_State, tuple[Array, Array]]:
        carry, logits = state.read
        if forbid is not None:
            logits = logits.at[..., forbid].set(-jnp.inf)
        open_ = _unblocked(logits, state, block)
        if greedy:
            token = open_.argmax(-1)
        else:
            shaped = restrict(open_ / temperature, top_k=top_k, top_p=top_p)
            token = jax.random.categorical(key, shaped)
        token = token.astype(jnp.int32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], 1)[:, 0]
        carry, ys = model.apply(params, carry, token[None])
        tokens = state.tokens
        if tokens is not None:
            tokens = lax.dynamic_update_index_in_dim(tokens, token, state.t, 1)
        return _State(state.t + 1, Read(carry, ys[0]), tokens), (token, chosen)

    state, (tokens, log_probs) = lax.scan(body, state, keys)
    return state, (tokens.T, log_probs.T)


_write_jitted = partial(jax.jit, static_argnames=("model", *_DRAWN))(_write)


def _unblocked(logits: Array, state: _State, block: int) -> Array:
    """logits with -inf for what would make a run of `block` tokens come twice."""
    if not block:
        return logits
    closed = repeats(state.tokens, state.t, block, logits.shape[-1])
    left = jnp.where(closed, -jnp.inf, logits)
    return jnp.where(jnp.isfinite(left).any(-1, keepdims=True), left, logits)
