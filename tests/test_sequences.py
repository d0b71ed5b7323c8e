"""Sequences that stand alone: pooling, a network per step, one answer for many steps."""

import jax
import numpy as np
import pytest

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
    return np.asarray((pool.weights(w, hs, MASK) * hs).sum(0))


def test_last_takes_each_direction_at_its_own_end():
    hs = states()
    got = pooled_by(last(True), {}, hs)
    for lane, length in enumerate(LENGTHS):
        np.testing.assert_allclose(got[lane, :H], hs[length - 1, lane, :H])
        np.testing.assert_allclose(got[lane, H:], hs[0, lane, H:])
    one = pooled_by(last(False), {}, hs)
    np.testing.assert_allclose(one[2], hs[LENGTHS[2] - 1, 2])


def test_mean_and_attention_are_those_of_the_words_that_are_there(key):
    hs = states()
    pool = attention(2 * H, X)
    w = jax.tree.map(np.asarray, pool.init(key))
    averages, looks = pooled_by(mean(), {}, hs), pooled_by(pool, w, hs)
    for lane, length in enumerate(LENGTHS):
        there = hs[:length, lane]
        np.testing.assert_allclose(averages[lane], there.mean(0), rtol=1e-5)
        inner = np.tanh(there @ w["first"]["W_hy"] + w["first"]["b_y"])
        scores = (inner @ w["second"]["W_hy"])[:, 0]
        a = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(looks[lane], a @ there, rtol=1e-4, atol=1e-6)


def test_a_lane_of_nothing_pools_to_zeros_and_its_gradient_is_finite(key):
    pool, nothing = attention(2 * H, X), np.zeros((T, B), bool)
    w = pool.init(key)
    bars = jax.grad(lambda w: (pool.weights(w, states(), nothing) * states()).sum())(w)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(bars))
    assert not np.asarray(pool.weights(w, states(), nothing)).any()


@pytest.mark.parametrize(
    ("pool", "both", "layers"), [("last", True, 2), ("mean", False, 1), ("attention", True, 1)]
)
def test_a_padded_batch_of_sentences_is_its_sentences_one_by_one(pool, both, layers, key):
    """Their losses; a lane of nothing lies between them."""
    arguments = {"vocabulary": V, "classes": C, "cell": "gru", "hidden": H, "embed": X}
    model = sentence_model(**arguments, layers=layers, pool=pool, both=both)
    W, rng = model.init(key), np.random.default_rng(1)
    tokens, labels = rng.integers(0, V, (B, T)), np.array([[0], [1], [1]])

    @jax.jit
    def lost(tokens, labels, mask, weights):
        batch = Batch(tokens, labels, weights, mask=mask)
        return summed_loss(model, cross_entropy, W, model.start(W, len(tokens)), batch, None)[:2]

    weights = np.array([[1.0], [0.0], [1.0]], np.float32)
    total, (weight, _) = lost(tokens, labels, MASK.T & (weights > 0), weights)
    assert weight == 2
    one_by_one = sum(
        lost(tokens[[lane], : LENGTHS[lane]], labels[[lane]], None, np.ones((1, 1)))[0]
        for lane in (0, 2)
    )
    np.testing.assert_allclose(total, one_by_one, rtol=1e-5)


def test_what_is_drawn_as_attention_is_what_pools(key):
    arguments = {"vocabulary": V, "classes": C, "cell": "gru", "hidden": H, "embed": X}
    parts = sentence_parts(**arguments, pool="attention")
    W = sentence_model(**arguments, pool="attention").init(key)
    tokens = np.random.default_rng(2).integers(0, V, (T, B))
    a = np.asarray(parts.weights(W, tokens, MASK))
    np.testing.assert_allclose(a.sum(0), 1, rtol=1e-5)
    assert not a[~MASK].any() and np.ptp(a[:, 0]) > 0
    with pytest.raises(BadInput, match="--pool"):
        sentence_parts(**arguments, pool="max")


def test_word_dropout_reads_words_as_unknown_at_its_rate_and_only_while_training(key):
    layer = embedding(V, X)
    model = framed(layer, memoryless(dense(X, H)), unknown=(0, 0.25))
    W = model.init(key)
    tokens = np.full((40, 50), 3)
    keys = jax.random.split(key, 50)
    _, ys = model.apply(W, model.start(W, 50), tokens, keys=keys)
    _, plain = model.apply(W, model.start(W, 50), tokens)
    same = np.isclose(np.asarray(ys), np.asarray(plain)).all(-1)
    assert 0.70 < same.mean() < 0.80 and np.ptp(np.asarray(plain), axis=(0, 1)).max() == 0
    unknown = np.asarray(model.apply(W, model.start(W, 1), np.zeros((1, 1), int))[1])[0, 0]
    np.testing.assert_allclose(
        np.asarray(ys)[~same], np.broadcast_to(unknown, ys[~same].shape), atol=1e-6
    )


def test_anew_takes_nothing_from_the_batch_before(key):
    body = bidirectional((cells.gru(X, H), cells.gru(X, H)))
    model = anew(body)
    W = model.init(key)
    xs = np.random.default_rng(3).normal(size=(T, B, X)).astype(np.float32)
    carry, first = model.apply(W, model.start(W, B), xs)
    _, second = model.apply(W, carry, xs)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, body.apply(W, body.start(W, B), xs)[1])


def test_one_to_one_is_a_sequence_of_one_step(key):
    """T = 1: a recurrent network is then ``W_hy tanh(W_xh x + b) + b_y``."""
    model = vector_model(X, C, "tanh", H)
    W = jax.tree.map(np.asarray, model.init(key))
    xs = np.random.default_rng(4).normal(size=(1, B, X)).astype(np.float32)
    _, ys = model.apply(W, model.start(W, B), xs)
    w, out = W["layers"][0], W["out"]
    h = np.tanh(xs[0] @ w["W_xh"] + w["b_h"])
    np.testing.assert_allclose(ys[0], h @ out["W_hy"] + out["b_y"], rtol=1e-5, atol=1e-6)
    # and as a batch of a task it is plain classification: the mean loss over B pictures
    targets = np.array([[0], [1], [1]])
    batch = Batch(xs.swapaxes(0, 1), targets)

    @jax.jit
    def lost(W):
        return summed_loss(model, cross_entropy, W, model.start(W, B), batch, None)[:2]

    (total, (weight, _)), bars = jax.value_and_grad(lost, has_aux=True)(W)
    logp = jax.nn.log_softmax(ys[0])
    np.testing.assert_allclose(total, -logp[np.arange(B), targets[:, 0]].sum(), rtol=1e-5)
    assert weight == B
    assert not np.asarray(bars["layers"][0]["W_hh"]).any(), "W_hh has no part in it"


def test_a_frame_by_frame_model_is_its_layers_alone(key):
    model = framed(dense(X, H), memoryless(dense(H, C)))
    above = framed(dense(X, H), recurrent(stack(cells.gru(H, H)), dense(H, C)))
    W = model.init(key)
    xs = np.random.default_rng(5).normal(size=(T, B, X)).astype(np.float32)
    _, ys = model.apply(W, model.start(W, B), xs)
    _, turned = model.apply(W, model.start(W, B), xs[::-1])
    np.testing.assert_allclose(ys, turned[::-1], rtol=1e-6)
    W = above.init(key)
    start = above.start(W, B)
    assert not np.allclose(above.apply(W, start, xs)[1], above.apply(W, start, xs[::-1])[1][::-1])
