"""log p of texts that are given: what a model makes of each token, from those before it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.data.text import Stream
from rnn_jax.decode.reading import begin, padded
from rnn_jax.models import Model
from rnn_jax.tasks import Batch, held_out

Array = jax.Array

_LANES, _CHUNK = 16, 128  # of given texts, side by side and at once: bounds the logits in memory
_PART = 64  # the same of an evaluation's chunk, which has 50 lanes


def log_probs(
    model: Model, params: Any, texts: Sequence[np.ndarray], context: Any = None
) -> list[np.ndarray]:
    """log p in nats of each token of each text [L] but its first, which is only read: [L - 1].

    A text is at least one token long, and the carry is anew before each: from ``model.start``, or
    from its lane of `context` by ``model.condition``. Float64.
    """
    found: list[np.ndarray] = [np.zeros(0)] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
    for first in range(0, len(texts), _LANES):
        some = order[first : first + _LANES]
        # Groups of one size share a program; what fills the last one up is a text of one token.
        filled = [*(texts[i] for i in some), *[texts[0][:1]] * (_LANES - len(some))]
        if len(texts) == 1:
            filled = filled[:1]
        given = None
        if context is not None:
            lanes = np.array([*some, *[0] * (len(filled) - len(some))])
            given = jax.tree.map(lambda a, lanes=lanes: a[lanes], context)
        for i, row in zip(some, _together(model, params, filled, given), strict=False):
            found[i] = row
    return found


def _together(
    model: Model, params: Any, texts: Sequence[np.ndarray], context: Any
) -> list[np.ndarray]:
    """`log_probs` of one group, in chunks whose carry goes on."""
    inputs, mask = padded([text[:-1] for text in texts])
    targets, _ = padded([text[1:] for text in texts])
    carry, rows = None, []
    for first in range(0, inputs.shape[1], _CHUNK):
        at = slice(first, first + _CHUNK)
        carry, row = _chunk(
            *(model, params, context if carry is None else None, carry),
            *(inputs[:, at], targets[:, at], mask[:, at]),
        )
        rows.append(np.asarray(row, np.float64))
    joined = np.concatenate(rows, axis=1)
    return [joined[i, : len(text) - 1] for i, text in enumerate(texts)]


@partial(jax.jit, static_argnames="model")
def _chunk(
    model: Model, params: Any, context: Any, carry: Any, inputs: Array, targets: Array, mask: Array
) -> tuple[Any, Array]:
    if carry is None:
        carry = begin(model, params, inputs.shape[0], context)
    carry, ys = model.apply(params, carry, inputs.T, mask=mask.T)
    return carry, chosen(ys, targets.T).T


def chosen(logits: Array, targets: Array) -> Array:
    """log p of the targets [...] by their logits [..., V]."""
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return picked - jax.nn.logsumexp(logits, axis=-1)


def log_probs_of_stream(model: Model, params: Any, text: Stream) -> np.ndarray:
    """log p in nats of each target of a stream [N], read as an evaluation reads it; float64."""
    carry, rows, asked = None, [], []
    for batch in held_out(text)():
        if carry is None:
            carry = model.start(params, batch.inputs.shape[0])
        for first in range(0, batch.inputs.shape[1], _PART):
            part = jax.tree.map(lambda a, first=first: a[:, first : first + _PART], batch)
            carry, row = _stream_chunk(model, params, carry, part)
            rows.append(np.asarray(row, np.float64))
            asked.append(part.weights > 0)
    return np.concatenate(rows, 1)[np.concatenate(asked, 1)]  # lanes are one after another


@partial(jax.jit, static_argnames="model")
def _stream_chunk(model: Model, params: Any, carry: Any, batch: Batch) -> tuple[Any, Array]:
    steps = {"mask": batch.mask.T, "fresh": batch.fresh.T}
    carry, ys = model.apply(params, carry, batch.inputs.T, **steps)
    return carry, chosen(ys, batch.targets.T).T
