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

# A program compiles for longer than it runs here, so what can be of one shape is: the language
# models on the same text, all windows, the cells that are set by hand and those that learn.
TEXT = "--hidden 6 --embed 4 --bptt 5 --lanes 4 --steps 2 --valid 0.002"

TOY = {
    "char_lm": f"{TEXT} --layers 1",
    "hello": "--steps 20",
    "sample": "--length 5",
    "ngram": "--n 2 --sample 5",
    "neural_lm": f"{TEXT} --horizon 2",
    "ladder": f"{TEXT} --n 2 --windows 2 --cells gru",
    "compare": "--times 100",
    "tokens": "--alphabets characters bpe --pieces 270 --n 2 --hidden 6 --embed 4 --bptt 5"
    " --lanes 4 --epochs 0.002",
    "parity": "--cells tanh --hidden 2 --seeds 1 --steps 2 --shallow 4 --test-length 30",
    "sums": "--cells identity --hidden 1 --seeds 1 --steps 2 --test-length 30",
    "gradients": "--entrants tanh --hidden 4 --steps 2 --lag 2 --length 5 --seen 2",
    "video": "--steps 2 --cell tanh --hidden 4 --frame 3 --features 2 --lanes 4 --length 6"
    " --ways causal",
    "captioning": "--steps 2 --scripts cyrillic --size 12 --cell tanh --hidden 4 --features 2"
    " --depth 1 --dropout 0 --beams 1",
    "sentiment": "--steps 2 --hidden 4 --embed 4 --buckets 1 --cell tanh",
    # Sums of one digit, as few and of one length.
    "translation": "--least 1 --pairs 12 --size 1 --steps 2 --cell tanh --hidden 6 --embed 4"
    " --lanes 4 --beams 1 --valid 0.2 --test 0.2 --buckets 1",
    "units": "--text book.txt --length 500 --context 4 --warm 4",
    "glimpse": "--looks learned --steps 2 --hidden 4 --lanes 4 --glimpses 2 --held-out 20",
    "draw": "--networks vae --steps 2 --hidden 12 --lanes 4 --held-out 20",
    "graphs": "--steps-in-time 2 --chunk 1",
    "ablate": "--seeds 1 --base valid=0.002 steps=2 hidden=6 embed=4 bptt=5 lanes=4 layers=1",
    "truncation": "--lag 3 --every 4 --k1 8 --lengths 4 --cell tanh --hidden 4 --lanes 2 --steps 1"
    " --seeds 1 --samples 2 --valid 0.002",
    "word_lm": "--vocabulary 8 --cell tanh --hidden 6 --layers 1 --bptt 5 --lanes 4 --epochs 0"
    " --steps 2 --sample-length 5",
    "unknown": "--sizes 5 --ways letters --hidden 6 --steps 2 --lanes 2 --bptt 3",
    "vocabularies": "--sizes 300 --outputs sampled --hidden 6 --steps 2 --seconds 0.01 --lanes 2"
    " --bptt 3",
    "throughput": "--only layer --cells tanh --peers scan --turns 2",
}

# What reads Python's own library unless it is told a text: char_lm does so here as well.
READERS = ("ngram", "neural_lm", "ladder", "compare", "tokens")

# What no flag makes small.
SMALLER = {
    "parity": {"EVERY": 4, "LONG": 50},
    "sums": {"EVERY": {"summation": 2, "comparison": 2}, "LONG": 50},
}

# Tools, which write no run of their own.
NO_FOLDER = ("runs", "replay", "diverge", "sample", "score", "compare", "")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the commands name: a book, the README's own cell, a finished run."""
    from experiments import char_lm, language

    place = tmp_path_factory.mktemp("readme")
    library = language.read(char_lm.Config(valid=0.002)).vocabulary.symbols
    # As many symbols as Python's library has, so that networks of either are of one shape.
    lines = "It was the best of times, it was the worst. " * 350
    (place / "book.txt").write_text(lines + "".join(library[1:]) + lines)
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
def test_command_runs(line, place, monkeypatch, capsys, tmp_path, no_pixels):
    """Pictures are drawn, but not turned into pixels: each has a test beside its experiment's."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    words = shlex.split(line.replace(" RUN", " runs/char_lm"))
    name = words[2].partition(".")[2]
    module = importlib.import_module(f"experiments.{name or '__main__'}")
    for constant, value in SMALLER.get(name, {}).items():
        monkeypatch.setattr(module, constant, value)
    toy = TOY.get(name, "").split()
    reads = name in READERS or (name == "char_lm" and words[3:])
    toy += ["--corpus", "book.txt"] * bool(reads and "--corpus" not in words)
    toy += ["--pieces", "270"] * ("--pieces" in words)
    # A single lane has no gradients of dependence, which recall's command has measured.
    toy += ["--lanes", "1"] * ("--common" in words)
    if name not in NO_FOLDER:
        toy += ["--out", str(tmp_path / "run")]
    # What the README says comes first, so that where both say something toy size wins.
    with no_pixels():
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
