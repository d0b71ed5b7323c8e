"""A source's text, split and numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.sources import Source
from rnn_jax.data.text.parts import Split, Stream, one, split, tail, train_part
from rnn_jax.data.text.spelling import spelling_nats
from rnn_jax.data.text.vocabulary import Vocabulary, code_points
from rnn_jax.data.text.words import words
from rnn_jax.errors import BadInput

_LEAST = 2  # a word that the training part has once is what an unknown word looks like


class Width(NamedTuple):
    """What a validation target is on average: characters (None: bytes that are no UTF-8), UTF-8
    bytes, and the nats that spelling it out costs where it is unknown (`spelling_nats`; 0 where
    single characters are unknown).
    """

    characters: float | None
    bytes: float
    spelling: float = 0.0


@dataclass(frozen=True)
class Corpus:
    """A text ready for training.

    width: of the validation targets, for bits per character and per byte. unknown_rate: the share
    of each part's targets that are unknown. record: sizes, digest, split and rates for the run's
    manifest.
    """

    vocabulary: Vocabulary
    train: Stream
    valid: Stream
    test: Stream | None
    width: Width
    unknown_rate: dict[str, float]
    record: dict[str, Any]

    def describe(self) -> str:
        """One line: what is read, how large it is, what of it the vocabulary does not have."""
        steps = ", ".join(f"{n:,} {name}" for name, n in self.record["steps"].items())
        return (
            f"{self.record['description']}: {steps} {self.vocabulary.kind}; "
            f"vocabulary {self.record['vocabulary']}; "
            f"unknown in validation {self.unknown_rate['valid']:.4%}; "
            f"digest {self.record['digest']}"
        )


def load(
    source: Source,
    alphabet: str = "characters",
    how: str = "tail",
    valid: float = 0.1,
    test: float = 0.0,
    pieces: int = 4096,
    segmenter: str = "",
) -> Corpus:
    """Splits a source's text and numbers it by the vocabulary of its training part.

    The parts are cut by characters, so that they are the same text whatever one symbol is (bytes
    that are no UTF-8, by bytes). Words are `words`, cut further by a segmenter if there is one;
    those that the training part has only once are unknown. pieces: size of the vocabulary of "bpe"
    and "unigram".
    Raises BadInput as `split` does, for a source read with another alphabet, and where no word is
    known.
    """
    if isinstance(source.text, bytes) != (alphabet == "bytes"):
        raise BadInput(f"the text was not read for --alphabet {alphabet}: read it so")
    if segmenter and alphabet != "words":
        raise BadInput(f"--segmenter {segmenter} goes with --alphabet words; give both, or neither")
    vocabulary, parts, width = _numbered(
        source.text, alphabet, (how, valid, test), pieces, segmenter
    )
    given = {name: part for name, part in parts._asdict().items() if part is not None}
    unknown = {
        name: float(np.mean(part.targets == vocabulary.unknown)) for name, part in given.items()
    }
    record = {
        **source.record(),
        "alphabet": alphabet,
        "vocabulary": len(vocabulary),
        "split": how,
        "steps": {name: len(part.inputs) for name, part in given.items()},
        "unknown_rate": unknown,
        **{f"{name}_per_target": value for name, value in width._asdict().items()},
    }
    return Corpus(vocabulary, *parts, width, unknown, record)


def _numbered(
    text: str | bytes, alphabet: str, how: tuple[str, float, float], pieces: int, segmenter: str
) -> tuple[Vocabulary, Split, Width]:
    if alphabet == "bytes":
        return _bytes(text, *how)
    if alphabet == "characters":
        return _characters(text, *how)
    if how[0] != "tail":
        raise BadInput(f"--split {how[0]} is for characters and bytes: use tail with {alphabet}")
    if alphabet == "words":
        return _words(text, *how[1:], segmenter)
    return _pieces(text, *how[1:], alphabet, pieces)


def _characters(text: str, how: str, valid: float, test: float) -> tuple[Vocabulary, Split, Width]:
    """Characters, numbered after the split."""
    parts = split(code_points(text), how, valid, test)
    vocabulary = Vocabulary.of(train_part(text, how, valid, test))
    width = Width(1.0, _utf8_width(parts.valid.targets))
    number = vocabulary.number
    coded = (p and Stream(number(p.inputs), number(p.targets), p.fresh) for p in parts)
    return vocabulary, Split(*coded), width


def _bytes(text: bytes, how: str, valid: float, test: float) -> tuple[Vocabulary, Split, Width]:
    """Bytes; those of UTF-8 text are split between characters, where the characters' split is."""
    vocabulary = Vocabulary.of_bytes()
    try:
        decoded = text.decode() if how == "tail" else None
    except UnicodeDecodeError:
        decoded = None
    if decoded is None:
        return vocabulary, split(code_points(text), how, valid, test), Width(None, 1.0)
    cut = [part and code_points(part.encode()) for part in tail(decoded, valid, test)]
    begun = float(np.mean(cut[1][1:] & 0xC0 != 0x80))  # the bytes that begin a character
    return vocabulary, Split(*(p if p is None else one(p) for p in cut)), Width(begun, 1.0)


def _pieces(
    text: str, valid: float, test: float, kind: str, size: int
) -> tuple[Vocabulary, Split, Width]:
    """Pieces of words that the training part teaches."""
    parts = tail(text, valid, test)
    vocabulary = Vocabulary.of_pieces(kind, parts[0], size)
    coded = [part and vocabulary.encode(part) for part in parts]
    if any(part is not None and len(part) < 2 for part in coded):
        raise BadInput("a part of the text has fewer than 2 pieces: give a longer text")
    targets = vocabulary.decoded_bytes(coded[1][1:])
    begun = sum(byte & 0xC0 != 0x80 for byte in targets)
    n = len(coded[1]) - 1
    width = Width(begun / n, len(targets) / n)
    return vocabulary, Split(*(p if p is None else one(p) for p in coded)), width


def _words(text: str, valid: float, test: float, segmenter: str) -> tuple[Vocabulary, Split, Width]:
    """Words, each part cut into them by itself."""
    parts = [part and words(part, segmenter) for part in tail(text, valid, test)]
    if any(part is not None and len(part) < 2 for part in parts):
        raise BadInput("a part of the text has fewer than 2 words: give a longer text")
    vocabulary = Vocabulary.of_words(parts[0], _LEAST, segmenter)
    if len(vocabulary) == 1:
        raise BadInput(
            "no word comes twice in the training part, so the vocabulary is empty: give a longer "
            "text, or --alphabet characters"
        )
    coded = Split(*(part and one(vocabulary.number_words(part)) for part in parts))
    targets, known = parts[1][1:], frozenset(vocabulary.symbols)
    unknown = [word for word in targets if word not in known]
    rare = [word for word in parts[0] if word not in known]
    joined = "".join(targets)
    sizes = (len(joined), len(joined.encode("utf-8", "surrogatepass")))
    nats = spelling_nats(unknown, rare)
    return vocabulary, coded, Width(*(float(n / len(targets)) for n in (*sizes, nats)))


def _utf8_width(codes: np.ndarray) -> float:
    """The mean number of bytes that UTF-8 takes for these code points [N]."""
    return 1 + sum(float(np.mean(codes >= least)) for least in (0x80, 0x800, 0x10000))
