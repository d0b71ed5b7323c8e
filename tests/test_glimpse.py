"""The recurrent attention model: what the retina sees, and that REINFORCE is the gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import models
from rnn_jax.models.banks import boxes
from rnn_jax.models.glimpse import Looks, retina
from rnn_jax.objective import outputs, summed_loss, time_first
from rnn_jax.tasks import Batch

T, B, H, W, V, N = 4, 3, 9, 12, 5, 3


def glimpses(lanes=B, per=2, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.repeat(rng.integers(0, V, (lanes, T // per)), per, axis=1)
    weights = np.tile(np.arange(T) % per == per - 1, (lanes, 1)).astype(np.float32)
    context = rng.random((lanes, H, W)).astype(np.float32)
    return Batch(np.zeros((lanes, T), np.int32), targets, weights=weights, context=context)


def model(**more):
    return models.glimpse_model(V, window=N, hidden=7, **more)


def looks_of(net):
    """(weights, batch, keys) -> Looks [T, B], as one program."""

    def apply(w, batch, keys=None):
        return outputs(net, w, net.start(w, 1), time_first(batch), keys)[1]

    return jax.jit(apply)


def test_boxes_are_the_overlaps_with_each_pixel_by_a_loop():
    centres, width = np.array([2.3, -1.0, 8.5]), 1.7
    F = np.asarray(jax.jit(boxes, static_argnums=(1, 3))(centres, N, width, H))
    for b, i, a in np.ndindex(3, N, H):
        low = centres[b] + (i - N / 2) * width
        want = max(0.0, min(low + width, a + 0.5) - max(low, a - 0.5)) / width
        assert F[b, i, a] == pytest.approx(want, abs=1e-5)


def test_a_retina_on_whole_pixels_is_a_crop_and_outside_is_zero():
    image = np.random.default_rng(0).random((1, H, W)).astype(np.float32)
    row, column = 7, 1  # the middle pixel of the crop
    place = np.array([[2 * row / (H - 1) - 1, 2 * column / (W - 1) - 1]], np.float32)
    seen = np.asarray(jax.jit(retina, static_argnums=(2, 3))(image, place, N, 2))
    assert seen.shape == (1, 2, N, N)
    framed = np.pad(image[0], 3)
    np.testing.assert_allclose(
        seen[0, 0], framed[row + 2 : row + 5, column + 2 : column + 5], atol=1e-5
    )
    # Twice as wide: six pixels from half a pixel before the third to the left.
    halves = np.kron(framed, np.ones((2, 2)))
    top, left = 2 * (row + 3) + 1 - 6, 2 * (column + 3) + 1 - 6
    wide = halves[top : top + 12, left : left + 12].reshape(N, 4, N, 4).mean((1, 3))
    np.testing.assert_allclose(seen[0, 1], wide, atol=1e-5)


def test_places_without_keys_are_the_means_the_middle_or_always_the_same_draw():
    w = drawn(model().init)
    w["next"] = {"b_y": np.array([0.2, -0.3]), "W_hy": np.zeros((7, 2))}
    for policy in ("learned", "centre", "random"):
        net = model(policy=policy)
        look = looks_of(net)
        looks = [look(w, glimpses(B if policy != "random" else 400)) for _ in range(2)]
        np.testing.assert_array_equal(looks[0].place, looks[1].place)
        if policy == "learned":
            want = np.broadcast_to(np.tanh([0.2, -0.3]), (T, B, 2))
            np.testing.assert_allclose(looks[0].place, want, atol=1e-6)
        if policy == "centre":
            assert not np.asarray(looks[0].place).any()
    place = np.asarray(looks[0].place)
    assert np.abs(place).max() <= 1
    np.testing.assert_allclose(np.histogram(place, 4, (-1, 1))[0], place.size / 4, rtol=0.15)


def test_a_lanes_places_do_not_depend_on_the_other_lanes(key):
    """Lane 1, once it is the first of others."""
    net, batch, others = model(), glimpses(), glimpses(seed=1)
    w, look, keys = drawn(net.init), looks_of(net), jax.random.split(key, B + 1)
    moved = jax.tree.map(lambda a, b: np.concatenate([a[1:2], b[1:]]), batch, others)
    before, after = jax.device_get([look(w, batch, keys[:B]), look(w, moved, keys[1:])])
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a[:, 1], b[:, 0], rtol=2e-4, atol=1e-5)


def test_the_losses_value_is_the_cross_entropy_where_a_label_is_asked(key):
    net, batch = model(), glimpses()
    batch.targets[1, 2:] = -1  # this lane has one label only

    @jax.jit
    def judged(w, batch, keys):
        steps = time_first(batch)
        looks = outputs(net, w, net.start(w, 1), steps, keys)[1]
        return looks, *(
            of(looks, steps.targets) for of in (models.reinforced(2), models.misread(2))
        )

    looks, got, wrong = jax.device_get(judged(drawn(net.init), batch, jax.random.split(key, B)))
    targets = batch.targets.T
    log_p = looks.logits - np.log(np.exp(looks.logits).sum(-1, keepdims=True))
    assert not got[::2].any() and got[3, 1] == 0
    for t, lane in ((1, 0), (1, 1), (1, 2), (3, 0), (3, 2)):
        assert got[t, lane] == pytest.approx(-log_p[t, lane, targets[t, lane]], rel=1e-5)
    says = looks.logits.argmax(-1) != targets
    np.testing.assert_array_equal(wrong[1], says[1])
    np.testing.assert_array_equal(wrong[3], says[3] & (targets[3] >= 0))


def test_places_learn_from_reward_alone_and_the_rest_from_all_but_reward(key):
    net, batch = model(), glimpses()
    w, keys = drawn(net.init), jax.random.split(key, B)

    @jax.jit
    @jax.grad
    def gradient(w, weight):
        part = (net.start(w, len(batch.targets)), batch, keys)
        return summed_loss(net, models.reinforced(2, weight, 1.0), w, *part)[0]

    bars, none = (jax.device_get(gradient(w, weight)) for weight in (1.0, 0.0))
    assert np.abs(bars["next"]["W_hy"]).max() > 0
    assert not any(a.any() for a in jax.tree.leaves(none["next"]))
    for name in set(bars) - {"next"}:
        for a, b in zip(jax.tree.leaves(bars[name]), jax.tree.leaves(none[name]), strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.abs(none["reward"]["b_y"]).max() > 0, "the baseline learns all the same"


def rewarded(mean, spread, noise):
    """Two places a lane; the label 1 is read where the second is right of 0.1, below the first."""
    place = mean + spread * noise
    right = (place[1, :, 1] > 0.1) & (place[1, :, 0] > place[0, :, 0])
    return place, right


@functools.partial(jax.jit, static_argnums=3)
@jax.grad
def reinforcement(mean, noise, baseline, spread):
    """The gradient of the mean loss of two glimpses a lane, whose places come from this noise."""
    place, right = rewarded(mean[:, None], spread, noise)
    place = jax.lax.stop_gradient(place)
    log_p = -((place - mean[:, None]) ** 2).sum(-1) / (2 * spread**2)
    logits = jnp.stack([jnp.where(right, -9.0, 9.0), jnp.where(right, 9.0, -9.0)], axis=-1)
    looks = Looks(jnp.stack([logits] * 2), place, log_p, jnp.full(log_p.shape, 0.3))
    losses = models.reinforced(2, 1.0, baseline)(looks, jnp.ones(log_p.shape, int))
    return losses.sum() / log_p.shape[1]


@pytest.mark.parametrize("baseline", [0.0, 1.0])
def test_reinforce_is_the_derivative_of_the_expected_reward(baseline):
    """Over 400,000 draws, against differences of the mean reward with the same draws."""
    lanes, spread = 400_000, 0.4
    noise = np.random.default_rng(0).normal(size=(2, lanes, 2)).astype(np.float32)
    mean = np.array([[0.1, 0.0], [0.0, 0.2]], np.float32)
    got = -np.asarray(reinforcement(mean, noise, baseline, spread))
    assert np.abs(got).max() > 0.2
    for at in np.ndindex(2, 2):
        up, down = (mean.copy() for _ in range(2))
        up[at] += 0.1
        down[at] -= 0.1
        ends = [rewarded(m[:, None], spread, noise)[1].mean() for m in (up, down)]
        assert got[at] == pytest.approx((ends[0] - ends[1]) / 0.2, abs=0.012)
