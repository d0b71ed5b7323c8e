"""A stream as the lanes of a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnn_jax.data.text.parts import Stream
from rnn_jax.errors import BadInput


class Lanes(NamedTuple):
    """A stream in lanes, for training. int32, int32, bool [B, L]"""

    inputs: np.ndarray
    targets: np.ndarray
    fresh: np.ndarray


def lanes(stream: Stream, lanes: int, chunk: int) -> Lanes:
    """Cuts a stream in B equal lanes one after another, each a whole number of chunks.

    L = N // (B * chunk) * chunk steps; the N - B * L steps left over at the end are dropped. A
    lane's first step is fresh, beside the stream's own. [N] -> [B, L]

    Raises BadInput where the stream has not one chunk for each lane.
    """
    if lanes < 1 or chunk < 1:
        raise BadInput(f"--lanes {lanes} --bptt {chunk}: both have to be at least 1")
    steps = len(stream.inputs)
    length = steps // (lanes * chunk) * chunk
    if not length:
        fits = [f"--lanes {steps // chunk}"] * (steps >= chunk)
        fits += [f"--bptt {steps // lanes}"] * (steps >= lanes)
        mend = " or ".join(fits) or f"--lanes 1 --bptt {steps}"
        raise BadInput(
            f"--lanes {lanes} --bptt {chunk} needs {lanes * chunk} steps and the training part "
            f"has {steps}: use {mend}, or a longer text"
        )
    inputs, targets, fresh = (part[: lanes * length].reshape(lanes, length) for part in stream)
    fresh = fresh.copy()
    fresh[:, 0] = True
    return Lanes(inputs, targets, fresh)


class Ragged(NamedTuple):
    """A stream in lanes of unequal length, for evaluation. All [B, L]; weights float32."""

    inputs: np.ndarray
    targets: np.ndarray
    fresh: np.ndarray
    mask: np.ndarray
    weights: np.ndarray


def ragged(stream: Stream, lanes: int, warm: int = 0) -> Ragged:
    """Cuts a stream in B nearly equal lanes that score every step exactly once. [N] -> [B, L]

    A lane begins up to `warm` steps before its own, with weight 0, to have read some context by
    then, but not before the latest fresh step; its end is padded with mask False. The first step
    of a lane is fresh. A stream of fewer steps than lanes leaves lanes empty.
    """
    if lanes < 1 or warm < 0:
        raise BadInput(f"{lanes} lanes with {warm} steps before: need 1 and 0 at least")
    steps = len(stream.inputs)
    edges = np.arange(lanes + 1) * steps // lanes
    first, end = edges[:-1], edges[1:]
    begin = np.maximum(first - warm, 0)
    pieces = np.flatnonzero(stream.fresh)
    if len(pieces):
        latest = np.searchsorted(pieces, first, side="right") - 1
        # -1: the stream's own first piece goes on from before it, and nothing bounds the warm-up.
        begin = np.where(latest < 0, begin, np.maximum(begin, pieces[latest]))
    index = begin[:, None] + np.arange(np.max(end - begin))
    mask = index < end[:, None]
    weights = (mask & (index >= first[:, None])).astype(np.float32)
    inputs, targets, fresh = (
        np.where(mask, part[np.minimum(index, steps - 1)], np.zeros((), part.dtype))
        for part in stream
    )
    fresh[:, 0] = True
    return Ragged(inputs, targets, fresh, mask, weights)
