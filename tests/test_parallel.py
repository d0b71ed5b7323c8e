"""Lanes on several devices against the same lanes on one."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest

from rnn_jax.digest import digest, named_leaves
from rnn_jax.errors import BadInput
from rnn_jax.layers import weight_drop
from rnn_jax.losses import cross_entropy
from rnn_jax.models import language_model
from rnn_jax.pace import batches
from rnn_jax.parallel import choose, data_parallel
from rnn_jax.tasks import Batch, Task
from rnn_jax.train import TrainState, create, make_step, make_steps

T, B, H, V, ROOM = 3, 8, 7, 11, 5
MODEL = language_model(V, "tanh", H, 2, dropout=0.3)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01))

pytestmark = pytest.mark.skipif(jax.local_device_count() != 4, reason="needs 4 devices")


def ragged(seed: int) -> Batch:
    """Tokens of uneven lanes: the later a lane, the more its steps weigh; some restart inside."""
    noise = np.random.default_rng(seed)
    tokens = noise.integers(0, V, (B, T + 1), np.int32)
    mask = np.arange(T) < noise.integers(1, T + 1, (B, 1))
    weights = mask * noise.uniform(0.1, 2.0 ** np.arange(B)[:, None], (B, T))
    fresh = noise.random((B, T)) < 0.1
    return Batch(tokens[:, :-1], tokens[:, 1:], weights.astype(np.float32), mask, fresh)


TASK = Task(ragged, lambda: [], cross_entropy, B, 100, B * T)


CREATE = jax.jit(lambda params: create(MODEL, OPTIMIZER, params, B, average=True))


def begin() -> TrainState:
    noise = np.random.default_rng(1)
    params = jax.tree.map(
        lambda a: (noise.normal(size=a.shape) / a.shape[0] ** 0.5).astype(a.dtype),
        jax.eval_shape(MODEL.init, jax.random.key(0)),
    )
    return CREATE(params)


@functools.cache
def advance(devices: int) -> Callable:
    noise = functools.partial(weight_drop, rate=0.2)
    steps = make_steps(make_step(MODEL, cross_entropy, OPTIMIZER, 0.9, noise))
    return functools.partial(data_parallel(steps, devices), key=jax.random.key(7))


def train(devices: list[int]) -> tuple[TrainState, list[float]]:
    """ROOM steps in one dispatch on each of these numbers of devices, one after another."""
    state, losses = begin(), []
    for count in devices:
        data, _ = batches(TASK, int(state.step), ROOM, ROOM)
        state, metrics = advance(count)(state, data, np.int32(ROOM))
        losses += metrics.loss.tolist()
        state = jax.device_put(jax.tree.map(np.array, state))  # as a checkpoint would
    return state, losses


def close(a: Any, b: Any, tolerance: float) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


@functools.cache
def alone() -> tuple[TrainState, list[float]]:
    return train([1] * 4)


@pytest.mark.parametrize("devices", [[2] * 4, [4] * 4, [4, 1, 2, 4]], ids=["two", "four", "mixed"])
def test_several_devices_equal_one_over_twenty_steps(devices: list[int]) -> None:
    state, losses = train(devices)
    assert state.step == 20 and state.skipped == 0
    close((state, losses), alone(), 1e-5)


def test_state_has_no_device_axis() -> None:
    """What came from four devices is saved and digested as if from one."""
    state, _ = advance(4)(begin(), batches(TASK, 0, ROOM, ROOM)[0], np.int32(ROOM))
    shapes = jax.eval_shape(begin)
    assert jax.tree.map(np.shape, state) == jax.tree.map(np.shape, shapes)
    assert list(named_leaves(state)) == list(named_leaves(shapes))
    assert digest(jax.tree.map(np.array, state)) == digest(state)


def test_loss_is_the_sum_over_devices_not_the_mean_of_means() -> None:
    """One device's own mean is the loss when the loss looks at no other device's lanes."""
    devices, (data, _) = 4, batches(TASK, 0, 1, ROOM)

    def loss(lanes: np.ndarray) -> float:
        seen = data._replace(weights=data.weights * lanes[:, None].astype(np.float32))
        return float(advance(devices)(begin(), seen, np.int32(1))[1].loss.tolist()[0])

    on = np.arange(B) // (B // devices)
    means = np.array([loss(on == device) for device in range(devices)])
    sums = np.array([data.weights[0, on == device].sum() for device in range(devices)])
    got = loss(np.ones(B))
    np.testing.assert_allclose(got, (means * sums).sum() / sums.sum(), rtol=1e-6)
    assert abs(got - means.mean()) > 0.01


def test_step_broken_on_one_device_is_skipped_on_all() -> None:
    """A lane of the third device, then a weight on the first; the steps between go on alike."""
    ends = []
    for devices in (1, 4):
        state = begin()
        lower, upper = map(np.array, state.carry)
        upper[5, 2] = np.nan
        state = state.replace(carry=(lower, upper))
        data, _ = batches(TASK, 0, ROOM, ROOM)
        data.mask[0, 5], data.fresh[0] = True, False
        data.weights[0, 5] = 1.0
        data.weights[2, 1, 0], data.mask[2, 1, 0] = np.inf, True
        ends.append(advance(devices)(state, data, np.int32(ROOM)))
    (one, of_one), (four, of_four) = ends
    assert np.isfinite(of_four.loss).tolist() == [False, True, False, True, True]
    assert one.skipped == four.skipped == 2 and four.step == ROOM
    assert np.isfinite(jax.tree.leaves(four.carry)).all()
    close(four, one, 1e-5)
    close(of_four, of_one, 1e-5)


def test_all_takes_the_largest_number_that_divides_and_says_so() -> None:
    assert choose("all", 8) == (4, "4 of 4 devices")
    for lanes, want in [(6, 3), (2, 2), (7, 1)]:
        count, note = choose("all", lanes)
        assert count == want
        assert f"{want} of 4" in note and f"{lanes} lanes" in note and "\n" not in note
    assert [choose(str(n), 8) for n in (1, 2, 4)] == [(1, None), (2, None), (4, None)]


@pytest.mark.parametrize(
    ("asked", "lanes", "says"),
    [
        ("3", 8, "does not divide 8 lanes"),
        ("8", 8, "only 4"),
        ("0", 8, "from 1 up"),
        ("-1", 8, "from 1 up"),
        ("1.5", 8, "from 1 up"),
        ("both", 8, "or all"),
        ("", 8, "or all"),
    ],
)
def test_devices_that_cannot_be_had_are_one_clear_line(asked: str, lanes: int, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        choose(asked, lanes)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"--devices {asked}")
