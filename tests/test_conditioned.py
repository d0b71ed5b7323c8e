"""Beginning from something given, reading both ways, batches of several lengths, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from weights import drawn

from rnn_jax import cells, decode
from rnn_jax.evaluate import Evaluation, best, make_evaluate
from rnn_jax.layers import dense
from rnn_jax.losses import cross_entropy
from rnn_jax.models import Encoder, bidirectional, conditioned, language_model, recurrent, stack
from rnn_jax.objective import summed_loss
from rnn_jax.pace import batches
from rnn_jax.tasks import Batch, Task
from rnn_jax.train import create, make_step
from rnn_jax.unroll import unroll

T, B, X, H, V = 3, 3, 5, 7, 11
LENGTHS = (3, 1, 3)  # full lanes beside a short one


def captioner():
    """h_0 = context W_hy + b_y, then a tanh language model."""
    first = dense(X, H)
    encoder = Encoder(first.init, lambda w, context, keys: (first.apply(w, context),))
    return conditioned(encoder, language_model(V, "tanh", H, layers=1))


def given(lanes=B):
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, V, (lanes, T + 1), np.int32)
    context = rng.normal(size=(lanes, X)).astype(np.float32)
    return Batch(tokens[:, :-1], tokens[:, 1:], context=context)


def from_start(model):
    """(W, xs, mask) to the carry and the outputs of a model that begins where it begins."""

    def run(W, xs, mask=None):
        return model.apply(W, model.start(W, xs.shape[1]), xs, mask=mask)

    return jax.jit(run)


def test_bidirectional_on_a_padded_batch_is_each_sequence_by_itself():
    """Both layers, outputs and the carries at both ends; the padding holds NaN."""
    model = bidirectional(
        (cells.lstm(X, H), cells.lstm(X, H)), (cells.gru(2 * H, H), cells.gru(2 * H, H))
    )
    W, run = drawn(model.init), from_start(model)
    xs = np.random.default_rng(0).normal(size=(T, B, X)).astype(np.float32)
    mask = np.arange(T)[:, None] < np.array(LENGTHS)
    xs[~mask] = np.nan
    ends, ys = jax.tree.map(np.asarray, run(W, xs, mask))
    assert ys.shape == (T, B, 2 * H)
    for lane, length in enumerate(LENGTHS):
        end, y = jax.tree.map(np.asarray, run(W, xs[:length, lane : lane + 1]))
        np.testing.assert_allclose(ys[:length, lane], y[:, 0], atol=1e-6)
        assert not ys[length:, lane].any()
        for a, b in zip(jax.tree.leaves(ends), jax.tree.leaves(end), strict=True):
            np.testing.assert_allclose(a[lane], b[0], atol=1e-6)


def test_bidirectional_backward_half_is_the_cell_on_the_reversed_sequence():
    forward, backward = cells.gru(X, H), cells.gru(X, H)
    model = bidirectional((forward, backward))
    W = drawn(model.init)
    xs = np.random.default_rng(0).normal(size=(T, B, X)).astype(np.float32)
    _, ys = from_start(model)(W, xs)
    turn = jax.jit(lambda w, xs: unroll(backward, w, xs, backward.start(w, B))[1])
    turned = np.asarray(turn(W[0][1], xs[::-1]))
    np.testing.assert_allclose(np.asarray(ys)[..., H:], turned[::-1], atol=1e-6)


def test_conditioned_starts_from_what_the_encoder_makes_of_the_context():
    model, batch = captioner(), given()
    W = drawn(model.init)
    carry = drawn(lambda _: model.start(W, B))
    summed = jax.jit(lambda *inputs: summed_loss(model, cross_entropy, *inputs, None))
    total, (weight, after) = summed(W, carry, batch)
    first, body = W["encoder"], language_model(V, "tanh", H, layers=1)
    h_0 = batch.context @ np.asarray(first["W_hy"]) + np.asarray(first["b_y"])

    @jax.jit
    def loss(W, h_0):
        _, ys = body.apply(W, (h_0,), batch.inputs.T)
        return cross_entropy(ys, batch.targets.T).sum()

    np.testing.assert_allclose(total, loss(W["decoder"], h_0), rtol=1e-6)
    assert weight == T * B
    np.testing.assert_array_equal(after, carry)


def test_a_step_reaches_the_encoder_and_no_batch_depends_on_the_one_before():
    model, batch = captioner(), given()
    begin = jax.jit(lambda params: create(model, optax.sgd(0.1), params, B))
    state = begin(drawn(model.init))
    step = jax.jit(make_step(model, cross_entropy, optax.sgd(0.1)))
    once, _ = step(state, batch)
    before, after = (np.asarray(at.params["encoder"]["W_hy"]) for at in (state, once))
    assert np.abs(after - before).max() > 1e-4
    other = batch._replace(inputs=batch.inputs[:, ::-1], targets=batch.targets[:, ::-1])
    _, after_one = step(once, batch)
    _, after_other = step(once.replace(carry=step(state, other)[0].carry), batch)
    assert after_one.loss == after_other.loss


def test_writing_from_a_context_is_feeding_back_by_hand(key):
    model, batch = captioner(), given()
    W = drawn(model.init, scale=1.5)
    prompt = batch.inputs[:, :1]
    tokens, log_p = decode.generate(model, W, prompt, key, 5, greedy=True, context=batch.context)
    carry = jax.jit(model.condition)(W, batch.context, None)
    apply, last, written = jax.jit(model.apply), prompt[:, 0], []
    for _ in range(5):
        carry, ys = apply(W, carry, last[None])
        last = np.asarray(ys)[0].argmax(-1).astype(np.int32)
        written.append(last)
    np.testing.assert_array_equal(tokens, np.stack(written, axis=1))
    assert np.all(np.asarray(log_p) <= 0)
    assert len({tuple(row) for row in tokens.tolist()}) > 1, "the context makes no difference"


def of_length(position):
    """Three batches of 4 steps, then two of 6."""
    return Batch(*(np.full((B, 4 if position % 5 < 3 else 6), position, np.int32),) * 2)


@pytest.mark.parametrize(
    ("position", "count", "taken"), [(0, 5, 3), (1, 1, 1), (2, 3, 1), (3, 4, 2), (4, 1, 1)]
)
def test_a_dispatch_takes_batches_of_one_length(position, count, taken):
    task = Task(of_length, list, cross_entropy, B, 5, B)
    stacked, got = batches(task, position, count, 8)
    assert got == taken
    assert stacked.inputs.shape == (8, B, 4 if position < 3 else 6)
    assert stacked.inputs[:, 0, 0].tolist() == [*range(position, position + taken)] + [0] * (
        8 - taken
    )


def test_the_error_is_the_share_of_wrong_answers_where_the_loss_looks():
    """Over two held-out batches of different numbers of lanes, weights 0 left out."""
    model = recurrent(stack(cells.vanilla(X, H)), dense(H, V))
    W, run = drawn(model.init), from_start(model)
    rng = np.random.default_rng(3)
    parts = []
    for lanes in (3, 2):
        xs = rng.normal(size=(lanes, T, X)).astype(np.float32)
        targets = rng.integers(0, V, (lanes, T))
        weights = (rng.random((lanes, T)) < 0.6).astype(np.float32)
        parts.append(Batch(xs, targets, weights, fresh=np.ones(lanes, bool)))
    wrong = [lambda ys, targets: (ys.argmax(-1) != targets).astype(jnp.float32)]
    task = Task(lambda _: parts[0], lambda: parts, cross_entropy, 3, 1, 3 * T, *wrong)
    counted, looked = 0, 0
    for part in parts:
        _, ys = run(W, part.inputs.swapaxes(0, 1))
        looks = part.weights > 0
        counted += (np.asarray(ys).argmax(-1).T != part.targets)[looks].sum()
        looked += looks.sum()
    found = make_evaluate(model, task)(W)
    assert 0 < counted < looked
    assert found.error == pytest.approx(counted / looked) and found.rank == found.error


def test_the_best_evaluation_is_the_one_of_least_error_where_there_are_errors():
    rows = [{"step": 1}] + [
        {"step": step, **Evaluation(loss, error).row()}
        for step, loss, error in [(2, 1.0, 0.5), (3, 2.0, 0.2), (4, 0.5, 0.3)]
    ]
    assert best(rows) == 0.2
    assert best([{"step": 1, "valid": None}, {"step": 2, "valid": 0.7}]) == 0.7
