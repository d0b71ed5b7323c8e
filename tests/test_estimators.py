"""Gradients made forward in time: RTRL to rounding, UORO and ARTBP by their means."""

import functools

import jax
import numpy as np
import pytest

from rnn_jax import cells, layers
from rnn_jax.data import synthetic
from rnn_jax.errors import BadInput
from rnn_jax.estimators import agreement, balance, choose, dependence, gradients, needed_bytes
from rnn_jax.evaluate import make_evaluate
from rnn_jax.losses import cross_entropy
from rnn_jax.models import recurrent, stack, vector_model, window_model
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch
from rnn_jax.truncation import Truncation, objective

B, T, X, H, V = 3, 5, 2, 4, 6
DRAWS, SIGMAS = 10_000, 4.5  # of some dozen entries, none is so far off in one test of 2,000


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def model(cell, fast=None):
    make = {
        "tanh": lambda: cells.vanilla(X, H, learned_start=True),
        "gru": lambda: cells.gru(X, H),
        "lstm": lambda: cells.lstm(X, H),
    }[cell]
    return recurrent(stack(make(), fast=fast), layers.dense(H, V))


def weights(model):
    noise = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(size=a.shape) / 2, shapes)


@functools.cache
def rtrl(cell):
    return choose("rtrl", functools.partial(model, cell), Truncation(T, T))


def zeros(model, params, lanes=B):
    """Where these models begin, but for a start that is learned."""
    shapes = jax.eval_shape(lambda: model.start(params, lanes))
    return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)


def batch(lanes=B, length=T):
    """Ragged lanes, weights, and restarts in the middle."""
    noise = np.random.default_rng(2)
    mask = np.arange(length) < noise.integers(2, length + 1, lanes)[:, None]
    fresh = noise.random((lanes, length)) < 0.2
    fresh[:, 0] = noise.random(lanes) < 0.5
    xs, targets = noise.normal(size=(lanes, length, X)), noise.integers(0, V, (lanes, length))
    return Batch(xs, targets, noise.random((lanes, length)) * mask, mask, fresh)


@functools.cache
def compiled(model, total, loss):
    def summed(params, carry, batch, keys):
        return total(model, loss, params, carry, batch, keys)

    return jax.jit(jax.value_and_grad(summed, has_aux=True))


def gradient(model, total, params, carry, batch, keys=None, loss=cross_entropy):
    found = compiled(model, total, loss)(params, carry, batch, keys)
    return jax.tree.map(np.asarray, found)


def close(got, want, tolerance=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 0, tolerance), got, want)


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])
def test_rtrl_is_bptt_also_where_lanes_restart_and_end(cell):
    road, base, data = rtrl(cell), model(cell), batch()
    params = weights(base)
    begun = zeros(road.model, params)
    begun["carry"] = jax.tree.map(lambda a: a + 0.3, begun["carry"])
    got = gradient(road.model, road.total, params, begun, data)
    want = gradient(base, summed_loss, params, begun["carry"], data)
    (value, (weight, end)), bars = got
    close((value, weight, end["carry"], bars), (want[0][0], *want[0][1], want[1]))


def test_rtrl_looks_back_over_the_edge_of_a_chunk():
    """Two chunks of RTRL are BPTT of both as one; truncated BPTT is not."""
    base, road, whole = model("gru"), rtrl("gru"), batch(length=2 * T)
    params = weights(base)
    whole.fresh[:] = False
    carry, bars = zeros(road.model, params), []
    for begin in (0, T):
        part = jax.tree.map(lambda a, b=begin: a[:, b : b + T], whole)
        (_, (_, carry)), bar = gradient(road.model, road.total, params, carry, part)
        bars.append(bar)
    begun = zeros(base, params)
    want = gradient(base, summed_loss, params, begun, whole)[1]
    close(jax.tree.map(np.add, *bars), want)
    cut = gradient(base, objective(Truncation(2 * T, T)), params, begun, whole)[1]
    assert np.abs(cut["layers"][0]["W_hh"] - want["layers"][0]["W_hh"]).max() > 1e-3


@functools.cache
def small_model(fast=None):
    return vector_model(X, 3, "tanh", 2, fast=fast)


