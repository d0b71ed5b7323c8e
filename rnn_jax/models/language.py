"""The language model: tokens, layers of cells, logits of the next token."""

from rnn_jax.cells import build, embedded, one_hot
from rnn_jax.layers import dense
from rnn_jax.models.core import Model, recurrent, stack


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
