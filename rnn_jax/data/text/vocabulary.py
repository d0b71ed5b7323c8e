"""Characters, words, pieces or bytes, and their numbers."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_jax.data.text import pieces as pieces_
from rnn_jax.data.text.words import words
from rnn_jax.errors import BadInput

UNKNOWN = "\ufffd"


def spaced(text: str) -> list[str]:
    """What stands between white space, a space before each, and a newline for each line's end.

    So PTB and WikiText are written and counted. Other white space is lost.
    """
    pieces: list[str] = []
    for line in text.splitlines(keepends=True):
        pieces += [f" {word}" for word in line.split()]
        pieces += ["\n"] * (line != line.rstrip("\r\n"))
    return pieces


PIECES = {"words": words, "spaces": spaced}


def written(pieces: list[str], kind: str) -> list[str]:
    """The pieces of a text as they stand in it, where a line's first word has no space before it.

    So is what `spaced` cut, whose symbols are the same wherever they stand; `words` are as they
    are. Of more white space than one space or one line's end, which is lost, nothing is counted.
    """
    if kind != "spaces":
        return pieces
    before = ["\n", *pieces]
    return [p.lstrip(" ") if b == "\n" else p for b, p in zip(before, pieces, strict=False)]


def code_points(text: str | bytes) -> np.ndarray:
    """The code points of a str, or the values of bytes. int32 [N]"""
    if isinstance(text, bytes):
        return np.frombuffer(text, np.uint8).astype(np.int32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32)


@dataclass(frozen=True)
class Vocabulary:
    """Which symbols there are; a symbol's number is its place.

    symbols: one character each; for kind "words" one of `words` each, for "spaces" of `spaced`; for
    kinds "bpe" and "unigram" as in `pieces`; for kind "bytes" the 256 characters chr(0)…chr(255)
    stand for the byte values. unknown: the number given to any other symbol, or None: they are
    refused. model: what else it takes to encode, of pieces their model, of words the segmenter.
    """

    symbols: tuple[str, ...]
    kind: str = "characters"
    unknown: int | None = None
    model: str = ""

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The distinct characters of a text in order, after U+FFFD for all others at 0."""
        distinct = sorted(set(text) - {UNKNOWN})
        return cls((UNKNOWN, *distinct), unknown=0)

    @classmethod
    def of_words(cls, pieces: list[str], least: int, segmenter: str = "") -> Vocabulary:
        """The words that come at least so often, most frequent first, after U+FFFD at 0."""
        often = [w for w, n in Counter(pieces).most_common() if n >= least and w != UNKNOWN]
        return cls((UNKNOWN, *often), kind="words", unknown=0, model=segmenter)

    @classmethod
    def of_pieces(cls, kind: str, text: str, size: int) -> Vocabulary:
        """So many pieces, learned from a text: see `pieces`. Nothing is unknown."""
        trained = pieces_.train(kind, text, size)
        return cls(trained.symbols, kind, model=trained.model)

    @classmethod
    def most_frequent(cls, pieces: list[str], size: int, kind: str) -> Vocabulary:
        """U+FFFD at 0 and the size - 1 most frequent of the pieces, the most frequent first.

        A text's own <unk> is U+FFFD too. BadInput where there are not so many.
        """
        counts = Counter(pieces)
        for own in (UNKNOWN, "<unk>", " <unk>"):
            counts.pop(own, None)
        if not 2 <= size <= len(counts) + 1:
            told = f"the training part has {len(counts):,} different words"
            raise BadInput(f"--vocabulary {size}: {told}; use 2 to {len(counts) + 1}")
        often = [word for word, _ in counts.most_common(size - 1)]
        return cls((UNKNOWN, *often), kind=kind, unknown=0)

    @classmethod
    def of_bytes(cls) -> Vocabulary:
        """The 256 byte values: every text can be written, nothing is unknown."""
        return cls(tuple(map(chr, range(256))), kind="bytes")

    @classmethod
    def fixed(cls, symbols: str) -> Vocabulary:
        """Exactly these characters, in this order."""
        if not symbols or len(set(symbols)) < len(symbols):
            raise BadInput(f"a vocabulary needs distinct characters, not {symbols!r}")
        return cls(tuple(symbols))

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str | bytes) -> np.ndarray:
        """The numbers of a text's symbols, int32 [N]; bytes only for kind "bytes".

        Raises BadInput for a character that has no number where none is unknown.
        """
        if isinstance(text, str) and self.kind == "bytes":
            text = text.encode("utf-8", "surrogatepass")
        if isinstance(text, bytes) and self.kind != "bytes":
            raise TypeError(f"a vocabulary of {self.kind} encodes str, not bytes")
        if self.kind in PIECES:
            return self.number_words(self.cut(text))
        if self.kind in pieces_.KINDS:
            return pieces_.encode(self.model, text)
        return self.number(code_points(text))

    def cut(self, text: str) -> list[str]:
        """A text's words, for kinds "words" and "spaces"."""
        return words(text, self.model) if self.model else PIECES[self.kind](text)

    def number_words(self, pieces: list[str]) -> np.ndarray:
        """The numbers of `words`, int32 [N]."""
        places = self._places
        return np.array([places.get(piece, self.unknown) for piece in pieces], np.int32)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def number(self, codes: np.ndarray) -> np.ndarray:
        """`encode` for code points or byte values [N]: a lookup in one table."""
        known = code_points("".join(self.symbols))
        other = -1 if self.unknown is None else self.unknown
        table = np.full(max(codes.max(initial=0), known.max()) + 1, other, np.int32)
        table[known] = np.arange(len(self))
        ids = table[codes]
        if self.unknown is None and ids.min(initial=0) < 0:
            shown = "".join(self.symbols) if len(self) <= 100 else f"the {len(self)} known symbols"
            first = chr(codes[np.argmin(ids)])
            raise BadInput(f"the character {first!r} is not known here: use only {shown}")
        return ids

    def unseen(self, text: str) -> str:
        """The distinct characters of a text that have no symbol, or its words, comma between."""
        if self.kind == "bytes" or self.kind in pieces_.KINDS:
            return ""
        units, between = (self.cut(text), ", ") if self.kind in PIECES else (text, "")
        known = frozenset(self.symbols)
        return between.join(unit for unit in dict.fromkeys(units) if unit not in known)

    def decode(self, ids: Any) -> str:
        """The text of the numbers [N]; bytes that are no UTF-8 become U+FFFD."""
        if self.kind in PIECES:
            return "".join(self.symbols[i] for i in np.asarray(ids).ravel())
        if self.kind in pieces_.KINDS:
            return self.decoded_bytes(ids).decode("utf-8", "replace")
        codes = code_points("".join(self.symbols))[np.asarray(ids, np.int64).ravel()]
        if self.kind == "bytes":
            return codes.astype(np.uint8).tobytes().decode("utf-8", "replace")
        return codes.astype("<i4").tobytes().decode("utf-32-le", "surrogatepass")

    def decoded_bytes(self, ids: Any) -> bytes:
        """The text of the numbers [N] in UTF-8, for pieces and bytes."""
        return b"".join(self.raw[i] for i in np.asarray(ids).ravel())

    @functools.cached_property
    def raw(self) -> list[bytes]:
        """What each symbol is in UTF-8, for pieces and bytes (half a character, maybe)."""
        if self.kind == "bytes":
            return [bytes([value]) for value in range(256)]
        return pieces_.raw(self.symbols)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes an equal vocabulary from."""
        several = self.kind in PIECES or self.kind in pieces_.KINDS
        symbols = list(self.symbols) if several else "".join(self.symbols)
        told = {"kind": self.kind, "symbols": symbols, "unknown": self.unknown}
        return told | ({"model": self.model} if self.model else {})

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_json` wrote; BadInput for anything else."""
        try:
            told = (tuple(saved["symbols"]), saved["kind"], saved["unknown"])
            return cls(*told, saved.get("model", ""))
        except (KeyError, TypeError):
            raise BadInput("the saved vocabulary is damaged: train into a new folder") from None
