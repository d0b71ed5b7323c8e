"""DRAW and the VAE: filter banks, every step by NumPy, and a bound that is one."""

import jax
import numpy as np
import pytest
from weights import drawn

from rnn_jax import models
from rnn_jax.models.banks import gaussians, look, paint
from rnn_jax.models.draw import divergence, grid
from rnn_jax.objective import outputs, time_first
from rnn_jax.tasks import Batch

T, B, H, W, X, Z, N, M = 3, 2, 6, 7, 5, 4, 3, 2


def pictures(lanes=B, steps=T, sides=(H, W)):
    context = (np.random.default_rng(0).random((lanes, *sides)) < 0.4).astype(np.float32)
    number = np.zeros((lanes, steps), np.int32)
    return Batch(number, number, context=context)


def bank(centre, stride, variance, count, side):
    """Equations 19 to 26, with pixels and filters counted from 1."""
    F = np.zeros((count, side))
    for i in range(1, count + 1):
        mean = centre + 1 + (i - count / 2 - 0.5) * stride
        for a in range(1, side + 1):
            F[i - 1, a - 1] = np.exp(-((a - mean) ** 2) / (2 * variance))
        F[i - 1] /= F[i - 1].sum()
    return F


def banks(five, count):
    """F_y, F_x and the intensity, from the five numbers as the paper has them."""
    y, x, log_variance, log_stride, log_gamma = (float(a) for a in five)
    centres = (H + 1) / 2 * (y + 1) - 1, (W + 1) / 2 * (x + 1) - 1
    stride = (max(H, W) - 1) / (count - 1) * np.exp(log_stride)
    F_y, F_x = (
        bank(centre, stride, np.exp(log_variance), count, side)
        for centre, side in zip(centres, (H, W), strict=True)
    )
    return F_y, F_x, np.exp(log_gamma)


def test_gaussian_banks_are_the_papers_by_a_loop_and_each_filter_sums_to_one():
    centre, stride, variance = np.array([[2.2, -9.0], [1.3, 0.4], [0.7, 2.5]])
    F = jax.jit(gaussians, static_argnums=(3, 4))(centre, stride, variance, N, H)
    F = np.asarray(F)
    np.testing.assert_allclose(F.sum(-1), 1, rtol=1e-5)
    for b in range(2):
        want = bank(centre[b], stride[b], variance[b], N, H)
        np.testing.assert_allclose(F[b], want, atol=1e-6)
    five = np.array([[0.1, -0.2, 0.3, -0.4, 0.5]])
    at = jax.device_get(jax.jit(grid, static_argnums=(1, 2))(five, N, (H, W)))
    for got, want in zip(at, banks(five[0], N), strict=False):
        np.testing.assert_allclose(np.squeeze(got[0]), want, rtol=2e-5, atol=1e-6)


def test_looking_and_painting_are_sums_by_a_loop_and_turn_each_other_around():
    rng = np.random.default_rng(1)
    F_y, F_x = rng.random((B, N, H)), rng.random((B, M, W))
    image, patch = rng.random((B, H, W)), rng.random((B, N, M))
    seen, painted = look(F_y, image, F_x), paint(F_y, patch, F_x)
    for b, n, m in np.ndindex(B, N, M):
        want = sum(F_y[b, n, h] * image[b, h, w] * F_x[b, m, w] for h, w in np.ndindex(H, W))
        assert seen[b, n, m] == pytest.approx(want)
    assert (seen * patch).sum() == pytest.approx((image * painted).sum())


