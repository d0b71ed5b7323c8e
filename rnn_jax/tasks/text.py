"""Predicting the next token of a text: many-to-many."""

from collections.abc import Callable, Iterable

import numpy as np

from rnn_jax.data.text import Corpus, Stream, lanes, ragged
from rnn_jax.losses import cross_entropy
from rnn_jax.tasks.core import Batch, Task

_VALID_LANES, _VALID_CHUNK, _WARM = 50, 256, 256


def next_token(corpus: Corpus, batch_lanes: int, chunk: int) -> Task:
    """Predict the next token of a text: many-to-many, every step asked.

    Training cuts the text into `batch_lanes` consecutive lanes; lane i of batch n+1 goes on where
    lane i of batch n stopped. Validation is `held_out`.
    """
    train = lanes(corpus.train, batch_lanes, chunk)
    chunks = train.inputs.shape[1] // chunk
    inside = train.fresh.reshape(batch_lanes, chunks, chunk)[:, :, 1:].any()

    def batch(position: int) -> Batch:
        at = slice(position % chunks * chunk, (position % chunks + 1) * chunk)
        fresh = train.fresh[:, at]
        return Batch(
            train.inputs[:, at], train.targets[:, at], fresh=fresh if inside else fresh[:, 0]
        )

    valid = held_out(corpus.valid)
    return Task(batch, valid, cross_entropy, batch_lanes, chunks, batch_lanes * chunk)


def held_out(text: Stream) -> Callable[[], Iterable[Batch]]:
    """The chunks of a text that score each of its steps exactly once.

    As one stream would be, but 50 lanes side by side: each lane's carry is warmed up on the 256
    steps before it, where the loss does not look.
    """
    cut = ragged(text, min(_VALID_LANES, len(text.inputs)), warm=_WARM)

    def valid() -> Iterable[Batch]:
        for begin in range(0, cut.inputs.shape[1], _VALID_CHUNK):
            parts = (cut.inputs, cut.targets, cut.weights, cut.mask, cut.fresh)
            yield Batch(*(_columns(a, begin) for a in parts))

    return valid


def _columns(a: np.ndarray, begin: int) -> np.ndarray:
    """_VALID_CHUNK columns from begin on, filled up with zeros, also those of mask and weights."""
    part = a[:, begin : begin + _VALID_CHUNK]
    return np.pad(part, [(0, 0), (0, _VALID_CHUNK - part.shape[1])])
