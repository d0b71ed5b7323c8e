"""What a model that writes reads while it learns: the truth, or what it has written itself."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.models.core import Model, lane_keys

Array = jax.Array

_WRITTEN = 2**28  # the draws' place among the layers, where keys are told apart


def feeding(model: Model) -> Model:
    """A model of tokens that can be made to read its own: scheduled sampling (Bengio et al. 2015).

    Besides tokens [T, B] it takes ``{"tokens": [T, B], "own": bool [T, B]}``: where own is true the
    step reads not the token but what the model wrote at the step before, drawn from its softmax
    (without keys the most probable). own false everywhere is teacher forcing, true everywhere but
    at the first step is free running. The gradient does not pass through what is drawn; so the
    tokens are found first, step by step and without dropout, and then read like any others, by the
    fast backward pass.
    """

    def apply(
        W: Any, carry: Any, xs: Any, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Any, Any]:
        if isinstance(xs, dict):
            xs = fed(model, *lax.stop_gradient((W, carry)), xs["tokens"], xs["own"], keys)
        return model.apply(W, carry, xs, keys=keys, **steps)

    return model._replace(apply=apply)


def fed(model: Model, W: Any, carry: Any, tokens: Array, own: Array, keys: Array | None) -> Array:
    """The tokens [T, B] that are read: where own, what was written at the step before."""

    def step(loop: tuple[Any, Array], now: tuple) -> tuple[tuple[Any, Array], Array]:
        carry, written = loop
        t, token, own = now
        token = jnp.where(own, written, token)
        carry, ys = model.apply(W, carry, token[None])
        if keys is None:
            written = ys[0].argmax(-1)
        else:
            drawn = jax.vmap(jax.random.fold_in, (0, None))(lane_keys(keys, _WRITTEN), t)
            written = jax.vmap(jax.random.categorical)(drawn, ys[0])
        return (carry, written.astype(token.dtype)), token

    steps = (jnp.arange(tokens.shape[0]), tokens, own)
    return lax.scan(step, (carry, tokens[0]), steps)[1]
