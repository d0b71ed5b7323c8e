"""SnAp-1, RFLO and e-prop: by dense Jacobians of which most is put to zero, and by the papers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import cells, layers
from rnn_jax.affine import against
from rnn_jax.cells.core import Gate, gated, initial, matrix_hh, read_affine, zero_hidden
from rnn_jax.errors import BadInput
from rnn_jax.estimators import choose, needed_bytes
from rnn_jax.losses import cross_entropy
from rnn_jax.models import recurrent, stack, vector_model, window_model
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch
from rnn_jax.truncation import Truncation

B, T, X, H, V, TAU = 3, 5, 2, 4, 6, 4.0


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def leaky(inputs, hidden):
    """h ← (1 - 1/τ) h + tanh(u) / τ, Murray's units."""

    def forward(p, h, z, r):
        return (1 - 1 / TAU) * h + jnp.tanh(z + r) / TAU, ()

    make = functools.partial(initial, inputs=inputs, hidden=hidden, blocks=1)
    return gated(make, zero_hidden, read_affine, Gate(forward, matrix_hh))


MAKE = {
    "tanh": functools.partial(cells.vanilla, learned_start=True),
    "gru": cells.gru,
    "lstm": cells.lstm,
    "leaky": leaky,
}


@functools.cache
def model(cell, count=1, fast=None):
    made = [MAKE[cell](X if i == 0 else H, H) for i in range(count)]
    return recurrent(stack(*made, fast=fast), layers.dense(H, V))


def weights(model, seed=1):
    noise = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(size=a.shape) / 2, shapes)


def batch(lanes=B, ragged=True):
    noise = np.random.default_rng(2)
    xs, targets = noise.normal(size=(lanes, T, X)), noise.integers(0, V, (lanes, T))
    if not ragged:
        return Batch(xs, targets)
    mask = np.arange(T) < np.array([5, 3, 4])[:lanes, None]
    fresh = noise.random((lanes, T)) < 0.3
    return Batch(xs, targets, noise.random((lanes, T)) * mask, mask, fresh)


def gradient(model, total, params, carry, data):
    def summed(params):
        return total(model, cross_entropy, params, carry, data, None)

    return jax.tree.map(np.asarray, jax.jit(jax.value_and_grad(summed, has_aux=True))(params))


def begun(model, params, lanes=B, h=0.3):
    """A carry of this number everywhere, and no influence."""
    carry = jax.eval_shape(lambda: model.start(params, lanes))
    if isinstance(carry, dict):
        zeros = jax.tree.map(lambda a: np.zeros(a.shape), carry["influence"])
        return {"carry": begun_like(carry["carry"], h), "influence": zeros}
    return begun_like(carry, h)


def begun_like(shapes, h):
    return jax.tree.map(lambda a: np.full(a.shape, h), shapes)


def by_road(name, cell, params, data, count=1):
    """Value, weight, last carry of the model, and gradient."""
    road = choose(name, lambda fast: model(cell, count, fast), Truncation(T, T))
    carry = begun(road.model, params, len(data.inputs))
    (value, (weight, end)), bars = gradient(road.model, road.total, params, carry, data)
    return value, weight, end["carry"], bars


def by_bptt(cell, params, data, count=1):
    """The same by backpropagation."""
    base = model(cell, count)
    carry = begun(base, params)
    (value, (weight, end)), bars = gradient(base, summed_loss, params, carry, data)
    return value, weight, end, bars


def close(got, want, tolerance=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 0, tolerance), got, want)


