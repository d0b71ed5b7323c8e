"""A run trained anew is the same run, and where two runs part is found."""

import json
import shutil

import pytest
import toy

from experiments import char_lm, diverge, replay
from rnn_jax.errors import BadInput
from rnn_jax.run import checkpoints

SMALL = (
    *(*toy.FLAGS, "--steps", "12", "--log-every", "1", "--eval-every", "12"),
    *("--save-every", "4"),
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(toy.TEXT)
    return path


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    """A run of twelve steps that has kept steps 8 and 12 and recorded 4, 8 and 12."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert char_lm.main(["--corpus", str(text), "--out", str(out), *SMALL]) == 0
    assert checkpoints.steps(out) == [8, 12]
    return out


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def told(capsys):
    captured = capsys.readouterr()
    return json.loads(captured.out.splitlines()[-1]), captured.err


def forge(folder, step, name, value):
    """Changes what a run has recorded of one leaf at one step."""
    path = folder / "digests.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["step"] == step:
            row["leaves"][name] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_replay_from_the_start_and_from_a_checkpoint_is_equal(run, capsys):
    assert replay.main([str(run), "--to-step", "8"]) == 0
    result, err = told(capsys)
    assert result["equal"] and result["compared"] == [4, 8] and "equal: all leaves" in err
    assert replay.main([str(run), "--from-step", "8"]) == 0
    result, _ = told(capsys)
    assert result["equal"] and result["compared"] == [12] and result["from"] == 8


def test_a_replay_goes_to_its_step_whatever_the_runs_patience(copy, capsys, monkeypatch):
    def run(config):
        raise BadInput(f"{config.steps} steps, patience {config.patience}")

    config(copy, patience=3)
    monkeypatch.setattr(char_lm, "run", run)
    assert replay.main([str(copy), "--to-step", "8"]) == 2
    assert capsys.readouterr().err == "error: 8 steps, patience 0\n"


def test_a_replay_names_the_first_step_and_leaf_that_differ(copy, capsys):
    forge(copy, 8, "params/out/W_hy", "0" * 32)
    assert replay.main([str(copy), "--to-step", "8"]) == 1
    result, err = told(capsys)
    assert result["differs"] == {"step": 8, "leaf": "params/out/W_hy"}
    assert "different: step 8, params/out/W_hy; equal up to step 4" in err


def test_a_changed_text_is_refused(copy, text, capsys):
    text.write_text(toy.TEXT.replace("question", "QUESTION"))
    try:
        assert replay.main([str(copy)]) == 2
    finally:
        text.write_text(toy.TEXT)
    assert "the text has changed" in capsys.readouterr().err


def config(folder, **changes):
    told = json.loads((folder / "run.json").read_text())
    told["config"] |= {name: value for name, value in changes.items() if name != "experiment"}
    told["experiment"] = changes.get("experiment", told["experiment"])
    told.pop("seal", None)
    (folder / "run.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("argv", "changes", "line"),
    [
        (["--to-step", "5"], {}, "recorded no digests there; it did at 4, 8, 12"),
        (["--from-step", "4"], {}, "--from-step 4: kept before 12: 8"),
        ([], {"cell": "os:system"}, "--trust"),
        ([], {"experiment": "../../evil"}, "no experiment '../../evil' here"),
        ([], {"experiment": "replay"}, "no experiment 'replay' here"),
        ([], {"network": "parity-gru"}, "has network"),
        ([], {"lanes": "many"}, "configuration cannot be used"),
        ([], {"lanes": -1}, "--lanes -1"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(copy, capsys, argv, changes, line):
    config(copy, **changes)
    assert replay.main([str(copy), *argv]) == 2
    captured = capsys.readouterr()
    assert line in captured.err and captured.out == "" and captured.err.count("\n") == 1


def test_equal_runs_do_not_diverge(run, copy, capsys):
    assert diverge.main([str(run), str(copy)]) == 0
    result, err = told(capsys)
    assert result["equal"] and "states saved: equal at all 3 in common, 4 to 12" in err


def test_the_first_step_and_leaf_and_the_first_row_that_differ_are_found(run, copy, capsys):
    forge(copy, 8, "carry/0", "0" * 32)
    metrics = copy / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    rows[5]["loss"] *= 1 + 2**-52
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert diverge.main([str(run), str(copy)]) == 1
    result, err = told(capsys)
    assert result["state"] == {"step": 8, "leaf": "carry/0", "equal_at": 4}
    assert result["row"] == {"step": 6, "name": "loss", "equal_at": 5}
    assert "rows logged: different at step 6 (equal up to step 5) in loss" in err


def test_two_seeds_diverge_from_the_first_step_and_the_reason_is_told(run, text, tmp_path, capsys):
    flags = ["--corpus", str(text), "--out", str(tmp_path / "b"), *SMALL, "--steps", "4"]
    assert char_lm.main([*flags, "--seed", "1"]) == 0
    assert diverge.main([str(run), str(tmp_path / "b")]) == 1
    result, err = told(capsys)
    assert result["row"]["step"] == 1 and result["row"]["equal_at"] is None
    assert result["state"]["leaf"].startswith("params/") and "seed is 0 in the one, 1" in err
