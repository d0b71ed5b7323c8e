"""The n-gram experiment: its tables, its files, its answer to bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import ngram


@pytest.fixture
def book(tmp_path):
    """A text file with little in it, and a folder to write to."""
    places = np.cumsum(np.random.default_rng(0).integers(3, size=3000)) % 15
    words = [f"{'abcde'[w % 5]}{'aei'[w % 3]}" for w in places]
    path = tmp_path / "book.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return str(path), str(tmp_path / "out")


def experiment(capsys, book, *argv):
    """The result of the experiment, what it said, and what it left."""
    arguments = ["--corpus", book[0], "--out", book[1], "--sample", "20", "--prompt", "ca", *argv]
    status = ngram.main(arguments)
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


@pytest.mark.parametrize(
    ("smoothing", "alphabet"), [("kneser-ney", "characters"), ("em", "bytes"), ("add", "words")]
)
def test_the_experiment_prints_tables_and_beats_the_unigram(capsys, book, smoothing, alphabet):
    flags = ("--n", "3", "--smoothing", smoothing, "--alphabet", alphabet, "--test", "0.1")
    status, result, err = experiment(capsys, book, *flags)
    assert status == 0 and result["value"] < 0.95 * result["baseline"]
    assert result["test"] == pytest.approx(result["value"], rel=0.2)
    assert result["digest"] and result["step"] == 0 and result["parameters"] > 0
    assert result["metric"].endswith(alphabet[:-1]) and result["tokens_per_second"] > 0
    kept = json.loads(Path(book[1], "ngram.json").read_text())
    assert [row["n"] for row in kept["growth"]] == [1, 2, 3] and len(kept["table"]) == 5
    assert kept["growth"][2]["nats"] == result["value"]
    assert ("weights of n = 0 … 3" in err) == (smoothing == "em")
    assert Path(book[1], "ngram.png").read_bytes().startswith(b"\x89PNG")
    assert Path(book[1], "sample.txt").read_text().startswith("ca")


def test_without_smoothing_it_says_what_was_never_seen(capsys, book):
    flags = ("--smoothing", "none", "--n", "16", "--contexts", "da ", "ii", "--sample", "0")
    status, result, err = experiment(capsys, book, *flags)
    assert status == 0 and result["value"] is None
    rows = {line.split("'")[1]: line for line in err.splitlines() if line.startswith("'")}
    assert "never seen: without smoothing no token has a probability" in rows["ii"]
    assert "never seen" not in rows["da "] and "contexts never seen, and" in err
    kept = json.loads(Path(book[1], "ngram.json").read_text())
    assert kept["table"][1]["counted"] is None and kept["table"][0]["counted"]
    assert not Path(book[1], "sample.txt").exists()


def test_a_unigram_table_has_the_empty_context(capsys, book):
    status, result, err = experiment(capsys, book, "--n", "1")
    assert status == 0 and "\n''" in err
    assert result["value"] == pytest.approx(result["baseline"], rel=0.01)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--n 0", "--n 0: must be at least 1 and at most 50"),
        ("--add-k 0", "--add-k 0.0: must be above 0"),
        ("--n 2 --contexts ab", "--contexts 'ab' is 2 tokens long: use --n 3 or more"),
        ("--prompt=", "--prompt is empty: give at least one token, or --sample 0"),
        ("--valid 0.5 --test 0.499 --n 50", "--n 50 is longer than the text"),
    ],
)
def test_a_bad_command_is_refused_in_one_line_and_nothing_is_written(capsys, book, flags, line):
    status, result, err = experiment(capsys, book, *flags.split())
    assert (status, result) == (2, None)
    assert [said for said in err.splitlines() if said.startswith("error: " + line)]
    assert not Path(book[1]).exists()
