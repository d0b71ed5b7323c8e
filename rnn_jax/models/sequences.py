"""Models of sequences that each stand alone: a network on every step, one answer for all steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.layers import Layer, dense, dropout
from rnn_jax.models.conditioned import place
from rnn_jax.models.core import Model, lane_keys

Array = jax.Array

# Places among the layers, where keys are told apart.
_BELOW, _WORDS, _POOLED = 2**29, 2**28, 2**27


class Pool(NamedTuple):
    """How much each step counts: ``weights(w, hs [T, B, H], mask [T, B]) -> [T, B, 1 or H]``."""

    init: Callable[[Array], Any]
    weights: Callable[[Any, Array, Array], Array]


def anew(body: Model) -> Model:
    """`body` for sequences that each stand alone: every batch begins from ``body.start``."""

    def apply(
        W: Any, carry: Any, xs: Any, *, fresh: Array | None = None, **steps: Any
    ) -> tuple[Any, Array]:
        begun = body.start(W, jax.tree.leaves(xs)[0].shape[1])
        return carry, body.apply(W, begun, xs, **steps)[1]

    return Model(body.init, place, apply)


def framed(
    layer: Layer,
    above: Model,
    *,
    dropout_rate: float = 0.0,
    unknown: tuple[int, float] | None = None,
) -> Model:
    """``above(layer(x_t))``: a layer without memory on every step, an embedding or a CNN per frame.

    dropout_rate: on the layer's outputs. unknown: (token, rate), that many tokens are read as that
    one while training (word dropout, Iyyer et al. 2015). W has "frame" and "above".
    """

    def init(key: Array) -> dict:
        k_layer, k_above = jax.random.split(key)
        return {"frame": layer.init(k_layer), "above": above.init(k_above)}

    def start(W: dict, lanes: int) -> Any:
        return above.start(W["above"], lanes)

    def apply(
        W: dict, carry: Any, xs: Any, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Any, Array]:
        if unknown is not None and keys is not None:
            kept = dropout(lane_keys(keys, _WORDS), jnp.ones((*xs.shape, 1)), unknown[1])[..., 0]
            xs = jnp.where(kept > 0, xs, unknown[0])
        frames = dropout(lane_keys(keys, _BELOW), layer.apply(W["frame"], xs), dropout_rate)
        return above.apply(W["above"], carry, frames, keys=keys, **steps)

    return Model(init, start, apply)


def memoryless(out: Layer) -> Model:
    """``y_t = out(x_t)``: what a step can say alone."""

    def apply(W: Any, carry: Any, xs: Any, **steps: Any) -> tuple[Any, Array]:
        return carry, out.apply(W, xs)

    return Model(out.init, place, apply)


def pooled(body: Model, pool: Pool, out: Layer, *, dropout_rate: float = 0.0) -> Model:
    """``y = out(Σ_t a_t h_t)``: many to one. ys [1, B, Y]: one step, whose weight the loss takes.

    W has "body", "pool" and "out"; dropout before `out`.
    """

    def init(key: Array) -> dict:
        keys = jax.random.split(key, 3)
        parts = zip(("body", "pool", "out"), (body, pool, out), keys, strict=True)
        return {name: part.init(k) for name, part, k in parts}

    def start(W: dict, lanes: int) -> Any:
        return body.start(W["body"], lanes)

    def apply(
        W: dict, carry: Any, xs: Any, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Any, Array]:
        carry, hs = body.apply(W["body"], carry, xs, keys=keys, **steps)
        y = (pool.weights(W["pool"], hs, _there(hs, steps.get("mask"))) * hs).sum(0, keepdims=True)
        return carry, out.apply(W["out"], dropout(lane_keys(keys, _POOLED), y, dropout_rate))

    return Model(init, start, apply)


def _there(hs: Array, mask: Array | None) -> Array:
    return jnp.ones(hs.shape[:2], bool) if mask is None else mask


def last(both: bool) -> Pool:
    """The state that has read everything; of two directions (both) each at its own end."""

    def weights(w: Any, hs: Array, mask: Array) -> Array:
        after = jnp.pad(mask, [(0, 1), (0, 0)])[1:]
        end, begin = mask & ~after, mask & (jnp.arange(len(mask)) == 0)[:, None]
        half = hs.shape[-1] // 2 if both else hs.shape[-1]
        parts = [jnp.repeat(end[..., None], half, -1)]
        if both:
            parts.append(jnp.repeat(begin[..., None], half, -1))
        return jnp.concatenate(parts, -1).astype(hs.dtype)

    return Pool(lambda key: {}, weights)


def mean() -> Pool:
    """``a_t = 1 / T`` of each sequence's own T."""

    def weights(w: Any, hs: Array, mask: Array) -> Array:
        count = jnp.maximum(mask.sum(0, keepdims=True), 1)
        return (mask / count)[..., None].astype(hs.dtype)

    return Pool(lambda key: {}, weights)


def attention(inputs: int, hidden: int) -> Pool:
    """``a = softmax_t(v tanh(W h_t + b))`` over the steps that are there (Yang et al. 2016)."""
    first, second = dense(inputs, hidden), dense(hidden, 1)

    def init(key: Array) -> dict:
        k_first, k_second = jax.random.split(key)
        return {"first": first.init(k_first), "second": second.init(k_second)}

    def weights(w: dict, hs: Array, mask: Array) -> Array:
        scores = second.apply(w["second"], jnp.tanh(first.apply(w["first"], hs)))[..., 0]
        scores = jnp.where(mask, scores, -jnp.inf)
        # A lane of nothing has no step to look at: all of its weights are 0.
        most = jnp.where(mask.any(0), scores.max(0), 0)
        each = jnp.where(mask, jnp.exp(scores - most[None]), 0)
        # An inverse, not a division of an array, see ordered.py.
        return (each * (1 / jnp.maximum(each.sum(0), 1e-30))[None])[..., None]

    return Pool(init, weights)
