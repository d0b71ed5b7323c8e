"""Sentences to classes: many to one."""

from typing import Any, NamedTuple

import jax

from rnn_jax.cells import build
from rnn_jax.errors import BadInput
from rnn_jax.layers import Layer, dense, embedding
from rnn_jax.models.core import Model, stack
from rnn_jax.models.directions import bidirectional
from rnn_jax.models.sequences import Pool, anew, attention, framed, last, mean, pooled

Array = jax.Array

POOLS = ("last", "mean", "attention")


class Parts(NamedTuple):
    """What a `sentence_model` is made of: words to states, states to one, that to classes."""

    body: Model
    pool: Pool
    out: Layer

    def weights(self, W: dict, tokens: Array, mask: Array) -> Array:
        """How much each word counts [T, B]; tokens and mask [T, B]. Mean over units."""
        carry = self.body.start(W["body"], tokens.shape[1])
        _, hs = self.body.apply(W["body"], carry, tokens, mask=mask)
        return self.pool.weights(W["pool"], hs, mask).mean(-1)


def sentence_parts(
    vocabulary: int,
    classes: int,
    cell: str = "lstm",
    hidden: int = 150,
    layers: int = 1,
    embed: int = 200,
    pool: str = "attention",
    both: bool = True,
    dropout: float = 0.0,
    word_dropout: float = 0.0,
) -> Parts:
    """Words by an embedding into layers of cells, of two directions (both) or one.

    pool: one of POOLS; dropout: of embeddings, between layers and before the read-out;
    word_dropout: rate at which words are read as token 0, the unknown one.
    """
    width = 2 * hidden if both else hidden
    sizes = [embed] + [width] * (layers - 1)
    if both:
        pairs = [(build(cell, x, hidden), build(cell, x, hidden)) for x in sizes]
        rnn = bidirectional(*pairs, dropout_rate=dropout)
    else:
        rnn = stack(*(build(cell, x, hidden) for x in sizes), dropout_rate=dropout)
    if pool not in POOLS:
        raise BadInput(f"--pool {pool}: must be one of {', '.join(POOLS)}")
    pools = {"last": last(both), "mean": mean(), "attention": attention(width, hidden)}
    words = framed(
        *(embedding(vocabulary, embed), anew(rnn)),
        **{"dropout_rate": dropout, "unknown": (0, word_dropout)},
    )
    return Parts(words, pools[pool], dense(width, classes))


def sentence_model(dropout: float = 0.0, **arguments: Any) -> Model:
    """Tokens [T, B] to logits [1, B, C] of a sentence's class; arguments of `sentence_parts`."""
    return pooled(*sentence_parts(dropout=dropout, **arguments), dropout_rate=dropout)
