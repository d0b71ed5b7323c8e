"""The n-gram experiment: its tables, its files, its answer to bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import bptt_by_hand, graphs, ladder, language, ngram
from rnn_jax import ngrams, plots


@pytest.fixture
def book(tmp_path):
    """A text file with little in it, and a folder to write to."""
    places = np.cumsum(np.random.default_rng(0).integers(3, size=3000)) % 15
    words = [f"{'abcde'[w % 5]}{'aei'[w % 3]}" for w in places]
    path = tmp_path / "book.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return str(path), str(tmp_path / "out")


@pytest.fixture
def unpainted(no_pixels):
    with no_pixels():
        yield


def experiment(capsys, book, *argv):
    """The result of the experiment, what it said, and what it left."""
    arguments = ["--corpus", book[0], "--out", book[1], "--sample", "20", "--prompt", "ca", *argv]
    status = ngram.main(arguments)
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


@pytest.mark.usefixtures("unpainted")
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
    assert Path(book[1], "sample.txt").read_text().startswith("ca")


def training_text(book):
    text = Path(book[0]).read_text()
    return text[: int(len(text) * 0.9)]


def test_the_table_grows_as_v_to_the_n_and_the_text_fills_what_it_has(capsys, book):
    _, result, err = experiment(capsys, book, "--n", "4", "--sample", "0")
    kept, text = json.loads(Path(book[1], "ngram.json").read_text()), training_text(book)
    V = len(set(text)) + 1
    distinct = [len({text[i : i + n] for i in range(len(text) - n + 1)}) for n in range(1, 5)]
    for n, row in enumerate(kept["growth"], start=1):
        assert (row["entries"], row["distinct"]) == (V**n, distinct[n - 1])
        # A dense unigram; for each longer order a number a gram, and one a context.
        assert row["parameters"] == V + sum(distinct[1:n]) + sum([V, *distinct[1:]][: n - 1])
        assert f"{row['distinct']:,}" in err and f"{row['parameters']:,}" in err
    assert result["parameters"] == kept["growth"][-1]["parameters"]
    assert Path(book[1], "ngram.png").read_bytes().startswith(b"\x89PNG")


def test_the_ensemble_takes_the_weights_of_a_part_and_the_counts_of_all(tmp_path):
    path = tmp_path / "late.txt"
    path.write_text("ab" * 420 + "ba" * 10 + "bbaa" * 15 + "ab" * 50)  # bb comes late in training
    config = ngram.Config(corpus=(str(path),), n=2, smoothing="em")
    corpus = language.read(config)
    counts = ngrams.count(corpus.train, len(corpus.vocabulary), 2)
    early, _ = ngrams.reserved(corpus.train, 0.1)
    assert ngrams.count(early, len(corpus.vocabulary), 2).distinct()[1] < counts.distinct()[1]
    tables = ngram.smoother(config, corpus, counts)(2)
    assert tables.orders[0].a.size == counts.distinct()[1]


@pytest.mark.usefixtures("unpainted")
def test_a_context_of_words_is_labelled_as_it_was_written(capsys, book):
    asked = ("New York", "no such", " ca")
    flags = ("--alphabet", "words", "--n", "3", "--sample", "0", "--contexts", *asked)
    status, _, err = experiment(capsys, book, *flags)
    assert status == 0
    kept = json.loads(Path(book[1], "ngram.json").read_text())
    assert [row["context"] for row in kept["table"]] == [*asked]
    assert all(err.count(f"\n{context!r} ") == 2 for context in asked)
    assert "read as unknown: 'New,  York'" in err and "read as unknown: 'no,  such'" in err


def test_a_text_whose_words_come_once_is_refused(capsys, book):
    Path(book[0]).write_text(" ".join(f"word{i}" for i in range(500)))
    status, _, err = experiment(capsys, book, "--alphabet", "words", "--n", "2")
    assert status == 2 and not Path(book[1]).exists()
    assert "no word comes twice in the training part, so the vocabulary is empty" in err


@pytest.mark.parametrize("n", [5, 50])
def test_the_picture_of_a_long_n_has_no_more_ticks_than_fit(n, monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "png", figures.append)
    ngrams.picture(
        [ngrams.Growth(k, 2**k, k, k, 9, k // 9, 0, 1.0, np.inf) for k in range(1, n)], ""
    )
    for axes in figures[0].axes:
        ticks = [t for t in axes.get_xticks() if 1 <= t <= n]
        assert len(ticks) <= 11 and all(t == int(t) for t in ticks)
    assert len(figures[0].axes[0].texts) <= 10  # the sign of infinity


MAINS = {"ngram": ngram, "ladder": ladder, "graphs": graphs, "bptt_by_hand": bptt_by_hand}


@pytest.mark.parametrize("name", MAINS)
def test_a_folder_that_is_a_file_or_somebody_elses_is_refused_first(name, capsys, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    for out, told in (
        (tmp_path, "has other files (run.json); use another --out"),
        (tmp_path / "run.json", "run.json is a file; use another --out"),
        (tmp_path / "run.json" / "x", "run.json is a file; use another --out"),
    ):
        assert MAINS[name].main(["--out", str(out)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
        assert told in captured.err and captured.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.usefixtures("unpainted")
def test_without_smoothing_it_says_what_was_never_seen(capsys, book):
    flags = ("--smoothing", "none", "--n", "16", "--contexts", "da ", "ii", "--sample", "0")
    status, result, err = experiment(capsys, book, *flags)
    assert status == 0 and result["value"] is None
    rows = {line.split("'")[1]: line for line in err.splitlines() if line.startswith("'")}
    assert "never seen: without smoothing no token has a probability" in rows["ii"]
    assert "never seen" not in rows["da "] and "contexts never seen, and" in err
    kept = json.loads(Path(book[1], "ngram.json").read_text())
    assert kept["table"][1]["counted"] is None
    text = training_text(book)
    after = [text[i + 3] for i in range(len(text) - 3) if text[i : i + 3] == "da "]
    shown = kept["table"][0]["counted"]
    assert shown == {w: pytest.approx(after.count(w) / len(after)) for w in shown}
    assert len(set(shown.values())) > 1
    assert rows["da "].split("'")[-1].split() == [f"{p:.4f}" for p in shown.values()]
    assert not Path(book[1], "sample.txt").exists()


@pytest.mark.usefixtures("unpainted")
def test_a_unigram_table_has_the_empty_context(capsys, book):
    status, result, err = experiment(capsys, book, "--n", "1")
    assert status == 0 and "\n''" in err
    assert result["value"] == pytest.approx(result["baseline"], rel=0.01)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--n 0", "--n 0: must be at least 1 and at most 50"),
        ("--add-k 0", "--add-k 0.0: must be at least 1e-12 and at most 1000000"),
        ("--add-k inf", "--add-k inf: must be at least 1e-12 and at most 1000000"),
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
