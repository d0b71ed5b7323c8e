"""A run from a stranger executes nothing, leads nowhere else, and is refused in one line."""

import json
import os
import pickle
import shutil

import jax
import numpy as np
import pytest
from weights import drawn

from experiments import diverge, replay, sample
from rnn_jax.data.text import Vocabulary
from rnn_jax.errors import BadInput
from rnn_jax.models import from_spec
from rnn_jax.run import checkpoints, leaves, new_manifest, start_or_resume, storage
from rnn_jax.run import open as open_run
from rnn_jax.run.records import read_rows, read_samples

SPEC = {"builder": "language_model", "arguments": {"vocabulary": 3, "cell": "gru", "hidden": 5}}
VOCABULARY = Vocabulary(("a", "b", "c"), "characters", None)


def asked():
    model = {"model": SPEC, "vocabulary": VOCABULARY.to_json(), "data": {"digest": "d"}}
    return new_manifest("char_lm", {"hidden": 5}, ["hidden"], **model)


def state(seed=1):
    return {"params": drawn(from_spec(SPEC).init, seed=seed), "step": np.int32(seed)}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A sound run with steps 1 (the best) and 2; tests spoil copies of it."""
    folder = tmp_path_factory.mktemp("honest") / "run"
    run, _ = start_or_resume(folder, asked(), state())
    with run:
        for step in (1, 2):
            run.log(step, loss=1.0)
            run.sample(step, f"after {step}", "abc")
            run.save(step, state(step), metric=float(step))
    return folder


@pytest.fixture
def run(honest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(honest, tmp_path / "run")


def everything(folder):
    """What lies below a folder, links as links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        found[str(path.relative_to(folder))] = content
    return found


