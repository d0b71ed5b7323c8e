"""Models whose sequences begin from something given: one to many, sequence to sequence."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.models.core import Model, lane_keys

Array = jax.Array

_ENCODER = 2**30  # the encoder's place among the layers, where keys are told apart


class Encoder(NamedTuple):
    """``apply(w, context, keys) -> carry``: what is given, leaves [B, ...], as a decoder's carry.

    init: ``key -> w``; keys: [B] for dropout, or None.
    """

    init: Callable[[Array], Any]
    apply: Callable[[Any, Any, Array | None], Any]


def conditioned(encoder: Encoder, decoder: Model) -> Model:
    """``h_0 = encoder(context)``, then the decoder: the slides' one to many, and with an encoder
    that is a network over time, sequence to sequence = many to one + one to many.

    W has "encoder" and "decoder". The decoder's carry may hold more than a state (a memory that
    attention looks at): it is whatever the encoder returns and the decoder's apply takes.
    """

    def init(key: Array) -> dict:
        k_encoder, k_decoder = jax.random.split(key)
        return {"encoder": encoder.init(k_encoder), "decoder": decoder.init(k_decoder)}

    def condition(W: dict, context: Any, keys: Array | None) -> Any:
        return encoder.apply(W["encoder"], context, lane_keys(keys, _ENCODER))

    def apply(W: dict, carry: Any, xs: Any, **steps: Any) -> tuple[Any, Any]:
        return decoder.apply(W["decoder"], carry, xs, **steps)

    return Model(init, place, apply, condition)


def place(W: Any, lanes: int) -> Array:
    """Nothing goes from batch to batch; the lanes are counted all the same."""
    return jnp.zeros((lanes, 1))
