"""Layers that read a sequence from both ends."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells import Cell
from rnn_jax.layers import dropout
from rnn_jax.models.core import Model, lane_keys
from rnn_jax.unroll import unroll

Array = jax.Array


def bidirectional(
    *pairs: tuple[Cell, Cell], dropout_rate: float = 0.0, locked: bool = False
) -> Model:
    """Layers of two cells each, one from t = 1 on, one from each sequence's own end back
    (Schuster and Paliwal 1997); ``y_t = [forward_t, backward_t]`` [T, B, 2H].

    A carry has (forward's, backward's) for each layer: after a run the forward one has read the
    whole sequence up to its last step, the backward one down to its first. Padding must come after
    the end. dropout_rate, locked: on the input of every layer but the first, as in `stack`.
    """

    def init(key: Array) -> tuple:
        keys = jax.random.split(key, (len(pairs), 2))
        return tuple(
            (forward.init(k[0]), backward.init(k[1]))
            for (forward, backward), k in zip(pairs, keys, strict=True)
        )

    def start(W: tuple, lanes: int) -> tuple:
        return tuple(
            tuple(cell.start(w, lanes) for cell, w in zip(pair, ws, strict=True))
            for pair, ws in zip(pairs, W, strict=True)
        )

    def apply(
        W: tuple, carry: tuple, xs: Any, *, keys: Array | None = None, **steps: Any
    ) -> tuple[tuple, Array]:
        ends, below = [], xs
        for layer, (pair, ws, hs) in enumerate(zip(pairs, W, carry, strict=True)):
            if layer:
                below = dropout(lane_keys(keys, layer), below, dropout_rate, locked=locked)
            ways = [
                unroll(cell, w, below, h, reverse=reverse, **steps)
                for cell, w, h, reverse in zip(pair, ws, hs, (False, True), strict=True)
            ]
            ends.append(tuple(end for end, _ in ways))
            below = jnp.concatenate([ys for _, ys in ways], axis=-1)
        return tuple(ends), below

    return Model(init, start, apply)
