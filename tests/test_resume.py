"""Stopped after any step and started again, a run comes out in the same bits."""

import dataclasses
import importlib
import itertools
import json
import math
import signal
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
import toy

from experiments import cli
from experiments.__main__ import commands
from rnn_jax import fit, models, pace, tasks
from rnn_jax.data import sources, text
from rnn_jax.digest import digest
from rnn_jax.errors import Stopped
from rnn_jax.evaluate import Evaluation
from rnn_jax.run import checkpoints, new_manifest

STEPS = 20  # of the runs that are cut; two epochs and more
LONG = 50  # of those that may end before


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Dropout, an average, Adam with a schedule and clipping."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(toy.TEXT[: len(toy.TEXT) // 2])
    corpus = text.load(sources.read([str(path)]), "characters", "tail", 0.2, 0.0)
    task = tasks.next_token(corpus, 4, 5)
    assert 2 * task.chunks < STEPS and task.chunks % 5
    rate = optax.cosine_decay_schedule(0.01, LONG)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    model = models.language_model(len(corpus.vocabulary), "lstm", 6, 1, embed=3, dropout=0.3)
    return fit.Recipe(model, task, optimizer, seed=3, average=0.9)


@pytest.fixture
def outcome(recipe):
    """``(folder, steps) -> fit's outcome``; evaluated at every third step."""

    def trained(folder, steps, save_every=LONG, patience=0):
        config = SimpleNamespace(
            patience=patience,
            **{"steps": steps, "log_every": 2, "eval_every": 3, "save_every": save_every},
            **{"devices": "1", "invariant": False, "tensorboard": False, "max_skipped": 20},
            **{"out": "", "checkpoints": ""},
        )
        manifest = new_manifest("toy", {}, [])
        return fit.fit(folder, manifest, recipe, config, lambda s, w: (f"{s}", "x"))

    return trained


@pytest.fixture
def train(outcome):
    """``(folder, steps) -> the state's digest``."""
    return lambda *which, **how: digest(outcome(*which, **how).state)


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.mark.parametrize("steps", [STEPS, pytest.param(LONG, marks=pytest.mark.slow)])
def test_resumed_at_each_of_its_steps_and_at_every_resume_again_it_is_the_same_run(
    train, tmp_path, steps
):
    """A chain of resumes of one step each passes through the states of one straight run."""
    whole = train(tmp_path / "straight", steps, save_every=1)
    chain = [train(tmp_path / "chain", step) for step in range(1, steps + 1)]
    straight = rows(tmp_path / "straight", "digests.jsonl")
    assert [row["digest"] for row in straight] == chain and chain[-1] == whole
    assert len(set(chain)) == steps
    for name in ("metrics.jsonl", "digests.jsonl"):
        ours, theirs = (rows(tmp_path / run, name) for run in ("chain", "straight"))
        there = {row["step"]: row for row in ours}
        assert len(there) == len(ours), "each step stands once"
        # The chain evaluates more often: a command ends with an evaluation.
        assert all(row.items() <= there[row["step"]].items() for row in theirs)


@pytest.mark.parametrize("stops", [(1, 2, 19), (7, 13)])
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
    stop_at(monkeypatch, [4], number)
    with pytest.raises(Stopped) as stop:
        train(tmp_path / "run", STEPS)
    assert stop.value.number == number
    step = max(checkpoints.steps(tmp_path / "run"))
    assert 4 <= step < STEPS and f"stopped at step {step};" in str(stop.value)
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


# Of the evaluations at every third step. The last three lead nowhere, but the run ends before.
SCORES = (5, 4, math.nan, 4, 3, 3.5, 3, math.nan, 2, 2, 2.5, 9, 1, 1.5, 1.5, 1.5)
ENDS = {2: 12, 3: 24, 4: LONG}  # patience: where it is lost, or the run is done


@pytest.fixture
def scored(outcome, monkeypatch):
    """`outcome`, with these scores; where else a command ends its evaluation is the best of all."""

    def score(state):
        nth, rest = divmod(int(state.step), 3)
        return Evaluation(0.0 if rest else SCORES[nth - 1], None)

    monkeypatch.setattr(fit, "weights", lambda state: state)
    monkeypatch.setattr(fit, "make_evaluate", lambda *_: score)
    return outcome


def test_patience_ends_a_run_at_the_same_step_however_it_came_there(scored, tmp_path, monkeypatch):
    for patience, end in ENDS.items():
        whole = scored(tmp_path / f"{patience}", LONG, patience=patience)
        assert (int(whole.state.step), whole.early) == (end, end < LONG)
        assert max(checkpoints.steps(tmp_path / f"{patience}")) == end
        if patience == 3:
            expected = digest(whole.state)
    for steps in (5, 13, 23, LONG):
        found = scored(tmp_path / "chain", steps, patience=3)
    assert (digest(found.state), found.early) == (expected, True)
    monkeypatch.setattr(pace, "_DISPATCH_SECONDS", 0.0)  # a step a dispatch
    assert digest(scored(tmp_path / "slow", LONG, patience=3).state) == expected
    assert rows(tmp_path / "slow", "metrics.jsonl") == rows(tmp_path / "3", "metrics.jsonl")


