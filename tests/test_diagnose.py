"""Gradient flow against closed forms of linear networks and autodiff of the unrolled run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def data(key):
    keys = jax.random.split(key, 3)
    xs, targets = jax.random.normal(keys[0], (T, B, X)), jax.random.normal(keys[1], (T, B, Y))
    return xs, targets, keys[2]


def squared(ys, targets):
    return jnp.square(ys - targets).sum(-1) / 2


def linear(key):
    """A linear network whose W_hh is symmetric with the eigenvalues 1.3, 1, 0.7, -0.5, 0.1."""
    model = network(vanilla(X, H, phi="identity", bias=False))
    W = model.init(key)
    Q = jnp.linalg.qr(jax.random.normal(key, (H, H)))[0]
    W["layers"][0]["W_hh"] = Q @ jnp.diag(jnp.array([1.3, 1.0, 0.7, -0.5, 0.1])) @ Q.T
    return model, W


def test_a_linear_network_s_gradient_is_a_power_of_its_matrix(key):
    xs, targets, key = data(key)
    model, W = linear(key)
    carry, ys = model.apply(W, model.start(W, B), xs)
    found = diagnose.by_lag(model, W, xs, targets, squared, model.start(W, B))
    bar = (ys[-1] - targets[-1]) @ W["out"]["W_hy"].T  # ∂L_T/∂h_T, a row a lane
    W_hh = np.asarray(W["layers"][0]["W_hh"])
    for lag in range(1, T + 1):
        expected = jnp.linalg.norm(bar @ np.linalg.matrix_power(W_hh.T, lag), axis=-1)
        np.testing.assert_allclose(found[lag - 1], expected, rtol=1e-10)


def test_a_linear_network_s_exponents_are_logs_of_its_eigenvalues(key):
    xs, _, key = data(key)
    model, W = linear(key)
    _, Js = diagnose.jacobians(model, W, jnp.tile(xs, (50, 1, 1)), model.start(W, B))
    W_hh = W["layers"][0]["W_hh"]
    np.testing.assert_allclose(Js[3, 1], W_hh.T, atol=1e-12)
    values = np.array([1.3, 1.0, 0.7, 0.5, 0.1])
    singular = diagnose.singular_values(Js[0])
    np.testing.assert_allclose(singular, np.tile(values, (B, 1)), rtol=1e-10)
    exponents = diagnose.lyapunov(Js)
    assert exponents.shape == (B, H)
    # Each direction turns into its own within a few steps, of which 300 keep a trace.
    np.testing.assert_allclose(exponents, np.tile(np.log(values), (B, 1)), atol=0.02)


@pytest.mark.parametrize("cell", ["lstm"])
def test_lags_and_jacobians_equal_autodiff_of_the_unrolled_run(cell, key):
    xs, targets, key = data(key)
    model = network(build(cell, X, H), build(cell, H, H))
    W = model.init(key)
    W = jax.tree.map(lambda a: a.astype(jnp.float64), W)
    start = model.start(W, B)
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

    (found, end, Js), (bars, last, whole) = both(W), unrolled(W)
    norm = jnp.sqrt(sum(jnp.square(b).sum(-1) for b in jax.tree.leaves(bars)))
    np.testing.assert_allclose(found[lag - 1], norm, rtol=1e-9)
    rows = [
        jnp.concatenate([block[lane, :, lane] for block in jax.tree.leaves(row)], axis=1)
        for row in jax.tree.leaves(whole, is_leaf=lambda t: is_row(t, start))
    ]
    product = np.linalg.multi_dot(np.asarray(Js[T - lag :, lane])[::-1])
    np.testing.assert_allclose(product, jnp.concatenate(rows), rtol=1e-8, atol=1e-12)
    for a, b in zip(*map(jax.tree.leaves, (end, last)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def is_row(tree, carry):
    """Whether a part of jacfwd's answer is of one output leaf: a block for each leaf before."""
    same = jax.tree.structure(tree) == jax.tree.structure(carry)
    return same and all(leaf.ndim == 4 for leaf in jax.tree.leaves(tree))


def test_matrices_begin_as_they_are_asked_to(key):
    Q = initial.square(key, H, "orthogonal", 0.8)
    np.testing.assert_allclose(Q @ Q.T, 0.64 * np.eye(H), atol=1e-6)
    np.testing.assert_allclose(initial.square(key, H, "identity", 0.5), np.eye(H) / 2)
    W = initial.square(key, H, "spectral", 1.4)
    assert max(abs(np.linalg.eigvals(np.asarray(W)))) == pytest.approx(1.4, rel=1e-6)
    large = initial.square(key, 300, "gaussian", 1.4)
    assert float(large.std()) == pytest.approx(1.4 / 300**0.5, rel=0.02)
    assert float(initial.spectral_radius(large)) == pytest.approx(1.4, rel=0.1)
    with pytest.raises(BadInput, match="orthogonal"):
        initial.square(key, H, "orthogonl")


def test_only_what_looks_back_begins_anew_each_block_by_itself(key):
    model = network(build("gru", X, H), build("gru", H, H))
    W = model.init(key)
    new = initial.restarted(key, W, "orthogonal", 0.9)
    blocks = [b for w in new["layers"] for b in jnp.split(w["W_hh"], 3, axis=1)]
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, 0.81 * np.eye(H), atol=1e-6)
    assert len({float(block[0, 0]) for block in blocks}) == 6
    for a, b in zip(W["layers"], new["layers"], strict=True):
        assert (a["W_xh"] == b["W_xh"]).all() and (a["W_hh"] != b["W_hh"]).any()
