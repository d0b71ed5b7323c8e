"""A run's folder: refused before it is touched, resumed where it stood, each row once."""

import io
import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import plots
from rnn_jax.data.text import Vocabulary
from rnn_jax.digest import digest
from rnn_jax.errors import BadInput
from rnn_jax.models import from_spec
from rnn_jax.progress import Progress
from rnn_jax.run import Sample, Signals, checkpoints, environment, new_manifest, start_or_resume
from rnn_jax.run import open as open_run
from rnn_jax.run.records import read_rows, read_samples
from rnn_jax.run.surroundings import _revision

CONFIG = {"hidden": 128, "corpus": ("a.txt", "b.txt"), "lr": 1e-3, "steps": 40, "out": "runs/a"}
IDENTITY = ("hidden", "corpus", "lr")
STATE = {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3)}


def asked(experiment="toy", digest=None, **changes):
    data = {"digest": digest} if digest else None
    return new_manifest(experiment, {**CONFIG, **changes}, IDENTITY, data=data)


def start(folder, **changes):
    return start_or_resume(folder, asked(**changes), STATE)


def python(script):
    command, root = [sys.executable, "-c", script], Path(__file__).parents[1]
    return subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120)


def contents(folder):
    """{path: bytes} below a folder, the lock aside: it holds the number of the last writer."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def folder(tmp_path):
    """A run killed after step 30, its newest checkpoint at 20."""
    run, _ = start(tmp_path / "run", digest="d1")
    with run:
        for step in (10, 20, 30):
            run.log(step, loss=1.0 / step)
            run.sample(step, f"step {step}", "text")
            if step < 30:
                run.save(step, STATE, metric=1.0 / step)
    return tmp_path / "run"


def test_a_new_run_says_what_it_is(folder):
    told = json.loads((folder / "run.json").read_text())
    assert told["format"] == 1 and told["config"]["corpus"] == ["a.txt", "b.txt"]
    assert told["identity"] == list(IDENTITY) and told["data"] == {"digest": "d1"}
    assert told["versions"]["jax"] == jax.__version__ and told["cores"] >= 1
    assert told["device_count"] == len(jax.devices())


def test_the_environment_has_the_flags_and_the_revision(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_x=1")
    told = environment()
    assert told["flags"]["XLA_FLAGS"] == "--xla_cpu_x=1"
    assert told["git"] is None or set(told["git"]) == {"revision", "dirty", "diff"}
    monkeypatch.setenv("PATH", "")
    assert _revision.__wrapped__() is None
    assert environment()["git"] == told["git"], "git is asked once a process"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"hidden": 256}, "hidden: 128 in the run, 256 asked; use another --out, or --init"),
        ({"hidden": 1, "lr": 0.5}, "hidden: 128 in the run, 1 asked; lr: 0.001 in the run, 0.5"),
        ({"corpus": ("a.txt",)}, r'corpus: \["a.txt", "b.txt"\] in the run, \["a.txt"\] asked'),
        ({"experiment": "other"}, "is a run of 'toy', not of 'other'"),
        ({"digest": "d2"}, "the text has changed since"),
    ],
)
def test_another_run_is_refused_and_nothing_is_touched(folder, changes, line):
    before = contents(folder)
    with pytest.raises(BadInput, match=line):
        start(folder, **{"digest": "d1", **changes})
    assert contents(folder) == before


def test_a_run_that_has_gone_further_than_is_asked_is_refused_and_not_touched(folder):
    """Its results would stand under another number of steps."""
    before = contents(folder)
    with pytest.raises(BadInput, match="has 20 steps and is asked for 19: give more --steps, or"):
        start_or_resume(folder, asked(digest="d1"), STATE, steps=19)
    assert contents(folder) == before
    start_or_resume(folder, asked(digest="d1"), STATE, steps=20)[0].close()


def test_a_field_that_only_one_version_knows_is_a_difference(folder):
    newer = new_manifest("toy", {**CONFIG, "cell": "gru"}, [*IDENTITY, "cell"])
    with pytest.raises(BadInput, match='cell: absent in the run, "gru" asked'):
        start_or_resume(folder, newer, STATE)


def test_a_field_that_came_later_is_for_older_runs_what_they_were_made_with(folder):
    def newer(rule):
        return new_manifest("toy", {**CONFIG, "optimizer": rule}, [*IDENTITY, "optimizer"])

    with pytest.raises(BadInput, match='optimizer: "adam" in the run, "muon" asked'):
        start_or_resume(folder, newer("muon"), STATE)
    start_or_resume(folder, newer("adam"), STATE)[0].close()


def test_steps_and_places_may_change_and_the_change_is_noted(folder):
    run, restored = start(folder, digest="d1", steps=80, out="elsewhere")
    run.close()
    told = json.loads((folder / "run.json").read_text())
    assert restored.step == 20 and told["config"]["steps"] == 80
    (resumed,) = told["resumed"]
    assert resumed["step"] == 20
    changed = {name: new for name, new in resumed["changed"].items() if "config" in name}
    assert changed == {"config.steps": 80, "config.out": "elsewhere"}


def test_each_step_that_logs_stands_once_after_a_resume(folder):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 35, "lo')
    run, restored = start(folder)
    with run:
        assert restored.step == 20 and [row["step"] for row in run.rows] == [10, 20]
        for step in (20, 30, 40):  # 20 again: a loop may log the step it starts from
            run.log(step, loss=1.0 / step)
            run.sample(step, f"step {step}", "text")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"step": step, "loss": 1.0 / step} for step in (10, 20, 30, 40)]
    assert [one.step for one in read_samples(folder / "samples.txt")] == [10, 20, 30, 40]


def test_a_step_logged_twice_is_a_mistake(folder):
    run, _ = start(folder)
    with run:
        run.log(30, loss=1.0)
        with pytest.raises(ValueError, match="step 30 is logged after step 30"):
            run.log(30, loss=1.0)


def test_rows_are_json_in_full_precision(tmp_path):
    run, _ = start(tmp_path / "run")
    with run:
        run.log(1, a=jnp.float32(0.1), b=math.nan, c=np.array([1, 2]), d=-math.inf, e="é", f=True)
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    row = json.loads(line, parse_constant=pytest.fail)
    told = {"a": float(np.float32(0.1)), "b": None, "c": [1, 2], "d": None, "e": "é", "f": True}
    assert row == {"step": 1, **told}


def test_tensorboard_shows_the_rows_of_the_run_each_step_once(folder):
    """Also those that were logged before it was asked for."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    for last in (40, 50):  # the second time from step 20 again: 30 and 40 are written anew
        run, restored = start_or_resume(folder, asked(digest="d1"), STATE, tensorboard=True)
        assert restored.step == 20
        with run:
            for step in range(30, last + 1, 10):
                run.log(step, loss=1 / step, error=math.nan, note="a text")
        (path,) = (folder / "tensorboard").iterdir()
        events = list(loader.EventFileLoader(str(path)).Load())
        shown = [
            (value.tag, event.step, value.tensor.float_val[0])
            for event in events
            for value in event.summary.value
        ]
        rows = read_rows(folder / "metrics.jsonl")
        assert [row["step"] for row in rows] == [*range(10, last + 1, 10)]
        assert [one for one in shown if one[0] == "loss"] == [
            ("loss", row["step"], np.float32(row["loss"])) for row in rows
        ]
        assert [step for tag, step, x in shown if tag == "error" and math.isnan(x)] == [
            *range(30, last + 1, 10)
        ]
        assert {tag for tag, *_ in shown} == {"loss", "error"}


