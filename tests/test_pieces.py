"""Pieces of words: any text comes back, nothing is unknown, no character is cut in two."""

import importlib
import json
import random
import sys

import numpy as np
import pytest

from rnn_jax.data import sources
from rnn_jax.data.text import Vocabulary, load, words
from rnn_jax.data.text.graphemes import graphemes, units
from rnn_jax.errors import BadInput

pytest.importorskip("tokenizers", reason="--alphabet bpe and unigram need it")
regex = pytest.importorskip("regex", reason="--alphabet bpe and unigram need it")

SCRIPTS = (
    "हिन्दी में क्षत्रिय है।",  # marks that follow and join
    "พระนครศรีอยุธยา ที่นี่",
    "มนุษย์ é é ñ Z̴̧ à̖",
    "한국어 각 각",
    "漢字かな交じり文、日本語。",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷🇯🇵 ❤️",
    "שָׁלוֹם می‌خواهم",
    "a\r\nb\r\n\tc  d\u00a0e\u2028",
    "\ufffd <0x41> \U000f0000 \x00",
)
ENGLISH = "the cat sat on the mat; the other cat that sat there hated that mat.\n" * 30
STEMS = "arrange bind connect cover do fold join like load lock pack place play set tie turn zip"
ENDS = ("", "s", "ing", "ed", "able", "er_x", "_v2", "q")
ENGLISH += "".join(f"{a}{b}{c} " for a in ("re", "un", "dis") for b in STEMS.split() for c in ENDS)
ENGLISH += "".join(f"{chr(97 + i % 26)}{chr(97 + i // 26)}{i % 7} " for i in range(26 * 26))
TEXT = ENGLISH + "".join(script + "\n" for script in SCRIPTS) * 3
SIZE = 400


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def vocabulary(request):
    return Vocabulary.of_pieces(request.param, TEXT, SIZE)


def some_text(seed: int) -> str:
    """Anything: letters of all scripts and none, marks without a base, unassigned code points."""
    draw = random.Random(seed)
    low = [chr(draw.choice([draw.randrange(0xD800), draw.randrange(0xE000, 0x110000)]))]
    return "".join(draw.choice([*low, *TEXT[-80:], *SCRIPTS]) for _ in range(40))


def test_any_text_comes_back_and_nothing_is_unknown(vocabulary):
    assert vocabulary.unknown is None and len(vocabulary) == SIZE
    for text in [TEXT, "", "x", *SCRIPTS, *map(some_text, range(30)), "無限 ∞ 🜂"]:
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text and ids.dtype == np.int32
        assert vocabulary.unseen(text) == ""
        assert vocabulary.decoded_bytes(ids) == text.encode()


def test_no_piece_ends_within_a_grapheme(vocabulary):
    ids = vocabulary.encode(TEXT)
    ends = set(np.cumsum([len(c.encode()) for c in regex.findall(r"\X", TEXT)]).tolist())
    at = np.cumsum([len(vocabulary.raw[i]) for i in ids])
    assert all(end in ends for i, end in zip(ids, at.tolist(), strict=True) if i >= 256)
    assert sum(i < 256 for i in ids) < len(ids) / 4
    several = [s for s in vocabulary.symbols[256:] if len(regex.findall(r"\X", s)) > 1]
    assert len(several) > 20 and " the" in several
    joined = [s for s in vocabulary.symbols[256:] if len(s) > 1 and len(graphemes(s)) == 1]
    assert joined, "a letter of several code points is a symbol"


def test_common_words_are_one_piece_and_rare_letters_bytes(vocabulary):
    assert len(vocabulary.encode(ENGLISH[:2000])) < 2000 / 2
    assert vocabulary.encode("鬱").tolist() == list("鬱".encode())
    assert vocabulary.encode(" the").tolist() == [vocabulary.symbols.index(" the")]


