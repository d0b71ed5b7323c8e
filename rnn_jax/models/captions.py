"""A picture and the words that say what it shows: one to many."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.layers import dense, dropout
from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Model
from rnn_jax.models.language import language_model
from rnn_jax.vision import Summary, from_module

Array = jax.Array


def caption_model(
    shape: Sequence[int],
    vocabulary: int,
    cell: str = "gru",
    hidden: int = 256,
    layers: int = 1,
    embed: int = 64,
    features: Sequence[int] = (16, 32, 64),
    seen: int = 256,
    dropout: float = 0.0,
) -> Model:
    """``h_0 = tanh(CNN(picture) W + b)``, then a language model: the picture is heard of once.

    Context [B, H, W] or [B, H, W, C] (uint8 is read as 0 to 1), tokens [T, B], logits [T, B, V].
    shape: of a picture; features: of the CNN's layers; seen: size of what it says of the picture;
    dropout: of that, and in the language model.
    """
    writer = language_model(vocabulary, cell, hidden, layers, embed, dropout)
    return conditioned(seeing(shape, features, seen, writer, dropout), writer)


def seeing(
    shape: Sequence[int], features: Sequence[int], seen: int, writer: Model, rate: float
) -> Encoder:
    """A CNN, and for each part of the writer's carry [B, N] an affine map with tanh."""
    eye = from_module(Summary(tuple(features), seen), tuple(shape))
    carry = jax.eval_shape(lambda key: writer.start(writer.init(key), 1), jax.random.key(0))
    leaves, form = jax.tree.flatten(carry)
    parts = [dense(seen, leaf.shape[-1]) for leaf in leaves]

    def init(key: Array) -> dict:
        k_eye, *keys = jax.random.split(key, 1 + len(parts))
        return {
            "eye": eye.init(k_eye),
            "parts": [part.init(k) for part, k in zip(parts, keys, strict=True)],
        }

    def apply(w: dict, context: Any, keys: Array | None) -> Any:
        y = dropout(keys, eye.apply(w["eye"], context)[None], rate)[0]
        begun = [jnp.tanh(p.apply(wp, y)) for p, wp in zip(parts, w["parts"], strict=True)]
        return jax.tree.unflatten(form, begun)

    return Encoder(init, apply)