def apart(params):
    """The same with units that do not look at each other."""
    for w in params["layers"]:
        w["W_hh"] *= np.tile(np.eye(H), w["W_hh"].shape[1] // H)
    return params


@pytest.mark.parametrize("cell", ["tanh", "lstm"])
def test_where_units_do_not_look_at_each_other_snap1_is_bptt(cell):
    """Also where lanes restart, from a start that is learned, and end."""
    params, data = apart(weights(model(cell))), batch()
    close(by_road("snap1", cell, params, data), by_bptt(cell, params, data))


def test_in_a_stack_what_lies_above_has_its_whole_gradient_and_what_lies_below_has_not():
    params, data = apart(weights(model("gru", 2))), batch()
    *got, mine = by_road("snap1", "gru", params, data, count=2)
    *want, whole = by_bptt("gru", params, data, count=2)
    close((got, mine["layers"][1], mine["out"]), (want, whole["layers"][1], whole["out"]))
    below, all_of_it = mine["layers"][0]["W_hh"], whole["layers"][0]["W_hh"]
    assert 1e-4 < np.abs(below - all_of_it).max() < 0.5 * np.abs(all_of_it).max()


def dense(cell, params, data, *, itself):
    """One lane's gradient from ∂h/∂θ of all units, put to zero after each step where another unit
    than the weight's own is; itself: whether W_hh is in ∂h_t/∂h_{t-1}."""
    made, w, out = MAKE[cell](X, H), params["layers"][0], params["out"]
    leaves, tree = jax.tree.flatten(made.start(w, 1))
    h = jnp.stack([a[0] + 0.3 for a in leaves])  # [k, H]

    def step(w, h, x, back=None):
        carry = jax.tree.unflatten(tree, [a[None] for a in h])
        z, gate = made.read(w, x[None]), made.gate
        r = (carry if back is None else back, w)
        r = gate.hidden(r[0]) @ gate.matrix(w) + (gate.bias(w)[None] if gate.bias else 0)
        new = gate.forward(gate.vectors(w), carry, z, r)[0]
        return jnp.stack([a[0] for a in jax.tree.leaves(new)])

    def lost(h, out, target):
        y = jax.tree.unflatten(tree, [a[None] for a in h])
        y = made.gate.hidden(y)[0] @ out["W_hy"] + out["b_y"]
        return -jax.nn.log_softmax(y)[target]

    eye = np.eye(H)

    def kept(p):  # [k, H, ...], the unit's own columns of the weights
        own = np.tile(eye, p.shape[-1] // H)
        return p * own.reshape(1, H, *[1] * (p.ndim - 3), -1)

    def body(loop, at):
        h, P, bars = loop
        x, target = at
        back = None if itself else jax.tree.unflatten(tree, [a[None] for a in h])
        J = jax.jacrev(lambda h: step(w, h, x, back))(h) * eye[None, :, None]  # [k, H, k, H]
        now = jax.jacrev(lambda w: step(w, h, x))(w)
        P = jax.tree.map(lambda p, n: kept(jnp.tensordot(J, p, 2) + n), P, now)
        h = step(w, h, x)
        h_bar, out_bar = jax.grad(lost, (0, 1))(h, out, target)
        layer_bar = jax.tree.map(lambda p: jnp.tensordot(h_bar, p, 2), P)
        bars = jax.tree.map(jnp.add, bars, {"layers": (layer_bar,), "out": out_bar})
        return (h, P, bars), None

    P = jax.tree.map(lambda a: jnp.zeros((*h.shape, *a.shape)), w)
    begin = (h, P, jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(body, begin, (data.inputs[0], data.targets[0]))[0][2]


@pytest.mark.parametrize(("name", "cell"), [("snap1", "gru"), ("rflo", "lstm")])
def test_it_is_rtrl_with_all_but_a_units_own_put_to_zero(name, cell):
    params, data = weights(model(cell)), batch(lanes=1, ragged=False)
    got = by_road(name, cell, params, data)[-1]
    want = jax.jit(functools.partial(dense, cell, itself=name == "snap1"))(params, data)
    close(got, want)


def test_rflo_of_leaky_units_is_the_rule_of_its_paper():
    """ΔW_ab ~ Σ_t [W_outᵀ ε_t]_a p_ab, p ← (1 - 1/τ) p + φ'(u_a) h_b / τ (Murray 2019)."""
    params, data = weights(model("leaky")), batch(lanes=1, ragged=False)
    w, out = (jax.tree.map(np.asarray, params[part]) for part in ("layers", "out"))
    w, h, p, want = w[0], np.full(H, 0.3), np.zeros((H, H)), np.zeros((H, H))
    for x, target in zip(data.inputs[0], data.targets[0], strict=True):
        u = x @ w["W_xh"] + w["b_h"] + h @ w["W_hh"]
        p = (1 - 1 / TAU) * p + np.outer(h, 1 - np.tanh(u) ** 2) / TAU
        h = (1 - 1 / TAU) * h + np.tanh(u) / TAU
        y = h @ out["W_hy"] + out["b_y"]
        error = np.exp(y) / np.exp(y).sum() - np.eye(V)[target]
        want += p * (out["W_hy"] @ error)
    close(by_road("rflo", "leaky", params, data)[-1]["layers"][0]["W_hh"], want)


def test_the_influence_goes_on_from_batch_to_batch():
    params, data = apart(weights(model("gru"))), batch(ragged=False)
    road = choose("snap1", lambda fast: model("gru", 1, fast), Truncation(T, T))

    @jax.jit
    def one(params, carry):
        def summed(params):
            return road.total(road.model, cross_entropy, params, carry, data, None)

        return jax.grad(summed, has_aux=True)(params)

    bars, (_, carry) = one(params, begun(road.model, params))
    more, _ = one(params, carry)
    twice = jax.tree.map(lambda a: np.concatenate([a, a], axis=1), data)
    close(jax.tree.map(np.add, bars, more), by_bptt("gru", params, twice)[-1])


def normed(inputs, hidden):
    """A unit's sum is normalised by those of all the others."""

    def forward(p, h, z, r):
        a = z + r
        return jnp.tanh((a - a.mean(-1, keepdims=True)) / (1 + a.std(-1, keepdims=True))), ()

    make = functools.partial(initial, inputs=inputs, hidden=hidden, blocks=1)
    return gated(make, zero_hidden, read_affine, Gate(forward, matrix_hh))


REFUSED = {
    "no gate .*: use rtrl": lambda fast: vector_model(X, V, "cho_gru", H, fast=fast),
    "W_hh acts on several units": lambda fast: recurrent(
        stack(normed(X, H), fast=fast), layers.dense(H, V)
    ),
    "no gate": lambda fast: window_model(V, 2, 3, 4),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_cell_without_weights_of_its_units_own_is_refused(why):
    with pytest.raises(BadInput, match=why) as caught:
        choose("snap1", REFUSED[why], Truncation(T, T))
    assert "\n" not in str(caught.value)


def rooted(gain):
    """A tanh cell whose units weigh what they read by the root of a weight: none below 0."""
    base = cells.vanilla(X, H)

    def init(key):
        return base.init(key) | {"W_gain": jnp.full(H, gain)}

    def read(w, x):
        z = base.read(w, x)
        return z * against(jnp.sqrt(w["W_gain"]), z)

    return base._replace(init=init, read=read)


@pytest.mark.parametrize("gain", [1.0, 0.0])
def test_a_weight_that_has_to_be_positive_is_not_taken_for_one_of_several_units(gain):
    made = rooted(gain)
    choose(
        "snap1",
        lambda fast: recurrent(stack(made, fast=fast), layers.dense(H, V)),
        Truncation(T, T),
    )


def test_it_needs_no_more_than_the_weights_for_each_number_of_a_unit():
    for cell, numbers in (("gru", 1), ("lstm", 2)):
        size = sum(a.size for a in jax.tree.leaves(weights(model(cell))["layers"]))
        assert needed_bytes("snap1", model(cell), B) == 3 * B * numbers * size * 8
