"""Sequences made by rule, whose answers are known: parity, sums, adding, recall, a language.

Inside, as everywhere in data, lanes come first: [B, T]. A random batch is a pure function of
``(seed, position)``, by a counter-based generator, so that a run that is resumed reads on where it
stopped. Training positions count from 0; a held-out batch has a seed word that no training has.
"""

from typing import NamedTuple

import numpy as np

_TRAIN, _HELD_OUT = 0, 1


def generator(seed: int, position: int, *, held_out: bool = False) -> np.random.Generator:
    """The random numbers of one batch, the same whenever they are asked for.

    seed in [0, 2^32), position in [0, 2^63).
    """
    part = _HELD_OUT if held_out else _TRAIN
    return np.random.Generator(np.random.Philox(key=[seed, part], counter=[0, 0, 0, position]))


def lengths(rng: np.random.Generator, lanes: int, longest: int) -> np.ndarray:
    """Lengths drawn evenly from 1 … longest [B], as a mask [B, longest]: True where a step is."""
    return np.arange(longest) < rng.integers(1, longest + 1, lanes)[:, None]


def all_sequences(symbols: int, length: int) -> np.ndarray:
    """Every sequence over the symbols 0 … symbols - 1: int32 [symbols^length, length], in order."""
    places = symbols ** np.arange(length)[::-1]
    return (np.arange(symbols**length)[:, None] // places % symbols).astype(np.int32)


def parity(bits: np.ndarray) -> np.ndarray:
    """``y_t = x_t XOR y_{t-1}``, y_0 = 0: whether the ones so far are odd; int32, [B, T]."""
    return (np.cumsum(bits, axis=1) % 2).astype(np.int32)


def running_sum(values: np.ndarray) -> np.ndarray:
    """``s_t = x_t + s_{t-1}``, s_0 = 0, along time: [B, T] or [B, T, X], summed in float64."""
    return np.cumsum(values, axis=1, dtype=np.float64)


class Language(NamedTuple):
    """Words numbered by falling frequency, of which each has `followers` that often come next.

    With probability `bound` the next word is one of the last word's followers [V, F], each of them
    equally likely; else it is drawn by Zipf's law, ``frequency`` [V].
    """

    frequency: np.ndarray
    followers: np.ndarray
    bound: float

    def draw(self, rng: np.random.Generator, lanes: int, length: int) -> np.ndarray:
        """Words int32 [B, T], the first by Zipf's law."""
        ends = np.cumsum(self.frequency)
        free = np.searchsorted(ends, rng.random((lanes, length)) * ends[-1], side="right")
        follows = rng.random((lanes, length)) < self.bound
        which = rng.integers(0, self.followers.shape[1], (lanes, length))
        words = np.minimum(free, len(ends) - 1).astype(np.int32)
        for t in range(1, length):
            next_ = self.followers[words[:, t - 1], which[:, t]]
            words[:, t] = np.where(follows[:, t], next_, words[:, t])
        return words

    def nats(self, words: np.ndarray) -> np.ndarray:
        """``-log p(w_t | w_{t-1})`` of words [B, T] but the first: [B, T - 1]."""
        before, now = words[:, :-1], words[:, 1:]
        hits = (self.followers[before] == now[..., None]).mean(-1)
        return -np.log(self.bound * hits + (1 - self.bound) * self.frequency[now])


def zipf_language(
    vocabulary: int, *, classes: int = 32, followers: int = 8, bound: float = 0.5
) -> Language:
    """A language of V words with ``p(w) ∝ 1 / (w + 1)``.

    A word's followers are those of its class, its number modulo `classes`, and lie among the most
    frequent of words; the same for every V that has so many.
    """
    frequency = 1 / np.arange(1, vocabulary + 1)
    of_class = np.random.default_rng(0).permutation(classes * followers) % vocabulary
    table = of_class.reshape(classes, followers).astype(np.int32)
    return Language(frequency / frequency.sum(), table[np.arange(vocabulary) % classes], bound)


def adding(rng: np.random.Generator, lanes: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with two of them marked, one in each half; the answer is the sum of those two.

    xs float32 [B, T, 2], the numbers even in [0, 1) and the marks; answers float32 [B]. Saying 1
    always has a mean squared error of 1/6 (Hochreiter and Schmidhuber 1997).
    """
    numbers, marks = rng.random((lanes, length)), np.zeros((lanes, length))
    rows, half = np.arange(lanes), length // 2
    marks[rows, rng.integers(0, half, lanes)] = 1
    marks[rows, rng.integers(half, length, lanes)] = 1
    xs = np.stack([numbers, marks], axis=-1).astype(np.float32)
    return xs, (numbers * marks).sum(1).astype(np.float32)


def copying(
    rng: np.random.Generator, lanes: int, symbols: int, length: int, lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """`length` symbols, blanks, a cue, and the symbols again; `lag` steps from the last to the cue.

    Tokens and answers int32 [B, lag + 2 length]: 1 … symbols, 0 a blank, symbols + 1 the cue; the
    answer is blank until the cue has been seen. Without memory the best mean loss is
    ``length log(symbols) / (lag + 2 length)`` (Arjovsky, Shah and Bengio 2016).
    """
    shown = rng.integers(1, symbols + 1, (lanes, length))
    tokens = np.zeros((lanes, lag + 2 * length), np.int32)
    answers = np.zeros_like(tokens)
    tokens[:, :length], answers[:, -length:] = shown, shown
    tokens[:, -length - 1] = symbols + 1
    return tokens, answers


def recall(
    seed: int,
    position: int,
    lanes: int,
    length: int,
    symbols: int,
    lag: int,
    every: int = 1,
    *,
    held_out: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chunk `position` of a stream: the answer at t is the input at t - lag.

    A symbol is shown every `every` steps (at steps of each lane's own), a blank elsewhere; every 1
    shows one at each step. Tokens and answers int32 [B, T], 1 … symbols and 0 a blank; asked [B, T]
    is True where the answer is a symbol. Nothing is shown before the stream begins.
    """
    offset = generator(seed, 2**62, held_out=held_out).integers(0, every, (lanes, 1))

    def chunk(p: int) -> np.ndarray:
        times = np.arange(p * length, (p + 1) * length)
        rng = generator(seed, p, held_out=held_out)
        shown = rng.integers(1, symbols + 1, (lanes, length))
        return np.where((times[None] + offset) % every == 0, shown, 0)

    parts = [
        chunk(p) if p >= 0 else np.zeros((lanes, length), int)
        for p in range(position - -(-lag // length), position + 1)
    ]
    stream = np.concatenate(parts, axis=1).astype(np.int32)
    answers = stream[:, stream.shape[1] - length - lag : stream.shape[1] - lag]
    return stream[:, -length:], answers, answers > 0
