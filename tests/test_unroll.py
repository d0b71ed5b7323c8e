"""`unroll` against the loop it claims to be, and the two gradients against each other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
def example(name: str, seed: int = 0) -> tuple[Cell, Any, Any, Any, Any, Any]:
    """A cell in float64, random parameters, input and carry, a ragged mask, scattered restarts."""
    cell = MAKERS[name](X, H)
    keys = jax.random.split(jax.random.key(seed), 4)
    w = jax.tree.map(lambda a: a.astype(jnp.float64), cell.init(keys[0]))
    leaves, tree = jax.tree.flatten(w)
    noise = np.random.default_rng(seed)
    w = jax.tree.unflatten(tree, [a + 0.1 * noise.normal(size=a.shape) for a in leaves])
    xs = jax.random.normal(keys[1], (T, B, X), jnp.float64)
    carry = jax.tree.map(lambda a: a + 0.3, cell.start(w, B))
    lengths = np.array([T, 2, 5])
    mask = jnp.asarray(np.arange(T)[:, None] < lengths).at[1, 2].set(False)
    fresh = jnp.zeros((T, B), bool).at[0, 0].set(True).at[3, 0].set(True).at[4, 2].set(True)
    return cell, w, xs, carry, mask, fresh


def by_loop(cell: Cell, w: Any, xs: Any, carry: Any, mask: Any, fresh: Any, reverse: bool) -> Any:
    """The docstring's loop in Python; reversed, a lane restarts one step before the next begins."""
    mask = np.ones((T, B), bool) if mask is None else np.asarray(mask)
    fresh = np.zeros((T, B), bool) if fresh is None else np.asarray(fresh)
    if reverse:
        fresh = np.concatenate([fresh[1:], np.zeros((1, B), bool)])

    def where(lanes: Any, a: Any, b: Any) -> Any:
        return jax.tree.map(lambda x, y: jnp.where(jnp.asarray(lanes)[:, None], x, y), a, b)

    ys: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        carry = where(fresh[t], cell.start(w, B), carry)
        new, y = cell.step(w, carry, cell.read(w, xs[t]))
        carry, ys[t] = where(mask[t], (new, y), (carry, jnp.zeros_like(y)))
    return carry, jnp.stack(ys)


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
    for m, f in [(None, None), (mask, fresh)]:
        got = unroll(cell, w, xs, carry, mask=m, fresh=f, reverse=reverse)
        close(got, by_loop(cell, w, xs, carry, m, f, reverse), 1e-12)


def total(cell: Cell, w: Any, xs: Any, carry: Any, **options: Any) -> Any:
    """A loss that looks at every output and every part of the final carry, each differently."""
    final, ys = unroll(cell, w, xs, carry, **options)

    def look(a: Any) -> Any:
        return jnp.sum(jnp.sin(a + jnp.arange(a.size).reshape(a.shape)))

    return sum(map(look, jax.tree.leaves((final, ys))))


WAYS = ["plain", "both", "reverse", "segments", "first"]
CASES = [(name, way) for name in ("tanh", "gru", "lstm", "peephole") for way in WAYS]
CASES += [(name, "both") for name in GATED if (name, "both") not in CASES]


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
        f = lambda *inputs: total(cell, *inputs, **options)
        return jax.jit(jax.grad(f, argnums=(0, 1, 2)))(w, xs, carry)

    close(gradients(fast=True, **settings), gradients(fast=False, **slow), 1e-10)


def test_autodiff_equals_finite_differences() -> None:
    cell, w, xs, carry, mask, fresh = example("gru")
    f = lambda w: total(cell, w, xs, carry, mask=mask, fresh=fresh)
    g, e = jax.grad(f)(w), 1e-6
    for name, at in [("W_xh", (2, 9)), ("W_hh", (6, 20)), ("b_h", (15,)), ("b_hn", (3,))]:
        up = f(w | {name: w[name].at[at].add(e)}) - f(w | {name: w[name].at[at].add(-e)})
        np.testing.assert_allclose(g[name][at], up / (2 * e), rtol=1e-7)


def test_general_path_has_forward_mode() -> None:
    cell, w, xs, carry, _, _ = example("lstm")
    f = lambda w: total(cell, w, xs, carry, fast=False)
    close(jax.jacfwd(f)(w), jax.grad(f)(w), 1e-10)


