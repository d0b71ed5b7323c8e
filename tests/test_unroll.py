"""`unroll` against the loop it claims to be, and the two gradients against each other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import cells
from rnn_jax.cells.core import Cell, Gate, gated, initial, matrix_hh, read_affine
from rnn_jax.unroll import unroll

T, B, X, H = 6, 3, 5, 7


def peephole_lstm(inputs: int, hidden: int) -> Cell:
    """A user's own cell: an LSTM whose gates see c, as one function, with vectors and no `back`."""

    def forward(p: Any, carry: Any, z: Any, r: Any) -> Any:
        _, c = carry
        i, f, g, o = jnp.split(z + r, 4, axis=-1)
        c = jax.nn.sigmoid(f + c * p["f"][None]) * c + jax.nn.sigmoid(i + c * p["i"][None]) * g
        h = jax.nn.sigmoid(o + c * p["o"][None]) * jnp.tanh(c)
        return (h, c), ()

    def init(key: Any) -> Any:
        peeps = {k: 0.3 * jax.random.normal(key, (hidden,)) for k in "ifo"}
        w = initial(key, inputs, hidden, 4)
        return w | {"peep": peeps, "c_0": jnp.linspace(-1.0, 1.0, hidden)}

    def start(w: Any, lanes: int) -> Any:
        c = jnp.broadcast_to(w["c_0"], (lanes, hidden))
        return jnp.tanh(c), c

    gate = Gate(forward, matrix_hh, vectors=lambda w: w["peep"], hidden=lambda carry: carry[0])
    return gated(init, start, read_affine, gate)


MAKERS = {
    "tanh": cells.vanilla,
    "relu": lambda x, h: cells.vanilla(x, h, phi="relu"),
    "identity": lambda x, h: cells.vanilla(x, h, phi="identity"),
    "threshold": lambda x, h: cells.vanilla(x, h, phi="threshold"),
    "learned_start": lambda x, h: cells.vanilla(x, h, learned_start=True),
    "unbiased": lambda x, h: cells.vanilla(x, h, bias=False),
    "gru": cells.gru,
    "lstm": cells.lstm,
    "peephole": peephole_lstm,
    "cho_gru": cells.cho_gru,
}
GATED = [name for name in MAKERS if name != "cho_gru"]


@functools.cache
def example(name: str) -> tuple[Cell, Any, Any, Any, Any, Any]:
    """A cell in float64, random parameters, input and carry, a ragged mask, scattered restarts."""
    cell = MAKERS[name](X, H)
    w = drawn(cell.init)
    carry = drawn(lambda _: cell.start(w, B), seed=1)
    xs = np.random.default_rng(2).normal(size=(T, B, X))
    mask = np.arange(T)[:, None] < np.array([T, 2, 5])
    mask[1, 2] = False
    fresh = np.zeros((T, B), bool)
    fresh[[0, 3, 4], [0, 0, 2]] = True
    return cell, w, xs, carry, mask, fresh


@functools.cache
def one_step(cell: Cell) -> Any:
    """Where a step begins, (the carry after it, its output)."""

    def step(w: Any, carry: Any, x: Any, fresh: Any) -> Any:
        carry = where(fresh, cell.start(w, B), carry)
        return carry, cell.step(w, carry, cell.read(w, x))

    return jax.jit(step)


def where(lanes: Any, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(lanes[:, None], x, y), a, b)


def by_loop(cell: Cell, w: Any, xs: Any, carry: Any, mask: Any, fresh: Any, reverse: bool) -> Any:
    """The docstring's loop in Python; reversed, a lane restarts one step before the next begins."""
    mask = np.ones((T, B), bool) if mask is None else mask
    fresh = np.zeros((T, B), bool) if fresh is None else fresh
    if reverse:
        fresh = np.concatenate([fresh[1:], np.zeros((1, B), bool)])
    ys: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        carry, (new, y) = one_step(cell)(w, carry, xs[t], fresh[t])
        ys[t] = np.where(mask[t][:, None], y, 0)
        carry = jax.tree.map(lambda a, b, t=t: np.where(mask[t][:, None], a, b), new, carry)
    return carry, np.stack(ys)


@pytest.fixture(autouse=True)
def float64() -> Any:
    with jax.enable_x64(True):
        yield


