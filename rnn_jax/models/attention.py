"""Attention: a decoder that looks at all of what the encoder has made, at every step.

The scores of Bahdanau et al. 2015 (additive) and Luong et al. 2015 (dot, general), used as Luong
does: the state h_t, which has read the target up to t, asks; what is seen goes into the read-out
and not into the recurrence (no input feeding). So the recurrence stays one run over all steps, by
the fast backward pass, and attention is done for all steps at once after it. Dot and general are
divided by the root of their length as in Vaswani et al. 2017: a sum of H products grows with √H,
and a softmax of large scores is all but one-hot and has hardly a gradient.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.affine import affine, against, lookup
from rnn_jax.layers import Layer, dropout
from rnn_jax.models.core import Model, lane_keys

Array = jax.Array

_INPUT, _READ_OUT = 2**29, 2**31  # places among the layers, where keys are told apart


class Attention(NamedTuple):
    """How well h_t [T, B, H] fits each place of a memory [B, S, D].

    keys: a Layer, memory [B, S, D] -> [B, S, A], done once a sequence (its weights are the
    encoder's); init: ``key -> w``; score: ``(w, hs [T, B, H], keys [B, S, A]) -> [T, B, S]``.
    """

    keys: Layer
    init: Callable[[Array], Any]
    score: Callable[[Any, Array, Array], Array]


def _nothing(key: Array) -> tuple:
    return ()


def _product(w: Any, hs: Array, keys: Array) -> Array:
    return jnp.einsum("tbh,bsh->tbs", hs, keys * keys.shape[-1] ** -0.5)


def dot() -> Attention:
    """``score = h_t · m_s / √H``; D = H."""
    return Attention(Layer(_nothing, lambda w, memory: memory), _nothing, _product)


def general(hidden: int, memory: int) -> Attention:
    """``score = h_t · (m_s W_m) / √H``, W_m [D, H]."""
    return Attention(_projection(memory, hidden), _nothing, _product)


def additive(hidden: int, memory: int, size: int) -> Attention:
    """``score = v · tanh(h_t W_h + m_s W_m)``, W_h [H, A], W_m [D, A], v [A]."""
    glorot = jax.nn.initializers.glorot_uniform()

    def init(key: Array) -> dict:
        k_h, k_v = jax.random.split(key)
        return {"W_h": glorot(k_h, (hidden, size)), "v": glorot(k_v, (size, 1))[:, 0]}

    def score(w: dict, hs: Array, keys: Array) -> Array:
        asked = affine(hs, w["W_h"], None)
        return jnp.tanh(asked[:, :, None] + keys[None]) @ w["v"]

    return Attention(_projection(memory, size), init, score)


def _projection(inputs: int, outputs: int) -> Layer:
    def init(key: Array) -> Array:
        return jax.nn.initializers.glorot_uniform()(key, (inputs, outputs))

    return Layer(init, lambda W, memory: affine(memory, W, None))


class Looking(flax.struct.PyTreeNode):
    """The carry of a decoder that looks: its state, what there is to see, what it has seen.

    keys [B, S, A], values [B, S, D], mask [B, S] (this place exists); seen [B, S]: the sum of the
    weights of all steps so far. Empty tuples where there is no attention.
    """

    state: Any
    keys: Any = ()
    values: Any = ()
    mask: Any = ()
    seen: Any = ()


def covered(carry: Looking) -> tuple[Array, Array]:
    """The weights so far of each place, and which places exist: what `decode.search` calls seen."""
    return carry.seen, carry.mask


def attend(scores: Array, values: Array, mask: Array) -> tuple[Array, Array]:
    """``a_ts = softmax_s(score_ts)``, ``c_t = Σ_s a_ts m_s``: [T, B, S] and [T, B, D].

    scores [T, B, S], values [B, S, D]; mask [B, S]: a place outside it weighs nothing.
    """
    # No division, see ordered.py; nor is there one in its gradient.
    weights = jnp.exp(jax.nn.log_softmax(jnp.where(mask[None], scores, -jnp.inf), axis=-1))
    return weights, jnp.einsum("tbs,bsd->tbd", weights, values)


def looking(
    layers: Model,
    attention: Attention | None,
    vocabulary: int,
    embed: int,
    sizes: tuple[int, int],
    *,
    dropout_rate: float = 0.0,
    half: bool = False,
) -> Model:
    """A decoder of tokens: ``h = layers(R[x])``, ``u_t = tanh([h_t, c_t] W_c + b_c)``,
    ``y_t = u_t Rᵀ + b_y`` with c_t of `attend`; without attention c_t is left out.

    R [V, E] is both what is read and what is written (Press and Wolf 2017). sizes: H of `layers`
    and D of the memory. dropout_rate: on R[x] and u. half: the product with Rᵀ on bfloat16
    numbers, summed in float32. The carry is `Looking`; begun by an encoder, as in `conditioned`.
    """
    seeing = sizes[0] + (sizes[1] if attention else 0)

    def init(key: Array) -> dict:
        k_R, k_layers, k_attention, k_c = jax.random.split(key, 4)
        return {
            "R": jax.random.normal(k_R, (vocabulary, embed)) * embed**-0.5,
            "layers": layers.init(k_layers),
            "attention": attention.init(k_attention) if attention else (),
            "W_c": jax.nn.initializers.glorot_uniform()(k_c, (seeing, embed)),
            "b_c": jnp.zeros(embed),
            "b_y": jnp.zeros(vocabulary),
        }

    def start(W: dict, lanes: int) -> Looking:
        return Looking(layers.start(W["layers"], lanes))

    def apply(
        W: dict, carry: Looking, xs: Array, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Looking, Array]:
        # Rows of R are of unit length, for they are also the read-out; what is read is larger.
        read = lookup(W["R"], xs) * embed**0.5
        read = dropout(lane_keys(keys, _INPUT), read, dropout_rate)
        state, hs = layers.apply(W["layers"], carry.state, read, keys=keys, **steps)
        carry, hs = _seen(W, carry.replace(state=state), attention, hs)
        u = jnp.tanh(affine(hs, W["W_c"], W["b_c"]))
        u = dropout(lane_keys(keys, _READ_OUT), u, dropout_rate)
        return carry, _logits(W, u, half)

    return Model(init, start, apply)


def _seen(W: dict, carry: Looking, attention: Attention | None, hs: Array) -> tuple[Looking, Array]:
    """The carry with what these steps saw, and [h_t, c_t] [T, B, H + D] (h_t without attention)."""
    if attention is None:
        return carry, hs
    scores = attention.score(W["attention"], hs, carry.keys)
    weights, contexts = attend(scores, carry.values, carry.mask)
    carry = carry.replace(seen=carry.seen + weights.sum(0))
    return carry, jnp.concatenate([hs, contexts], axis=-1)


def _logits(W: dict, u: Array, half: bool) -> Array:
    """``u Rᵀ + b_y`` [T, B, V], as one plain product."""
    of = jnp.bfloat16 if half else u.dtype
    rows = u.reshape(-1, u.shape[-1]).astype(of)
    y = jnp.dot(rows, W["R"].T.astype(of), preferred_element_type=u.dtype)
    y = y.reshape(*u.shape[:-1], -1)
    return y + against(W["b_y"], y)


def alignment(model: Model, W: Any, context: Any, tokens: Array) -> Array:
    """Where a model with attention looks as it reads tokens [B, T]: weights [B, T, S].

    The carry of its decoder is a `Looking`; row t are the weights of the step that reads token t.
    """

    def step(carry: Looking, token: Array) -> tuple[Looking, Array]:
        new, _ = model.apply(W, carry, token[None])
        return new, new.seen - carry.seen

    _, weights = lax.scan(step, model.condition(W, context, None), tokens.T)
    return jnp.swapaxes(weights, 0, 1)
