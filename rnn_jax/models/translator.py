"""Sequence to sequence: many to one reads, one to many writes."""

import jax
import jax.numpy as jnp

from rnn_jax.affine import affine, lookup
from rnn_jax.cells import build
from rnn_jax.errors import BadInput
from rnn_jax.layers import dropout
from rnn_jax.models.attention import Attention, Looking, additive, dot, general, looking
from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Model, lane_keys, stack
from rnn_jax.models.directions import bidirectional

Array = jax.Array

_INPUT = 2**29  # the embedding's place among the layers, where keys are told apart
ATTENTIONS = ("none", "dot", "general", "additive")


def attention_named(name: str, hidden: int, memory: int) -> Attention | None:
    """The attention called so; None for "none", the encoder's vector alone."""
    made = {
        "none": lambda: None,
        "dot": dot,
        "general": lambda: general(hidden, memory),
        "additive": lambda: additive(hidden, memory, hidden),
    }
    if name not in made:
        raise BadInput(f"no attention {name!r}; use {', '.join(ATTENTIONS)}")
    if name == "dot" and hidden != memory:
        raise BadInput(
            f"dot attention of {hidden} numbers with {memory}: give an equal --hidden (even, for a "
            "translator), or use general"
        )
    return made[name]()


def reader(
    layers: Model,
    decoder: Model,
    attention: Attention | None,
    vocabulary: int,
    embed: int,
    sizes: tuple[int, int],
    *,
    dropout_rate: float = 0.0,
) -> Encoder:
    """A sentence as the carry of `looking`: ``m = layers(R[x])``, read both ways.

    Each array of the decoder's state starts as ``tanh(e W_0 + b_0)`` where e [B, D] is both ends of
    m, the forward half's last step and the backward half's first. context: tokens [B, S] and mask
    [B, S], padding after the end; layers: `bidirectional`; sizes: D of m and H of the decoder.
    """
    memory, hidden = sizes
    state = jax.eval_shape(lambda: decoder.start(decoder.init(jax.random.key(0)), 1).state)
    many, shape = len(jax.tree.leaves(state)), jax.tree.structure(state)

    def init(key: Array) -> dict:
        k_R, k_layers, k_keys, k_0 = jax.random.split(key, 4)
        glorot = jax.nn.initializers.glorot_uniform()
        return {
            "R": jax.random.normal(k_R, (vocabulary, embed)),
            "layers": layers.init(k_layers),
            "keys": attention.keys.init(k_keys) if attention else (),
            "W_0": [glorot(k, (memory, hidden)) for k in jax.random.split(k_0, many)],
            "b_0": [jnp.zeros(hidden) for _ in range(many)],
        }

    def apply(w: dict, context: dict, keys: Array | None) -> Looking:
        tokens, mask = context["tokens"], context["mask"]
        read = dropout(lane_keys(keys, _INPUT), lookup(w["R"], tokens.T), dropout_rate)
        start = layers.start(w["layers"], tokens.shape[0])
        _, ms = layers.apply(w["layers"], start, read, mask=mask.T, keys=keys)
        ends = _ends(ms, mask)
        states = [jnp.tanh(affine(ends, W, b)) for W, b in zip(w["W_0"], w["b_0"], strict=True)]
        state = jax.tree.unflatten(shape, states)
        if attention is None:
            return Looking(state)
        values = jnp.swapaxes(ms, 0, 1)
        seen = jnp.zeros(mask.shape, ms.dtype)
        return Looking(state, attention.keys.apply(w["keys"], values), values, mask, seen)

    return Encoder(init, apply)


def _ends(ms: Array, mask: Array) -> Array:
    """[m_S forward, m_1 backward] [B, D] of ms [S, B, D], by the length that mask [B, S] gives."""
    half = ms.shape[-1] // 2
    last = jnp.maximum(mask.sum(1) - 1, 0)[None, :, None]
    ahead = jnp.take_along_axis(ms[..., :half], last, axis=0)[0]
    return jnp.concatenate([ahead, ms[0, :, half:]], axis=-1)


def translator(
    source: int,
    target: int,
    cell: str = "gru",
    hidden: int = 256,
    embed: int = 256,
    layers: int = 1,
    attention: str = "general",
    dropout: float = 0.0,
    half: bool = False,
) -> Model:
    """Sequences of `source` symbols, as context, to logits over `target` symbols, token by token.

    The encoder reads both ways with half of `hidden` in each direction, so that its outputs have
    the decoder's size; attention: one of ATTENTIONS. layers: of each; half: as in `looking`.
    """
    each = max(hidden // 2, 1)
    looks = attention_named(attention, hidden, 2 * each)
    pairs = [
        tuple(build(cell, 2 * each if above else embed, each) for _ in range(2))
        for above in range(layers)
    ]
    above = [build(cell, hidden, hidden) for _ in range(layers - 1)]
    body = stack(build(cell, embed, hidden), *above, dropout_rate=dropout)
    sizes, noisy = (hidden, 2 * each), {"dropout_rate": dropout}
    decoder = looking(body, looks, target, embed, sizes, half=half, **noisy)
    both = bidirectional(*pairs, **noisy)
    encoder = reader(both, decoder, looks, source, embed, sizes[::-1], **noisy)
    return conditioned(encoder, decoder)
