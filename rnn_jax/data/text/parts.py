"""Which part of a text trains, which validates and which is kept for the test."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.errors import BadInput

STREAMS, STREAM_CHUNK, STREAM_TRAIN = 50, 50, 0.95  # char-rnn's defaults, and its split


class Stream(NamedTuple):
    """Pieces of a text one after another; `fresh` where one begins. int32, int32, bool [N]"""

    inputs: np.ndarray
    targets: np.ndarray
    fresh: np.ndarray


class Split(NamedTuple):
    """The parts of a text; `test` is None where none was asked for."""

    train: Stream
    valid: Stream
    test: Stream | None


def _edges(length: int, valid: float, test: float) -> tuple[int, int]:
    """Where validation and test begin in a text split by position."""
    for name, part in (("valid", valid), ("test", test)):
        if not 0 <= part <= 0.5:
            raise BadInput(f"--{name} {part} is not a fraction from 0 to 0.5")
    end = int(length * (1 - test))
    start = int(length * (1 - test - valid))
    parts = {"training": start, "validation": end - start, "test": length - end}
    for name, size in parts.items():
        # Two characters make one step, an input and what follows it.
        if size < 2 and (name != "test" or test > 0):
            raise BadInput(
                f"a text of {length} characters with --valid {valid} --test {test} leaves {size} "
                f"to the {name} part, which needs 2: give a longer text or other fractions"
            )
    return start, end


def _grid(length: int, how: str, test: float) -> tuple[int, int]:
    """char-rnn's split: the length of each of the 50 streams, and how much of it trains."""
    if how != "streams":
        raise BadInput(f"--split {how} is not known: use tail or streams")
    if test:
        raise BadInput("--split streams has no test part: use --split tail, or --test 0")
    chunks = length // (STREAMS * STREAM_CHUNK)
    if chunks < 2:
        least = 2 * STREAMS * STREAM_CHUNK
        raise BadInput(f"--split streams needs {least} characters, not {length}: use --split tail")
    return chunks * STREAM_CHUNK, math.floor(STREAM_TRAIN * chunks) * STREAM_CHUNK


def split(tokens: np.ndarray, how: str = "tail", valid: float = 0.1, test: float = 0.0) -> Split:
    """A text's tokens [N] as a training, a validation and a test stream.

    "tail": by position. The last part `test` of the text, before it a part `valid` of the text;
    no part's inputs or targets reach into another.

    "streams": char-rnn's. The text, cut to a multiple of 2,500, is 50 equal streams of chunks of
    50; the first floor(0.95 * chunks) chunks of each train and the others validate, whatever
    `valid` and the lanes of training are. As there, the target of a piece's last character is the
    text's next one, and that of the last of all is the text's first.

    Raises BadInput for fractions outside [0, 0.5] and for a part without a step.
    """
    if how == "tail":
        return Split(*(part if part is None else one(part) for part in tail(tokens, valid, test)))
    length, cut = _grid(len(tokens), how, test)
    inputs = tokens[: STREAMS * length]
    targets = np.roll(inputs, -1).reshape(STREAMS, length)
    inputs = inputs.reshape(STREAMS, length)
    train = _stream(inputs[:, :cut], targets[:, :cut])
    return Split(train, _stream(inputs[:, cut:], targets[:, cut:]), None)


def tail(text: Any, valid: float, test: float) -> tuple[Any, Any, Any]:
    """The training, validation and test part of a text or its tokens; None for no test part."""
    start, end = _edges(len(text), valid, test)
    return text[:start], text[start:end], text[end:] if test > 0 else None


def one(tokens: np.ndarray) -> Stream:
    """A text in one piece: each of its tokens [N + 1] but the last is read, the next is asked."""
    return _stream(tokens[None, :-1], tokens[None, 1:])


def _stream(inputs: np.ndarray, targets: np.ndarray) -> Stream:
    """Pieces [P, n] as one stream."""
    fresh = np.zeros(inputs.shape, bool)
    fresh[:, 0] = True
    return Stream(inputs.astype(np.int32).ravel(), targets.astype(np.int32).ravel(), fresh.ravel())


def train_part(
    text: str | bytes, how: str = "tail", valid: float = 0.1, test: float = 0.0
) -> str | bytes:
    """The text that training reads, which alone may make the vocabulary; see `split`."""
    if how == "tail":
        return text[: _edges(len(text), valid, test)[0]]
    length, cut = _grid(len(text), how, test)
    return text[:0].join(text[row * length : row * length + cut] for row in range(STREAMS))
