"""Each way to cut the gradient against an explicit loop over steps, in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_jax import cells, layers
from rnn_jax.errors import BadInput
from rnn_jax.losses import cross_entropy
from rnn_jax.models import recurrent, stack
from rnn_jax.objective import summed_loss, with_gradient
from rnn_jax.tasks import Batch, Task
from rnn_jax.train import create, make_step
from rnn_jax.truncation import Truncation, drawn, objective, widened

B, X, H, V, LONG = 3, 5, 4, 7, 24
LAYERS = [cells.vanilla(X, H, learned_start=True)]
MODEL = recurrent(stack(*LAYERS), layers.dense(H, V))
STARTED = jax.jit(MODEL.start, static_argnums=1)
SUMMED = jax.jit(functools.partial(summed_loss, MODEL, cross_entropy, keys=None))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def weights():
    noise = np.random.default_rng(1)
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(size=a.shape) / 2, shapes)


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


def start(params):
    return numpy(STARTED(params, B))


def stream(length=LONG):
    """One long batch: inputs, targets, and weights that are 0 here and there."""
    noise = np.random.default_rng(2)
    xs, targets = noise.normal(size=(B, length, X)), noise.integers(0, V, (B, length))
    return Batch(xs, targets, noise.random((B, length)) * (noise.random((B, length)) < 0.8))


def part(batch, begin, end):
    return jax.tree.map(lambda a: a[:, begin:end], batch)


def task(k1):
    """The stream in chunks of k1 steps, fresh before its first step."""

    def batch(position):
        cut = part(stream(), position * k1, (position + 1) * k1)
        return cut._replace(fresh=np.full(B, position == 0))

    return Task(batch, lambda: (), cross_entropy, B, LONG // k1, B * k1)


def by_steps(params, carry, xs, targets, weights):
    """One lane's summed loss over its steps and its last carry, by a Python loop."""
    total = 0.0
    for x, target, weight in zip(xs, targets, weights, strict=True):
        below, ends = x[None], []
        for cell, w, h in zip(LAYERS, params["layers"], carry, strict=True):
            h, below = cell.step(w, h, cell.read(w, below))
            ends.append(h)
        carry = tuple(ends)
        y = jax.nn.log_softmax(below @ params["out"]["W_hy"] + params["out"]["b_y"][None])
        total -= weight * y[0, target]
    return total, carry


@functools.partial(jax.jit, static_argnums=0)
def parts_of_a_lane(lengths, params, carry, xs, targets, weights):
    """[j][i]: the gradient of the loss in piece j by the weights that piece i is done with."""
    ends = np.cumsum(lengths)

    def losses(copies):
        h, each = carry, []
        for copy, n, end in zip(copies, lengths, ends, strict=True):
            at = slice(end - n, end)
            total, h = by_steps(copy, h, xs[at], targets[at], weights[at])
            each.append(total)
        return jnp.stack(each)

    return jax.jacrev(losses)([params] * len(lengths))


def by_pieces(params, carry, batch, edges, crossing):
    """The gradient when each piece has weights of its own: a loss in piece j reaches those of piece
    i by the product of ``crossing[l][lane]`` over i < l <= j."""
    lengths, at = tuple(np.diff(edges)), slice(edges[0], edges[-1])
    bars = jax.tree.map(np.zeros_like, params)
    for lane in range(B):
        h = jax.tree.map(lambda a, lane=lane: a[lane : lane + 1], carry)
        steps = (batch.inputs[lane, at], batch.targets[lane, at], batch.weights[lane, at])
        parts = numpy(parts_of_a_lane(lengths, params, h, *steps))
        for j, i in itertools.product(range(len(lengths)), repeat=2):
            if i <= j:
                scale = np.prod([crossing[k][lane] for k in range(i + 1, j + 1)])
                bars = jax.tree.map(lambda a, g, j=j, s=scale: a + s * g[j], bars, parts[i])
    return bars


def some_carry(params):
    return jax.tree.map(lambda a: a + 0.3, start(params))


@functools.cache
def compiled(cut):
    total = objective(cut)

    def summed(params, carry, batch, keys):
        return total(MODEL, cross_entropy, params, carry, batch, keys)

    return jax.jit(jax.value_and_grad(summed, has_aux=True))


def gradient(cut, params, carry, batch, keys=None):
    return numpy(compiled(cut)(params, carry, batch, keys))


def close(got, want, tolerance=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 0, tolerance), got, want)


@pytest.mark.parametrize("k2", [1, 2, 4])
def test_shorter_than_an_update_the_pieces_gradients_are_summed(k2):
    params, batch = weights(), part(stream(), 0, 4)
    carry, edges = some_carry(params), range(0, 5, k2)
    (total, (weight, end)), bars = gradient(Truncation(4, k2), params, carry, batch)
    close(bars, by_pieces(params, carry, batch, edges, np.zeros((len(edges), B))))
    (whole, (heavy, last)), _ = gradient(Truncation(4, 4), params, carry, batch)
    close((total, weight, end), (whole, heavy, last))


def test_longer_than_an_update_the_steps_before_are_in_the_gradient_and_not_in_the_loss():
    params, cut = weights(), Truncation(2, 6)
    wide, carry = widened(task(2), cut), start(params)
    for position in range(4):
        (_, (weight, carry)), bars = gradient(cut, params, carry, wide.batch(position))
        # Six steps back from the end of the chunk, or from the stream's start.
        begin, new = max(0, 2 * position - 4), 2 * position
        looked_at = (np.arange(LONG) >= new) & (np.arange(LONG) < new + 2)
        silent = stream()._replace(weights=stream().weights * looked_at[None])
        if begin:
            h, edges = led_to(params, start(params), 0, begin), range(begin, new + 3, 2)
            close(bars, by_pieces(params, h, silent, edges, np.ones((len(edges), B))))
        else:  # the learned start is in it too
            whole = part(silent, 0, 6)._replace(fresh=np.ones(B, bool))
            close(bars, gradient(Truncation(6, 6), params, start(params), whole)[1])
        close(weight, part(stream(), new, new + 2).weights.sum())


