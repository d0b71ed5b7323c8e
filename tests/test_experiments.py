"""Whole runs from the command line: what they print, and that stopping them changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy

from experiments import char_lm, sample
from rnn_jax import run as runs
from rnn_jax.digest import leaf_digests
from rnn_jax.evaluate import Evaluation

SMALL = (*toy.FLAGS, "--log-every", "3", "--eval-every", "20", "--save-every", "10")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(toy.TEXT)
    return str(path)


def last_json(out: str) -> dict:
    return json.loads(out.strip().splitlines()[-1])


def train(capsys, text: str, out: Path, *flags: str) -> dict:
    assert char_lm.main(["--corpus", text, "--out", str(out), *SMALL, *flags]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1, "stdout is one line of JSON"
    return last_json(captured.out)


def test_char_lm_learns_and_tells_everything_the_contract_asks(capsys, text, tmp_path, curves):
    result = train(capsys, text, tmp_path / "run", "--steps", "60")
    assert result["value"] < result["baseline"]
    assert result["experiment"] == "char_lm" and result["better"] == "lower"
    assert result["bits_per_character"] == pytest.approx(result["value"] / 0.6931471805599453)
    assert result["step"] == 60 and result["tokens_per_second"] > 0 and result["seconds"] > 0
    opened = runs.open(tmp_path / "run")
    assert result["parameters"] == sum(a.size for a in leaves(opened.params))
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {
        *("run.json", "metrics.jsonl", "samples.txt", "checkpoints", "curves.png")
    }


def test_a_run_that_differs_in_seed_alone_compiles_nothing_anew(capsys, text, tmp_path):
    import jax

    compiled = []

    def told(name, seconds, **_):
        compiled.extend([name] * name.endswith("backend_compile_duration"))

    jax.monitoring.register_event_duration_secs_listener(told)
    try:
        counts = []
        for seed in ("5", "6"):
            # A learning rate of no test before, so that the first has something to compile.
            train(capsys, text, tmp_path / seed, "--steps", "2", "--lr", "1e-30", "--seed", seed)
            counts.append(len(compiled))
    finally:
        jax.monitoring.unregister_event_duration_listener(told)
    assert 0 < counts[0] == counts[1]


def leaves(tree):
    import jax

    return jax.tree.leaves(tree)


@pytest.fixture(scope="module")
def twenty(text, tmp_path_factory):
    """A run of twenty steps, saved at the tenth too."""
    out = tmp_path_factory.mktemp("twenty") / "run"
    assert char_lm.main(["--corpus", text, "--out", str(out), *SMALL, "--steps", "20"]) == 0
    return out


@pytest.fixture
def copied(twenty, tmp_path):
    """A copy of it, to go on with."""
    return Path(shutil.copytree(twenty, tmp_path / "copied"))


def logged(out: Path) -> dict[int, float]:
    """{step: loss} of a run's rows, each step once and in order; a half-written row is not one."""
    lines = (out / "metrics.jsonl").read_text().split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    return {row["step"]: row["loss"] for row in rows}


