"""Clips of moving digits: what is asked at a frame is not to be seen in it.

A digit flies about and is thrown back by the edges; from time to time it becomes another digit.
At every frame the question is which digit was there before the present one; NONE as long as it is
the first. A frame alone tells the present digit, and nothing of when it is: places are drawn evenly
over the whole flight, so that they are as likely at one time as at another, and the digits in turn
are evenly distributed at all times. Given the frame, the answer is then NONE with the share of
frames that lie in a clip's first part, and each of the nine other digits with a ninth of the rest:
`ceiling` is the best that can be done without a memory.
"""

import itertools
from typing import NamedTuple

import numpy as np

from rnn_jax.data.images import Images, drawn, read
from rnn_jax.errors import BadInput

NONE = 10
CLASSES = 11
SIZE, FRAME = 8, 16  # pixels of a digit and of a frame, each way
SHORTEST, LONGEST = 3, 6  # frames that a digit stays
_NOISE = 0.1  # standard deviation added to every pixel


class Clips(NamedTuple):
    """frames [B, T, 16, 16] float32, labels [B, T] in 0 … 10, digits [B, T]: those to be seen."""

    frames: np.ndarray
    labels: np.ndarray
    digits: np.ndarray


def clips(digits: Images, count: int, length: int, rng: np.random.Generator) -> Clips:
    """So many clips of T = `length` frames, each a new draw."""
    frames = (_NOISE * rng.standard_normal((count, length, FRAME, FRAME))).astype(np.float32)
    labels, seen = np.zeros((2, count, length), np.int32)
    of = [np.flatnonzero(digits.labels == digit) for digit in range(10)]
    for clip in range(count):
        parts, chosen = _parts(length, rng), []
        before, digit = NONE, int(rng.integers(10))
        for begin, end in parts:
            labels[clip, begin:end], seen[clip, begin:end] = before, digit
            chosen += [of[digit][rng.integers(len(of[digit]))]] * (end - begin)
            before, digit = digit, (digit + int(rng.integers(1, 10))) % 10
        ys, xs = _flight(length, rng), _flight(length, rng)
        for frame, row, y, x in zip(frames[clip], chosen, ys, xs, strict=True):
            frame[y : y + SIZE, x : x + SIZE] += digits.pixels[row]
    return Clips(frames, labels, seen)


def pictures() -> Images:
    """scikit-learn's handwritten digits where it is installed, else digits drawn from fonts."""
    try:
        return read("digits")
    except BadInput:
        return drawn(size=SIZE)


def ceiling(length: int) -> float:
    """The share of right answers of the best that a frame alone allows, exactly."""
    first = _first(length)
    return max(first, (1 - first) / 9)


def commonest(length: int) -> float:
    """The share of the commonest label, exactly: each of ten digits is as common as another."""
    first = _first(length)
    return max(first, (1 - first) / 10)


def _first(length: int) -> float:
    """The share of frames that lie in a clip's first part, whose label is NONE."""
    stays = np.arange(SHORTEST, LONGEST + 1)
    return float(np.minimum(stays, length).mean() / length)


def _parts(length: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Where each digit of a clip begins and ends."""
    ends = np.cumsum(rng.integers(SHORTEST, LONGEST + 1, length // SHORTEST + 1))
    cuts = [0, *(int(end) for end in ends if end < length), length]
    return list(itertools.pairwise(cuts))


def _flight(length: int, rng: np.random.Generator) -> np.ndarray:
    """A digit's place along one axis [T]: even steps to and fro, begun anywhere on the way."""
    room = FRAME - SIZE
    step = int(rng.choice((-2, -1, 1, 2)))
    way = (int(rng.integers(2 * room)) + step * np.arange(length)) % (2 * room)
    return np.minimum(way, 2 * room - way)
