"""A picture and the words that say what it shows: one to many, with attention or without."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells import build
from rnn_jax.layers import dense, dropout
from rnn_jax.models.attention import Attention, Looking, looking
from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Model, lane_keys, stack
from rnn_jax.models.translator import attention_named
from rnn_jax.vision import Convolutions, from_module

Array = jax.Array

_MAP = 2**29  # the map's place among the layers, where keys are told apart


def caption_model(
    shape: Sequence[int],
    vocabulary: int,
    cell: str = "gru",
    hidden: int = 256,
    layers: int = 1,
    embed: int = 64,
    features: Sequence[int] = (16, 32, 64),
    fold: int = 1,
    depth: int = 1,
    seen: int = 256,
    attention: str = "general",
    dropout: float = 0.0,
) -> Model:
    """``h_0 = tanh(CNN(picture) W + b)``, then a language model that looks at the CNN's map.

    Context [B, H, W] or [B, H, W, C] (uint8 is read as 0 to 1), tokens [T, B], logits [T, B, V].
    shape: of a picture; features, fold, depth: of the CNN (`vision.Convolutions`); seen: size of
    what it says of all of a picture; attention: one of ATTENTIONS, none leaves it at h_0, the
    slide's one to many (Vinyals et al. 2015; with attention Xu et al. 2015); dropout: of the map,
    of what is said of it, and in the language model.
    """
    eye = from_module(Convolutions(tuple(features), fold, norm=True, depth=depth), tuple(shape))
    drawn = jax.eval_shape(lambda: eye.apply(eye.init(jax.random.key(0)), jnp.zeros((1, *shape))))
    places, channels = drawn.shape[1] * drawn.shape[2], drawn.shape[3]
    looks = attention_named(attention, hidden, channels)
    sizes = [embed] + [hidden] * (layers - 1)
    body = stack(*(build(cell, size, hidden) for size in sizes), dropout_rate=dropout)
    noisy = {"dropout_rate": dropout}
    writer = looking(body, looks, vocabulary, embed, (hidden, channels), **noisy)
    return conditioned(seeing(eye, (places, channels, seen), writer, looks, **noisy), writer)


def seeing(
    eye: Any,
    sizes: tuple[int, int, int],
    writer: Model,
    attention: Attention | None,
    *,
    dropout_rate: float = 0.0,
) -> Encoder:
    """A picture as the carry of `looking`: the memory is ``m_s = map_s + P_s``, P [S, D] learned.

    eye: a Layer, pictures to maps [B, h, w, D]; sizes: S = h w, D and N of ``y = relu(map W + b)``
    [B, N]. Each part of the writer's state starts as tanh of an affine map of y.
    """
    places, depth, seen = sizes
    state = jax.eval_shape(lambda: writer.start(writer.init(jax.random.key(0)), 1).state)
    leaves, form = jax.tree.flatten(state)
    whole, parts = dense(places * depth, seen), [dense(seen, leaf.shape[-1]) for leaf in leaves]

    def init(key: Array) -> dict:
        k_eye, k_whole, k_keys, k_P, *keys = jax.random.split(key, 4 + len(parts))
        return {
            "eye": eye.init(k_eye),
            "whole": whole.init(k_whole),
            "parts": [part.init(k) for part, k in zip(parts, keys, strict=True)],
            "keys": attention.keys.init(k_keys) if attention else (),
            "P": 0.1 * jax.random.normal(k_P, (places, depth)) if attention else (),
        }

    def apply(w: dict, context: Any, keys: Array | None) -> Looking:
        m = eye.apply(w["eye"], context).reshape(-1, places, depth)
        m = dropout(lane_keys(keys, _MAP), m.swapaxes(0, 1), dropout_rate).swapaxes(0, 1)
        y = jax.nn.relu(whole.apply(w["whole"], m.reshape(-1, places * depth)))
        y = dropout(keys, y[None], dropout_rate)[0]
        begun = [jnp.tanh(p.apply(wp, y)) for p, wp in zip(parts, w["parts"], strict=True)]
        carry = Looking(jax.tree.unflatten(form, begun))
        if attention is None:
            return carry
        values = m + w["P"][None]
        there = jnp.ones(values.shape[:2], bool)
        made = attention.keys.apply(w["keys"], values)
        return carry.replace(keys=made, values=values, mask=there, seen=jnp.zeros(there.shape))

    return Encoder(init, apply)
