"""A source's text, split and numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_jax.data.sources import Source
from rnn_jax.data.text.parts import Stream, split, train_part
from rnn_jax.data.text.vocabulary import Vocabulary, code_points
from rnn_jax.errors import BadInput


@dataclass(frozen=True)
class Corpus:
    """A text ready for training.

    bytes_per_character_valid: UTF-8 bytes per validation target; bits per character divided by
    it are bits per byte. unknown_rate: the share of each part's targets that are unknown.
    record: sizes, digest, split and rates for the run's manifest.
    """

    vocabulary: Vocabulary
    train: Stream
    valid: Stream
    test: Stream | None
    bytes_per_character_valid: float
    unknown_rate: dict[str, float]
    record: dict[str, Any]

    def describe(self) -> str:
        """One line: what is read, how large it is, what of it the vocabulary does not have."""
        steps = ", ".join(f"{n:,} {name}" for name, n in self.record["steps"].items())
        return (
            f"{self.record['description']}: {steps} characters; "
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

    Raises BadInput as `split` does, and for a source read with another alphabet.
    """
    raw = isinstance(source.text, bytes)
    if raw != (alphabet == "bytes"):
        raise BadInput(f"the text was not read for --alphabet {alphabet}: read it so")
    parts = split(code_points(source.text), how, valid, test)
    if raw:
        vocabulary, width = Vocabulary.of_bytes(), 1.0
    else:
        vocabulary = Vocabulary.of(train_part(source.text, how, valid, test))
        width = _utf8_width(parts.valid.targets)
    coded = {
        name: Stream(vocabulary.number(part.inputs), vocabulary.number(part.targets), part.fresh)
        for name, part in parts._asdict().items()
        if part is not None
    }
    unknown = {
        name: 0.0 if raw else float(np.mean(part.targets == vocabulary.unknown))
        for name, part in coded.items()
    }
    record = {
        **source.record(),
        "alphabet": alphabet,
        "vocabulary": len(vocabulary),
        "split": how,
        "steps": {name: len(part.inputs) for name, part in coded.items()},
        "unknown_rate": unknown,
        "bytes_per_character_valid": width,
    }
    streams = (coded["train"], coded["valid"], coded.get("test"))
    return Corpus(vocabulary, *streams, width, unknown, record)


def _utf8_width(codes: np.ndarray) -> float:
    """The mean number of bytes that UTF-8 takes for these code points [N]."""
    return 1 + sum(float(np.mean(codes >= least)) for least in (0x80, 0x800, 0x10000))