def after(step):
    return (np.arange(LONG) >= step)[None]


def led_to(params, carry, begin, end):
    """Every lane's carry after steps begin … end of the stream."""
    return numpy(SUMMED(params, carry, part(stream(), begin, end)))[1][1]


def test_with_the_edge_at_zero_each_piece_is_a_sequence_of_its_own():
    params, batch = weights(), part(stream(), 0, 8)
    lost = jax.tree.map(lambda a: a + 9.0, start(params))
    _, bars = gradient(Truncation(8, 2, edge="zero"), params, lost, batch)
    want = jax.tree.map(np.zeros_like, params)
    for begin in range(0, 8, 2):
        piece = part(batch, begin, begin + 2)._replace(fresh=np.ones(B, bool))
        want = jax.tree.map(np.add, want, gradient(Truncation(2, 2), params, lost, piece)[1])
    close(bars, want)


@pytest.mark.parametrize(("k1", "k2"), [(4, 2), (2, 4)])
def test_burnt_in_a_piece_begins_where_the_steps_before_it_lead(k1, k2):
    params, cut = weights(), Truncation(k1, k2, edge="burn-in", burn=3)
    position = 16 // k1
    window = widened(task(k1), cut).batch(position)
    assert window.inputs.shape[1] == k1 + cut.before
    _, bars = gradient(cut, params, start(params), window)
    want = jax.tree.map(np.zeros_like, params)
    new, old = min(k1, k2), max(k2 - k1, 0)
    for begin in range(16, 16 + k1, new):
        h = led_to(params, start(params), begin - old - 3, begin - old)
        silent = stream()._replace(weights=stream().weights * after(begin))
        edges = [begin - old, begin + new]
        bars_here = by_pieces(params, h, silent, edges, np.ones((2, B)))
        want = jax.tree.map(np.add, want, bars_here)
    close(bars, want)


@pytest.mark.parametrize("lengths", ["random", "artbp"])
def test_random_cuts_multiply_what_crosses_them(lengths):
    params, batch = weights(), part(stream(), 0, 8)
    cut, carry = Truncation(8, 4, lengths=lengths, grain=2), some_carry(weights())
    keys = jax.random.split(jax.random.key(3), B)
    crossing = np.asarray(jax.jit(drawn, static_argnums=0)(cut, keys))
    assert crossing.shape == (4, B) and len(np.unique(crossing[1:])) == 2
    assert set(np.unique(crossing[1:])) == {0, 2.0 if lengths == "artbp" else 1.0}
    _, bars = gradient(cut, params, carry, batch, keys)
    close(bars, by_pieces(params, carry, batch, range(0, 9, 2), crossing))
    with pytest.raises(ValueError, match="key"):
        gradient(cut, params, carry, batch)


def test_the_value_is_kept_and_the_gradient_is_the_given_one():
    params, bars = ({"a": np.arange(3.0), "b": np.ones(())} for _ in range(2))
    given = lambda p: with_gradient(p["a"].sum() ** 3, p, bars)
    value, got = jax.jit(jax.value_and_grad(given))(params)
    assert value == 27.0
    close(got, bars)


@pytest.mark.parametrize("cut", [Truncation(4, 2), Truncation(4, 8)])
def test_a_training_step_takes_it_and_lanes_go_on(cut):
    """Two updates of make_step equal two updates by hand."""
    wide, sgd = widened(task(4), cut), optax.sgd(0.5)
    state = jax.jit(lambda params: create(MODEL, sgd, params, B))(weights())
    step = jax.jit(make_step(MODEL, cross_entropy, sgd, total=objective(cut)))
    params, carry = weights(), start(weights())
    for position in range(3):
        batch = wide.batch(position)
        (_, (weight, carry)), bars = gradient(cut, params, carry, batch)
        params = jax.tree.map(lambda p, g, w=weight: p - 0.5 * g / w, params, bars)
        state, _ = step(state, batch)
    close((state.params, state.carry), (params, carry), 1e-12)


@pytest.mark.parametrize(
    ("bad", "mend"),
    [
        ({"k1": 8, "k2": 3}, "neither divides the other; the nearest k2 is 2"),
        ({"k1": 8, "k2": 15}, "the nearest k2 is 16"),
        ({"k1": 8, "k2": 31}, "the nearest k2 is 32"),
        ({"k1": 8, "k2": 33}, "the nearest k2 is 32"),
        ({"k1": 8, "k2": 4, "lengths": "random", "grain": 0}, "grain 0, burn 0: they count steps"),
        ({"k1": 8, "k2": 4, "burn": -1}, "burn -1: they count"),
        ({"k1": 0, "k2": 3}, "at least 1"),
        ({"k1": 8, "k2": 4, "edge": "burn-in"}, "--burn 0"),
        ({"k1": 8, "k2": 4, "burn": 2}, "--burn 2"),
        ({"k1": 8, "k2": 16, "lengths": "artbp"}, "mean length <= k1"),
        ({"k1": 8, "k2": 4, "lengths": "random", "grain": 3}, "grain that divides k1"),
    ],
)
def test_what_is_no_truncation_is_refused_in_one_line(bad, mend):
    with pytest.raises(BadInput, match=mend) as caught:
        Truncation(**bad)
    assert "\n" not in str(caught.value)
