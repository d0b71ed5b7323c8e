"""Backpropagation in segments: the same gradient, in the memory that was asked for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from experiments import char_lm
from rnn_jax import cells, layers, segments
from rnn_jax.errors import BadInput
from rnn_jax.losses import cross_entropy
from rnn_jax.models import language_model, recurrent, stack
from rnn_jax.tasks import Batch

T, B, V, H = 23, 3, 11, 16
LSTM = {depth: language_model(V, "lstm", H, depth) for depth in (1, 2)}
SEGMENTS = (1, 5, 22, 23, 40)  # of one step, some and a rest, a rest of one step, none, it alone
MASK = np.arange(T) < np.array([[T], [9], [1]])
WEIGHTS = np.random.default_rng(1).random((B, T)).astype(np.float32)
PARTS = {
    "all": {},
    "weighted": {"weights": WEIGHTS},
    "ragged": {"mask": MASK, "weights": WEIGHTS * MASK},
}


def chunk(length=T, lanes=B, **parts):
    noise = np.random.default_rng(0)
    tokens = noise.integers(0, V, (lanes, length + 1), np.int32)
    return Batch(tokens[:, :-1], tokens[:, 1:])._replace(**parts)


def gradient(model, batch, segment, keys=None):
    params = drawn(model.init)
    carry = drawn(lambda _: model.start(params, B), seed=1)
    total = segments.objective(segment)

    def summed(params, carry):
        return total(model, cross_entropy, params, carry, batch, keys)

    return jax.jit(jax.value_and_grad(summed, (0, 1), has_aux=True))(params, carry)


@functools.cache
def without_segments(parts, depth):
    return gradient(LSTM[depth], chunk(**PARTS[parts]), 0)


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, want)


def agrees_with_no_segments(segment, parts, depth):
    got = gradient(LSTM[depth], chunk(**PARTS[parts]), segment)
    close(got, without_segments(parts, depth))


@pytest.mark.parametrize(
    ("segment", "parts"),
    [*((segment, "ragged") for segment in SEGMENTS), (5, "all"), (5, "weighted")],
)
def test_gradient_loss_and_carry_are_those_without_segments(segment, parts):
    agrees_with_no_segments(segment, parts, 1)


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("segment", SEGMENTS)
def test_so_they_are_of_two_layers(segment, parts):
    agrees_with_no_segments(segment, parts, 2)


def test_a_fresh_lane_starts_afresh_once_and_teaches_the_learned_start():
    cell = cells.vanilla(H, H, learned_start=True)
    model = recurrent(stack(cells.embedded(cell, V, H)), layers.dense(H, V))
    for fresh in (np.array([True, False, True]), np.random.default_rng(2).random((B, T)) < 0.2):
        batch = chunk(fresh=fresh)
        close(gradient(model, batch, 5), gradient(model, batch, 0))


def test_dropout_is_drawn_anew_in_each_segment():
    model = language_model(V, "lstm", H, 2, dropout=0.5)
    keys = jax.random.split(jax.random.key(3), B)
    same = chunk()._replace(inputs=np.zeros((B, 20), np.int32), targets=np.zeros((B, 20), np.int32))
    params = drawn(model.init)
    carry = drawn(lambda _: model.start(params, B), scale=0)

    @jax.jit
    def loss(batch):
        return segments.segmented_loss(5, model, cross_entropy, params, carry, batch, keys)[0]

    losses = []
    for length in (5, 10):  # were the masks of both segments the same, so would their losses be
        batch = jax.tree.map(lambda a, n=length: a[:, :n], same)
        losses.append(float(loss(batch)))
    assert float(loss(batch)) == losses[1] and not np.isclose(losses[1], 2 * losses[0], rtol=1e-4)


def test_the_plan_keeps_to_its_budget_and_a_longer_one_would_not(monkeypatch):
    model, batch = language_model(V, "lstm", 16, 1), chunk(4096)
    # Three plans and this test itself ask for the same lengths; each is compiled once.
    real, given = segments.gradient_bytes, (model, cross_entropy, B, batch)
    once = functools.cache(lambda segment: real(*given, segment, noisy=True))

    def asked(*args, noisy=False):
        *what, segment = args
        assert noisy and all(mine is its for mine, its in zip(given, what, strict=True))
        return once(segment)

    monkeypatch.setattr(segments, "gradient_bytes", asked)
    plan, whole = functools.partial(segments.plan, *given, noisy=True), once(0)
    free = plan(2 * whole)
    assert (free.segment, free.measured, free.recomputed) == (0, whole, 1.0)
    tight = plan(whole // 2)
    assert 0 < tight.segment < 4096 and tight.measured <= whole // 2
    assert once(tight.segment) == tight.measured and once(2 * tight.segment) > whole // 2
    with pytest.raises(BadInput, match="needs at least .* MiB"):
        plan(1000)


def test_a_hundred_thousand_steps_of_128_units_take_less_than_256_mib():
    model = language_model(65, "lstm", 128, 1, 128)
    shapes = jax.ShapeDtypeStruct((8, 100_000), jnp.int32)
    used = segments.gradient_bytes(model, cross_entropy, 8, Batch(shapes, shapes), 400)
    assert used < 256 * 2**20


@pytest.mark.slow
def test_the_command_line_says_what_the_plan_costs(tmp_path, capsys):
    book = tmp_path / "book.txt"
    book.write_text("a quick brown fox jumps over the lazy dog. " * 120)
    flags = ["--corpus", str(book), "--hidden", "16", "--layers", "1", "--steps", "2"]
    flags += ["--bptt", "400", "--lanes", "5", "--sample-length", "5", "--out", str(tmp_path / "a")]
    assert char_lm.main([*flags, "--memory", "1"]) == 0
    assert "memory: segments of" in capsys.readouterr().err
    assert char_lm.main([*flags, "--memory", "1", "--segment", "5", "--out", "x"]) == 2
    assert "leave out --segment" in capsys.readouterr().err
