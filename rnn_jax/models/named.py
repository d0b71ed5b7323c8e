"""Whole models by name, as a run's record keeps them."""

import json
from collections.abc import Callable
from functools import lru_cache

import jax

from rnn_jax.cells import build
from rnn_jax.errors import BadInput
from rnn_jax.layers import dense
from rnn_jax.models.captions import caption_model
from rnn_jax.models.core import Model, recurrent, stack
from rnn_jax.models.draw import draw_model, vae_model
from rnn_jax.models.frames import frame_model
from rnn_jax.models.glimpse import glimpse_model
from rnn_jax.models.language import language_model
from rnn_jax.models.sentences import sentence_model
from rnn_jax.models.translator import translator
from rnn_jax.models.words import word_model
from rnn_jax.windows import perceptron, window


def window_model(
    vocabulary: int, context: int, embed: int, hidden: int, skip: bool = False
) -> Model:
    """Tokens [T, B] to logits [T, B, V] of the next token, from the last `context` tokens alone.

    embed, hidden, skip: as in `windows.perceptron`.
    """
    out = perceptron(vocabulary, context, embed, hidden, skip)
    return recurrent(stack(window(context, padding=vocabulary)), out)


def vector_model(
    inputs: int,
    outputs: int,
    cell: str,
    hidden: int,
    layers: int = 1,
    fast: bool | None = None,
) -> Model:
    """Vectors [T, B, X] to vectors [T, B, Y]: cells in layers, an affine read-out.

    cell, fast: as in `language_model`.
    """
    sizes = [inputs] + [hidden] * (layers - 1)
    body = stack(*(build(cell, size, hidden) for size in sizes), fast=fast)
    return recurrent(body, dense(hidden, outputs))


BUILDERS: dict[str, Callable[..., Model]] = {
    "caption_model": caption_model,
    "frame_model": frame_model,
    "draw_model": draw_model,
    "glimpse_model": glimpse_model,
    "language_model": language_model,
    "sentence_model": sentence_model,
    "translator": translator,
    "vae_model": vae_model,
    "vector_model": vector_model,
    "window_model": window_model,
    "word_model": word_model,
}


def from_spec(spec: dict, *, trust: bool = False) -> Model:
    """The model a run's record names, ``{"builder": name, "arguments": {…}}``.

    A text with a colon ("module:constructor") runs that module's code: BadInput unless trusted.
    """
    builder, arguments = spec.get("builder"), spec.get("arguments", {})
    if builder not in BUILDERS:
        raise BadInput(f"the run's model {builder!r} is unknown here; known: {', '.join(BUILDERS)}")
    texts = [value for value in jax.tree.leaves(arguments) if isinstance(value, str)]
    if not trust and (code := next((text for text in texts if ":" in text), None)):
        raise BadInput(f"the run's cell {code} is code from outside; --trust runs it")
    if any(":" in text for text in texts):  # code that may have changed since
        return BUILDERS[builder](**arguments)
    return _built(builder, json.dumps(arguments, sort_keys=True))


@lru_cache(maxsize=32)  # one object, so that what is made of it is traced once
def _built(builder: str, arguments: str) -> Model:
    return BUILDERS[builder](**json.loads(arguments))
