"""Truncated BPTT against plain Python, and what a step does when something is not a number."""

import functools
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import jaxlib
import numpy as np
import optax
import pytest

from rnn_jax import cells, layers
from rnn_jax.data.text import Stream
from rnn_jax.digest import digest
from rnn_jax.evaluate import make_evaluate
from rnn_jax.losses import cross_entropy
from rnn_jax.models import Model, language_model, recurrent, stack
from rnn_jax.pace import batches
from rnn_jax.parallel import data_parallel
from rnn_jax.tasks import Batch, Task, held_out
from rnn_jax.train import TrainState, create, make_step, make_steps

T, B, X, H, V = 4, 3, 5, 7, 11
LSTM = language_model(V, "lstm", H, 1)
TANH = language_model(V, "tanh", H, 2)
DROPPED = language_model(V, "tanh", H, 2, dropout=0.5)
# A start that is learned tells "starts afresh" from "becomes zero".
VECTORS = recurrent(
    stack(*[cells.vanilla(size, H, learned_start=True) for size in (X, H)]),
    layers.dense(H, V),
)
APPLIED = jax.jit(VECTORS.apply)
SGD, ADAM = optax.sgd(0.5), optax.adam(0.1)
ONES = np.ones((B, T), np.float32)


def chunk(seed: int, **parts: Any) -> Batch:
    tokens = np.random.default_rng(seed).integers(0, V, (B, T + 1), np.int32)
    return Batch(tokens[:, :-1], tokens[:, 1:], ONES)._replace(**parts)


def vector_chunk(seed: int, **parts: Any) -> Batch:
    noise = np.random.default_rng(seed)
    return chunk(seed, inputs=noise.normal(size=(B, T, X)).astype(np.float32), **parts)


def weights(model: Model) -> Any:
    """Random parameters, biases and starts too, without the cost of compiling an initialization."""
    noise = np.random.default_rng(1)
    return jax.tree.map(
        lambda a: (noise.normal(size=a.shape) / a.shape[0] ** 0.5).astype(a.dtype),
        jax.eval_shape(model.init, jax.random.key(0)),
    )


def begin(model: Model, optimizer: Any = SGD, average: bool = False) -> TrainState:
    return beginning(model, optimizer, average)(weights(model))


@functools.cache
def beginning(model: Model, optimizer: Any, average: bool) -> Any:
    return jax.jit(lambda params: create(model, optimizer, params, B, average))


@functools.cache
def jitted(model: Model, optimizer: Any = SGD, loss: Any = cross_entropy, **options: Any) -> Any:
    return jax.jit(make_step(model, loss, optimizer, **options))


def same(a: Any, b: Any) -> bool:
    return digest(a) == digest(b)


def close(a: Any, b: Any, tolerance: float) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


def chunk_loss(params: Any, carry: Any, batch: Batch) -> tuple[jax.Array, Any]:
    """The mean loss of a chunk of a one-layer LSTM, step by step, and its last carry."""
    cell, w, out, total = cells.lstm(V, H), params["layers"][0], params["out"], 0.0
    for t in range(T):
        carry, h = cell.step(w, carry, cell.read(w, batch.inputs[:, t]))
        y = jax.nn.log_softmax(h @ out["W_hy"] + out["b_y"][None])
        total -= jnp.sum(batch.weights[:, t] * y[jnp.arange(B), batch.targets[:, t]])
    return total / batch.weights.sum(), carry


