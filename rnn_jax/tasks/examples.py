"""Sequences that each stand alone: sentences, clips, captions, pairs to translate."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.data import buckets
from rnn_jax.data.synthetic import generator
from rnn_jax.tasks.core import Batch, Task

Array = jax.Array

_VALID_BUCKETS = 4


class Examples(NamedTuple):
    """lengths [N]: steps of each; batch: ``(rows [B], T) -> Batch`` of those rows, padded to T.

    A row of -1 is a lane of nothing: its mask is False and its weights are 0 (`buckets.pad`).
    """

    lengths: np.ndarray
    batch: Callable[[np.ndarray, int], Batch]


def bucketed(
    train: Examples,
    valid: Examples,
    loss: Callable[[Any, Any], Array],
    lanes: int,
    seed: int,
    *,
    error: Callable[[Any, Any], Array] | None = None,
    most: int = 6,
) -> Task:
    """Every example once an epoch, in batches of like length; each epoch has its own order.

    most: buckets of lengths, each of which is a program to compile. The held-out examples come in
    a fixed order, each once.
    """
    ends = buckets.edges(train.lengths, most)
    valid_ends = buckets.edges(valid.lengths, _VALID_BUCKETS)

    @lru_cache(maxsize=2)  # a batch is a pure function of its position; an epoch's order is kept
    def epoch(number: int) -> list[tuple[np.ndarray, int]]:
        return buckets.plan(train.lengths, ends, lanes, generator(seed, number))

    chunks = len(epoch(0))

    def batch(position: int) -> Batch:
        return train.batch(*epoch(position // chunks)[position % chunks])

    def held_out() -> Iterable[Batch]:
        for rows, width in buckets.plan(valid.lengths, valid_ends, lanes):
            yield valid.batch(rows, width)

    tokens = max(1, int(train.lengths.sum()) // chunks)
    return Task(batch, held_out, loss, lanes, chunks, tokens, error)
