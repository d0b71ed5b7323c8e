"""Sequences that stand alone: pooling, a network per step, one answer for many steps."""

import functools

import jax
import numpy as np
import pytest
from weights import drawn

from rnn_jax import cells
from rnn_jax.errors import BadInput
from rnn_jax.layers import dense, embedding
from rnn_jax.losses import cross_entropy
from rnn_jax.models import (
    anew,
    bidirectional,
    framed,
    memoryless,
    recurrent,
    sentence_model,
    sentence_parts,
    stack,
    vector_model,
)
from rnn_jax.models.sequences import attention, last, mean
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch

T, B, X, H, V, C = 5, 3, 4, 7, 11, 2
LENGTHS = np.array([5, 1, 3])
MASK = np.arange(T)[:, None] < LENGTHS


def states():
    return np.random.default_rng(0).normal(size=(T, B, 2 * H)).astype(np.float32)


def pooled_by(pool, w, hs):
    return (np.asarray(jax.jit(pool.weights)(w, hs, MASK)) * hs).sum(0)


@functools.partial(jax.jit, static_argnums=0)
def outputs(model, W, xs, **steps):
    """Of a model from its start, by one program."""
    return model.apply(W, model.start(W, xs.shape[1]), xs, **steps)


def test_last_takes_each_direction_at_its_own_end():
    hs = states()
    got = pooled_by(last(True), {}, hs)
    for lane, length in enumerate(LENGTHS):
        np.testing.assert_allclose(got[lane, :H], hs[length - 1, lane, :H])
        np.testing.assert_allclose(got[lane, H:], hs[0, lane, H:])
    one = pooled_by(last(False), {}, hs)
    np.testing.assert_allclose(one[2], hs[LENGTHS[2] - 1, 2])


def test_mean_and_attention_are_those_of_the_words_that_are_there():
    hs = states()
    pool = attention(2 * H, X)
    w = jax.tree.map(np.asarray, drawn(pool.init))
    averages, looks = pooled_by(mean(), {}, hs), pooled_by(pool, w, hs)
    for lane, length in enumerate(LENGTHS):
        there = hs[:length, lane]
        np.testing.assert_allclose(averages[lane], there.mean(0), rtol=1e-5)
        inner = np.tanh(there @ w["first"]["W_hy"] + w["first"]["b_y"])
        scores = (inner @ w["second"]["W_hy"])[:, 0]
        a = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(looks[lane], a @ there, rtol=1e-4, atol=1e-6)


def test_a_lane_of_nothing_pools_to_zeros_and_its_gradient_is_finite():
    pool, nothing, hs = attention(2 * H, X), np.zeros((T, B), bool), states()

    @jax.jit
    def both(w):
        weights, back = jax.vjp(lambda w: pool.weights(w, hs, nothing), w)
        return weights, back(hs.sum(-1, keepdims=True))

    weights, bars = both(drawn(pool.init))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(bars))
    assert not np.asarray(weights).any()


@pytest.mark.parametrize(
    ("pool", "both", "layers"), [("last", True, 2), ("mean", False, 1), ("attention", True, 1)]
)
def test_a_padded_batch_of_sentences_is_its_sentences_one_by_one(pool, both, layers):
    """Their losses, of two lengths; a lane of nothing lies between them."""
    arguments = {"vocabulary": V, "classes": C, "cell": "tanh", "hidden": H, "embed": X}
    model = sentence_model(**arguments, layers=layers, pool=pool, both=both)
    W, rng = drawn(model.init), np.random.default_rng(1)
    tokens, labels = rng.integers(0, V, (B, T)), np.array([[0], [1], [1]])

    @jax.jit
    def lost(tokens, labels, mask, weights):
        batch = Batch(tokens, labels, weights, mask=mask)
        return summed_loss(model, cross_entropy, W, model.start(W, len(tokens)), batch, None)[:2]

    weights = np.array([[1.0], [0.0], [1.0]], np.float32)
    total, (weight, _) = lost(tokens, labels, MASK.T & (weights > 0), weights)
    assert weight == 2
    one_by_one = sum(
        float(lost(tokens[[lane], : LENGTHS[lane]], labels[[lane]], None, np.ones((1, 1)))[0])
        for lane in (0, 2)
    )
    np.testing.assert_allclose(total, one_by_one, rtol=1e-5)