def test_three_chunks_are_truncated_bptt_by_hand() -> None:
    rate, momentum, largest = 0.5, 0.9, 0.4
    optimizer = optax.chain(optax.clip_by_global_norm(largest), optax.sgd(rate, momentum))
    step, state = jitted(LSTM, optimizer), begin(LSTM, optimizer)
    params, (carry,) = jax.tree.map(np.asarray, (state.params, state.carry))
    velocity = jax.tree.map(np.zeros_like, params)
    by_hand = jax.jit(jax.value_and_grad(chunk_loss, has_aux=True))
    clipped = []
    for n in range(3):
        counts = np.random.default_rng(n).choice([0.0, 0.5, 1.0], (B, T)).astype(np.float32)
        batch = chunk(n, weights=counts)
        state, metrics = step(state, batch)
        (loss, carry), bars = jax.tree.map(np.asarray, by_hand(params, carry, batch))
        norm = np.sqrt(sum(np.sum(bar**2) for bar in jax.tree.leaves(bars)))
        clipped.append(norm > largest)
        velocity = jax.tree.map(
            lambda v, bar, norm=norm: momentum * v + bar * min(1, largest / norm), velocity, bars
        )
        params = jax.tree.map(lambda p, v: p - rate * v, params, velocity)
        close(tuple(metrics), (loss, norm), 2e-6)
        close((state.params, state.carry), (params, (carry,)), 1e-6)
    assert any(clipped) and state.step == 3 and state.skipped == 0


def test_gradient_stops_at_the_chunk_edge() -> None:
    first, second = (chunk(n, inputs=chunk(n).inputs % 9) for n in (0, 1))
    first.inputs[1, 2] = only = V - 1  # a token that the second chunk does not read
    step, start = jitted(TANH), begin(TANH)

    def row(state: TrainState) -> np.ndarray:
        return np.asarray(state.params["layers"][0]["W_xh"][only])

    middle, _ = step(start, first)
    end, _ = step(middle, second)
    assert (row(middle) != row(start)).all()
    assert (row(end) == row(middle)).all()
    # In one chunk the second half's loss alone does reach it.
    both = [np.concatenate(halves, 1) for halves in zip(first[:2], second[:2], strict=True)]
    whole, _ = step(start, Batch(*both, np.concatenate([0 * ONES, ONES], 1)))
    assert (row(whole) != row(start)).all()


def test_carry_crosses_the_chunk_edge_unless_the_lane_is_fresh() -> None:
    step, lane, none = jitted(VECTORS), 1, np.zeros(B, bool)
    start, first, other = begin(VECTORS), vector_chunk(0, fresh=none), vector_chunk(0, fresh=none)
    other.inputs[lane, 2] += 1
    ends = [step(start, batch)[0] for batch in (first, other)]
    middles = [ends[0].replace(carry=end.carry) for end in ends]  # they differ in the carry alone

    def late(fresh: np.ndarray) -> list[float]:
        return [float(step(state, vector_chunk(1, fresh=fresh))[1].loss) for state in middles]

    fresh = np.arange(B) == lane
    for crosses in (none, ~fresh):
        one, two = late(crosses)
        assert one != two
    for restart in (fresh, fresh[:, None] & (np.arange(T) == 0)):  # [B] and [B, T]
        one, two = late(restart)
        assert one == two


def test_learned_start_has_a_gradient_where_a_lane_is_fresh() -> None:
    step, before = jitted(VECTORS), begin(VECTORS)
    for lane, learns in [(B, False), (1, True)]:
        after, _ = step(before, vector_chunk(0, fresh=np.arange(B) == lane))
        for old, new in zip(before.params["layers"], after.params["layers"], strict=True):
            assert ((old["h_0"] != new["h_0"]) == learns).all()


# What conftest.py takes from XLA, given back to a program that is to be as users compile it.
AS_USERS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_parallel_codegen_split_count": 32,
}
if jaxlib.__version__.startswith("0.10."):
    AS_USERS["xla_cpu_use_fusion_emitters"] = True


def cut_apply(
    model: Model, lanes: int, steps: int, cuts: list[int], options: Any = None
) -> tuple[Any, Any]:
    """(carry, ys) in one chunk, and in the pieces between the cuts."""
    params = weights(model)
    tokens = np.random.default_rng(0).integers(0, params["out"]["b_y"].size, (steps, lanes))
    carry = jax.jit(model.start, static_argnums=1)(params, lanes)
    apply = jax.jit(model.apply, compiler_options=options)
    whole, pieces = apply(params, carry, tokens), []
    for piece in np.split(tokens, cuts):
        carry, ys = apply(params, carry, piece)
        pieces.append(ys)
    return whole, (carry, np.concatenate(pieces))


