"""Outputs over many words: exact probabilities by brute force, approximations in the limit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import losses
from rnn_jax.errors import BadInput
from rnn_jax.losses import sampling
from rnn_jax.tables import Rows, distinct, take

V, E, N = 23, 5, 7
COUNTS = np.random.default_rng(0).integers(1, 200, V)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@functools.cache  # so that tests of the same output share its programs
def made(name, samples=6):
    """The output, each of its functions one program, and weights; biases are not zero."""
    output = losses.build(name, V, E, samples=samples, counts=COUNTS, scale=0.7)
    w = jax.tree.map(np.asarray, drawn(output.init, 0.8))
    compiled = {
        name: jax.jit(f) for name, f in output._asdict().items() if name != "init" and f is not None
    }
    return output._replace(**compiled), w


@pytest.fixture
def hidden():
    return np.random.default_rng(3).normal(size=(N, E))


@pytest.fixture
def targets():
    return np.array([0, 3, 22, 3, 11, 7, 1])


def by_hand(name, w, h):
    """p [V] of one h, written down word by word."""

    def softmax(y):
        e = np.exp(y - y.max())
        return e / e.sum()

    if name == "classes":
        C, M = w["b_cm"].shape
        of_class = softmax(w["W_ch"] @ h + w["b_c"])
        p = []
        for c in range(C):
            words = [m for m in range(M) if c * M + m < V]
            p += list(of_class[c] * softmax(w["W_cmh"][c, words] @ h + w["b_cm"][c, words]))
        return np.array(p)
    if name == "adaptive":
        top = softmax(w["W_head"] @ h + w["b_head"])
        tails = sorted(k for k in w if k.startswith("tail"))
        p = list(top[: len(top) - len(tails)])
        for place, name in zip(top[len(top) - len(tails) :], tails, strict=True):
            tail = w[name]
            p += list(place * softmax(tail["W"] @ (h @ tail["P"]) + tail["b"]))
        return np.array(p)
    return softmax(w["W_vh"] @ h + w["b_y"])


@pytest.mark.parametrize("name", losses.NAMES)
def test_evaluation_is_exact_whatever_trains(name, hidden, targets):
    output, w = made(name)
    p = np.array([by_hand(name, w, h) for h in hidden])
    assert p.sum(1) == pytest.approx(np.ones(N)) and p.shape == (N, V)
    np.testing.assert_allclose(np.exp(output.log_probs(w, hidden)), p, rtol=1e-9)
    expected = -np.log(p[np.arange(N), targets])
    np.testing.assert_allclose(output.nats(w, hidden, targets), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["full", "classes", "adaptive"])
def test_what_draws_nothing_is_trained_by_its_exact_loss(name, hidden, targets, key):
    output, w = made(name)
    exact = output.nats(w, hidden, targets)
    np.testing.assert_allclose(output.loss(w, hidden, targets, key), exact, rtol=1e-12)


def test_a_cluster_that_overflows_is_scored_all_the_same(hidden):
    """Every target in the last cluster: more than its share of the batch."""
    output = losses.adaptive(V, E, (4, 9), shares=(0.2, 0.2), scale=0.7)
    w, loss = jax.tree.map(np.asarray, drawn(output.init, 0.8)), jax.jit(output.loss)
    for count in (1, 7):  # within the room, beyond it
        targets = np.where(np.arange(N) < count, 20, 0)
        p = np.array([by_hand("adaptive", w, h) for h in hidden])
        expected = -np.log(p[np.arange(N), targets])
        np.testing.assert_allclose(loss(w, hidden, targets, None), expected, rtol=1e-6)


def gradients(loss, w, h):
    return jax.grad(lambda w, h: loss(w, h).sum(), (0, 1))(w, h)


@pytest.mark.parametrize("name", ["sampled", "sampled-frequency"])
def test_a_sample_of_all_words_is_the_full_softmax_with_its_gradient(name, hidden, targets, key):
    output, w = made(name, samples=V)
    np.testing.assert_allclose(
        output.loss(w, hidden, targets, key), output.nats(w, hidden, targets), rtol=1e-9
    )

    @jax.jit
    def both(w, h):
        ours = gradients(lambda w, h: output.loss(w, h, targets, key), w, h)
        return ours, gradients(lambda w, h: output.nats(w, h, targets), w, h)

    ours, full = both(w, hidden)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), ours, full)


def distance_of_mean_gradient(samples, hidden, targets):
    output, w = made("sampled", samples)

    def gradient(key):
        return gradients(lambda w, h: output.loss(w, h, targets, key), w, hidden)[0]["W_vh"]

    @jax.jit
    def both(keys):
        full = gradients(lambda w, h: output.nats(w, h, targets), w, hidden)[0]["W_vh"]
        return jax.vmap(gradient)(keys).mean(0), full

    mean, full = map(np.asarray, both(jax.random.split(jax.random.key(5), 400)))
    return np.linalg.norm(mean - full) / np.linalg.norm(full)


def test_the_mean_gradient_of_samples_nears_the_full_one_as_the_sample_grows(hidden, targets):
    """Over 400 draws of each size."""
    few, some, many = (distance_of_mean_gradient(S, hidden, targets) for S in (3, 9, 18))
    assert few > some > many and many < 0.1


def test_the_softmaxs_sum_is_estimated_without_bias(hidden, targets):
    """E[e^loss · e^y_t] is the sum over all words, for any S."""
    output, w = made("sampled-frequency", samples=4)
    keys = jax.random.split(jax.random.key(6), 20_000)
    loss = jax.jit(jax.vmap(output.loss, (None, None, None, 0)))
    each = np.exp(loss(w, hidden, targets, keys))
    exact = np.exp(output.nats(w, hidden, targets))
    error = each.std(0) / len(keys) ** 0.5
    assert (np.abs(each.mean(0) - exact) < 5 * error).all()


def test_noise_contrast_is_the_sum_of_its_binary_questions(hidden, targets, key):
    output, w = made("nce", samples=6)
    sampler = sampling.systematic(sampling.by_frequency(COUNTS, 1.0), 6)
    sample, pi = np.asarray(jax.jit(sampler.draw)(key)), sampler.inclusion.astype(np.float64)
    y, found = hidden @ w["W_vh"].T + w["b_y"][None], output.loss(w, hidden, targets, key)
    for n, (t, loss) in enumerate(zip(targets, found.tolist(), strict=True)):
        expected = np.log1p(np.exp(-(y[n, t] - np.log(pi[t]))))
        for j in sample.tolist():
            expected += np.log1p(np.exp(y[n, j] - np.log(pi[j])))
        assert loss == pytest.approx(expected, rel=1e-6)


def test_noise_contrast_is_least_where_the_scores_are_log_probabilities():
    """All words are noise, and a third of the text is one word, so that it matters."""
    output, w = made("nce", samples=V)
    p = np.asarray([1 / 3] + [2 / 3 / (V - 1)] * (V - 1))

    @jax.jit
    @jax.grad
    def slope(b_y):
        every = output.loss(w | {"b_y": b_y}, np.zeros((V, E)), np.arange(V), jax.random.key(0))
        return (p * every).sum()

    np.testing.assert_allclose(slope(np.log(p)), 0, atol=1e-9)


@pytest.mark.parametrize("weights", [sampling.log_uniform(V), sampling.by_frequency(COUNTS, 1.0)])
@pytest.mark.parametrize("size", [1, 6, 22, V])
def test_a_sample_has_no_word_twice_and_each_as_often_as_it_says(weights, size):
    sampler = sampling.systematic(weights, size)
    assert sampler.inclusion.sum() == pytest.approx(size, rel=1e-6)
    assert sampler.inclusion.max() <= 1
    draws = np.asarray(jax.jit(jax.vmap(sampler.draw))(jax.random.split(jax.random.key(7), 8000)))
    assert all(len(set(row)) == size for row in draws[:200].tolist())
    assert draws.min() >= 0 and draws.max() < V
    share = np.bincount(draws.ravel(), minlength=V) / len(draws)
    assert np.abs(share - sampler.inclusion).max() < 5 * 0.5 / len(draws) ** 0.5


def test_a_sample_of_more_words_than_there_are_is_refused():
    with pytest.raises(BadInput, match="--samples 24"):
        losses.build("sampled", V, E, samples=24)
    with pytest.raises(BadInput, match="full, sampled"):
        losses.build("sotfmax", V, E)


@pytest.mark.parametrize("name", ["sampled", "nce", "classes"])
def test_the_rows_that_are_needed_are_enough(name, hidden, targets, key):
    output, w = made(name)
    rows = jax.tree.map(np.asarray, output.needed(targets, key))

    def rows_of(leaf, at):
        """The rows with these numbers, not-a-number where V stands for none."""
        return Rows(at, np.append(leaf, np.full_like(leaf[:1], np.nan), axis=0)[at])

    some = w | {name: rows_of(w[name], at) for name, at in rows.items()}
    np.testing.assert_allclose(
        output.loss(some, hidden, targets, key), output.loss(w, hidden, targets, key), rtol=1e-12
    )
    at = rows[next(iter(rows))]
    real = at[at < w[next(iter(rows))].shape[0]]
    assert (np.diff(real) > 0).all() and len(real) < w[next(iter(rows))].shape[0]


def test_rows_are_looked_up_by_their_numbers():
    table, numbers = np.arange(12.0).reshape(6, 2), np.array([[5, 1], [4, 4]])

    @jax.jit
    def looked_up(words):
        index = distinct(words, 6, 5)
        rows = Rows(index, jnp.asarray(table)[jnp.minimum(index, 5)])
        return index, take(rows, numbers), take(jnp.asarray(table), numbers)

    index, of_rows, of_table = looked_up(np.array([[4, 1], [4, 5]]))
    assert index.tolist() == [1, 4, 5, 6, 6]
    np.testing.assert_array_equal(of_rows, table[numbers])
    np.testing.assert_array_equal(of_table, table[numbers])


def test_many_targets_are_scored_block_by_block(monkeypatch):
    monkeypatch.setattr("rnn_jax.losses.output._BLOCK", 3 * V)
    output, w = made.__wrapped__("full")  # built anew, in blocks
    h, targets = np.random.default_rng(8).normal(size=(8, E)), np.arange(8)
    expected = [-np.log(by_hand("full", w, a)[t]) for t, a in enumerate(h)]
    np.testing.assert_allclose(output.nats(w, h, targets), expected, rtol=1e-9)