def close(a: Any, b: Any, tolerance: float) -> None:
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b
    )


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_unroll_is_its_loop(name: str, reverse: bool) -> None:
    cell, w, xs, carry, mask, fresh = example(name)

    @jax.jit
    def runs(w: Any, xs: Any, carry: Any) -> Any:
        run = functools.partial(unroll, cell, w, xs, carry, reverse=reverse)
        return run(), run(mask=mask, fresh=fresh)

    for got, (m, f) in zip(runs(w, xs, carry), [(None, None), (mask, fresh)], strict=True):
        close(got, by_loop(cell, w, xs, carry, m, f, reverse), 1e-12)


def total(cell: Cell, w: Any, xs: Any, carry: Any, **options: Any) -> Any:
    """A loss that looks at every output and every part of the final carry, each differently."""
    final, ys = unroll(cell, w, xs, carry, **options)

    def look(a: Any) -> Any:
        return jnp.sum(jnp.sin(a + jnp.arange(a.size).reshape(a.shape)))

    return sum(map(look, jax.tree.leaves((final, ys))))


# Every way for the gate without a derivative of its own, whose start is learned. Of the others each
# for itself where its own equations meet mask and restart, and one where the loop is what differs;
# there the LSTM too, whose carry has two parts, and the rest among the slow ones.
CASES = [(name, way) for name in ("tanh", "gru", "lstm", "peephole") for way in ("plain", "both")]
CASES += [("peephole", way) for way in ("reverse", "segments", "first")]
CASES += [("gru", "reverse"), ("tanh", "segments"), ("tanh", "first")]
CASES += [("lstm", way) for way in ("reverse", "segments")]
CASES += [(name, "both") for name in GATED if (name, "both") not in CASES]
REST = [("lstm", "first"), ("gru", "segments"), ("gru", "first"), ("tanh", "reverse")]
CASES += [pytest.param(*case, marks=pytest.mark.slow) for case in REST]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_bptt_by_hand_equals_autodiff(name: str, way: str) -> None:
    cell, w, xs, carry, mask, fresh = example(name)
    settings = {
        "plain": {},
        "both": {"mask": mask, "fresh": fresh},
        "reverse": {"mask": mask, "fresh": fresh, "reverse": True},
        "segments": {"mask": mask, "fresh": fresh, "segment": 4},
        "first": {"fresh": fresh[0]},
    }[way]
    slow = {k: v for k, v in settings.items() if k != "segment"}

    def gradients(**options: Any) -> Any:
        return jax.grad(lambda *inputs: total(cell, *inputs, **options), argnums=(0, 1, 2))

    by_hand, autodiff = gradients(fast=True, **settings), gradients(fast=False, **slow)
    close(*jax.jit(lambda *inputs: (by_hand(*inputs), autodiff(*inputs)))(w, xs, carry), 1e-10)


def test_autodiff_equals_finite_differences() -> None:
    cell, w, xs, carry, mask, fresh = example("gru")
    f = jax.jit(jax.value_and_grad(lambda w: total(cell, w, xs, carry, mask=mask, fresh=fresh)))
    g, e = jax.tree.map(np.asarray, f(w)[1]), 1e-6
    for name, at in [("W_xh", (2, 9)), ("W_hh", (6, 20)), ("b_h", (15,)), ("b_hn", (3,))]:
        step = np.zeros(w[name].shape)
        step[at] = e
        up, down = (float(f(w | {name: np.asarray(w[name]) + s})[0]) for s in (step, -step))
        np.testing.assert_allclose(g[name][at], (up - down) / (2 * e), rtol=1e-7)


def test_general_path_has_forward_mode() -> None:
    cell, w, xs, carry, _, _ = example("lstm")
    f = lambda w: total(cell, w, xs, carry, fast=False)
    close(*jax.jit(lambda w: (jax.jacfwd(f)(w), jax.grad(f)(w)))(w), 1e-10)


def test_padding_may_be_nan() -> None:
    cell, w, xs, carry, mask, _ = example("lstm")
    bad = np.where(mask[..., None], xs, np.nan)
    grad = jax.jit(jax.grad(functools.partial(total, cell, mask=mask), argnums=(0, 1, 2)))
    close(grad(w, bad, carry), grad(w, xs, carry), 0)


