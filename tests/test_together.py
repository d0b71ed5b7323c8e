"""Seeds in one program: the data of each to the bit, its results to rounding."""

import jax
import numpy as np
import optax
import pytest

from rnn_jax import losses, models, pace, tasks
from rnn_jax.data import synthetic
from rnn_jax.recipe import Recipe
from rnn_jax.together import together

V, B, T, S, ROOM = 5, 3, 4, 2, 4


def task(seed):
    def batch(position):
        xs = synthetic.generator(seed, position).integers(0, V, (B, T), np.int32)
        return tasks.Batch(xs, np.roll(xs, 1, axis=1), fresh=np.full(B, position % 2 == 0))

    return tasks.Task(batch, list, losses.cross_entropy, B, 100, B * T)


def recipes(shared):
    model = models.language_model(V, "gru", 7, 1, 6, dropout=0.3)
    return [Recipe(model, task(0 if shared else s), optax.adam(0.01), s, 0.9) for s in range(S)]


@pytest.mark.parametrize("shared", [pytest.param(True, marks=pytest.mark.slow), False])
def test_seeds_in_one_program_train_as_each_alone(shared):
    those = recipes(shared)
    if shared:
        those = [one._replace(task=those[0].task) for one in those]
    side = together(those, ROOM)
    state, found = side.start(), []
    for position, count in ((0, 1), (1, 3)):
        data = side.data(position, count)
        for s, one in enumerate(those):
            alone, _ = pace.batches(one.task, position, count, ROOM)
            ours = data if shared else jax.tree.map(lambda a, s=s: a[s], data)
            jax.tree.map(np.testing.assert_array_equal, ours, alone)
        state, metrics = side.advance(state, data, count)
        found.append(np.asarray(metrics.loss)[:, :count])
    found = np.concatenate(found, axis=1)
    steps = jax.jit(those[0].steps())
    for s, one in enumerate(those):
        data, _ = pace.batches(one.task, 0, ROOM, ROOM)
        alone, metrics = steps(one.start(), data, np.int32(ROOM), one.key())
        np.testing.assert_allclose(found[s], metrics.loss, rtol=1e-5)
        for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(np.asarray(a)[s], b, rtol=1e-3, atol=1e-5)
    assert abs(found[0] - found[1]).min() > 1e-4, "seeds differ"


def test_runs_of_different_shapes_are_refused():
    one, other = recipes(True)
    wider = other._replace(model=models.language_model(V, "gru", 8, 1, 6))
    with pytest.raises(ValueError, match="equal shapes"):
        together([one, wider], ROOM)
