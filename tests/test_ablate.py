"""Ablations: what is planned, what is refused, what survives a kill, and what the table says."""

import csv
import dataclasses
import json
import signal
import statistics
import subprocess
import sys
import time

import pytest

from experiments import ablate, hello
from experiments.sweep import (
    ABLATIONS,
    Ablation,
    estimate,
    grid,
    pictures,
    plan,
    tables,
    trials,
)
from rnn_jax.errors import BadInput

TOY = ("log_every=20", "eval_every=120", "save_every=120")
ARGV = ["hello", "--vary", "cell=tanh,gru", "--seeds", "2", "--base", *TOY, "steps=240"]


def last_json(out):
    return json.loads(out.strip().splitlines()[-1])


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def told(folder):
    """What must not differ between two sweeps: the table, and every result but times and places."""
    rows = table(folder / "trials.csv")
    timed = ("seconds", "tokens_per_second", "seconds_per_step", "out")
    rows = [{k: v for k, v in row.items() if k not in timed} for row in rows]
    return (folder / "table.txt").read_text(), rows


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """A sweep's last act draws its figures, which takes longer than most sweeps here."""
    real = {"values": pictures.values, "curves": pictures.curves}
    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(pictures, name, lambda *_: None)
        yield real


@pytest.fixture
def figures(no_figures, monkeypatch):
    """They are drawn in this test."""
    for name, draw in no_figures.items():
        monkeypatch.setattr(pictures, name, draw)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A sweep that nothing stopped."""
    out = tmp_path_factory.mktemp("sweep") / "straight"
    assert ablate.main([*ARGV, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_a_sweep_killed_in_the_middle_and_started_again_gives_the_same_table(
    straight, tmp_path, capsys
):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "experiments.ablate", *ARGV, "--out", str(out)]
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "runs" / "cell=tanh-1" / "metrics.jsonl").exists():
        assert victim.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.wait(timeout=30)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "trials").glob("*.json")}
    assert 1 <= len(before) < 4 and not (out / "table.txt").exists()
    assert ablate.main([*ARGV, "--out", str(out)]) == 0
    assert f"{4 - len(before)} trials to run here" in capsys.readouterr().err
    assert told(out) == told(straight)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "trials").glob("*.json")}
    assert before.items() <= after.items(), "what was finished is not run again"


def test_it_leaves_tables_and_figures_and_a_second_call_runs_nothing(
    straight, figures, capsys, monkeypatch
):
    monkeypatch.setattr(hello, "run", None)
    assert ablate.main([*ARGV, "--out", str(straight)]) == 0
    result = last_json(capsys.readouterr().out)
    assert result["finished"] == result["trials"] == 4 and result["failed"] == {}
    for name in ("values", "curves"):
        assert (straight / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert (straight / f"{name}.pdf").read_bytes()[:4] == b"%PDF"
    rows = table(straight / "table.csv")
    assert [row["variant"] for row in rows] == ["cell=tanh", "cell=gru"]
    assert result["baseline"] == float(rows[0]["mean"])
    assert result["value"] == min(float(row["mean"]) for row in rows)


def test_a_trial_that_fails_is_named_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    def run(config):
        if config.hidden == 5:
            raise ValueError("five is\nright out")
        return {"metric": "m", "value": config.hidden + config.seed, "better": "lower"}

    monkeypatch.setattr(hello, "run", run)
    argv = ["hello", "--vary", "hidden=4,5,7", "--seeds", "2", "--out", str(tmp_path / "sweep")]
    assert ablate.main(argv) == 1
    captured = capsys.readouterr()
    result = last_json(captured.out)
    assert result["failed"] == dict.fromkeys(
        ["hidden=5-0", "hidden=5-1"], "ValueError: five is right out"
    )
    assert result["finished"] == 4 and (result["value"], result["baseline"]) == (4.5, 4.5)
    assert "failed: hidden=5, seed 1: ValueError" in captured.err
    monkeypatch.setattr(hello, "run", lambda config: {"value": 1.0})
    assert ablate.main(argv) == 0, "a failed trial is tried again, and the others are not"
    rows = table(tmp_path / "sweep" / "trials.csv")
    assert [float(row["value"]) for row in rows] == [4, 5, 1, 1, 7, 8]


def test_a_preset_is_all_that_it_sets_in_a_sweep_too(tmp_path):
    ablation = Ablation("word_lm", grid(lr=(0.5, 0.25)), {"preset": "zaremba-small"})
    one, other = (trial.config for trial in plan(ablation, [3], tmp_path))
    assert (one.lr, other.lr, one.seed) == (0.5, 0.25, 3)
    assert (one.optimizer, one.bptt, one.tied, one.preset) == ("sgd", 20, False, "zaremba-small")
    (quick,) = plan(ablation._replace(variants={"": {}}), [0], tmp_path, quick=True)
    assert (quick.config.optimizer, quick.config.steps, quick.config.quick) == ("sgd", 400, True)


def test_shards_are_disjoint_and_the_last_one_has_the_whole_table(tmp_path, capsys, monkeypatch):
    ran = []

    def run(config):
        ran.append((config.hidden, config.seed))
        return {"value": 1.0 * config.hidden}

    monkeypatch.setattr(hello, "run", run)
    argv = ["hello", "--vary", "hidden=3,4", "--seeds", "3", "--out", str(tmp_path / "sweep")]
    for shard in ("2/4", "1/4", "4/4", "3/4"):
        assert ablate.main([*argv, "--shard", shard]) == 0
        result = last_json(capsys.readouterr().out)
        assert result["finished"] == len(ran) == len(set(ran))
    assert result["finished"] == 6


def test_more_steps_go_on_and_other_settings_are_refused(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(hello, "run", lambda c: ran.append(c.steps) or {"value": 1.0, "step": 9})
    argv = ["hello", "--vary", "cell=tanh", "--seeds", "1", "--out", str(tmp_path), "--base"]
    assert ablate.main([*argv, "steps=9"]) == 0
    assert ablate.main([*argv, "steps=9"]) == 0
    assert ablate.main([*argv, "steps=11"]) == 0
    assert ran == [9, 11]
    monkeypatch.setattr(hello, "run", lambda c: {"value": 1.0, "step": 6, "stopped_early": True})
    assert ablate.main([*argv, "steps=9", "patience=2"]) == 0
    monkeypatch.setattr(hello, "run", lambda c: ran.append(c.patience) or {"value": 1.0, "step": 9})
    assert ablate.main([*argv, "steps=9", "patience=2"]) == 0 and ran == [9, 11]
    assert ablate.main([*argv, "steps=9", "patience=3"]) == 0 and ran == [9, 11, 3]
    assert ablate.main([*argv, "steps=9", "lr=0.5"]) == 2


@pytest.mark.slow
def test_processes_side_by_side_come_to_the_same_table(straight, tmp_path, capsys):
    argv = [a.replace("cell=tanh,gru", "cell=tanh") for a in ARGV]
    argv += ["--jobs", "2", "--out", str(tmp_path / "jobs")]
    assert ablate.main(argv) == 0, capsys.readouterr().err
    digests = [[row["digest"] for row in told(out)[1]] for out in (tmp_path / "jobs", straight)]
    assert digests[0] == digests[1][:2]


def test_the_plan_says_what_is_left_and_how_long(straight, tmp_path, capsys):
    assert ablate.main([*ARGV, "--dry-run", "--seeds", "3", "--out", str(straight)]) == 0
    captured = capsys.readouterr()
    result = last_json(captured.out)
    records = [json.loads(p.read_text()) for p in (straight / "trials").glob("*.json")]
    assert (result["left"], result["trials"]) == (2, 6)
    assert result["seconds"] == pytest.approx(sum(r["seconds"] for r in records) / 2)
    assert captured.err.count("finished") == 4
    assert not (straight / "runs" / "cell=gru-2").exists()


def test_the_time_of_what_never_ran_is_tried(tmp_path, capsys):
    argv = [*ARGV, "--dry-run", "--seeds", "1", "--vary", "cell=tanh", "--out", str(tmp_path / "x")]
    argv = [a for a in argv if a != "cell=tanh,gru"]
    argv.remove("--vary")
    assert ablate.main(argv) == 0
    assert 0 < last_json(capsys.readouterr().out)["seconds"] < 120
    assert not (tmp_path / "x").exists()
    assert estimate.duration(3 * 3600 + 300) == "3 h 5 min"
    assert [estimate.duration(s) for s in (0, 61, None)] == ["0 s", "1 min 1 s", "unknown"]


def test_intervals_are_student_s_and_differences_are_paired():
    found = tables.estimate([1.0, 2.0, 4.0, 3.0])
    spread = statistics.stdev([1, 2, 4, 3])
    assert found[:3] == (4, 2.5, spread)
    assert found.half == pytest.approx(3.182446 * spread / 2, rel=1e-6)  # t of 3 degrees, a table's
    planned = plan(Ablation("hello", grid(hidden=(3, 4))), (0, 1, 2), trials.Path("x"))
    values = {("hidden=3", 0): 5.0, ("hidden=3", 1): 1.0, ("hidden=4", 0): 5.5}
    values |= {("hidden=4", 1): 1.7, ("hidden=4", 2): 100.0}
    done = {
        trial.name: {"result": {"value": values[trial.variant, trial.seed]}, "seconds": 1.0}
        for trial in planned
        if (trial.variant, trial.seed) in values
    }
    first, second = tables.compare(planned, done)
    assert first.difference is None and second.value.n == 3
    assert second.difference.mean == pytest.approx(0.6), "seed 2 has no partner"
    assert second.difference.half == pytest.approx(12.70620 * 0.1, rel=1e-6)  # 0.5 and 0.7


BAD = {
    "an unknown name": (["helo", "--vary", "cell=gru"], "hello"),
    "an unknown field": (["hello", "--vary", "hiden=3"], "nearest: hidden"),
    "an unknown field for all": (["hello", "--vary", "hidden=3", "--base", "clop=1"], "clip"),
    "no cells": (["hello"], "no cells"),
    "no values": (["hello", "--vary", "hidden="], "no cells"),
    "no seeds": (["hello", "--vary", "hidden=3", "--seeds", "0"], "--seeds"),
    "a value that is none": (["hello", "--vary", "hidden=3,x"], "an integer"),
    "a value out of range": (["hello", "--vary", "hidden=3,0"], "--hidden 0"),
    "two values for all": (["hello", "--vary", "hidden=3", "--base", "lr=1,2"], "--vary"),
    "a field twice": (["hello", "--vary", "hidden=3", "hidden=4"], "twice"),
    "seeds as a field": (["hello", "--vary", "seed=1,2"], "--seeds"),
    "a shard of none": (["cells", "--shard", "3/2"], "--shard"),
    "variants and more": (["cells", "--vary", "hidden=3"], "variants of its own"),
    "no such module": (["no_such_module:X"], "no_such_module"),
    "not an ablation": (["math:pi"], "Ablation"),
    "no name": ([], "NAME"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(case, tmp_path, capsys):
    argv, mend = BAD[case]
    assert ablate.main([*argv, "--out", str(tmp_path / "sweep")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ") and mend in err
    assert not (tmp_path / "sweep").exists()


def test_named_ablations_fit_their_experiments(tmp_path):
    for name, ablation in ABLATIONS.items():
        planned = plan(ablation, (0,), tmp_path, quick=True)
        assert len(planned) >= 2, name
        assert len({trial.name for trial in planned}) == len(planned)
    with pytest.raises(BadInput, match="nearest: dropout"):
        plan(Ablation("char_lm", {"x": {"dropuot": 0.1}}), (0,), tmp_path)


def test_a_change_of_a_field_with_several_values_is_one_value(tmp_path):
    from experiments import parity
    from experiments.sweep.plan import read_change

    assert read_change(parity, "cells=gru,lstm", "--base") == ("cells", [("gru", "lstm")])
    assert read_change(hello, "invariant=true", "--base") == ("invariant", [True])
    assert read_change(hello, "lr=0.1,1e-3", "--vary") == ("lr", [0.1, 0.001])
    (trial,) = plan(Ablation("parity", {"both": {"cells": ("gru",)}}), (5,), tmp_path)
    assert trial.config == dataclasses.replace(
        parity.Config(), cells=("gru",), seed=5, out=str(tmp_path / "runs" / "both-5")
    )