def refused(run, capsys, *, resuming=True):
    """Opening, sampling, replaying and resuming: each one line, and nothing written."""
    before = everything(run.parent)
    with pytest.raises(BadInput) as problem:
        open_run(run)
    lines = [str(problem.value)]
    for tool in (sample, replay):
        assert tool.main([str(run)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1
        assert "\x1b" not in err
    if resuming:
        with pytest.raises(BadInput) as problem:
            start_or_resume(run, asked(), state())
        lines.append(str(problem.value))
    assert everything(run.parent) == before
    assert all("\n" not in line and len(line) < 500 for line in lines), lines
    return lines[0]


def change(run, **told):
    """run.json as a stranger would have written it; None takes a key away."""
    path = run / "run.json"
    now = json.loads(path.read_text()) | told
    path.write_text(json.dumps({name: value for name, value in now.items() if value != "gone"}))


def spec(**arguments):
    return {"builder": "language_model", "arguments": {**SPEC["arguments"], **arguments}}


MANIFESTS = {  # what run.json holds, and part of the line
    "empty": (b"", "damaged"),
    "half": (b'{"format": 1, "exper', "damaged"),
    "no UTF-8": (b"\xff\xfe{}", "damaged"),
    "a list": (b"[]", "damaged"),
    "a number": (b"7", "damaged"),
    "null": (b"null", "damaged"),
    "deep": (b"[" * 200_000, "damaged"),
    "deep objects": (b'{"a":' * 100_000, "damaged"),
    "a huge number": (b'{"format": ' + b"9" * 5000 + b"}", "damaged"),
    "a pickle": (pickle.dumps({"format": 1}), "damaged"),
    "another format": (b'{"format": "\\u001b[2J"}', "update rnn_jax"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_hostile_run_json_is_one_line(run, capsys, case):
    content, part = MANIFESTS[case]
    (run / "run.json").write_bytes(content)
    assert part in refused(run, capsys)


TYPES = {  # one key of run.json, with a value of a kind that it never has
    "experiment": [3, None, ["x"]],
    "config": [[], "x", None],
    "identity": ["hidden", [["hidden"]], None],
    "data": [[], "x"],
    "model": [[], "x", {}, {"builder": ["x"]}, {"builder": "language_model", "arguments": []}],
    "vocabulary": [
        *("abc", {"symbols": ["a", 1], "kind": "words"}, {"symbols": "", "kind": "characters"}),
        *({"symbols": "abc", "kind": "characters", "unknown": 9}, {"kind": "characters"}),
    ],
    "versions": [[], "1.0"],
    "git": ["main", {"revision": 7, "dirty": True}],
    "flags": [["XLA"]],
    "resumed": [{}],
    "weights": ["../params", 1, "opt_state"],
    "format": [2, "1", None, [1]],
}


@pytest.mark.parametrize("name", TYPES)
def test_a_value_of_another_type_is_one_line(run, capsys, name):
    honest = (run / "run.json").read_text()
    for value in TYPES[name]:
        change(run, **{name: value})
        line = refused(run, capsys)
        assert name in line or "update" in line or "damaged" in line, (value, line)
        (run / "run.json").write_text(honest)


MODELS = {  # a model that nobody would build, and part of the line
    "huge": (spec(hidden=2**40), "1099511627776 hidden"),
    "more than the memory": (spec(hidden=2**30), "no sound checkpoint"),
    "too big for a number": (spec(hidden=10**30), "hidden"),
    "deep": (spec(layers=10**6), "layers"),
    "negative": (spec(hidden=-3), ""),
    "no number": (spec(hidden="wide"), "cannot be built"),
    "nothing": (spec(hidden=None), "cannot be built"),
    "strange": (spec(evil=1), "cannot be built"),
    "code": (spec(cell="os:system"), "--trust"),
    "code elsewhere": (spec(inner={"cells": ["antigravity:x"]}), "--trust"),
    "no cell": (spec(cell="../../cell"), ""),
    "a cell that is none": (spec(cell=["gru"]), "gru"),
    "another vocabulary": (spec(vocabulary=5), "3 symbols"),
    "unknown": ({"builder": "os.system", "arguments": {}}, "unknown here"),
    "another shape": (spec(hidden=4), "no sound checkpoint"),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_hostile_model_is_one_line(run, capsys, case, monkeypatch):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("it ran"))
    model, part = MODELS[case]
    change(run, model=model)
    with pytest.raises(BadInput) as problem:
        open_run(run)
    assert part in str(problem.value) and "\n" not in str(problem.value)
    assert sample.main([str(run)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err and err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "cli", "replay", "os", "\x1b[2J"])
def test_an_experiment_is_looked_up_and_never_imported(run, capsys, name):
    change(run, experiment=name)
    assert replay.main([str(run)]) == 2
    _, err = capsys.readouterr()
    assert err.startswith("error: no experiment ") and err.count("\n") == 1 and "\x1b" not in err


LINKS = ["run.json", "metrics.jsonl", "samples.txt", "digests.jsonl", ".lock", "checkpoints"]
LINKS += ["curves.png", "run.json.tmp", "damaged", "checkpoints/2", "checkpoints/2/record/metadata"]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_the_folder_is_refused_and_not_written_through(run, capsys, name):
    outside = run.parent / "outside"
    inside = run / name
    if inside.exists():
        inside.rename(outside)  # so all would work if it were followed
    else:
        outside.write_text("mine")
    inside.symlink_to(outside)
    assert f"{inside} is a link" in refused(run, capsys)


def test_a_pipe_is_refused_before_anybody_waits_for_it(run, capsys):
    os.mkfifo(run / "damaged")
    assert "is no file" in refused(run, capsys)


def test_a_folder_of_nothing_but_a_linked_lock_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(BadInput, match="is a link"):
        start_or_resume(tmp_path / "run", asked(), state())
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_run_that_is_itself_a_link_opens(run, tmp_path):
    (tmp_path / "latest").symlink_to(run)
    assert open_run(tmp_path / "latest").step == 1


def reseal(run, step, edit):
    """Changes a step's record and seals it anew: whoever made it meant it so."""
    path = run / "checkpoints" / str(step) / "record" / "metadata"
    told = json.loads(path.read_text())
    edit(told)
    path.write_text(json.dumps({**told, "seal": leaves.seal(told)}))


def set_leaf(field, value):
    def edit(told):
        told["leaves"]["params/out/W_hy"][field] = value

    return edit


RECORDS = {
    "a huge shape": set_leaf("shape", [2**40, 2**40]),
    "a negative shape": set_leaf("shape", [-5, 3]),
    "a shape that is none": set_leaf("shape", "many"),
    "a dtype of objects": set_leaf("dtype", "object"),
    "a dtype that is none": set_leaf("dtype", ["O"]),
    "a leaf that is none": lambda told: told["leaves"].update({"params/out/W_hy": 7}),
    "no leaves": lambda told: told.update(leaves=[]),
    "a leaf elsewhere": lambda told: told["leaves"].update(
        {"../../outside": told["leaves"].pop("params/out/W_hy")}
    ),
    "a metric that is none": lambda told: told.update(metric="best"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_hostile_record_is_a_damaged_step(run, capsys, case):
    """Named, and the other step used; where no step is left, one line."""
    reseal(run, 1, RECORDS[case])
    assert open_run(run).step == 2
    assert "step 1 is damaged" in capsys.readouterr().err
    reseal(run, 2, RECORDS[case])
    with pytest.raises(BadInput, match="no sound checkpoint"):
        open_run(run)
    with pytest.raises(BadInput, match="no checkpoint .* is sound"):
        start_or_resume(run, asked(), state())


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("name", ["record", "arrays"])
def test_a_pickle_in_any_file_of_a_step_is_not_executed(run, name):
    for path in sorted((run / "checkpoints" / "1" / name).rglob("*")):
        if path.is_file():
            path.write_bytes(pickle.dumps(Evil()))
    assert open_run(run).step == 2
    assert not (run.parent / "executed").exists()


def test_shapes_in_the_arrays_files_are_not_believed(run, monkeypatch):
    """The files say a shape; unless it is the model's, nothing of it is read or allocated."""
    place = checkpoints.path(run, 1)
    wanted = {"params/out/W_hy": jax.ShapeDtypeStruct((5, 7), np.float32)}
    with pytest.raises(storage.Damaged, match="another shape"):
        storage.read_arrays(place, wanted)
    huge = {"params/out/W_hy": jax.ShapeDtypeStruct((2**30, 2**30), np.float32)}
    with pytest.raises(storage.Damaged, match="do not fit"):
        storage.read_arrays(place, huge)


def test_names_with_dots_are_no_steps(run):
    for name in ("..", "01", "-1", "+3", "٣", "1.0", "3 "):
        (run / "checkpoints" / name).mkdir(exist_ok=True)
    assert checkpoints.steps(run) == [1, 2]


HOSTILE_ROWS = [
    *(b"null", b"[]", b"7", b'"x"', b"{", b"[" * 100_000, b"\xff", b'{"step": "1"}'),
    *(b'{"step": 1.5}', b'{"step": true}', b'{"step": ' + b"9" * 5000 + b"}"),
    *(b'{"step": 3, "loss": "low"}', b'{"step": 3, "valid": []}', b'{"step": 2, "loss": 9.0}'),
]


def test_rows_that_no_run_has_written_are_passed_over(run):
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b"\n".join(HOSTILE_ROWS) + b"\n")
    assert [row["step"] for row in read_rows(run / "metrics.jsonl")] == [1, 2]
    assert [row["loss"] for row in open_run(run).metrics] == [1.0, 1.0]
    resumed, restored = start_or_resume(run, asked(), state())
    with resumed:
        resumed.log(3, loss=0.5)
        resumed.curves()
    assert restored.step == 2
    assert (run / "metrics.jsonl").read_bytes().count(b"\n") == 3


def test_one_damaged_row_costs_no_other(tmp_path):
    """A step that reads as a later one must not hide those between."""
    steps = [1, 2, 93, 4, 5, 2]
    text = "".join(json.dumps({"step": step, "n": i}) + "\n" for i, step in enumerate(steps))
    (tmp_path / "metrics.jsonl").write_text(text)
    found = [(row["step"], row["n"]) for row in read_rows(tmp_path / "metrics.jsonl")]
    assert found == [(1, 0), (2, 1), (4, 3), (5, 4), (93, 2)]


@pytest.mark.parametrize(
    "block",
    [
        b"--- step 9, " + b"9" * 30 + b" bytes: x\n\n\n",
        b"--- step " + b"9" * 5000 + b", 1 bytes: x\na\n\n",
        b"--- step 9, 999999 bytes: x\na\n\n",
        b"--- step -9, 1 bytes: x\na\n\n",
    ],
)
def test_a_hostile_sample_ends_the_samples(run, block):
    with (run / "samples.txt").open("ab") as file:
        file.write(block)
    assert [one.step for one in read_samples(run / "samples.txt")] == [1, 2]


def test_a_sample_of_no_utf_8_reads(run):
    (run / "samples.txt").write_bytes(b"--- step 1, 2 bytes: \xff\n\xff\xfe\n\n")
    assert read_samples(run / "samples.txt")[0].text == "\ufffd\ufffd"


def test_what_a_stranger_wrote_does_not_command_the_terminal(run, honest, capsys):
    evil = "\x1b]0;owned\x07\n"
    change(run, experiment=evil, versions={"jax": evil}, flags={evil: evil}, data={"digest": evil})
    assert diverge.main([str(run), str(honest)]) == 0
    assert not {"\x1b", "\x07"} & {*"".join(capsys.readouterr())}
    with pytest.raises(BadInput) as problem:
        start_or_resume(run, asked(), state())
    assert problem.value.args[0].isprintable()