def test_a_run_killed_and_started_again_ends_in_the_same_bits(capsys, text, copied, tmp_path):
    """40 steps straight; 20, then on in another process that is killed, then on to 40 here."""
    straight = train(capsys, text, tmp_path / "straight", "--steps", "40")
    cut = copied
    command = [sys.executable, "-m", "experiments.char_lm", "--corpus", text, "--out", str(cut)]
    endless = ["--steps", "1000000", "--save-every", "1000000", "--eval-every", "1000000"]
    victim = subprocess.Popen([*command, *SMALL, *endless], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while max(logged(cut)) <= 20 and time.monotonic() < deadline:
        assert victim.poll() is None
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait(timeout=30)
    assert max(logged(cut)) > 20, "it was killed too early to have anything to lose"
    resumed = train(capsys, text, cut, "--steps", "40")
    assert resumed["digest"] == straight["digest"]
    rows = logged(tmp_path / "straight")
    assert rows == {step: loss for step, loss in logged(cut).items() if step in rows}
    assert max(logged(cut)) == 40


@pytest.mark.slow  # without a process of its own: tests/test_resume.py stops it by the same signal
def test_sigterm_saves_first_and_the_same_command_goes_on(capsys, text, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "experiments.char_lm", "--corpus", text, "--out", str(out)]
    flags = [*SMALL, "--steps", "1000000", "--save-every", "1000000", "--eval-every", "1000000"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "saving, then stopping" in err and "Traceback" not in err
    step = runs.open(out, step="latest").step
    assert step > 0
    result = train(capsys, text, out, "--steps", str(step + 3))
    assert result["step"] == step + 3


def test_devices_and_intervals_may_change_between_start_and_resume(capsys, text, tmp_path):
    one = train(capsys, text, tmp_path / "one", "--steps", "8")
    train(capsys, text, tmp_path / "all", "--steps", "4", "--devices", "all")
    changed = ("--devices", "1", "--log-every", "1", "--save-every", "7")
    all_ = train(capsys, text, tmp_path / "all", "--steps", "8", *changed)
    assert all_["step"] == one["step"] == 8
    assert all_["value"] == pytest.approx(one["value"], abs=1e-5)


def test_another_configuration_is_refused_and_nothing_changes(capsys, text, twenty):
    out = twenty
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != ".lock"}
    assert char_lm.main(["--corpus", text, "--out", str(out), *SMALL, "--lr", "0.5"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 or "\nerror: " in error
    assert "lr" in error and "0.5" in error and "--init" in error
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != ".lock"} == before


def test_init_starts_a_new_run_from_a_runs_weights(capsys, text, twenty, tmp_path):
    flags = ("--steps", "1", "--lr", "1e-30", "--init", str(twenty))
    train(capsys, text, tmp_path / "new", *flags)
    a, b = (runs.open(run, step="latest").params for run in (twenty, tmp_path / "new"))
    assert leaf_digests(a) == leaf_digests(b)


def test_the_weights_that_made_the_value_are_kept(capsys, text, tmp_path, monkeypatch):
    """The best evaluation comes early and at a step that saving alone would pass over."""
    losses = iter([3.0, 1.0, 2.0, 2.5, 2.4, 2.3])
    monkeypatch.setattr(
        "rnn_jax.fit.make_evaluate", lambda *_: lambda weights: Evaluation(next(losses), None)
    )
    flags = ("--steps", "40", "--eval-every", "7", "--save-every", "40")
    result = train(capsys, text, tmp_path / "run", *flags)
    opened = runs.open(tmp_path / "run")
    assert (opened.step, opened.metric) == (14, 1.0)
    assert (result["value"], result["last"]) == (1.0, 2.3)


def test_a_cell_of_the_users_own_needs_no_edit_here(capsys, text, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    cell = ("--cell", "toy:leaky")
    train(capsys, text, tmp_path / "own", "--steps", "2", *cell)
    assert sample.main([str(tmp_path / "own"), "--length", "3"]) == 2, "opening would run its code"
    assert "--trust" in capsys.readouterr().err
    assert sample.main([str(tmp_path / "own"), "--length", "3", "--trust"]) == 0


def test_sample_writes_from_a_run_also_after_an_unseen_character(capsys, twenty):
    options = ["--length", "30", "--samples", "2", "--top-k", "3", "--temperature", "0.8"]
    assert sample.main([str(twenty), "--prompt", "to é", *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("to é") == 2 and "é" in captured.err
    assert len(captured.out) > 60


def test_the_test_part_is_scored_once_at_the_end(capsys, text, tmp_path):
    flags = ("--steps", "20", "--valid", "0.1", "--test", "0.1")
    result = train(capsys, text, tmp_path / "run", *flags)
    assert result["test"] == pytest.approx(result["value"], abs=0.5)


BAD = {
    "empty": (b"", [], "empty"),
    "binary": (b"ab\0cd", [], "--alphabet bytes"),
    "latin1": ("caf\xe9 ".encode("latin-1") * 99, [], "0xe9"),
    "short": (b"to be or not to be", [], "--lanes"),
    "missing": (None, [], "does not exist"),
    "flag": (toy.TEXT.encode(), ["--hiden", "3"], "--hidden"),
    "dropout": (toy.TEXT.encode(), ["--dropout", "1.5"], "--dropout"),
    "layers": (toy.TEXT.encode(), ["--layers", "0"], "--layers"),
    "devices": (toy.TEXT.encode(), ["--devices", "3"], "--lanes"),
    "too many devices": (toy.TEXT.encode(), ["--devices", "8", "--lanes", "8"], "device_count"),
    "cell": (toy.TEXT.encode(), ["--cell", "lsmt"], "lstm"),
    "module": (toy.TEXT.encode(), ["--cell", "no_such_module:cell"], "no_such_module"),
    "prompt": (toy.TEXT.encode(), ["--prompt", ""], "--prompt"),
    "init": (toy.TEXT.encode(), ["--init", "no-such-run"], "no-such-run"),
    "hub": (None, ["--corpus", "hub:no/such"], "HF_HUB_OFFLINE"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_mend_and_writes_nothing(case, capsys, tmp_path):
    content, flags, mend = BAD[case]
    corpus = tmp_path / "corpus.txt"
    if content is not None:
        corpus.write_bytes(content)
    given = [] if "--corpus" in flags else ["--corpus", str(corpus)]
    argv = [*SMALL, *given, *flags, "--out", str(tmp_path / "run"), "--steps", "2"]
    assert char_lm.main(argv) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and captured.err.strip().endswith(errors[0])
    assert mend in errors[0] and captured.out == ""
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_a_run_is_refused(capsys, text, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"x")
    assert char_lm.main(["--corpus", text, *SMALL, "--out", str(tmp_path / "photos")]) == 2
    assert "not a run" in capsys.readouterr().err
    assert os.listdir(tmp_path / "photos") == ["cat.png"]
    assert sample.main([str(tmp_path / "photos")]) == 2


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(capsys, text, copied, tmp_path):
    straight = train(capsys, text, tmp_path / "straight", "--steps", "30")
    for path in (copied / "checkpoints" / "20" / "arrays").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    argv = ["--corpus", text, "--out", str(copied), *SMALL, "--steps", "30"]
    assert char_lm.main(argv) == 0
    captured = capsys.readouterr()
    assert "step 20 is damaged" in captured.err and "using 10" in captured.err
    assert last_json(captured.out)["digest"] == straight["digest"]


@pytest.mark.quick
@pytest.mark.parametrize(
    "name",
    [
        "captioning",
        "char_lm",
        "hello",
        "neural_lm",
        "ngram",
        "ladder",
        "parity",
        "sentiment",
        "sums",
        "tokens",
        "gradients",
        "translation",
        "truncation",
        "unknown",
        "video",
        "vocabularies",
        "word_lm",
        "glimpse",
        "draw",
    ],
)
def test_quick_learns_in_under_a_minute(name, tmp_path):
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        f"experiments.{name}",
        "--quick",
        "--out",
        str(tmp_path / "run"),
    ]
    # Compiled as users compile it, for one device, not as conftest.py has it.
    settings = {"env": {**os.environ, "XLA_FLAGS": ""}, "timeout": 120}
    done = subprocess.run(command, capture_output=True, text=True, check=True, **settings)
    result = last_json(done.stdout)
    assert result["value"] < 0.8 * result["baseline"]
    assert time.monotonic() - began < 60
