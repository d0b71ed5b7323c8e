"""Stopped after any step and started again, a run comes out in the same bits."""

import functools
import json
from types import SimpleNamespace

import optax
import pytest

from experiments import hello, lengths, parity
from experiments.lengths import entrants
from rnn_jax import fit, models, tasks
from rnn_jax.data import sources, text
from rnn_jax.digest import digest
from rnn_jax.run import new_manifest

STEPS = 50
TEXT = "to be, or not to be: that is the question. " * 11

pytestmark = pytest.mark.usefixtures("one_compilation_of_each_program")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Dropout, an average, Adam with a schedule and clipping; two epochs and more in 50 steps."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    corpus = text.load(sources.read([str(path)]), "characters", "tail", 0.2, 0.0)
    task = tasks.next_token(corpus, 4, 5)
    assert 2 * task.chunks < STEPS and task.chunks % 5
    rate = optax.cosine_decay_schedule(0.01, STEPS)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    model = models.language_model(len(corpus.vocabulary), "lstm", 6, 1, embed=3, dropout=0.3)
    made = fit.Recipe(model, task, optimizer, seed=3, average=0.9)
    steps = made.steps()

    class Compiled(fit.Recipe):
        """The same, but its program is compiled once for all runs of this module."""

        def steps(self, **_):
            return steps

    return Compiled(*made)


@pytest.fixture
def train(recipe, monkeypatch):
    """``(folder, steps) -> the state's digest``; every step is saved, every third evaluated."""
    monkeypatch.setattr(fit, "make_evaluate", functools.cache(fit.make_evaluate))
    monkeypatch.setattr(fit.parallel, "data_parallel", functools.cache(fit.parallel.data_parallel))
    monkeypatch.setattr("rnn_jax.plots.curves", lambda rows, **labels: None)  # most of the time

    def trained(folder, steps):
        config = SimpleNamespace(
            **{"steps": steps, "log_every": 2, "eval_every": 3, "save_every": 1},
            **{"devices": "1", "invariant": False, "tensorboard": False, "max_skipped": 20},
        )
        manifest = new_manifest("toy", {}, [])
        return digest(fit.fit(folder, manifest, recipe, config, lambda s, w: (f"{s}", "x")).state)

    return trained


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def kept():
    return {}


def test_resumed_at_each_of_fifty_steps_and_at_every_resume_again_it_is_the_same_run(
    train, tmp_path
):
    """A chain of fifty resumes of one step each passes through the states of one straight run."""
    whole = train(tmp_path / "straight", STEPS)
    chain = [train(tmp_path / "chain", step) for step in range(1, STEPS + 1)]
    straight = rows(tmp_path / "straight", "digests.jsonl")
    assert [row["digest"] for row in straight] == chain and chain[-1] == whole
    assert len(set(chain)) == STEPS
    for name in ("metrics.jsonl", "digests.jsonl"):
        ours, theirs = (rows(tmp_path / run, name) for run in ("chain", "straight"))
        there = {row["step"]: row for row in ours}
        assert len(there) == len(ours), "each step stands once"
        # The chain evaluates more often: a command ends with an evaluation.
        assert all(row.items() <= there[row["step"]].items() for row in theirs)


@pytest.mark.parametrize("stops", [(1, 2, 49), (18, 35)])
def test_a_resume_of_a_resume_across_epochs_ends_as_if_never_stopped(train, tmp_path, stops, kept):
    if "whole" not in kept:
        kept["whole"] = train(tmp_path / "whole", STEPS)
    for step in stops:
        train(tmp_path / "run", step)
    assert train(tmp_path / "run", STEPS) == kept["whole"]


def last_digests(folder):
    """Of every run below a folder, what its last save held."""
    paths = sorted(folder.rglob("digests.jsonl"))
    return {str(path.relative_to(folder)): rows(path.parent, path.name)[-1] for path in paths}


def hello_run(out, steps):
    flags = ["--log-every", "1", "--eval-every", "3", "--save-every", "2"]
    assert hello.main([*flags, "--out", str(out), "--steps", str(steps)]) == 0


def lengths_run(module, problem, cell, out, steps):
    """One network of `parity` or `sums`, without what they verify and draw besides."""
    config = module.Config(
        **{"cells": (cell,), "hidden": 3, "lanes": 4, "train_length": 5, "test_length": 9},
        **{"eval_every": 3, "save_every": 2, "steps": steps, "out": str(out)},
    )
    learner = lengths.learner(config, problem, cell)
    entrants.train(config, "lengths", learner, 0)


OTHER = {
    "hello": hello_run,
    "parity": lambda *to: lengths_run(parity, parity.problem(), "gru", *to),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_experiments_go_on_to_the_same_bits(name, tmp_path):
    """Seven steps straight, and three, then on to seven."""
    for folder, steps in (("straight", 7), ("cut", 3), ("cut", 7)):
        OTHER[name](tmp_path / folder, steps)
    found = last_digests(tmp_path / "straight")
    assert found == last_digests(tmp_path / "cut")
    assert found and all(row["step"] == 7 for row in found.values())