def test_a_run_without_patience_says_why_it_ended_and_goes_on_if_it_is_given_more(
    scored, tmp_path, capsys
):
    line = "stopped early at step 12 of 50: none of the last 2 evaluations was better than 4.0000"
    for _ in range(2):
        found = scored(tmp_path / "run", LONG, patience=2)
        assert (int(found.state.step), found.best, found.best_step) == (12, 4, 6)
        notes = capsys.readouterr().err.splitlines()
        assert notes[-1] == f"{line} at step 6; a larger --patience goes on"
        assert str(notes).count("stopped early") == 1
    told = fit.result(found, tmp_path)
    assert (told["step"], told["stopped_early"], told["best_score"], told["best_step"]) == (
        *(12, True, 4, 6),
    )
    for patience, end in ((3, 24), (0, LONG)):
        found = scored(tmp_path / "run", LONG, patience=patience)
        straight = scored(tmp_path / f"{patience}", LONG, patience=patience)
        assert digest(found.state) == digest(straight.state) and int(found.state.step) == end
    assert "stopped early" not in capsys.readouterr().err.splitlines()[-1] and not found.early
    kept = checkpoints.metrics(tmp_path / "3")
    assert checkpoints.best_first(kept)[0] == 15, "opened with its best, which it saved"


def test_a_run_killed_between_the_evaluation_that_ends_it_and_its_save_ends_there_again(
    scored, tmp_path, monkeypatch
):
    whole, real = scored(tmp_path / "whole", LONG, patience=2), fit._save

    def killed(run, state, *given):
        if int(state.step) == 12:
            raise KeyboardInterrupt
        real(run, state, *given)

    monkeypatch.setattr(fit, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        scored(tmp_path / "run", LONG, save_every=5, patience=2)
    monkeypatch.setattr(fit, "_save", real)
    assert rows(tmp_path / "run", "metrics.jsonl")[-1]["step"] == 12
    assert max(checkpoints.steps(tmp_path / "run")) == 10
    found = scored(tmp_path / "run", LONG, save_every=5, patience=2)
    assert (digest(found.state), found.early) == (digest(whole.state), True)


def test_of_several_processes_the_one_that_has_all_rows_decides_whether_to_stop(monkeypatch):
    monkeypatch.setattr(fit.distributed, "exchange", lambda mine: [[7, None, True], mine])
    here = SimpleNamespace(run=SimpleNamespace(rows=[]), signals=SimpleNamespace(stop=15))
    config = SimpleNamespace(patience=2, eval_every=3)
    assert fit._agreed(1, here, config) == (7, 15, True)


# What makes each experiment that trains by steps small, and its first network the only one.
TOYS = {
    "captioning": "--scripts cyrillic --size 12 --features 4 --hidden 4 --embed 3 --seen 5"
    " --lanes 4 --beams 1",
    "char_lm": " ".join(toy.FLAGS),
    "neural_lm": "--context 2 --hidden 5 --embed 3 --bptt 5 --lanes 4",
    "hello": "",
    "parity": "--cells gru --hidden 3 --lanes 4 --train-length 5 --shallow 4",
    "sums": "--cells gru --hidden 3 --lanes 4 --train-length 5",
    "word_lm": "--epochs 0 --vocabulary 12 --layers 1 --hidden 4 --bptt 5 --lanes 4 --valid 0.2",
    "tokens": "--epochs 0.3 --alphabets characters --n 1 --hidden 4 --embed 3 --bptt 5 --lanes 4",
    "ladder": "--n 1 --windows 2 --hidden 5 --embed 3 --bptt 5 --lanes 4",
    "gradients": "--entrants gru --hidden 4 --lag 2 --length 5 --seen 2 --lanes 4",
    "truncation": "--lag 3 --every 4 --k1 8 --lengths 4 --hidden 4 --lanes 4 --estimators uoro",
    "sentiment": "--data reviews.csv --hidden 3 --embed 3 --buckets 1 --lanes 4 --dropout 0.2"
    " --word-dropout 0.2 --cell tanh",
    "translation": "--data reversal --size 3 --pairs 60 --valid 0.2 --test 0.2 --hidden 4 --embed 3"
    " --lanes 4 --buckets 1 --own 0.5",
    "video": "--data frames.npz --hidden 4 --frame 3 --features 2 --lanes 4 --buckets 1",
    "glimpse": "--data bars.npz --held-out 8 --hidden 4 --lanes 4 --glimpses 2 --window 3",
    "draw": "--data bars.npz --held-out 8 --hidden 4 --lanes 4 --glimpses 2 --latent 2 --read 2"
    " --write 2",
}
MODULES = {
    command.name: importlib.import_module(f"experiments.{command.name}")
    for command in commands()
    if command.is_experiment
}
TRAINING = [
    name
    for name, module in MODULES.items()
    if name in ("ladder", "tokens") or issubclass(module.Config, cli.Settings)
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what is learned from."""
    place, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    (place / "text.txt").write_text(toy.TEXT)
    rows = [f"{i % 2},{'not ' * (i % 3)}{'bad good'.split()[i % 2]}" for i in range(24)]
    (place / "reviews.csv").write_text("\n".join(["label,text", *rows]) + "\n")
    bars = np.zeros((40, 6, 6), np.uint8)
    bars[::2, 2], bars[1::2, :, 2] = 255, 255
    np.savez(place / "bars.npz", images=bars, labels=np.arange(40) % 2)
    labels = np.where(np.arange(5) < rng.integers(2, 6, (12, 1)), np.arange(12)[:, None] % 2, -1)
    np.savez(place / "frames.npz", features=rng.random((12, 5, 6, 6)), labels=labels)
    return place


class Enough(BaseException):
    """The first network is trained; what a command makes of that is tested with each."""


@pytest.fixture
def first_network(place, monkeypatch):
    """Commands end with their first network.

    In place of an evaluation stands a number of the weights: what is held out has no part here.
    """
    train = fit.fit

    def trained(folder, manifest, recipe, config, *_, **named):
        train(folder, manifest, recipe, config, **named)
        raise Enough

    def evaluate(*_):
        return lambda weights: Evaluation(
            sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(weights)), None
        )

    monkeypatch.setattr(fit, "fit", trained)
    monkeypatch.setattr(fit, "make_evaluate", evaluate)
    monkeypatch.chdir(place)


def begin(name, out, **changed):
    """The experiment's command at toy size, up to its first network; its status."""
    module = MODULES[name]
    names = {field.name for field in dataclasses.fields(module.Config)}
    wanted = {"steps": 6, "log_every": 1, "eval_every": 3, "save_every": 2, "corpus": "text.txt"}
    flags = [*TOYS[name].split(), "--out", str(out)]
    for flag, value in (wanted | changed).items():
        flags += [f"--{flag.replace('_', '-')}", f"{value}"] * (flag in names)
    try:
        return module.main(flags)
    except Enough:
        return 0


def recorded(out):
    """Of the one run below a folder all rows, and the digests of all that it saved."""
    (path,) = out.rglob("metrics.jsonl")
    digests = {row["step"]: row["leaves"] for row in rows(path.parent, "digests.jsonl")}
    return rows(path.parent, path.name), digests


@pytest.fixture
def straight(place, first_network):
    """``name -> what is recorded`` of its whole run on one device, trained once for all tests."""

    def run(name):
        out = place / f"straight-{name}"
        if not out.exists():
            assert begin(name, out, devices=1) == 0
        return recorded(out)

    return run


def marked(names, ordinary):
    """Parameters, of which those that are not ordinary are left to -m slow."""
    return [pytest.param(n, marks=[pytest.mark.slow] * (n not in ordinary)) for n in names]


# One of each kind of data: text, sentences with masks, draws of its own.
@pytest.mark.parametrize("name", marked(TRAINING, ["char_lm", "sentiment", "glimpse"]))
def test_every_experiment_stopped_twice_is_the_same_run(
    name, tmp_path, straight, monkeypatch, capfd
):
    """Stopped by a signal at its second dispatch, and at the second after that: to the bit."""
    if name not in TOYS:
        pytest.skip(f"no toy size for {name} in TOYS")
    told, digests = straight(name)
    assert max(digests) == 6
    stop_at(monkeypatch, [2, 4])
    assert [begin(name, tmp_path / "cut") for _ in range(3)] == [143, 143, 0]
    assert capfd.readouterr().err.count("SIGTERM: saving, then stopping") == 2
    cut = recorded(tmp_path / "cut")
    assert cut[0] == told, "each row once, and the same"
    assert cut[1].items() >= digests.items()


# Whose lanes are more than rows of tokens: masks, contexts, frames, draws of their own.
SHARED = ("captioning", "sentiment", "translation", "video", "glimpse")


@pytest.mark.parametrize("name", marked(SHARED, ["sentiment", "glimpse"]))
def test_every_experiment_on_two_devices_is_the_same_run(name, tmp_path, straight):
    """But for the evaluations, of which there are fewer."""
    assert begin(name, tmp_path, devices=2, eval_every=6, save_every=6) == 0
    (one, _), (two, _) = straight(name), recorded(tmp_path)
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx({key: theirs[key] for key in ours}, rel=1e-4)
