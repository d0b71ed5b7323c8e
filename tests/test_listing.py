"""The list of runs: what stands where, how good it is; nothing is written."""

import functools
import json
import threading
import time

import numpy as np
import pytest

from experiments import runs
from rnn_jax.errors import BadInput
from rnn_jax.run import new_manifest, start_or_resume
from rnn_jax.run.listing import listing

STATE = {"w": np.zeros(2)}


@functools.cache
def asked(steps, experiment):
    return new_manifest(experiment, {"steps": steps}, [])


def make(folder, steps, rows, saved=(), experiment="toy"):
    """A run told to go to `steps`, with these rows and checkpoints; it is left open."""
    run, _ = start_or_resume(folder, asked(steps, experiment), STATE)
    for step, values in rows.items():
        run.log(step, **values)
    for step in saved:
        run.save(step, STATE)
    return run


@pytest.fixture
def place(tmp_path):
    """A run of each state, one of them inside a folder of several."""
    rows = {10: {"loss": 3.0}, 20: {"loss": 2.0, "valid": 2.25}, 30: {"loss": 1.0, "valid": 2.5}}
    for name, saved in (("finished", [30]), ("stopped", [10, 20]), ("new", [])):
        make(tmp_path / name, 30, rows, saved).close()
    errors = {5: {"loss": 1.0, "valid": 0.1, "error": 0.4}, 6: {"loss": 1.0, "valid": None}}
    make(tmp_path / "many" / "gru-0", 50, errors, [5], experiment="other").close()
    (tmp_path / "many" / "notes.txt").write_text("mine")
    make(tmp_path / "damaged", 30, {}).close()
    (tmp_path / "damaged" / "run.json").write_text("{")
    running = make(tmp_path / "running", 30, rows)
    yield tmp_path
    running.close()


def test_each_run_is_listed_with_its_state_and_its_best(place):
    before = sorted(place.rglob("*"))
    found = {str(one.folder.relative_to(place)): one for one in listing(place)}
    states = {
        name: (one.state, one.step, one.steps, one.best, one.at) for name, one in found.items()
    }
    assert states == {
        "damaged": ("damaged", None, None, None, None),
        "finished": ("finished", 30, 30, 2.25, 20),
        "many/gru-0": ("stopped", 5, 50, 0.4, 5),
        "new": ("new", None, 30, 2.25, 20),
        "running": ("running", 30, 30, 2.25, 20),
        "stopped": ("stopped", 20, 30, 2.25, 20),
    }
    assert "run.json is damaged" in found["damaged"].why
    assert abs(found["running"].written - time.time()) < 60
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("patience", "every", "state"),
    [(1, 10, "finished"), (2, 10, "stopped"), (1, 20, "stopped"), (0, 10, "stopped")]
    + [("1", 10, "stopped"), (1, None, "stopped"), (1, -10, "stopped")],
)
def test_a_run_that_its_patience_ended_is_finished(tmp_path, patience, every, state):
    """Rows after the last save are no part of it; what a stranger wrote breaks nothing."""
    config = {"steps": 90, "patience": patience, "eval_every": every}
    run, _ = start_or_resume(tmp_path / "run", new_manifest("toy", config, []), STATE)
    for step, valid in ((10, 2.5), (20, 2.25), (30, 2.5), (40, 3.0)):
        run.log(step, loss=1.0, valid=valid)
    run.save(30, STATE)
    run.close()
    (found,) = listing(tmp_path)
    assert (found.state, found.step, found.best, found.at) == (state, 30, 2.25, 20)


def test_the_table_and_the_json_say_the_same(place, capsys):
    assert runs.main(["--under", str(place)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["run", "experiment", "state", "step"] and len(lines) == 7
    (line,) = [line for line in lines if "gru-0" in line]
    assert line.split()[1:] == ["other", "stopped", "5/50", "0.4000", "5", *line.split()[-3:]]
    assert line.endswith(" s ago")
    assert err.startswith("note: ") and err.count("\n") == 1
    assert runs.main(["--under", str(place), "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["folder"] for one in told] == [line.split()[0] for line in lines[1:]]
    assert told[1]["experiment"] == "other" and told[1]["best"] == 0.4


def test_who_lists_does_not_keep_a_run_from_starting(tmp_path):
    """A reader asks for the lock all the time; the writer gets it every time."""
    make(tmp_path / "run", 3, {}).close()
    done = threading.Event()

    def look():
        while not done.is_set():
            listing(tmp_path)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for _ in range(20):
            make(tmp_path / "run", 3, {}).close()
    finally:
        done.set()
        reader.join()


def test_a_folder_that_is_none_is_one_line_and_an_empty_one_has_no_runs(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for name, line in (("nowhere", "does not exist"), ("file", "is a file")):
        with pytest.raises(BadInput, match=line):
            listing(tmp_path / name)
        assert runs.main(["--under", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert runs.main(["--under", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == f"no runs below {tmp_path / 'empty'}\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s ago"), (59, "59 s ago"), (90, "2 min ago"), (7200, "2 h ago"), (2e5, "2 days ago")],
)
def test_time_is_told_in_the_largest_unit(seconds, said):
    assert runs.ago(seconds) == said