def test_padding_may_be_nan() -> None:
    cell, w, xs, carry, mask, _ = example("lstm")
    bad = jnp.where(mask[..., None], xs, jnp.nan)
    grad = jax.grad(total, argnums=(1, 2, 3))
    close(grad(cell, w, bad, carry, mask=mask), grad(cell, w, xs, carry, mask=mask), 0)


def test_padding_changes_nothing() -> None:
    cell, w, xs, carry, _, _ = example("gru")
    for length in (2, 5):
        mask = jnp.broadcast_to(jnp.arange(T)[:, None] < length, (T, B))
        padded, ys = unroll(cell, w, xs, carry, mask=mask)
        final, short = unroll(cell, w, xs[:length], carry)
        close((padded, ys[:length]), (final, short), 1e-12)
        assert not ys[length:].any()


@pytest.mark.parametrize("name", ["tanh", "lstm", "cho_gru"])
def test_loss_at_t_has_no_gradient_from_later_inputs(name: str) -> None:
    cell, w, xs, carry, _, _ = example(name)
    bars = jax.jit(jax.jacrev(lambda xs: unroll(cell, w, xs, carry)[1].sum((1, 2))))(xs)
    for t in range(T):
        bar = bars[t]
        assert (bar[t + 1 :] == 0).all() and (bar[: t + 1] != 0).any(axis=(1, 2)).all()


def test_gradient_stops_where_a_lane_is_fresh() -> None:
    cell, w, xs, carry, _, _ = example("lstm")
    fresh = jnp.zeros((T, B), bool).at[3, 1].set(True)
    bar = jax.grad(lambda xs: unroll(cell, w, xs, carry, fresh=fresh)[1][T - 1].sum())(xs)
    assert (bar[:3, 1] == 0).all() and (bar[3:, 1] != 0).any(-1).all() and (bar[0, 0] != 0).any()


def test_token_equals_one_hot_vector() -> None:
    tokens = jax.random.randint(jax.random.key(3), (T, B), 0, X)
    for name in ("tanh", "gru", "lstm"):
        cell, w, _, carry, _, _ = example(name)

        def gradients(xs: Any, cell: Cell = cell, w: Any = w, carry: Any = carry) -> Any:
            return jax.value_and_grad(lambda w: total(cell, w, xs, carry))(w)

        close(gradients(tokens), gradients(jax.nn.one_hot(tokens, X, dtype=jnp.float64)), 1e-12)


def test_large_lookup_takes_the_scatter_and_agrees() -> None:
    from rnn_jax.affine import lookup

    W = jax.random.normal(jax.random.key(0), (600, 3))
    tokens = jax.random.randint(jax.random.key(1), (4, 50), 0, 600)
    bar = jax.grad(lambda W: jnp.sum(jnp.sin(lookup(W, tokens))))(W)
    want = jax.grad(lambda W: jnp.sum(jnp.sin(jax.nn.one_hot(tokens, 600) @ W)))(W)
    close(bar, want, 1e-12)


def test_bidirectional_runs_turn_each_sequence_by_its_own_length() -> None:
    cell, w, xs, _, _, _ = example("gru")
    start = cell.start(w, B)
    mask = jnp.asarray(np.arange(T)[:, None] < np.array([T, 2, 5]))
    _, ys = unroll(cell, w, xs, start, mask=mask, reverse=True)
    for b, length in enumerate([T, 2, 5]):
        alone = xs[:length, b : b + 1][::-1]
        _, y = unroll(cell, w, alone, cell.start(w, 1))
        close(ys[:length, b : b + 1], y[::-1], 1e-12)


@jax.enable_x64(False)
def test_from_flax_is_the_flax_cell() -> None:
    import flax.linen as nn

    for module in (nn.OptimizedLSTMCell(H), nn.GRUCell(H), nn.SimpleCell(H)):
        cell = cells.from_flax(module, X)
        w = cell.init(jax.random.key(0))
        xs = jax.random.normal(jax.random.key(1), (T, B, X))
        carry = cell.start(w, B)
        got = unroll(cell, w, xs, carry)
        want = []
        for x in xs:
            carry, y = module.apply(w, carry, x)
            want.append(y)
        close(got, (carry, jnp.stack(want)), 1e-6)
