"""Language models made from others: an ensemble of several, and a memory of what was just read.

What they answer is log p already, which a softmax leaves as it is; so they are evaluated, scored,
drawn from and searched like any other model.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnn_jax.models import Model

Array = jax.Array

_ITERATIONS, _GAIN = 200, 1e-9  # EM ends after so many, or when it gains less [nats per token]
_LEAST = 1e-30  # a probability whose logarithm is finite


def mixture(models: Sequence[Model]) -> Model:
    """``p(w | before) = Σ_m weight_m p_m(w | before)``, of models over the same tokens.

    W has "models", a tuple of theirs, and "weights" [M], which sum to 1.
    """

    def init(key: Array) -> dict:
        keys = jax.random.split(key, len(models))
        W = tuple(model.init(k) for model, k in zip(models, keys, strict=True))
        return {"models": W, "weights": jnp.full(len(models), 1 / len(models))}

    def start(W: dict, lanes: int) -> tuple:
        return tuple(m.start(w, lanes) for m, w in zip(models, W["models"], strict=True))

    def apply(W: dict, carry: tuple, xs: Any, **steps: Any) -> tuple[tuple, Array]:
        ends, logs = [], []
        for model, w, h, weight in zip(models, W["models"], carry, W["weights"], strict=True):
            end, ys = model.apply(w, h, xs, **steps)
            ends.append(end)
            logs.append(jax.nn.log_softmax(ys) + jnp.log(weight))
        return tuple(ends), jax.nn.logsumexp(jnp.stack(logs), axis=0)

    return Model(init, start, apply)


def fitted(log_p: np.ndarray) -> np.ndarray:
    """The weights [M] under which the mixture makes a text most probable, by EM from equal ones.

    log_p [M, N]: what each model gives each token of the text, in nats.
    """
    p = np.exp(log_p - log_p.max(axis=0))
    weights, before = np.full(len(p), 1 / len(p)), -np.inf
    for _ in range(_ITERATIONS):
        joint = weights[:, None] * p
        total = joint.sum(axis=0)
        weights = (joint / total).mean(axis=1)
        if (now := float(np.log(total).mean())) - before < _GAIN:
            break
        before = now
    return weights


def cached(model: Model, size: int) -> Model:
    """The neural cache of Grave et al. 2017, over a model that `models.recurrent` made.

        p(w | before) = (1 - share) p_model(w) + share p_cache(w)
        p_cache(w) ∝ Σ_i exp(theta h_t · h_i) [what followed h_i was w]

    over the last `size` hidden states h_i of the lane; while there are none, the model's p alone.
    W has "model", "theta" and "share"; the carry, beside the layers', the cache: h_i [B, S, H],
    tokens [B, S] (-1: none), where the next goes [B], and the last hidden state [B, H].
    """
    layers, out = model.parts

    def init(key: Array) -> dict:
        return {"model": model.init(key), "theta": jnp.asarray(0.3), "share": jnp.asarray(0.1)}

    def start(W: dict, lanes: int) -> tuple:
        carry = layers.start(W["model"]["layers"], lanes)
        one = jax.ShapeDtypeStruct((1, lanes), jnp.int32)
        _, hs = jax.eval_shape(layers.apply, W["model"]["layers"], carry, one)
        hidden = jnp.zeros((lanes, hs.shape[-1]), hs.dtype)
        nothing, place = jnp.full((lanes, size), -1, jnp.int32), jnp.full(lanes, -1, jnp.int32)
        return carry, (jnp.repeat(hidden[:, None], size, 1), nothing, place, hidden)

    def apply(
        W: dict,
        carry: tuple,
        xs: Array,
        *,
        mask: Array | None = None,
        fresh: Array | None = None,
        keys: Array | None = None,
    ) -> tuple[tuple, Array]:
        below, cache = carry
        given = {"mask": mask, "fresh": fresh, "keys": keys}
        below, hs = layers.apply(W["model"]["layers"], below, xs, **given)
        log_p = jax.nn.log_softmax(out.apply(W["model"]["out"], hs))
        there = jnp.ones(xs.shape, bool) if mask is None else mask
        anew = jnp.zeros(xs.shape, bool)
        if fresh is not None:
            anew = fresh if fresh.ndim == 2 else anew.at[0].set(fresh)
        step = partial(_look_up, W["theta"], W["share"])
        cache, ys = lax.scan(step, cache, (xs, hs, log_p, there, anew))
        return (below, cache), ys

    return Model(init, start, apply)


def _look_up(theta: Array, share: Array, cache: tuple, step: tuple) -> tuple[tuple, Array]:
    """Put in that x_t followed h_{t-1}, then look up h_t: the cache, and log p [B, V]."""
    states, tokens, place, last = cache
    x, h, log_p, there, anew = step
    tokens = jnp.where(anew[:, None], -1, tokens)
    # A place of -1: nothing was read yet, so that x_t follows nothing.
    place = jnp.where(anew, -1, place)
    lanes, size = jnp.arange(len(x)), tokens.shape[1]
    at = jnp.where(there & (place >= 0), place % size, size)
    states = states.at[lanes, at].set(last, mode="drop")
    tokens = tokens.at[lanes, at].set(x.astype(jnp.int32), mode="drop")
    alike = theta * (states @ h[..., None])[..., 0]
    p = jax.nn.softmax(jnp.where(tokens >= 0, alike, -jnp.inf), axis=1)
    where = jnp.where(tokens >= 0, tokens, log_p.shape[1])
    found = jnp.zeros_like(log_p).at[lanes[:, None], where].add(p, mode="drop")
    mixed = jnp.log(jnp.maximum((1 - share) * jnp.exp(log_p) + share * found, _LEAST))
    some = (tokens >= 0).any(1, keepdims=True)
    place = jnp.where(there, place + 1, place)
    last = jnp.where(there[:, None], h, last)
    return (states, tokens, place, last), jnp.where(some, mixed, log_p)