def test_what_is_drawn_as_attention_is_what_pools():
    arguments = {"vocabulary": V, "classes": C, "cell": "tanh", "hidden": H, "embed": X}
    parts = sentence_parts(**arguments, pool="attention")
    W = drawn(sentence_model(**arguments, pool="attention").init)
    tokens = np.random.default_rng(2).integers(0, V, (T, B))
    a = np.asarray(jax.jit(parts.weights)(W, tokens, MASK))
    np.testing.assert_allclose(a.sum(0), 1, rtol=1e-5)
    assert not a[~MASK].any() and np.ptp(a[:, 0]) > 0
    with pytest.raises(BadInput, match="--pool"):
        sentence_parts(**arguments, pool="max")


def test_word_dropout_reads_words_as_unknown_at_its_rate_and_only_while_training(key):
    layer = embedding(V, X)
    model = framed(layer, memoryless(dense(X, H)), unknown=(0, 0.25))
    W = drawn(model.init)
    tokens = np.full((40, 50), 3)
    ys = np.asarray(outputs(model, W, tokens, keys=jax.random.split(key, 50))[1])
    plain, unknown = (np.asarray(outputs(model, W, xs)[1]) for xs in (tokens, 0 * tokens))
    same = np.isclose(ys, plain).all(-1)
    assert 0.70 < same.mean() < 0.80 and np.ptp(plain, axis=(0, 1)).max() == 0
    np.testing.assert_allclose(ys[~same], unknown[~same], atol=1e-6)


def test_anew_takes_nothing_from_the_batch_before():
    body = bidirectional((cells.vanilla(X, H), cells.vanilla(X, H)))
    model = anew(body)
    W = drawn(model.init)
    xs = np.random.default_rng(3).normal(size=(T, B, X)).astype(np.float32)

    @jax.jit
    def both(W):
        carry, first = model.apply(W, model.start(W, B), xs)
        return first, model.apply(W, carry, xs)[1], body.apply(W, body.start(W, B), xs)[1]

    first, second, alone = both(W)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, alone)


def test_one_to_one_is_a_sequence_of_one_step():
    """T = 1: a recurrent network is then ``W_hy tanh(W_xh x + b) + b_y``."""
    model = vector_model(X, C, "tanh", H)
    W = jax.tree.map(np.asarray, drawn(model.init))
    xs = np.random.default_rng(4).normal(size=(1, B, X)).astype(np.float32)
    ys = np.asarray(outputs(model, W, xs)[1])
    w, out = W["layers"][0], W["out"]
    h = np.tanh(xs[0] @ w["W_xh"] + w["b_h"])
    np.testing.assert_allclose(ys[0], h @ out["W_hy"] + out["b_y"], rtol=1e-5, atol=1e-6)
    # and as a batch of a task it is plain classification: the mean loss over B pictures
    targets = np.array([[0], [1], [1]])
    batch = Batch(xs.swapaxes(0, 1), targets)

    def lost(W):
        return summed_loss(model, cross_entropy, W, model.start(W, B), batch, None)[:2]

    (total, (weight, _)), bars = jax.jit(jax.value_and_grad(lost, has_aux=True))(W)
    logp = ys[0] - np.log(np.exp(ys[0]).sum(-1, keepdims=True))
    np.testing.assert_allclose(total, -logp[np.arange(B), targets[:, 0]].sum(), rtol=1e-5)
    assert weight == B
    assert not np.asarray(bars["layers"][0]["W_hh"]).any(), "W_hh has no part in it"


def test_a_frame_by_frame_model_is_its_layers_alone():
    model = framed(dense(X, H), memoryless(dense(H, C)))
    above = framed(dense(X, H), recurrent(stack(cells.vanilla(H, H)), dense(H, C)))
    xs = np.random.default_rng(5).normal(size=(T, B, X)).astype(np.float32)

    def both_ways(model):
        W = drawn(model.init)
        return (np.asarray(outputs(model, W, way)[1]) for way in (xs, xs[::-1]))

    ys, turned = both_ways(model)
    np.testing.assert_allclose(ys, turned[::-1], rtol=1e-6)
    ys, turned = both_ways(above)
    assert not np.allclose(ys, turned[::-1])
