"""Sequences of many lengths in batches of few: which rows go together, and padding."""

from collections.abc import Sequence

import numpy as np

Padded = tuple[np.ndarray, np.ndarray]


def edges(lengths: np.ndarray, most: int) -> np.ndarray:
    """The longest length of each of at most so many buckets, so that the least is padded.

    lengths [N], at least 1 each; ascending, the last is the longest. By dynamic programming over
    the distinct lengths: a bucket that takes those above i up to j pads them all to j.
    """
    distinct, counts = np.unique(lengths, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    cost = distinct * (below[1:, None] - below[None, :-1]).T.astype(float)  # [from, to]
    cost[np.tril_indices(len(distinct), -1)] = np.inf
    best, cuts = cost[0], []
    for _ in range(min(most, len(distinct)) - 1):
        # The bucket before ends at i, this one takes i + 1 to j.
        options = best[:-1, None] + cost[1:]
        cuts.append(options.argmin(0))
        best = options.min(0)
    ends = [len(distinct) - 1]
    for cut in reversed(cuts):
        ends.append(int(cut[ends[-1]]))
    return distinct[sorted(ends)]


def plan(
    lengths: np.ndarray, ends: np.ndarray, lanes: int, rng: np.random.Generator | None = None
) -> list[tuple[np.ndarray, int]]:
    """Every row once, in batches of rows [B] of one bucket and its width.

    What does not fill a batch is read with the next longer bucket; in the last batch of all -1
    stands where there is no row. rng: shuffles rows and batches; None keeps their order.
    """
    bucket = np.searchsorted(ends, lengths)
    batches, left = [], np.zeros(0, np.int64)
    for place, width in enumerate(ends):
        rows = np.flatnonzero(bucket == place)
        rows = np.concatenate([left, rows if rng is None else rng.permutation(rows)])
        full = len(rows) // lanes * lanes
        batches += [(part, int(width)) for part in rows[:full].reshape(-1, lanes)]
        left = rows[full:]
    if len(left):
        empty = np.full(lanes - len(left), -1)
        batches.append((np.concatenate([left, empty]), int(ends[-1])))
    return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]


def pad(sequences: Sequence[np.ndarray], rows: np.ndarray, width: int) -> Padded:
    """The sequences of these rows with zeros after their ends [B, T, ...], and the mask [B, T].

    A row of -1 is a lane of nothing.
    """
    some = np.asarray(sequences[0])
    padded = np.zeros((len(rows), width, *some.shape[1:]), some.dtype)
    mask = np.zeros((len(rows), width), bool)
    for lane, row in enumerate(rows):
        if row >= 0:
            length = len(sequences[row])
            padded[lane, :length] = sequences[row]
            mask[lane, :length] = True
    return padded, mask
