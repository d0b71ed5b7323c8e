"""Gradient flow against closed forms of linear networks and autodiff of the unrolled run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import diagnose, initial, layers, models
from rnn_jax.cells import build, vanilla
from rnn_jax.errors import BadInput

T, B, X, H, Y = 6, 3, 4, 5, 2


@pytest.fixture(autouse=True)
def double():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def network(*cells):
    return models.recurrent(models.stack(*cells, fast=False), layers.dense(H, Y))


def data():
    noise = np.random.default_rng(0)
    return noise.normal(size=(T, B, X)), noise.normal(size=(T, B, Y))


def squared(ys, targets):
    return jnp.square(ys - targets).sum(-1) / 2


def linear():
    """A linear network whose W_hh is symmetric with the eigenvalues 1.3, 1, 0.7, -0.5, 0.1."""
    model = network(vanilla(X, H, phi="identity", bias=False))
    W = jax.tree.map(np.asarray, drawn(model.init))
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(H, H)))[0]
    W["layers"][0]["W_hh"] = Q @ np.diag([1.3, 1.0, 0.7, -0.5, 0.1]) @ Q.T
    return model, W


def test_a_linear_network_s_gradient_is_a_power_of_its_matrix():
    xs, targets = data()
    model, W = linear()

    @jax.jit
    def both(W):
        start = model.start(W, B)
        found = diagnose.by_lag(model, W, xs, targets, squared, start)
        return found, model.apply(W, start, xs)[1]

    found, ys = jax.tree.map(np.asarray, both(W))
    bar = (ys[-1] - targets[-1]) @ W["out"]["W_hy"].T  # ∂L_T/∂h_T, a row a lane
    for lag in range(1, T + 1):
        power = np.linalg.matrix_power(W["layers"][0]["W_hh"].T, lag)
        np.testing.assert_allclose(found[lag - 1], np.linalg.norm(bar @ power, axis=-1), rtol=1e-10)


def test_a_linear_network_s_exponents_are_logs_of_its_eigenvalues():
    xs, _ = data()
    model, W = linear()

    @jax.jit
    def both(W):
        _, Js = diagnose.jacobians(model, W, np.tile(xs, (50, 1, 1)), model.start(W, B))
        return Js, diagnose.singular_values(Js[0]), diagnose.lyapunov(Js)

    Js, singular, exponents = jax.tree.map(np.asarray, both(W))
    np.testing.assert_allclose(Js[3, 1], W["layers"][0]["W_hh"].T, atol=1e-12)
    values = np.array([1.3, 1.0, 0.7, 0.5, 0.1])
    np.testing.assert_allclose(singular, np.tile(values, (B, 1)), rtol=1e-10)
    assert exponents.shape == (B, H)
    # Each direction turns into its own within a few steps, of which 300 keep a trace.
    np.testing.assert_allclose(exponents, np.tile(np.log(values), (B, 1)), atol=0.02)


@pytest.mark.parametrize("cell", ["lstm"])
def test_lags_and_jacobians_equal_autodiff_of_the_unrolled_run(cell):
    xs, targets = data()
    model = network(build(cell, X, H), build(cell, H, H))
    W = drawn(model.init)
    start = drawn(lambda _: model.start(W, B), scale=0)
    lag, lane = 4, 2

    @jax.jit
    def both(W):
        found = diagnose.by_lag(model, W, xs, targets, squared, start)
        return found, *diagnose.jacobians(model, W, xs, start)

    @jax.jit
    def unrolled(W):
        before, _ = model.apply(W, start, xs[: T - lag])

        def rest(carry):
            return model.apply(W, carry, xs[T - lag :])

        bars = jax.grad(lambda c: squared(rest(c)[1][-1], targets[-1]).sum())(before)
        return bars, rest(before)[0], jax.jacfwd(lambda c: rest(c)[0])(before)

    (found, end, Js), (bars, last, whole) = jax.tree.map(np.asarray, (both(W), unrolled(W)))
    norm = np.sqrt(sum(np.square(b).sum(-1) for b in jax.tree.leaves(bars)))
    np.testing.assert_allclose(found[lag - 1], norm, rtol=1e-9)
    rows = [
        np.concatenate([block[lane, :, lane] for block in jax.tree.leaves(row)], axis=1)
        for row in jax.tree.leaves(whole, is_leaf=lambda t: is_row(t, start))
    ]
    product = np.linalg.multi_dot(Js[T - lag :, lane][::-1])
    np.testing.assert_allclose(product, np.concatenate(rows), rtol=1e-8, atol=1e-12)
    for a, b in zip(*map(jax.tree.leaves, (end, last)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def is_row(tree, carry):
    """Whether a part of jacfwd's answer is of one output leaf: a block for each leaf before."""
    same = jax.tree.structure(tree) == jax.tree.structure(carry)
    return same and all(leaf.ndim == 4 for leaf in jax.tree.leaves(tree))


def test_matrices_begin_as_they_are_asked_to(key):
    @jax.jit
    def made(key):
        asked = {"orthogonal": 0.8, "identity": 0.5, "spectral": 1.4}
        large = initial.square(key, 300, "gaussian", 1.4)
        small = {how: initial.square(key, H, how, radius) for how, radius in asked.items()}
        return small, large, initial.spectral_radius(large)

    small, large, radius = jax.tree.map(np.asarray, made(key))
    Q = small["orthogonal"]
    np.testing.assert_allclose(Q @ Q.T, 0.64 * np.eye(H), atol=1e-6)
    np.testing.assert_allclose(small["identity"], np.eye(H) / 2)
    assert max(abs(np.linalg.eigvals(small["spectral"]))) == pytest.approx(1.4, rel=1e-6)
    assert large.std() == pytest.approx(1.4 / 300**0.5, rel=0.02)
    assert radius == pytest.approx(1.4, rel=0.1)
    with pytest.raises(BadInput, match="orthogonal"):
        initial.square(key, H, "orthogonl")


def test_only_what_looks_back_begins_anew_each_block_by_itself(key):
    model = network(build("gru", X, H), build("gru", H, H))
    W = jax.tree.map(np.asarray, drawn(model.init))
    new = jax.tree.map(np.asarray, initial.restarted(key, W, "orthogonal", 0.9))
    blocks = [b for w in new["layers"] for b in np.split(w["W_hh"], 3, axis=1)]
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, 0.81 * np.eye(H), atol=1e-6)
    assert len({float(block[0, 0]) for block in blocks}) == 6
    for a, b in zip(W["layers"], new["layers"], strict=True):
        assert (a["W_xh"] == b["W_xh"]).all() and (a["W_hh"] != b["W_hh"]).any()