@pytest.mark.parametrize("embed", [0, 128])
def test_two_halves_are_the_whole_to_the_bit_at_char_lms_shapes(embed: int) -> None:
    """Optimised, for where XLA fuses and vectorises sums such claims are harder to keep."""
    whole, halves = cut_apply(language_model(66, "lstm", 128, 2, embed), 50, 50, [25], AS_USERS)
    assert same(whole, halves)


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm"])
def test_any_cut_of_any_lanes_is_the_whole(cell: str) -> None:
    for lanes, cuts in [(1, [1]), (3, [3])]:  # both halves of the latter are one program
        close(*cut_apply(language_model(V, cell, H, 1), lanes, 6, cuts), 1e-5)


def test_digest_does_not_depend_on_the_steps_in_a_dispatch() -> None:
    model = language_model(V, "lstm", H, 1, dropout=0.5)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), ADAM)
    advance = data_parallel(make_steps(make_step(model, cross_entropy, optimizer, 0.9)), 1)
    task = Task(chunk, lambda: [], cross_entropy, B, 100, B * T)
    ends = []
    for counts in ([1, 1, 1, 1], [4], [3, 1], [2, 2]):
        state, losses = begin(model, optimizer, average=True), []
        for count in counts:
            data, _ = batches(task, int(state.step), count, 4)
            state, metrics = advance(state, data, np.int32(count), jax.random.key(7))
            assert not np.asarray(metrics.loss)[count:].any()
            losses += np.asarray(metrics.loss)[:count].tolist()
        assert state.step == 4 and len(set(losses)) == 4
        ends.append((digest(state), losses))
    assert all(end == ends[0] for end in ends)


@pytest.mark.parametrize("what", ["input", "carry", "weight"])
def test_step_that_is_not_finite_changes_nothing_and_is_counted(what: str) -> None:
    step, broken = jitted(VECTORS, ADAM, decay=0.2), 1
    before, _ = step(begin(VECTORS, ADAM, average=True), vector_chunk(0))
    batch, carry = vector_chunk(1), before.carry
    want, _ = APPLIED(before.params, carry, np.swapaxes(batch.inputs, 0, 1))
    if what == "input":
        batch.inputs[broken, 2, 3] = np.nan
    elif what == "carry":  # of the upper layer alone: the lower one is sound, the lane is not
        carry = (carry[0], np.array(carry[1]))
        carry[1][broken, 4] = np.nan
    else:  # the loss is infinite and every carry is sound
        batch = batch._replace(weights=ONES * np.float32([1, 1, np.inf, 1]))
    after, metrics = step(before.replace(carry=carry), batch)
    assert not np.isfinite(metrics.loss) and after.skipped == 1 and after.step == 2
    for part in ("params", "opt_state", "average"):
        assert same(getattr(after, part), getattr(before, part)), part
    if what != "weight":
        want = tuple(map(np.array, want))
        for h, w in zip(want, before.params["layers"], strict=True):
            h[broken] = w["h_0"]
    close(after.carry, want, 1e-6)
    again, metrics = step(after, vector_chunk(2))
    assert np.isfinite(metrics.loss) and again.skipped == 1 and again.step == 3
    assert not same(again.params, after.params) and not same(again.average, after.average)


def test_finite_loss_with_a_gradient_that_is_not_is_skipped() -> None:
    def loss(ys: jax.Array, targets: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.abs(ys - targets[..., None])).sum(-1)  # no slope at 0

    state = begin(TANH)
    state.params["out"] = jax.tree.map(np.zeros_like, weights(TANH)["out"])
    after, metrics = jitted(TANH, SGD, loss)(state, chunk(0, targets=0 * ONES))
    assert metrics.loss == 0 and not np.isfinite(metrics.gradient_norm)
    assert after.skipped == 1 and same(after.params, state.params)


