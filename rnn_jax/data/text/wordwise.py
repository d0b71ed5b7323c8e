"""A text by words for a vocabulary of the N most frequent, as a stream or sentence by sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_jax.data.text.corpus import Corpus, Width
from rnn_jax.data.text.parts import Split, Stream, one
from rnn_jax.data.text.spelling import spelling_nats
from rnn_jax.data.text.vocabulary import PIECES, Vocabulary, written
from rnn_jax.errors import BadInput

END = "\n"  # of a line, a word like any other; in a sentence the last word, and what it begins from


def load_words(
    parts: tuple[str, str, str | None],
    record: Mapping[str, Any],
    size: int,
    kind: str = "words",
    *,
    sentences: bool = False,
) -> Corpus:
    """A corpus of V = size words from the texts that train, validate and (or None) test.

    The vocabulary is the training text's most frequent words after the unknown one at 0, so that
    numbers rise as frequency falls; kind: how a text is cut, as in `vocabulary.PIECES`.
    sentences: each line is one, which begins afresh from a line's end and ends with it; lines
    without a word are left out. record: of the texts, for the run's manifest.
    BadInput where the training text has fewer words, or a part has too few.
    """
    cut = [None if part is None else _lines(PIECES[kind](part), sentences) for part in parts]
    if any(part is not None and len(part) < 2 for part in cut):
        raise BadInput("a part of the text has fewer than 2 words: give a longer text")
    vocabulary = Vocabulary.most_frequent(cut[0], size, kind)
    number = _sentences if sentences else one
    coded = Split(*(part and number(vocabulary.number_words(part)) for part in cut))
    rates = {
        name: float(np.mean(part.targets == vocabulary.unknown))
        for name, part in coded._asdict().items()
        if part is not None
    }
    width = _width(vocabulary, cut[0], cut[1], 0 if sentences else 1)
    steps = {name: len(p.inputs) for name, p in coded._asdict().items() if p is not None}
    record = {
        **record,
        **{"alphabet": kind, "sentences": sentences, "vocabulary": len(vocabulary)},
        **{"steps": steps, "unknown_rate": rates},
        **{f"{name}_per_target": value for name, value in width._asdict().items()},
    }
    return Corpus(vocabulary, *coded, width, rates, record)


def _lines(pieces: list[str], sentences: bool) -> list[str]:
    """The pieces, each line's end one of them; of sentences those with a word in them."""
    if not pieces or pieces[-1] != END:
        pieces = [*pieces, END]
    if not sentences:
        return pieces
    kept: list[str] = []
    line: list[str] = []
    for piece in pieces:
        line.append(piece)
        if piece == END:
            kept += line if any(word.strip() for word in line) else []
            line = []
    return kept


def _sentences(tokens: np.ndarray) -> Stream:
    """Each sentence read from the end of a line and asked up to its own. [N] -> [N]"""
    inputs = np.roll(tokens, 1).astype(np.int32)  # the last token of all is an end
    return Stream(inputs, tokens.astype(np.int32), inputs == tokens[-1])


def _width(vocabulary: Vocabulary, train: list[str], valid: list[str], first: int) -> Width:
    """The characters, bytes and spelling of a validation target, on average, from the first on."""
    known, targets = frozenset(vocabulary.symbols), valid[first:]
    joined = "".join(written(valid, vocabulary.kind)[first:])
    rare = [word for word in train if word not in known]
    nats = spelling_nats([word for word in targets if word not in known], rare)
    sizes = (len(joined), len(joined.encode("utf-8", "surrogatepass")), nats)
    return Width(*(float(n / len(targets)) for n in sizes))