def test_the_same_text_gives_the_same_pieces_and_json_gives_them_back(vocabulary):
    again = Vocabulary.of_pieces(vocabulary.kind, TEXT, SIZE)
    assert again == vocabulary
    saved = json.loads(json.dumps(vocabulary.to_json()))
    back = Vocabulary.from_json(saved)
    assert back == vocabulary and back.encode(TEXT).tolist() == vocabulary.encode(TEXT).tolist()
    with pytest.raises(BadInput, match="damaged"):
        Vocabulary.from_json(saved | {"model": "{}"}).encode("x")


def test_graphemes_and_units_are_cuts_of_the_text_that_no_grapheme_crosses():
    for text in [*SCRIPTS, *map(some_text, range(20))]:
        assert "".join(units(text)) == "".join(words(text)) == text
        ends = np.cumsum([len(c) for c in graphemes(text)]).tolist()
        assert set(np.cumsum([len(u) for u in units(text)]).tolist()) <= set(ends)
    assert graphemes("a\r\nb") == ["a", "\r\n", "b"]


def test_words_keep_their_marks():
    assert words("हिन्दी में क्षत्रिय") == ["हिन्दी", " में", " क्षत्रिय"]
    assert words("naïve cafés, don't") == [
        *("naïve", " cafés", ",", " don't"),
    ]


def source(text: str | bytes) -> sources.Source:
    return sources.Source(text, "a test", ())


def test_the_parts_are_the_same_text_whatever_a_symbol_is():
    """And what a target stands for on average follows from that text, for any alphabet."""
    text = (ENGLISH + "漢字かな交じり文、日本語。" * 20) * 3
    part = text[int(len(text) * 0.7) : int(len(text) * 0.9)]
    for alphabet in ("characters", "bytes", "words", "bpe", "unigram"):
        given = text.encode() if alphabet == "bytes" else text
        corpus = load(source(given), alphabet, valid=0.2, test=0.1, pieces=300)
        symbols = corpus.vocabulary
        first, ids = symbols.decode(corpus.valid.inputs[:1]), corpus.valid.targets
        if alphabet == "words":  # of which some are unknown
            first = words(part)[0]
        else:
            assert first + symbols.decode(ids) == part
        rest = part[len(first) :]
        assert corpus.width.characters * len(ids) == pytest.approx(len(rest))
        assert corpus.width.bytes * len(ids) == pytest.approx(len(rest.encode()))
    assert load(source(b"\xff\xfe" * 500), "bytes").width.characters is None


def test_more_pieces_than_the_text_supports_is_one_line():
    for kind in ("bpe", "unigram"):
        with pytest.raises(BadInput, match=r"--pieces 5000: the training part supports \d+") as no:
            Vocabulary.of_pieces(kind, ENGLISH, 5000)
        most = int(str(no.value).partition("supports ")[2].partition(" ")[0])
        assert len(Vocabulary.of_pieces(kind, ENGLISH, most)) == most > 300


def test_a_line_of_a_megabyte_is_cut_like_any_other(vocabulary):
    text = "漢字字" * 116_000
    assert len(text.encode()) > 1e6
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_a_missing_package_is_named(monkeypatch):
    importlib.import_module("rnn_jax.data.text.words")._jieba.cache_clear()
    for name in ("tokenizers", "jieba"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match="pip install tokenizers regex"):
        Vocabulary.of_pieces("bpe", TEXT, 300)
    with pytest.raises(BadInput, match="pip install jieba"):
        load(source("漢字" * 99), "words", segmenter="jieba")


def test_a_segmenter_finds_words_where_no_spaces_are():
    pytest.importorskip("jieba", reason="--segmenter jieba needs it")
    text = "我来到北京清华大学, he said.\n" * 40
    corpus = load(source(text), "words", segmenter="jieba")
    assert {"北京", "清华大学", " he", ",", "\n"} <= set(corpus.vocabulary.symbols)
    back = Vocabulary.from_json(json.loads(json.dumps(corpus.vocabulary.to_json())))
    assert back.decode(back.encode(text)) == text and back == corpus.vocabulary
    with pytest.raises(BadInput, match="--alphabet words"):
        load(source(text), "characters", segmenter="jieba")
