"""Every command and every piece of code in the README does what it says, at toy size."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL = "".join(body for language, body in BLOCKS if language == "sh")
PYTHON = [body for language, body in BLOCKS if language == "python"]
TABLE = "".join(line for line in README.splitlines() if line.startswith("|"))
IN_TABLE = re.findall(r"`(python -m experiments[^`]*)`", TABLE)
COMMANDS = sorted({line.split("#")[0].strip() for line in SHELL.splitlines()} | set(IN_TABLE))
OURS = [line for line in COMMANDS if line.startswith("python -m experiments")]

TOY = {
    "char_lm": "--steps 2 --hidden 6 --embed 4 --bptt 5 --lanes 4 --valid 0.001 --sample-length 5",
    "hello": "--steps 20",
    "sample": "--length 5",
    "ngram": "--corpus book.txt --n 2 --sample 5",
    "neural_lm": "--corpus book.txt --valid 0.01 --steps 2 --hidden 6 --bptt 5 --lanes 4"
    " --sample-length 5",
    "ladder": "--corpus book.txt --valid 0.01 --n 2 --windows 2 --cells gru --hidden 6 --bptt 5"
    " --lanes 4 --steps 2",
    "compare": "--corpus book.txt --times 100",
    "tokens": "--alphabets characters bpe --pieces 270 --n 2 --hidden 6 --bptt 5 --lanes 4"
    " --epochs 0.01",
    "parity": "--cells gru --seeds 1 --steps 2 --shallow 4 --test-length 30",
    "sums": "--cells gru --seeds 1 --steps 2 --test-length 30",
    "gradients": "--entrants gru --hidden 4 --steps 2 --lag 2 --length 5 --seen 2",
    "video": "--steps 2 --hidden 4 --frame 3 --features 2 --lanes 4 --length 6 --ways causal",
    "captioning": "--steps 2 --scripts cyrillic --size 12 --hidden 4 --features 2 --beams 1",
    "sentiment": "--steps 2 --hidden 4 --embed 4 --buckets 1 --cell tanh",
    "translation": "--least 1 --pairs 40 --steps 2 --hidden 6 --embed 4 --lanes 4 --beams 1"
    " --valid 0.2 --test 0.2 --buckets 1",
    "units": "--text book.txt --length 500 --context 4 --warm 4",
    "glimpse": "--looks learned --steps 2 --hidden 4 --lanes 4 --glimpses 2 --held-out 20",
    "draw": "--networks vae --steps 2 --hidden 12 --lanes 4 --held-out 20",
    "graphs": "--steps-in-time 2 --chunk 1",
    "ablate": "--seeds 1 --base valid=0.001 steps=2 hidden=6 embed=4 bptt=5 lanes=4"
    " sample_length=5",
    "truncation": "--lag 3 --every 4 --k1 8 --lengths 4 --hidden 4 --lanes 2 --steps 1 --seeds 1"
    " --samples 2 --valid 0.001",
    "word_lm": "--vocabulary 8 --hidden 6 --layers 1 --bptt 5 --lanes 4 --epochs 0 --steps 2"
    " --sample-length 5",
    "unknown": "--sizes 5 --hidden 6 --steps 2 --lanes 2 --bptt 3",
    "vocabularies": "--sizes 300 --outputs sampled --hidden 6 --steps 2 --seconds 0.01 --lanes 2"
    " --bptt 3",
    "throughput": "--only layer --cells tanh --peers scan --turns 2",
}

# Tools, which write no run of their own.
NO_FOLDER = ("runs", "replay", "diverge", "sample", "score", "compare", "")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the commands name: a book, the README's own cell, a finished run."""
    from experiments import char_lm

    place = tmp_path_factory.mktemp("readme")
    (place / "book.txt").write_text("It was the best of times, it was the worst. " * 400)
    for name, words in (("A.de", "ein Hund"), ("B.en", "a dog")):
        (place / name).write_text("".join(f"{words} {i % 4}\n" for i in range(12)))
    (place / "my_module.py").write_text(PYTHON[-1])
    argv = ["--corpus", str(place / "book.txt"), "--out", str(place / "runs" / "char_lm")]
    assert char_lm.main([*argv, *TOY["char_lm"].split()]) == 0
    return place


def test_the_readme_has_commands_and_code():
    assert len(OURS) >= 8 and len(PYTHON) == 2
    assert any(line.startswith("python3 -m venv") for line in COMMANDS)


@pytest.mark.parametrize("line", OURS)
def test_command_runs(line, place, monkeypatch, capsys, tmp_path):
    """Pictures are drawn, but not turned into pixels: each has a test beside its experiment's."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr("rnn_jax.plots._saved", lambda figure, kind, **how: kind.encode())
    words = shlex.split(line.replace(" RUN", " runs/char_lm"))
    name = words[2].partition(".")[2]
    module = importlib.import_module(f"experiments.{name or '__main__'}")
    toy = TOY.get(name, "").split()
    if name == "char_lm" and words[3:] and "--corpus" not in words:
        toy += ["--corpus", "book.txt"]  # Python's library is read by the command without flags
        toy += ["--pieces", "270"] * ("--pieces" in words)
    if name not in NO_FOLDER:
        toy += ["--out", str(tmp_path / "run")]
    # What the README says comes first, so that where both say something toy size wins.
    status = module.main([*words[3:], *toy])
    captured = capsys.readouterr()
    if "hub:" in line:  # there is no hub in a test; see tests/test_sources.py
        assert status == 2 and "HF_HUB_OFFLINE" in captured.err
    else:
        assert status == 0 and captured.out, captured.err


def test_the_notebook_lines_open_a_run(place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {}
    exec(PYTHON[0], names)
    assert names["opened"].metrics[-1]["step"] == 2


def test_the_cell_in_the_readme_takes_the_fast_pass(place, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    cell = importlib.import_module("my_module").minimal(3, 5)
    assert cell.gate is not None
    assert len(PYTHON[1].strip().splitlines()) < 20
    sys.modules.pop("my_module")


def test_every_file_in_the_table_exists():
    for path in re.findall(r"`((?:rnn_jax|experiments|tests)/[\w/]+\.\w+)`", README):
        assert (Path(__file__).parents[1] / path).is_file(), path
