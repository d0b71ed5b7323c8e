"""Stopped after any step and started again, a run comes out in the same bits."""

import dataclasses
import functools
import importlib
import itertools
import json
import signal
from types import SimpleNamespace

import optax
import pytest

from experiments import cli
from experiments.__main__ import commands
from experiments.lengths import entrants
from experiments.lengths.settings import LengthSettings
from rnn_jax import fit, models, pace, tasks
from rnn_jax.data import sources, text
from rnn_jax.digest import digest
from rnn_jax.errors import Stopped
from rnn_jax.run import checkpoints, new_manifest

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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_notice_of_preemption_saves_the_step_it_meets(train, tmp_path, monkeypatch, kept, name):
    """What a scheduler sends before it takes the machine away; then the same command again."""
    number = signal.Signals[name]
    stop_at(monkeypatch, [20], number)
    with pytest.raises(Stopped) as stop:
        train(tmp_path / "run", STEPS)
    assert stop.value.number == number
    step = max(checkpoints.steps(tmp_path / "run"))
    assert step >= 20 and f"stopped at step {step};" in str(stop.value)
    if "whole" not in kept:
        kept["whole"] = train(tmp_path / "whole", STEPS)
    assert train(tmp_path / "run", STEPS) == kept["whole"]


def stop_at(monkeypatch, dispatches, number=signal.SIGTERM):
    """The signal arrives while these dispatches, counted over all that follows, get their data."""
    counted = itertools.count(1)

    def batches(*arguments):
        if next(counted) in dispatches:
            signal.raise_signal(number)
        return pace.batches(*arguments)

    monkeypatch.setattr(fit, "batches", batches)


# What makes each experiment that trains by steps small.
TOYS = {
    "char_lm": "--cell gru --layers 1 --hidden 6 --embed 3 --bptt 5 --lanes 4 --dropout 0.3"
    " --sample-length 3",
    "neural_lm": "--context 2 --hidden 5 --embed 3 --bptt 5 --lanes 4 --sample-length 3",
    "hello": "",
    "parity": "--cells gru --hidden 3 --lanes 4 --train-length 5",
    "sums": "--cells gru --hidden 3 --lanes 4 --train-length 5",
    "word_lm": "--epochs 0 --vocabulary 12 --layers 1 --hidden 4 --bptt 5 --lanes 4 --valid 0.2"
    " --sample-length 3",
    "gradients": "--entrants gru --hidden 4 --lag 2 --length 5 --seen 2 --lanes 4",
    "ladder": "--n 1 --windows 2 --cells gru --hidden 5 --embed 3 --bptt 5 --lanes 4",
}
MODULES = {
    command.name: importlib.import_module(f"experiments.{command.name}")
    for command in commands()
    if command.is_experiment
}
TRAINING = [
    name
    for name, module in MODULES.items()
    if name == "ladder" or issubclass(module.Config, cli.Settings)
]


def begin(name, path, out):
    """The experiment's whole command at toy size; its status."""
    module = MODULES[name]
    names = {field.name for field in dataclasses.fields(module.Config)}
    flags = [*TOYS[name].split(), "--steps", "6", "--out", str(out)]
    for flag, value in (("log_every", 1), ("eval_every", 3), ("save_every", 2)):
        if flag in names:
            flags += [f"--{flag.replace('_', '-')}", f"{value}"]
    if "corpus" in names:
        flags += ["--corpus", str(path)]
    if not issubclass(module.Config, LengthSettings):
        return module.main(flags)
    # Without what these verify and draw besides.
    config = cli.parse(module.Config, flags, name, "", module.Config())
    problem = module.problem() if name == "parity" else module.summation()
    learner = entrants.learner(config, problem, *config.cells)
    return cli.guard(lambda: entrants.train(config, name, learner, 0))


def recorded(out):
    """Of every run below a folder all rows, and the digests of all that it saved by itself."""
    found = {}
    for path in sorted(out.rglob("metrics.jsonl")):
        digests = {row["step"]: row["leaves"] for row in rows(path.parent, "digests.jsonl")}
        found[str(path.relative_to(out))] = rows(path.parent, path.name), digests
    return found


SLOW = ("gradients", "ladder", "word_lm")  # several networks each, or a large program


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.soak) if n in SLOW else n for n in TRAINING]
)
def test_every_experiment_stopped_twice_ends_in_the_same_bits(name, tmp_path, monkeypatch, capsys):
    """By a signal at its second dispatch, and at the second after that."""
    if name not in TOYS:
        pytest.skip(f"no toy size for {name} in TOYS")
    monkeypatch.setattr("rnn_jax.plots.curves", lambda rows, **labels: None)
    (tmp_path / "text.txt").write_text(TEXT)
    assert begin(name, tmp_path / "text.txt", tmp_path / "straight") == 0
    stop_at(monkeypatch, [2, 4])
    status = [begin(name, tmp_path / "text.txt", tmp_path / "cut") for _ in range(3)]
    assert status == [143, 143, 0]
    straight, cut = recorded(tmp_path / "straight"), recorded(tmp_path / "cut")
    assert straight and straight.keys() == cut.keys()
    for run, (told, digests) in straight.items():
        assert cut[run][0] == told, f"{run}: each row once, and the same"
        assert cut[run][1].items() >= digests.items() and max(digests) == 6
