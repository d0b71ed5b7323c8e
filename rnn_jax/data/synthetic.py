"""Sequences made by rule, whose answer at every step is known: parity, running sums.

Inside, as everywhere in data, lanes come first: [B, T]. A random batch is a pure function of
``(seed, position)``, by a counter-based generator, so that a run that is resumed reads on where it
stopped. Training positions count from 0; a held-out batch has a seed word that no training has.
"""

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