@pytest.mark.parametrize("length", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_padding_changes_nothing(length: int) -> None:
    cell, w, xs, carry, _, _ = example("gru")
    run = jax.jit(functools.partial(unroll, cell))
    mask = np.broadcast_to(np.arange(T)[:, None] < length, (T, B))
    padded, ys = jax.tree.map(np.asarray, run(w, xs, carry, mask=mask))
    close((padded, ys[:length]), run(w, xs[:length], carry), 1e-12)
    assert not ys[length:].any()


@pytest.mark.parametrize("name", ["tanh", "lstm", "cho_gru"])
def test_loss_at_t_has_no_gradient_from_later_inputs(name: str) -> None:
    cell, w, xs, carry, _, _ = example(name)
    bars = jax.jit(jax.jacrev(lambda xs: unroll(cell, w, xs, carry)[1].sum((1, 2))))(xs)
    for t, bar in enumerate(np.asarray(bars)):
        assert (bar[t + 1 :] == 0).all() and (bar[: t + 1] != 0).any(axis=(1, 2)).all()


def test_gradient_stops_where_a_lane_is_fresh() -> None:
    cell, w, xs, carry, _, _ = example("lstm")
    fresh = np.zeros((T, B), bool)
    fresh[3, 1] = True
    last = lambda xs: unroll(cell, w, xs, carry, fresh=fresh)[1][T - 1].sum()
    bar = np.asarray(jax.jit(jax.grad(last))(xs))
    assert (bar[:3, 1] == 0).all() and (bar[3:, 1] != 0).any(-1).all() and (bar[0, 0] != 0).any()


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_token_equals_one_hot_vector(name: str) -> None:
    cell, w, _, carry, _, _ = example(name)
    tokens = np.random.default_rng(3).integers(0, X, (T, B))

    @jax.jit
    def gradients(*inputs: Any) -> Any:
        return [jax.value_and_grad(lambda w, xs=xs: total(cell, w, xs, carry))(w) for xs in inputs]

    close(*gradients(tokens, np.eye(X)[tokens]), 1e-12)


def test_large_lookup_takes_the_scatter_and_agrees() -> None:
    from rnn_jax.affine import lookup

    noise = np.random.default_rng(0)
    W, tokens = noise.normal(size=(600, 3)), noise.integers(0, 600, (4, 50))
    bar = jax.jit(jax.grad(lambda W: jnp.sum(jnp.sin(lookup(W, tokens)))))(W)
    one_hot = np.eye(600)[tokens].reshape(-1, 600)
    close(bar, one_hot.T @ np.cos(one_hot @ W), 1e-12)


def test_bidirectional_runs_turn_each_sequence_by_its_own_length() -> None:
    cell, w, xs, carry, _, _ = example("gru")
    lengths, turned = [T, 2, 5], np.zeros_like(xs)
    for b, length in enumerate(lengths):
        turned[:length, b] = xs[:length, b][::-1]
    mask, run = np.arange(T)[:, None] < np.array(lengths), functools.partial(unroll, cell, w)
    both = lambda carry: (run(xs, carry, mask=mask, reverse=True), run(turned, carry))
    (_, ys), (_, alone) = jax.tree.map(np.asarray, jax.jit(both)(carry))
    for b, length in enumerate(lengths):
        close(ys[:length, b], alone[:length, b][::-1], 1e-12)


@jax.enable_x64(False)
def test_from_flax_is_the_flax_cell() -> None:
    import flax.linen as nn

    for module in (nn.OptimizedLSTMCell(H), nn.GRUCell(H), nn.SimpleCell(H)):
        cell = cells.from_flax(module, X)
        w, xs = drawn(cell.init), np.random.default_rng(0).normal(size=(T, B, X))
        carry = drawn(lambda _, cell=cell, w=w: cell.start(w, B))
        got = jax.jit(functools.partial(unroll, cell))(w, xs.astype(np.float32), carry)
        want, apply = [], jax.jit(module.apply)
        for x in xs.astype(np.float32):
            carry, y = apply(w, carry, x)
            want.append(y)
        close(got, (carry, np.stack(want)), 1e-6)