def z_scores(name, lengths="artbp"):
    """Of the mean over draws against full BPTT, for each entry that has any spread."""
    build = small_model
    cut = Truncation(4, 2, lengths=lengths)
    road = choose(name, lambda fast: build(fast=fast), cut)
    noise = np.random.default_rng(4)
    data = Batch(noise.normal(size=(1, 4, X)), noise.integers(0, 3, (1, 4)))
    params = weights(build())
    carry = zeros(road.model, params, 1)
    one = compiled(road.model, road.total, cross_entropy)
    keys = jax.random.split(jax.random.key(5), DRAWS)
    drawn = jax.jit(jax.vmap(lambda key: one(params, carry, data, key[None])[1]))(keys)
    want = gradient(build(), summed_loss, params, zeros(build(), params, 1), data)[1]
    scores = []
    for many, one in zip(jax.tree.leaves(drawn), jax.tree.leaves(want), strict=True):
        many = np.asarray(many).reshape(DRAWS, -1)
        error, spread = many.mean(0) - np.ravel(one), many.std(0) / DRAWS**0.5
        assert np.abs(error[spread < 1e-14]).max(initial=0) < 1e-12
        scores.append(error[spread >= 1e-14] / spread[spread >= 1e-14])
    return np.concatenate(scores)


@pytest.mark.parametrize("name", ["uoro", "artbp"])
def test_the_mean_over_10_000_draws_is_the_full_gradient(name):
    scores = z_scores(name)
    assert len(scores) >= 8 and np.abs(scores).max() < SIGMAS


def test_random_cuts_without_weights_fail_the_same_test():
    assert np.abs(z_scores("truncated", "random")).max() > 2 * SIGMAS


def test_near_effects_of_the_balanced_parameter_have_the_wrong_sign():
    task, base = balance.balance_task(200), balance.balance_model()
    params = jax.tree.map(np.float64, jax.jit(base.init)(jax.random.key(0)))
    carry = zeros(base, params, 1)

    def by(total):
        bars = gradient(base, total, params, carry, task.batch(1), None, task.loss)[1]
        return float(bars["layers"][0]["theta"][0])

    assert by(summed_loss) > 0  # theta has to fall from 0 to -1/6
    for k2 in (1, 10):
        assert by(objective(Truncation(200, k2))) < 0
    solved = jax.tree.map(lambda a: a - 1 / 6, params)
    _, ys = jax.jit(base.apply)(solved, carry, np.zeros((300, 1, 1)))
    assert float(np.asarray(ys)[-1, 0, 0]) == pytest.approx(1, abs=1e-12)
    assert make_evaluate(base, task)(solved).loss < 1e-20


def test_agreement_is_what_its_docstring_says():
    full = {"a": np.array([[3.0, 0.0], [5.0, 0.0]]), "b": np.zeros((2, 1))}
    other = {"a": np.array([[0.0, 2.0], [2.0, 0.0]]), "b": np.ones((2, 1))}
    found = agreement(full, other)
    # f = (4, 0), g = (1, 1), each draw is √2 from g.
    want = (2**0.5 / 4, 1 / 2**0.5, (9 + 1) / 16, 2 / 16)
    assert found["a"] == pytest.approx(want)
    assert all(np.isnan(found["b"]))
    assert found["all"].norm_ratio == pytest.approx(3**0.5 / 4)


def test_gradients_go_from_batch_to_batch_as_a_run_does():
    base, whole, params = model("gru"), batch(length=3 * T), weights(model("gru"))
    whole.fresh[:] = False
    parts = [jax.tree.map(lambda a, b=b: a[:, b : b + T], whole) for b in (0, T, 2 * T)]
    cut = objective(Truncation(T, T))
    found = gradients(base, cut, cross_entropy, params, parts, jax.random.key(0), skip=1)
    carry = zeros(base, params)
    for number, part in enumerate(parts):
        (_, (weight, carry)), bars = gradient(base, cut, params, carry, part)
        if number:
            want = jax.tree.map(lambda a, w=weight: a / w, bars)
            close(jax.tree.map(lambda a, n=number: a[n - 1], found), want)


