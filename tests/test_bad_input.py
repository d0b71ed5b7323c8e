"""Wrong input to every experiment: status 2, one line that names the mend, nothing written."""

import dataclasses
import importlib
import types
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from experiments.__main__ import commands
from experiments.cli.settings import flag, gathered

NAMES = [command.name for command in commands() if command.is_experiment]
MODULES = {name: importlib.import_module(f"experiments.{name}") for name in NAMES}
TEXT = "to be, or not to be: that is the question. " * 120


def outside(interval):
    """Values just outside an interval as RANGES writes them."""
    low, high = interval[1:-1].split(",")
    found = []
    if low.strip() != "-inf":
        found.append(low if interval[0] == "(" else f"{float(low) - 1:.10g}")
    if high.strip() != "inf":
        found.append(high.strip() if interval[-1] == ")" else f"{float(high) + 1:.10g}")
    return found


def wrong(kind):
    """What a field of this type cannot be read from."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        return wrong(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return ["nonsense"]
    return {int: ["x", "1.5"], float: ["x"], bool: [], str: []}.get(kind, [])


def table():
    """{case: (experiment, flags)}: from every flag of every experiment, what it must refuse."""
    found = {}
    for name, module in MODULES.items():
        kinds, ranges = get_type_hints(module.Config), gathered(module.Config, "RANGES")
        argvs = [["--nonsense"], ["--nonsense=3"], ["stray"], ["--seed"], ["maybe"], ["-x"]]
        for field in dataclasses.fields(module.Config):
            values = outside(ranges.get(field.name, "(-inf,inf)")) + wrong(kinds[field.name])
            if kinds[field.name] is float and field.name in ranges:
                values.append("nan")
            argvs += [[f"{flag(field.name)}={value}"] for value in values]
        found |= {f"{name} {' '.join(argv)}": (name, argv) for argv in argvs}
    return found


FLAGS = table()


def refused(name, argv, tmp_path, capsys):
    """The line with which an experiment refuses; everything else about it is checked here."""
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert MODULES[name].main([*argv, "--out", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(errors) == 1 and err.endswith(errors[0] + "\n")
    assert "Traceback" not in err and len(errors[0]) < 500
    assert sorted(path.name for path in tmp_path.rglob("*")) == before, "nothing is written"
    return errors[0], err.count("\n")


def test_there_are_many_ways_to_be_wrong():
    assert len(FLAGS) + sum(map(len, MEANING.values())) >= 200 and len(NAMES) >= 9
    assert {name for name, _ in FLAGS.values()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_flag_is_one_line(name, tmp_path, capsys):
    for case, (owner, argv) in FLAGS.items():
        if owner == name:
            line, lines = refused(name, argv, tmp_path, capsys)
            assert lines == 1, f"{case}: {lines} lines"
            assert argv[0].partition("=")[0].removeprefix("--no-") in line, f"{case}: {line}"


CORPUS = ["char_lm", "neural_lm", "ngram", "ladder"]
TEXTS = {  # content, flags, part of the line
    "empty": (b"", [], "empty"),
    "binary": (b"ab\0cd" * 99, [], "--alphabet bytes"),
    "not UTF-8": ("caf\xe9 ".encode("latin-1") * 99, [], "0xe9"),
    "missing": (None, [], "does not exist"),
    "a folder": ("folder", [], ""),
    "half a gzip": ("gz", [], ""),
    "one symbol": (b"a", [], ""),
    "twice": (TEXT.encode(), ["--corpus", "nowhere.txt"], "nowhere.txt"),
    "a hub without a name": (TEXT.encode(), ["--corpus", "hub:"], "hub:"),
    "parts that overlap": (TEXT.encode(), ["--valid", "0.5", "--test", "0.5"], "--test"),
}


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_cannot_be_used_is_one_line(name, case, tmp_path, capsys):
    content, flags, part = TEXTS[case]
    path = tmp_path / ("text.gz" if content == "gz" else "text.txt")
    if content == "folder":
        path.mkdir()
    elif content == "gz":
        path.write_bytes(b"\x1f\x8b\x08\x00garbage")
    elif content is not None:
        path.write_bytes(content)
    line, _ = refused(name, ["--corpus", str(path), *flags], tmp_path, capsys)
    assert part in line


MEANING = {  # flags that can be read and still make no sense, and part of the line
    "char_lm": [
        (["--devices", "0"], "--devices"),
        (["--devices", "1000"], "device_count"),
        (["--devices", "3", "--lanes", "4"], "--lanes"),
        (["--devices", "two"], "--devices"),
        (["--cell", "lsmt"], "lstm"),
        (["--cell", "no_such_module:cell"], "no_such_module"),
        (["--cell", "math:nothing"], "nothing"),
        (["--init", "no-such-run"], "no-such-run"),
        (["--prompt", ""], "--prompt"),
        (["--optimizer", "rmsprop", "--weight-decay", "0.1"], "--weight-decay"),
        (["--locked", "--dropout", "0.5", "--segment", "5"], "--locked"),
        (["--lanes", "100000"], "--lanes"),
        (["--bptt", "1000000"], "--bptt"),
        (["--processes", "2"], "--distributed"),
        (["--out", "/proc/nowhere/run"], "cannot write"),
        (["--out", "/dev/null"], "/dev/null is a file"),
        (["--out", "gs://bucket/run"], "--checkpoints"),
        (["--checkpoints", "s3://bucket/run"], "gs://BUCKET/PATH"),
        (["--checkpoints", "gs://bucket/../run"], "gs://BUCKET/PATH"),
    ],
    "neural_lm": [
        (["--context", "1000000"], "--context"),
        (["--prompt", ""], "--prompt"),
        (["--lanes", "100000"], "--lanes"),
        (["--devices", "all1"], "--devices"),
    ],
    "hello": [
        (["--cell", "nonsense"], "nonsense"),
        (["--devices", "2"], "--lanes"),
        (["--out", "/dev/null"], "/dev/null is a file"),
    ],
    "parity": [
        (["--input", ""], "--input"),
        (["--input", "012"], "--input"),
        (["--shallow", "3"], "--shallow"),
        (["--cells", "gru", "nonsense"], "nonsense"),
        (["--out", "/dev/null"], "/dev/null is a file"),
    ],
    "sums": [
        (["--cells", "nonsense"], "nonsense"),
        (["--out", "/dev/null"], "/dev/null is a file"),
    ],
    "ladder": [(["--cells", "gru", "gru"], "--cells"), (["--windows", "2", "2"], "--windows")],
    "gradients": [
        (["--lag", "50"], "--length"),
        (["--entrants", "gru:orthogonl"], "orthogonal"),
        (["--entrants", "gru", "gru"], "twice"),
        (["--clip", "0"], "--clips none"),
        (["--out", "/dev/null"], "/dev/null is a file"),
    ],
    "ngram": [(["--out", "/dev/null"], "/dev/null")],
    "bptt_by_hand": [(["--u", "inf"], "--u"), (["--out", "/dev/null"], "/dev/null")],
}


@pytest.mark.parametrize("name", MEANING)
def test_flags_that_make_no_sense_together_are_one_line(name, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    text = ["--corpus", str(tmp_path / "text.txt"), "--steps", "2"] if name in CORPUS else []
    if name == "ngram":
        text = text[:2]
    for flags, part in MEANING[name]:
        out = [] if "--out" in flags else ["--out", str(tmp_path / "run")]
        assert MODULES[name].main([*text, *flags, *out]) == 2, flags
        stdout, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert stdout == "" and len(errors) == 1 and err.endswith(errors[0] + "\n"), flags
        assert part in errors[0], (flags, errors[0])
        assert not (tmp_path / "run").exists(), flags
