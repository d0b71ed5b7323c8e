"""Numbers that go wrong: what is skipped too often stops the run, what jumps is told."""

import functools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_jax import fit, losses, models, tasks, trouble
from rnn_jax.errors import BadInput
from rnn_jax.run import checkpoints, new_manifest

LANES, T = 2, 3


def loss(ys, targets):
    """Cross-entropy; 50 times as much where a target is 3 too large."""
    each = losses.cross_entropy(ys, targets % 3)
    return jnp.where(targets >= 3, 50 * each, each)


def recipe(bad=(), high=()):
    """Random tokens of three, never learned; some steps have a NaN as weight, some a high loss."""

    def batch(position):
        rng = np.random.default_rng(position + 1)
        inputs, targets = rng.integers(0, 3, (2, LANES, T)).astype(np.int32)
        weights = np.ones((LANES, T), np.float32)
        if position in bad:
            weights[0, 1] = np.nan
        return tasks.Batch(inputs, targets + 3 * (position in high), weights=weights)

    model = models.language_model(3, "tanh", 4, 1)
    task = tasks.Task(batch, lambda: [batch(-1)], loss, LANES, 1, LANES * T)
    return fit.Recipe(model, task, optax.sgd(0.0), seed=0)


def train(folder, recipe, steps, max_skipped=3, log_every=1):
    config = SimpleNamespace(
        patience=0,
        **{"steps": steps, "log_every": log_every, "eval_every": 1000, "save_every": 1000},
        **{"devices": "1", "invariant": False, "tensorboard": False, "max_skipped": max_skipped},
        **{"out": "", "checkpoints": ""},
    )
    return fit.fit(folder, new_manifest("toy", {}, []), recipe, config)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_too_many_skipped_updates_stop_the_run_with_step_leaf_and_batch(tmp_path):
    """From step 5 on every batch is bad: 5, 6 and 7 are skipped, 8 is looked at and not done."""
    broken = recipe(bad=range(4, 99))
    with pytest.raises(BadInput) as problem:
        train(tmp_path / "run", broken, 60)
    told = str(problem.value)
    step = rows(tmp_path / "run")[-1]["step"] + 1
    assert 8 <= step <= 40, "at the end of a dispatch, none of which is long"
    assert told.startswith(f"step {step}: ") and "params/layers/0/W_hh and" in told
    assert "\n" not in told and "--max-skipped" in told
    assert checkpoints.steps(tmp_path / "run") == [step - 1]
    with np.load(tmp_path / "run" / f"skipped-{step}.npz", allow_pickle=False) as kept:
        batch = broken.task.batch(step - 1)
        assert set(kept) == {"inputs", "targets", "weights"}
        for name in kept:
            np.testing.assert_array_equal(kept[name], getattr(batch, name))


def test_the_stopped_run_stops_there_again_and_goes_on_where_it_may(tmp_path):
    broken = recipe(bad=range(4, 99))
    with pytest.raises(BadInput):
        train(tmp_path / "run", broken, 20)
    before = rows(tmp_path / "run")
    with pytest.raises(BadInput, match="step "):
        train(tmp_path / "run", broken, 30)
    assert rows(tmp_path / "run")[: len(before)] == before
    outcome = train(tmp_path / "run", broken, 30, max_skipped=0)
    assert int(outcome.state.step) == 30 and int(outcome.state.skipped) == 26


def test_a_few_skipped_updates_stop_nothing(tmp_path):
    outcome = train(tmp_path / "run", recipe(bad=(1, 2, 5, 6, 9)), 12)
    assert int(outcome.state.step) == 12 and int(outcome.state.skipped) == 5


def test_only_rows_that_follow_each_other_up_to_the_step_are_in_a_row():
    bad = {"loss": None, "gradient_norm": None}
    told = [{"step": 1, **bad}, {"step": 2, "loss": 1.0, "gradient_norm": 1.0}]
    told += [{"step": 4, **bad}, {"step": 5, "loss": 1.0, "gradient_norm": None}]
    assert trouble.skipped_in_a_row(told, 5) == 2
    assert trouble.skipped_in_a_row(told, 6) == 0 and trouble.skipped_in_a_row([], 3) == 0


def test_what_is_not_finite_is_named():
    one = recipe()
    looking = lambda by, of=one: of._replace(optimizer=by).step()
    state, key = one.start(), one.key()
    assert trouble.not_finite(looking, state, one.task.batch(0), key) == []
    broken = recipe(bad=(0,))
    every = trouble.not_finite(looking, state, broken.task.batch(0), key)
    assert every[-1] == "loss" and len(every) == 1 + len(jax.tree.leaves(state.params))
    steep = one._replace(task=one.task._replace(loss=lambda *to: 1e30 * loss(*to)))
    looking = functools.partial(looking, of=steep)
    assert trouble.not_finite(looking, state, one.task.batch(0), key) == ["norm"]


def test_a_spike_is_six_deviations_above_the_last_two_hundred():
    noise = np.random.default_rng(1).normal(2.0, 0.1, 300)
    spikes = trouble.Spikes([{"step": i, "loss": float(x)} for i, x in enumerate(noise)])
    mean, deviation = noise[-200:].mean(), noise[-200:].std()
    assert spikes.height(mean + 5.99 * deviation) is None
    assert spikes.height(mean + 6.5 * deviation) == pytest.approx(6.5)
    assert spikes.height(float("nan")) is None and spikes.height(0.0) is None
    some = [{"loss": None}] * 20 + [{"loss": float(x)} for x in noise]
    resumed = trouble.Spikes(some[::-1])
    assert resumed.height(1e9) == trouble.Spikes(some[:19:-1]).height(1e9), "200 that are finite"
    few = trouble.Spikes([{"step": i, "loss": float(x)} for i, x in enumerate(noise[:49])])
    assert few.height(99.0) is None, "too few to know"
    few.add(2.0)
    assert few.height(99.0) > 6
    assert trouble.Spikes([{"loss": 1.0}] * 200).height(1.0000001) is None


def test_a_jump_of_the_loss_is_a_line_and_a_row(tmp_path, capsys):
    """Step 121 is not one that logs; the losses of the others vary as the tokens do."""
    train(tmp_path / "run", recipe(high=(120,)), 130, log_every=2)
    told = {row["step"]: row.get("spike") for row in rows(tmp_path / "run")}
    assert [step for step, height in told.items() if height] == [121] and told[121] > 6
    assert set(told) == {*range(2, 131, 2), 121}
    assert capsys.readouterr().err.count("step 121: loss ") == 1
