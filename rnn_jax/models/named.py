"""Whole models by name, as a run's record keeps them."""

from collections.abc import Callable

import jax

from rnn_jax.cells import build, embedded, one_hot
from rnn_jax.errors import BadInput
from rnn_jax.layers import dense
from rnn_jax.models.core import Model, recurrent, stack
from rnn_jax.models.sentences import sentence_model
from rnn_jax.models.translator import translator
from rnn_jax.models.words import word_model
from rnn_jax.windows import perceptron, window


def language_model(
    vocabulary: int,
    cell: str = "lstm",
    hidden: int = 128,
    layers: int = 2,
    embed: int = 0,
    dropout: float = 0.0,
    locked: bool = False,
    residual: bool = False,
    segment: int = 0,
    fast: bool | None = None,
) -> Model:
    """Tokens [T, B] to logits [T, B, V] of the next token.

    cell: a name or "module:constructor" (`cells.constructor`); embed: the size of an embedding, or
    0 for one-hot input (a lookup either way); dropout: between layers and before the read-out;
    locked: one mask for all steps; segment, fast: as in `unroll`, segment 0 for none.
    """
    first = build(cell, embed or vocabulary, hidden)
    first = embedded(first, vocabulary, embed) if embed else one_hot(first, vocabulary)
    above = [build(cell, hidden, hidden) for _ in range(layers - 1)]
    dropped = {"dropout_rate": dropout, "locked": locked}
    body = stack(*(first, *above), **dropped, residual=residual, segment=segment or None, fast=fast)
    return recurrent(body, dense(hidden, vocabulary), **dropped)


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
    "language_model": language_model,
    "sentence_model": sentence_model,
    "translator": translator,
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
    return BUILDERS[builder](**arguments)
