"""Beam search: the most probable texts, as far as the best few beginnings lead to them.

In a step every one of K live texts of a lane is continued by every token. Those continued by `end`
are offered to the K done texts; of the others the K most probable live on. A lane's search is over
when no live text can come to beat its K done ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.decode.reading import read
from rnn_jax.decode.shaping import repeats
from rnn_jax.models import Model

Array = jax.Array

_UNSEEN = 1e-9  # a place that was not looked at at all has a logarithm too


class Hypotheses(NamedTuple):
    """The K best texts of each lane, best first: those that ended, then those cut off at N tokens.

    tokens [B, K, N]: from its end on a text has `end`. scores [B, K]: log p over the length's
    penalty; -inf where there is no further text, whose tokens mean nothing. log_probs [B, K, N]:
    the model's own, in nats, 0 after the end. lengths [B, K]: tokens, the end included.
    """

    tokens: Array
    scores: Array
    log_probs: Array
    lengths: Array


class _State(NamedTuple):
    """Before step t: both sets with their places [B, K]; carry and log p have [B * K] lanes.

    A live text's score is its log p.
    """

    t: Array
    carry: Any
    next_log_p: Array
    live: Hypotheses
    done: Hypotheses


def length_penalty(length: Any, alpha: Any) -> Array:
    """``((5 + length) / 6) ** alpha``, which divides log p (Wu et al. 2016); alpha 0 is none."""
    return ((5.0 + length) / 6.0) ** alpha


def beam(
    model: Model,
    params: Any,
    prompt: Any,
    beams: int,
    length: int,
    *,
    end: int | None = None,
    length_penalty: float | Array = 0.0,
    context: Any = None,
    **how: Any,
) -> tuple[Array, Array]:
    """The tokens [B, K, N] and scores [B, K] of `search`, best first."""
    found = search(
        *(model, params, prompt, beams, length),
        **{"end": end, "alpha": length_penalty, "context": context, **how},
    )
    return found.tokens, found.scores


@partial(jax.jit, static_argnames=("model", "beams", "length", "end", "forbid", "block", "seen"))
def search(
    model: Model,
    params: Any,
    prompt: Any,
    beams: int,
    length: int,
    *,
    end: int | None = None,
    alpha: float | Array = 0.0,
    mask: Array | None = None,
    context: Any = None,
    forbid: int | None = None,
    block: int = 0,
    seen: Callable[[Any], tuple[Array, Array]] | None = None,
    coverage: float | Array = 0.0,
) -> Hypotheses:
    """Read prompt, then find the K = `beams` best continuations of at most N = `length` tokens.

    prompt: tokens [B, P] (P at least 1), or one token that every lane of `context` starts with.
    mask [B, P]: where the prompt has a token, of which each lane has one at least (None: all).
    context: what the carry is made from by ``model.condition``; None: ``model.start``. end: the
    token that ends a text; without one all have N tokens. alpha: of `length_penalty`.
    forbid: a token never written, left out of the softmax. block: no text has the same `block`
    written tokens in a row twice (0: it may); what is probable stays as it was.
    seen: of a model with attention, ``carry -> (sum of the weights so far, which places exist)``,
    both [B, S]; then ``coverage * Σ_s log min(1, seen_s)`` is added to a text's score (Wu et al.
    2016, equation 14; coverage 0 or more), so that one which leaves a place unread ranks lower.
    """
    state = _begin(model, params, (prompt, mask, context), (beams, length), end, forbid)

    def covered(carry: Any) -> Array | float:
        return 0.0 if seen is None else coverage * _coverage(*seen(carry)).reshape(-1, beams)

    best = jnp.maximum(length_penalty(length, alpha), length_penalty(1, alpha))

    def going(state: _State) -> Array:
        # The least that a live text's log p can come to be divided by is the most it can gain.
        hope = state.live.scores.max(1) / best
        return (state.t < length) & ~(state.done.scores[:, -1] >= hope).all()

    def step(state: _State) -> _State:
        live, done, parents = _extend(state, end, alpha, block, covered(state.carry))
        tokens = lax.dynamic_index_in_dim(live.tokens, state.t, 2, False).reshape(1, -1)
        carry = jax.tree.map(lambda a: a[parents], state.carry)
        carry, ys = model.apply(params, carry, tokens)
        return _State(state.t + 1, carry, _log_p(ys[0], forbid), live, done)

    state = lax.while_loop(going, step, state)
    scores = state.live.scores / length_penalty(length, alpha) + covered(state.carry)
    cut = _take(state.live._replace(scores=scores), jnp.argsort(-scores, axis=1))
    return _ended_first(state.done, cut)


def _begin(
    model: Model, params: Any, given: tuple, sizes: tuple[int, int], end: int | None, forbid: Any
) -> _State:
    """The state after the prompt: K equal texts a lane, of which the first alone counts."""
    (prompt, mask, context), (K, N) = given, sizes
    prompt = jnp.asarray(prompt)
    if prompt.ndim == 0:
        lanes = 1 if context is None else jax.tree.leaves(context)[0].shape[0]
        prompt = jnp.full((lanes, 1), prompt)
    B = prompt.shape[0]
    carry, logits = read(model, params, prompt, mask=mask, context=context)
    carry, log_p = jax.tree.map(lambda a: jnp.repeat(a, K, axis=0), (carry, _log_p(logits, forbid)))
    filling = 0 if end is None else end
    none = Hypotheses(
        jnp.full((B, K, N), filling, prompt.dtype),
        jnp.full((B, K), -jnp.inf, log_p.dtype),
        jnp.zeros((B, K, N), log_p.dtype),
        jnp.zeros((B, K), jnp.int32),
    )
    live = none._replace(scores=none.scores.at[:, 0].set(0))
    return _State(jnp.zeros((), jnp.int32), carry, log_p, live, none)


def _log_p(logits: Array, forbid: int | None) -> Array:
    logits = logits if forbid is None else logits.at[..., forbid].set(-jnp.inf)
    return jax.nn.log_softmax(logits)


def _coverage(seen: Array, exists: Array) -> Array:
    """``Σ_s log min(1, seen_s)`` over the places that exist: [B, S] -> [B], at most 0."""
    return jnp.where(exists, jnp.log(jnp.clip(seen, _UNSEEN, 1)), 0).sum(-1)


def _extend(
    state: _State, end: int | None, alpha: Any, block: int, covered: Array | float
) -> tuple[Hypotheses, Hypotheses, Array]:
    """Live and done texts after one more token, and whose carries the live ones go on from."""
    t, live, done = state.t, state.live, state.done
    B, K, N = live.tokens.shape
    log_p = state.next_log_p.reshape(B, K, -1)
    if end is not None:
        last = log_p[:, :, end]
        score = (live.scores + last) / length_penalty(t + 1, alpha) + covered
        ending = Hypotheses(
            live.tokens, score, live.log_probs.at[:, :, t].set(last), live.lengths + 1
        )
        done = _joined(done, ending)
        done = _take(done, lax.top_k(done.scores, K)[1])
        log_p = log_p.at[:, :, end].set(-jnp.inf)
    if block:
        log_p = jnp.where(repeats(live.tokens, t, block, log_p.shape[-1]), -jnp.inf, log_p)
    V = log_p.shape[-1]
    scores, places = lax.top_k((live.scores[..., None] + log_p).reshape(B, -1), K)
    parents, chosen = places // V, places % V
    nats = jnp.take_along_axis(log_p.reshape(B, -1), places, 1)
    live = _take(live, parents)
    live = Hypotheses(
        live.tokens.at[:, :, t].set(chosen.astype(live.tokens.dtype)),
        scores,
        live.log_probs.at[:, :, t].set(nats),
        live.lengths + 1,
    )
    return live, done, (jnp.arange(B)[:, None] * K + parents).ravel()


def _ended_first(done: Hypotheses, cut: Hypotheses) -> Hypotheses:
    """K texts a lane: those of `done` that there are, then the best of `cut`."""
    ended = (done.scores > -jnp.inf).sum(1, keepdims=True)
    rank = jnp.arange(done.scores.shape[1])[None]
    places = jnp.where(rank < ended, rank, rank.size + rank - ended)
    return _take(_joined(done, cut), places)


def _joined(a: Hypotheses, b: Hypotheses) -> Hypotheses:
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), a, b)


def _take(texts: Hypotheses, places: Array) -> Hypotheses:
    """The texts at places [B, K] of each lane."""
    return jax.tree.map(
        lambda a: jnp.take_along_axis(a, places.reshape(*places.shape, *[1] * (a.ndim - 2)), 1),
        texts,
    )