def test_what_cannot_be_carried_is_said_and_how_much_it_takes():
    build = functools.partial(vector_model, X, V, "gru")
    road = choose("rtrl", lambda fast: build(H, fast=fast), Truncation(T, T))
    state = jax.eval_shape(lambda: road.model.start(road.model.init(jax.random.key(0)), B))
    kept = sum(a.size * 8 for a in jax.tree.leaves(state["influence"]))
    assert needed_bytes("rtrl", build(H), B) == 3 * kept
    assert needed_bytes("artbp", build(H), B) == 0
    with pytest.raises(BadInput, match="no estimator 'rtlr'; there are .*rtrl"):
        choose("rtlr", lambda fast: build(H, fast=fast), Truncation(T, T))
    windows = choose("rtrl", lambda fast: window_model(V, 2, 3, 4), Truncation(T, T))
    with pytest.raises(BadInput, match="not of real numbers"):
        windows.model.start(weights(windows.model), B)


@pytest.mark.parametrize("k2", [pytest.param(1, marks=pytest.mark.slow), 2, 3, 6])
def test_a_cut_gradient_sees_the_dependence_that_no_cut_parts(k2):
    """Of a linear network asked for the sign it read some steps ago, over all sequences of signs.

    ``y_t = v Σ_j w^j u x_{t-j}``, so -Cov(y_t, x_{t-lag}) is ``-v u w^lag``, and so is its
    derivative by a gain on x: for every t that is as far into its piece as that.
    """
    length, lag, (u, w, v) = 6, 2, (0.7, 0.8, 1.3)
    base = recurrent(stack(cells.vanilla(1, 1, phi="identity")), layers.dense(1, 1))
    layer = {"W_xh": [[u]], "W_hh": [[w]], "b_h": [0.4]}
    params = {"layers": (layer,), "out": {"W_hy": [[v]], "b_y": [-0.2]}}
    params = jax.tree.map(np.asarray, params, is_leaf=lambda a: isinstance(a, list))
    signs = 2.0 * synthetic.all_sequences(2, length + 1) - 1
    own = np.roll(signs[:, :length], lag, axis=1)
    others = np.tile(signs[:, length:], length)  # the last sign is of no input
    asked = np.broadcast_to(np.arange(length) >= lag, own.shape)
    data = Batch(0.6 + signs[:, :length, None], (own[..., None], others[..., None]), 1.0 * asked)
    loss = dependence.crossed_loss(balance.half_square)
    cut = objective(Truncation(length, k2))
    bars = gradients(base, cut, loss, params, [data], jax.random.key(0))
    mean = dependence.mean_input([data], 1)
    found = dependence.by_gain(params["layers"][0], bars["layers"][0], mean)
    seen = [t for t in range(lag, length) if t % k2 >= lag]
    assert mean == pytest.approx(0.6)
    assert found == pytest.approx(-v * u * w**lag * len(seen) / (length - lag), abs=1e-12)


def test_the_targets_of_others_are_those_of_the_next_lane_that_is_asked():
    xs = np.array([[0, 1, 1], [2, 1, 1]])
    own = np.array([[[10], [11], [12]], [[20], [21], [22]]])
    mask, weights = np.array([[1, 1, 1], [1, 1, 0]], bool), np.array([[0.0, 2, 1], [0, 1, 1]])
    kept, others = dependence.crossed(Batch(xs, own, weights, mask)).targets
    assert kept is own
    assert others[..., 0].tolist() == [[10, 21, 11], [20, 12, 22]]
    np.testing.assert_allclose(dependence.mean_input([Batch(xs, own)], 4), [1 / 6, 4 / 6, 1 / 6, 0])


def test_a_share_is_told_with_its_error_where_there_is_something_to_share():
    full, cut = np.array([2.0, 4.0, 3.0]), np.array([1.0, 1.0, 1.0])
    # The residuals are 1 - full / 3 = 1/3, -1/3, 0: a deviation of 1/3.
    assert dependence.share(full, cut) == pytest.approx((1 / 3, 1 / 3 / 3**0.5 / 3))
    for nothing in ((full - 3, cut), (full, np.array([-9.0, 0.0, 9.0]))):
        assert np.isnan(dependence.share(*nothing)).all()
