"""Several networks side by side that answer together."""

from collections.abc import Sequence
from typing import Any

import jax

from rnn_jax.models.core import Model, lane_keys

Array = jax.Array

_MEMBER = 2**27  # the first member's place among the layers, where keys are told apart


def committee(models: Sequence[Model]) -> Model:
    """``y_t = 1/M Σ_m log softmax(y_mt)``, of M models of the same tokens, each with its own noise.

    W, the carry and what it is conditioned on are tuples with one entry a member. A softmax of y is
    their product of experts (Hinton 2002): what one member is alone in believing counts little.
    `losses.negative_log_likelihood` of y is the mean of the members' own losses, by which each
    learns as if it were alone, but for what the whole gradient's norm is clipped to.
    """

    def init(key: Array) -> tuple:
        keys = jax.random.split(key, len(models))
        return tuple(model.init(k) for model, k in zip(models, keys, strict=True))

    def start(W: tuple, lanes: int) -> tuple:
        return tuple(model.start(w, lanes) for model, w in zip(models, W, strict=True))

    def condition(W: tuple, context: Any, keys: Array | None) -> tuple:
        every = enumerate(zip(models, W, strict=True), start=_MEMBER)
        return tuple(m.condition(w, context, lane_keys(keys, i)) for i, (m, w) in every)

    def apply(
        W: tuple, carry: tuple, xs: Any, *, keys: Array | None = None, **steps: Any
    ) -> tuple[tuple, Array]:
        ends, total = [], 0.0
        for i, (m, w, h) in enumerate(zip(models, W, carry, strict=True), start=_MEMBER):
            end, ys = m.apply(w, h, xs, keys=lane_keys(keys, i), **steps)
            ends.append(end)
            total = total + jax.nn.log_softmax(ys) / len(models)
        return tuple(ends), total

    given = all(model.condition for model in models)
    return Model(init, start, apply, condition if given else None)
