"""Reading what a model goes on from: prompts, also of different length in one batch."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.models import Model

Array = jax.Array

_CHUNK = 256  # of a long prompt: what is read in one go
_LEAST = 16  # shorter ones are padded up to a power of two from here, to share their programs


class Read(NamedTuple):
    """Where a model stands after a text: its carry, and the logits [B, V] of what comes next."""

    carry: Any
    logits: Array


def begin(model: Model, params: Any, lanes: int, context: Any = None) -> Any:
    """The carry before the first token: of a conditioned model from the context [B, ...]."""
    if context is None:
        return model.start(params, lanes)
    return model.condition(params, context, None)


def read(
    model: Model,
    params: Any,
    prompt: Array,
    *,
    mask: Array | None = None,
    context: Any = None,
    carry: Any = None,
) -> Read:
    """Read prompt [B, P] (P at least 1) where mask [B, P] says that there is a token.

    From `carry`, or as a text begins (of a conditioned model with its context [B, ...]).
    """
    if carry is None:
        carry = begin(model, params, prompt.shape[0], context)
    if mask is None:
        carry, ys = model.apply(params, carry, prompt.T)
        return Read(carry, ys[-1])
    carry, ys = model.apply(params, carry, prompt.T, mask=mask.T)
    last = mask.shape[1] - 1 - jnp.flip(mask, 1).argmax(1)
    return Read(carry, jnp.take_along_axis(ys, last[None, :, None], 0)[0])


def padded(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Texts of tokens as prompt and mask [B, P]; P is the longest's, up to the next round size."""
    longest = max(max(map(len, texts)), 1)
    round_ = max(_LEAST, 1 << (longest - 1).bit_length())
    P = round_ if longest <= _CHUNK else -(-longest // _CHUNK) * _CHUNK
    mask = np.arange(P) < np.array([len(text) for text in texts])[:, None]
    prompt = np.zeros(mask.shape, np.int32)
    prompt[mask] = np.concatenate(texts)
    return prompt, mask


def read_texts(model: Model, params: Any, texts: Sequence[np.ndarray], context: Any = None) -> Read:
    """`read` of texts [P_b], one a lane and each at least one token, whatever their lengths.

    In chunks, so that the logits of a long one need not be in memory at once.
    """
    prompt, mask = padded(texts)
    state = None
    for first in range(0, prompt.shape[1], _CHUNK):
        part, there = (a[:, first : first + _CHUNK] for a in (prompt, mask))
        state = _read_on(model, params, part, there, context if state is None else None, state)
    return state


@partial(jax.jit, static_argnames="model")
def _read_on(
    model: Model, params: Any, prompt: Array, mask: Array, context: Any, state: Read | None
) -> Read:
    """One more chunk; the lanes that have ended keep their logits."""
    if state is None:
        return read(model, params, prompt, mask=mask, context=context)
    carry, logits = read(model, params, prompt, mask=mask, carry=state.carry)
    return Read(carry, jnp.where(mask.any(1, keepdims=True), logits, state.logits))