def test_without_the_package_tensorboard_is_one_line_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BadInput, match="--tensorboard needs .*: pip install tensorboard"):
        start_or_resume(tmp_path / "run", asked(), STATE, tensorboard=True)
    assert not any(tmp_path.iterdir())


def test_a_sample_may_hold_anything(tmp_path):
    texts = ["--- step 9, 3 bytes: fake\nabc\n\n", "", "\n\n", "é\r\x00\x1b[31m", "no newline"]
    run, _ = start(tmp_path / "run")
    with run:
        for step, text in enumerate(texts, 1):
            run.sample(step, f"two\nlines {step}", text)
    path = tmp_path / "run" / "samples.txt"
    wanted = [Sample(step, f"two lines {step}", text) for step, text in enumerate(texts, 1)]
    assert read_samples(path) == wanted
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert read_samples(path) == wanted[:-1]


def test_a_run_killed_before_its_first_save_starts_again_aloud(tmp_path, capsys):
    run, _ = start(tmp_path / "run")
    with run:
        run.log(1, loss=2.0)
    run, restored = start(tmp_path / "run")
    with run:
        assert restored is None and run.rows == []
        run.log(1, loss=2.0)
    assert "has no checkpoint yet: starting again at step 0" in capsys.readouterr().err
    assert len(read_rows(tmp_path / "run" / "metrics.jsonl")) == 1


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Where another process wanted to write, and what became of it.

    It asks for the folder "held", which this process holds. Then, with a signal already met, it is
    killed by the next while it saves to the folder "own".
    """
    place = tmp_path_factory.mktemp("other")
    script = f"""
