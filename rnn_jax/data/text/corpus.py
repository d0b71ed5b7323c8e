"""A source's text, split and numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.sources import Source
from rnn_jax.data.text.parts import Split, Stream, one, split, tail, train_part
from rnn_jax.data.text.spelling import spelling_nats
from rnn_jax.data.text.vocabulary import Vocabulary, code_points, words
from rnn_jax.errors import BadInput

_LEAST = 2  # a word that the training part has once is what an unknown word looks like


class Width(NamedTuple):
    """What a validation target is on average: characters, UTF-8 bytes, and the nats that spelling
    it out costs where it is unknown (`spelling_nats`; 0 where single characters are unknown).
    """

    characters: float
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
) -> Corpus:
    """Splits a source's text and numbers it by the vocabulary of its training part.

    The parts are cut by characters (bytes), so that they are the same text whatever one symbol is.
    Words are `vocabulary.words`; those that the training part has only once are unknown.
    Raises BadInput as `split` does, for a source read with another alphabet, and where no word is
    known.
    """
    if isinstance(source.text, bytes) != (alphabet == "bytes"):
        raise BadInput(f"the text was not read for --alphabet {alphabet}: read it so")
    number = _words if alphabet == "words" else _characters
    vocabulary, parts, width = number(source.text, how, valid, test)
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


def _characters(
    text: str | bytes, how: str, valid: float, test: float
) -> tuple[Vocabulary, Split, Width]:
    """Characters or bytes, numbered after the split."""
    parts = split(code_points(text), how, valid, test)
    if isinstance(text, bytes):
        vocabulary, width = Vocabulary.of_bytes(), Width(1.0, 1.0)
    else:
        vocabulary = Vocabulary.of(train_part(text, how, valid, test))
        width = Width(1.0, _utf8_width(parts.valid.targets))
    number = vocabulary.number
    coded = (p and Stream(number(p.inputs), number(p.targets), p.fresh) for p in parts)
    return vocabulary, Split(*coded), width


def _words(text: str, how: str, valid: float, test: float) -> tuple[Vocabulary, Split, Width]:
    """Words, each part cut into them by itself."""
    if how != "tail":
        raise BadInput(f"--split {how} is for characters and bytes: use tail with words")
    parts = [part and words(part) for part in tail(text, valid, test)]
    if any(part is not None and len(part) < 2 for part in parts):
        raise BadInput("a part of the text has fewer than 2 words: give a longer text")
    vocabulary = Vocabulary.of_words(parts[0], _LEAST)
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