def test_chunk_in_which_the_loss_looks_nowhere_is_no_accident() -> None:
    start = begin(TANH)
    end, metrics = jitted(TANH)(start, chunk(0, weights=0 * ONES))
    assert end.skipped == 0 and end.step == 1 and tuple(metrics) == (0, 0)
    assert same(end.params, start.params) and not same(end.carry, start.carry)


def test_loss_is_the_mean_over_the_weighted_steps() -> None:
    mask = np.arange(T) < np.array([T, 1, 3])[:, None]
    counts = np.where(mask, np.float32([2, 0.25, 0, 0.5]), 0)
    batch, state = chunk(0), begin(TANH)
    log_p = jax.jit(lambda *inputs: jax.nn.log_softmax(TANH.apply(*inputs)[1]))
    ys = np.asarray(log_p(state.params, state.carry, batch.inputs.T))
    each = -np.take_along_axis(ys, batch.targets.T[..., None], -1)
    want = (each[..., 0].T * counts).sum() / counts.sum()
    # What is not there may be anything.
    ragged = batch._replace(
        inputs=np.where(mask, batch.inputs, V + 5),
        targets=np.where(mask, batch.targets, -(10**6)),
        weights=counts,
        mask=mask,
    )
    end, metrics = jitted(TANH)(state, ragged)
    np.testing.assert_allclose(metrics.loss, want, rtol=1e-6)
    assert end.skipped == 0


def test_average_follows_its_formula() -> None:
    decay, short = 0.2, []
    step, state = jitted(VECTORS, ADAM, decay=decay), begin(VECTORS, ADAM, average=True)
    want = state.params
    for n in range(4):
        state, _ = step(state, vector_chunk(n))
        d = min(decay, (1 + n) / (10 + n))
        short.append(d < decay)
        new = jax.tree.map(np.asarray, state.params)
        want = jax.tree.map(lambda a, p, d=d: d * np.asarray(a) + (1 - d) * p, want, new)
        close(state.average, want, 1e-6)
    assert short == [True, True, False, False]


def test_dropout_is_off_without_a_key() -> None:
    start = begin(TANH)
    assert same(*(jitted(model)(start, chunk(0)) for model in (TANH, DROPPED)))


def test_dropout_is_decided_by_seed_step_and_lane() -> None:
    @jax.jit
    def carries(seed: Any, step: Any, batch: Batch) -> Any:
        state = begin(DROPPED).replace(step=step)
        step = make_step(DROPPED, cross_entropy, SGD)
        return step(state, batch, jax.random.key(seed))[0].carry

    alike = jax.tree.map(lambda a: a[:1].repeat(B, 0), chunk(0))
    lower, upper = carries(0, 0, alike)
    # Nothing is dropped before the first layer; above it each lane has a mask of its own.
    different = [len({digest(lane) for lane in layer}) for layer in (lower, upper)]
    assert different == [1, B]
    assert same(carries(0, 0, alike), (lower, upper))
    others = [carries(1, 0, alike)[1], carries(0, 1, alike)[1], carries(0, 2, alike)[1]]
    assert len({digest(carry) for carry in [upper, *others]}) == 4


def test_dropout_keeps_the_expected_value() -> None:
    keys = jax.random.split(jax.random.key(0), 20)
    x = np.broadcast_to(np.linspace(1, 2, 30, dtype=np.float32), (50, 20, 30))
    both = jax.jit(lambda keys: [layers.dropout(keys, x, rate) for rate in (0.2, 0.7)])(keys)
    for rate, y in zip((0.2, 0.7), both, strict=True):
        ratio = np.asarray(y, np.float64) / x
        kept = ratio != 0
        np.testing.assert_allclose(ratio[kept], 1 / (1 - rate), rtol=1e-5)
        sigma = np.sqrt(rate / (1 - rate) / ratio.size)
        assert abs(ratio.mean() - 1) < 4 * sigma
        for axis in range(3):  # entries are independent: a mean over n has a variance of 1/n
            spread = kept.mean(axis).var() * kept.shape[axis] / (rate * (1 - rate))
            assert 0.8 < spread < 1.2