import signal
import numpy as np
from rnn_jax.errors import BadInput
from rnn_jax.run import Signals, new_manifest, start_or_resume
told = new_manifest("toy", {CONFIG!r}, {IDENTITY!r})
try:
    start_or_resume({str(place / "held")!r}, told, {{}})
except BadInput as error:
    print(error)
state = {{"w": np.random.default_rng(0).random(1_000_000, np.float32)}}
run, restored = start_or_resume({str(place / "own")!r}, told, state)
assert restored is None
with Signals():
    signal.raise_signal(signal.SIGINT)
    print("asked", flush=True)
    run.save(1, state)
    run.save(2, state)
    signal.raise_signal(signal.SIGTERM)
    print("still here", flush=True)
"""
    run, _ = start(place / "held")
    with run:
        before = contents(place / "held")
        done = python(script)
        assert contents(place / "held") == before
    return place, done


def test_one_process_writes_at_a_time(other):
    place, done = other
    line = f"another process ({os.getpid()}) is writing {place / 'held'}"
    assert line in done.stdout.splitlines()[0], done.stderr
    start(place / "held")[0].close()


def test_the_second_signal_ends_the_process(other):
    _, done = other
    assert (done.returncode, done.stdout.splitlines()[1:]) == (-signal.SIGTERM, ["asked"])


def test_a_kill_in_a_save_leaves_the_step_before(other):
    """The process ended at once, like by kill -9, while a save was at work."""
    place, _ = other
    state = {"w": np.random.default_rng(0).random(1_000_000, np.float32)}
    run, restored = start_or_resume(place / "own", asked(), state)
    with run:
        assert restored.step in (1, 2) and digest(restored.state) == digest(state)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for name, line in [("notes", "is not a run"), ("file", "is a file"), ("file/run", "cannot")]:
        with pytest.raises(BadInput, match=line):
            start(tmp_path / name)
    assert contents(tmp_path) == before and not (tmp_path / "notes" / ".lock").exists()


def test_a_damaged_manifest_is_one_line(folder):
    (folder / "run.json").write_text('{"format": 1, "exper')
    with pytest.raises(BadInput, match=r"run\.json is damaged"):
        start(folder)
    (folder / "run.json").write_text('{"format": 99}')
    with pytest.raises(BadInput, match="format 99"):
        start(folder)


SPEC = {"builder": "language_model", "arguments": {"vocabulary": 3, "cell": "gru", "hidden": 5}}


@pytest.fixture
def trained(tmp_path):
    """A run of a real model: weights of seed 1 at step 1 (the best), of seed 2 at step 2."""
    vocabulary = Vocabulary(("a", "b", "c"), "characters", None)
    told = new_manifest("toy", CONFIG, IDENTITY, model=SPEC, vocabulary=vocabulary.to_json())
    run, _ = start_or_resume(tmp_path / "run", told, STATE)
    with run:
        for step, metric in [(1, 1.5), (2, 1.75)]:
            state = {"params": drawn(from_spec(SPEC).init, seed=step), "step": np.int32(step)}
            run.log(step, loss=metric)
            run.save(step, state, metric=metric)
    return tmp_path / "run"


def test_an_opened_run_has_the_weights_of_its_best_step(trained):
    for step, number in [("best", 1), ("latest", 2), (2, 2)]:
        opened = open_run(trained, step)
        assert opened.step == number
        assert digest(opened.params) == digest(drawn(from_spec(SPEC).init, seed=number))
    assert opened.config["hidden"] == 128 and opened.metrics[0] == {"step": 1, "loss": 1.5}
    assert opened.vocabulary.decode(opened.vocabulary.encode("cab")) == "cab"
    start, xs = opened.model.start(opened.params, 2), np.zeros((4, 2), np.int32)
    _, logits = jax.jit(opened.model.apply)(opened.params, start, xs)
    assert logits.shape == (4, 2, 3)


def test_an_opened_run_passes_over_a_damaged_step_and_changes_nothing(trained, capsys):
    record = trained / "checkpoints" / "1" / "record" / "metadata"
    record.write_text(record.read_text().replace("1.5", "0.5"))
    before = contents(trained)
    assert open_run(trained, "best").step == 2
    with pytest.raises(BadInput, match="no sound checkpoint"):
        open_run(trained, 1)
    assert "step 1 is damaged: record differs from its seal" in capsys.readouterr().err
    assert contents(trained) == before


def test_opening_a_wrong_path_creates_nothing(tmp_path, folder):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BadInput, match=r"does not exist|no run\.json"):
            open_run(path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(BadInput, match="without a model"):
        open_run(folder)


def test_a_step_that_was_not_saved_is_refused_with_those_that_were(trained):
    with pytest.raises(BadInput, match="no step 7; it has 1, 2"):
        open_run(trained, 7)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_the_first_signal_asks_and_the_old_handlers_come_back(capfd, name):
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with Signals() as signals:
        assert signals.stop is None
        signal.raise_signal(number)
        assert signals.stop == number
    assert signal.getsignal(number) is before
    assert f"{name}: saving, then stopping; again to stop at once" in capfd.readouterr().err


def test_curves_are_drawn_from_whatever_rows_there_are(tmp_path, curves):
    run, _ = start(tmp_path / "run")
    with run:
        assert run.curves() is None
        run.log(1, loss=2.0)
        assert run.curves().read_bytes().startswith(b"\x89PNG")
        run.log(2, loss=math.nan, valid_loss=2.0)
        assert run.curves(title="toy").stat().st_size > 1000
    assert plots.curves([{"step": 1, "other": 2.0}]) is None


def test_plain_progress_is_a_few_lines_with_the_numbers(monkeypatch, capsys):
    clock = iter(range(10_000))
    monkeypatch.setattr("rnn_jax.progress.time.monotonic", lambda: float(next(clock)))
    with Progress(100) as progress:
        for step in range(1, 101):
            progress.update(step, jnp.float32(math.log(2)), 50)
            if step == 50:
                progress.note("[red]not markup[/] \x1b[31m")
    lines = capsys.readouterr().err.splitlines()
    assert "[red]not markup[/] \N{REPLACEMENT CHARACTER}[31m" in lines
    shown = [line for line in lines if line.startswith("step")]
    assert 15 <= len(shown) <= 22
    last, mebibytes = shown[-1].removesuffix(" MiB").rsplit("  ", 1)
    assert last == "step 100/100  loss 0.693  1.000 bits/character  50 characters/s  0:00 left"
    used = int(mebibytes) * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 == pytest.approx(used, rel=0.1)


def test_the_bar_leaves_text_as_it_is(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with Progress(4, unit="words", per="sentence") as progress:
        progress.update(2, 1.0, 10)
        progress.note("[bold]x[/bold] :smile:")
    assert "[bold]x[/bold] :smile:" in terminal.getvalue()
    assert "bits/sentence" in terminal.getvalue()


def test_no_checkpoint_folder_means_no_steps(tmp_path):
    assert checkpoints.steps(tmp_path) == [] and checkpoints.metrics(tmp_path) == {}