def painted(net, w, batch, keys=None):
    """The Painting and its bound, both [T, B], by one program."""

    def apply(w, batch, keys):
        ys = outputs(net, w, net.start(w, 1), time_first(batch), keys)[1]
        return ys, models.bound(ys, None)

    return jax.device_get(jax.jit(apply)(w, batch, keys))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_step(w, h, c, x):
    i, f, g, o = np.split(x @ w["W_xh"] + h @ w["W_hh"] + w["b_h"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def draw_by_hand(w, image, noise):
    """Equations 3 to 8 of the paper for one picture; canvases, KLs and the picture's nats."""
    canvas, out = w["canvas"], w["h_0"]
    h, c, dh, dc = (np.zeros(X) for _ in range(4))
    canvases, kls = [], []
    for eps in noise:
        missing = image - sigmoid(canvas)
        F_y, F_x, gamma = banks(out @ w["read"]["W_hy"] + w["read"]["b_y"], N)
        seen = [gamma * F_y @ a @ F_x.T for a in (image, missing)]
        x = np.concatenate([seen[0].ravel(), seen[1].ravel(), out])
        h, c = lstm_step(w["encoder"], h, c, x)
        mean, log_sigma = np.split(h @ w["latent"]["W_hy"] + w["latent"]["b_y"], 2)
        kl = 0.5 * (mean**2 + np.exp(log_sigma) ** 2 - 2 * log_sigma).sum() - Z / 2
        dh, dc = lstm_step(w["decoder"], dh, dc, mean + np.exp(log_sigma) * eps)
        out = dh
        F_y, F_x, gamma = banks(out @ w["write"]["W_hy"] + w["write"]["b_y"], M)
        stroke = (out @ w["paint"]["W_hy"] + w["paint"]["b_y"]).reshape(M, M)
        canvas = canvas + F_y.T @ stroke @ F_x / gamma
        canvases.append(canvas)
        kls.append(kl)
    p = sigmoid(canvas)
    return canvases, kls, -(image * np.log(p) + (1 - image) * np.log(1 - p)).sum()


def test_draw_is_the_papers_equations_step_by_step(key):
    net, batch = models.draw_model(H, W, hidden=X, latent=Z, read=N, write=M), pictures()
    w, keys = drawn(net.init), jax.random.split(key, B)
    ys, bound = painted(net, w, batch, keys)
    noise = np.asarray(jax.jit(lambda keys: models.draw.latent_noise(keys, T, B, Z))(keys))
    host = jax.tree.map(lambda a: np.asarray(a, np.float64), w)
    for lane in range(B):
        canvases, kls, told = draw_by_hand(host, batch.context[lane], noise[:, lane])
        np.testing.assert_allclose(ys.canvas[:, lane], canvases, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(ys.kl[:, lane], kls, rtol=2e-4, atol=1e-4)
        assert ys.told[-1, lane] == pytest.approx(told, rel=1e-4)
        assert bound[-1, lane] == pytest.approx(sum(kls) + told, rel=1e-4)
    assert not ys.told[:-1].any() and not bound[:-1].any()


def test_without_attention_everything_is_read_and_painted_at_once():
    net = models.draw_model(H, W, hidden=X, latent=Z, read=0, write=0)
    w = drawn(net.init)
    assert w["encoder"]["W_xh"].shape == (2 * H * W + X, 4 * X)
    ys, _ = painted(net, w, pictures())
    steps = np.diff(ys.canvas, axis=0)
    assert np.abs(steps).min() > 0, "a dense layer paints every pixel at every step"


NETWORKS = {
    "draw": models.draw_model(2, 2, hidden=3, latent=1, read=2, write=2),
    "vae": models.vae_model(2, 2, hidden=3, latent=1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bound_is_never_below_the_pictures_own_nats(name, key):
    """One step and one z: -log p(x) by a sum over z, the bound by a mean over 5,000 draws."""
    net = NETWORKS[name]
    w = drawn(net.init, 1.5)
    z = np.linspace(-8, 8, 4001)
    own = painted_from(net, w, z)
    image = np.array([[1, 0], [0, 1]], np.float32)
    log_p = (image * own - np.logaddexp(0, own)).sum((1, 2)) - z**2 / 2
    nats = -np.log(np.exp(log_p).sum() * (16 / 4000) / np.sqrt(2 * np.pi))
    batch = Batch(
        *(np.zeros((5_000, 1), np.int32),) * 2, context=np.broadcast_to(image, (5_000, 2, 2))
    )
    keys = jax.random.split(key, 5_000)
    ys, bound = painted(net, w, batch, keys)
    bound = bound[-1]
    error = bound.std() / 5_000**0.5
    assert nats - 3 * error < bound.mean() < nats + 6
    assert ys.kl.min() > 0


def painted_from(net, w, z):
    """Canvases [N, 2, 2] of one step from given z [N], by putting them in the noise's place."""
    lanes = len(z)
    before = models.draw.latent_noise
    models.draw.latent_noise = lambda keys, T, lanes, latent: z[None, :, None].astype("f")
    try:
        xs = np.zeros((1, lanes), np.int32)
        _, ys = jax.jit(lambda w: net.apply(w, net.start(w, lanes), xs))(w)
    finally:
        models.draw.latent_noise = before
    assert not np.asarray(ys.kl).any()
    return np.asarray(ys.canvas)[0]


def test_the_divergence_is_the_integral():
    mean, log_sigma = 0.7, -0.4
    x = np.linspace(-9, 9, 20001)
    q = np.exp(-((x - mean) ** 2) / (2 * np.exp(2 * log_sigma)) - log_sigma) / np.sqrt(2 * np.pi)
    p = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    want = (q * np.log(q / p)).sum() * (x[1] - x[0])
    got = jax.jit(divergence)(np.array([mean, mean]), np.array([log_sigma, log_sigma]))
    assert got == pytest.approx(2 * want, rel=1e-4)


def test_the_vae_beside_draw_has_as_many_parameters(key):
    for parameters in (20_000, 237_899):
        hidden = models.vae_hidden(parameters, 784, 32)
        net = models.vae_model(28, 28, hidden=hidden, latent=32)
        made = sum(a.size for a in jax.tree.leaves(jax.eval_shape(net.init, key)))
        assert made == pytest.approx(parameters, rel=0.05)