def test_locked_dropout_is_one_mask_for_all_steps():
    keys, x = jax.random.split(jax.random.key(0), 20), np.ones((5, 20, 300), np.float32)
    y = np.asarray(jax.jit(lambda keys: layers.dropout(keys, x, 0.3, locked=True))(keys))
    assert (y == y[0]).all() and len({lane.tobytes() for lane in y[0].T}) > 250
    assert abs(y.mean() - 1) < 4 * np.sqrt(0.3 / 0.7 / y[0].size)


def test_weight_drop_is_the_gradient_at_weights_with_holes() -> None:
    """Only W_hh has holes, other ones in each layer and at each step, and none without a key."""
    noise = functools.partial(layers.weight_drop, rate=0.4)
    start = begin(TANH)
    dropped = jax.tree.map(np.asarray, jax.jit(noise)(jax.random.key(3), start.params))
    changed = [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(start.params), jax.tree.leaves(dropped), strict=True
        )
        if not np.array_equal(a, b)
    ]
    assert changed == ["['layers'][0]['W_hh']", "['layers'][1]['W_hh']"]
    holes = [layer["W_hh"] == 0 for layer in dropped["layers"]]
    assert (holes[0] != holes[1]).any() and 0.2 < np.mean(holes) < 0.6
    kept = dropped["layers"][0]["W_hh"] / np.asarray(start.params["layers"][0]["W_hh"])
    np.testing.assert_allclose(kept[~holes[0]], 1 / 0.6, rtol=1e-6)
    with_noise = jitted(TANH, noise=noise)
    assert same(with_noise(start, chunk(0)), jitted(TANH)(start, chunk(0)))
    key = jax.random.key(1)
    ends = [with_noise(start.replace(step=i), chunk(0), key)[1].loss for i in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]


def test_evaluation_is_one_stream_read_once() -> None:
    """300 steps in 50 lanes: the last are warmed up by 256 steps, the others by all before them."""
    model = language_model(V, "gru", H, 1, dropout=0.5)
    params = weights(model)
    tokens = np.random.default_rng(0).integers(0, V, 301, np.int32)
    stream = Stream(tokens[:-1], tokens[1:], np.arange(300) == 0)
    task = Task(chunk, held_out(stream), cross_entropy, B, 100, B * T)
    log_p = lambda W, xs: jax.nn.log_softmax(model.apply(W, model.start(W, 1), xs)[1])
    ys = np.asarray(jax.jit(log_p)(params, tokens[:-1, None]))
    want = -ys[np.arange(300), 0, tokens[1:]].mean()
    np.testing.assert_allclose(make_evaluate(model, task)(params).loss, want, rtol=1e-6)


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm", "cho_gru"])
def test_every_step_lowers_for_gpus_and_tpus(cell: str) -> None:
    model = language_model(V, cell, H, 2, embed=X, dropout=0.5)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), ADAM)
    step = make_steps(make_step(model, cross_entropy, optimizer, 0.9))
    batch = chunk(0, mask=ONES > 0, fresh=ONES > 0)
    state = jax.eval_shape(lambda: begin(model, optimizer, average=True))
    data = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), batch)
    exported = jax.export.export(jax.jit(step), platforms=["cuda", "tpu"])(
        state, data, jax.ShapeDtypeStruct((), jnp.int32), jax.eval_shape(jax.random.key, 0)
    )
    assert exported.platforms == ("cuda", "tpu") and exported.mlir_module_serialized
