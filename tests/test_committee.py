"""Several networks that answer together: what they say, how each learns, their search."""

import jax
import numpy as np
import pytest
from weights import drawn

from rnn_jax import decode, losses
from rnn_jax.models import committee, language_model
from rnn_jax.models.captions import caption_model

V, T, B = 5, 4, 3
TOKENS = np.random.default_rng(0).integers(0, V, (T + 1, B))


@pytest.fixture(scope="module")
def two():
    """Two language models of different cells and sizes, and their weights."""
    models = [language_model(V, "gru", 4, embed=3), language_model(V, "tanh", 6)]
    return models, tuple(drawn(model.init) for model in models)


def logits(model, w, lanes=B):
    return model.apply(w, model.start(w, lanes), TOKENS[:-1])[1]


def test_a_committee_says_the_mean_of_its_members_log_p(two):
    models, W = two
    both = jax.jit(lambda W: (logits(committee(models), W), [*map(logits, models, W)]))
    said, alone = both(W)
    wanted = np.mean([np.asarray(y) - np.logaddexp.reduce(y, -1)[..., None] for y in alone], 0)
    np.testing.assert_allclose(said, wanted, atol=1e-5)


def test_each_member_learns_as_if_alone(two):
    models, W = two

    def loss(W):
        return losses.negative_log_likelihood(logits(committee(models), W), TOKENS[1:]).mean()

    def alone(model, w):
        return losses.cross_entropy(logits(model, w), TOKENS[1:]).mean()

    @jax.jit
    def both(W):
        apart = [jax.value_and_grad(alone, 1)(m, w) for m, w in zip(models, W, strict=True)]
        return jax.value_and_grad(loss)(W), apart

    (value, gradient), each = both(W)
    assert value == pytest.approx(np.mean([v for v, _ in each]), abs=1e-6)
    for mine, (_, wanted) in zip(gradient, each, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(2 * a, b, atol=1e-6), mine, wanted)


def test_members_have_weights_and_noise_of_their_own():
    one = language_model(V, "tanh", 8, layers=2, dropout=0.5)
    W = jax.jit(committee([one, one]).init)(jax.random.key(0))
    assert not np.allclose(*[jax.tree.leaves(w["layers"])[0] for w in W])
    same, keys = (W[0], W[0]), jax.random.split(jax.random.key(1), B)

    def state(keys):
        model = committee([one, one])
        return model.apply(same, model.start(same, B), TOKENS[:-1], keys=keys)[0]

    noisy, still = ([each[-1] for each in jax.jit(state)(k)] for k in (keys, None))
    assert not np.allclose(*noisy) and np.array_equal(*still)


@pytest.mark.parametrize("attention", ["general", "none"])
def test_a_committee_of_equals_is_searched_like_one(attention):
    sizes = {"hidden": 4, "embed": 3, "features": (2,), "seen": 5, "attention": attention}
    one, three = (caption_model((8, 8), V, members=m, **sizes) for m in (1, 3))
    w = drawn(one.init)
    pictures = np.random.default_rng(0).integers(0, 256, (B, 8, 8)).astype(np.uint8)

    def found(model, w):
        return decode.beam(model, w, 0, 2, T, end=1, forbid=0, context=pictures)

    (tokens, scores), (wanted, wanted_scores) = found(three, (w, w, w)), found(one, w)
    np.testing.assert_array_equal(tokens, wanted)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)
