"""log p of a text by any reader, token by token, with what of the text each token stands for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.scoring.readers import Reader, corpus_of, parts_of
from rnn_jax import decode, scores
from rnn_jax.data.text import PIECES, Vocabulary, pieces, written
from rnn_jax.data.text.parts import one
from rnn_jax.data.text.spelling import spelling_nats


class Scored(NamedTuple):
    """Tokens in order [N]: nats of each (-log p); bytes of UTF-8 and characters that it stands for;
    whether it is the unknown symbol, and the nats that spelling out an unknown word costs besides.
    """

    nats: np.ndarray
    bytes: np.ndarray
    characters: np.ndarray
    unknown: np.ndarray
    spelling: np.ndarray

    def record(self) -> dict[str, Any]:
        """`scores.record` of these tokens."""
        return scores.record(
            *(float(self.nats.sum()), len(self.nats)),
            *(int(self.characters.sum()), int(self.bytes.sum())),
            unknown=float(self.unknown.sum()),
            spelling=float(self.spelling.sum()),
        )


def sizes(vocabulary: Vocabulary, text: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of UTF-8 and characters that each token of a text stands for, both [N]."""
    if vocabulary.kind in PIECES:
        cut = written(vocabulary.cut(text), vocabulary.kind)
        return np.array([len(w.encode()) for w in cut]), np.array([len(w) for w in cut])
    if vocabulary.kind in (*pieces.KINDS, "bytes"):
        begun = np.array([sum(byte & 0xC0 != 0x80 for byte in raw) for raw in vocabulary.raw])
        return np.array([len(raw) for raw in vocabulary.raw])[ids], begun[ids]
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    width = 1 + sum((codes >= least).astype(np.int64) for least in (0x80, 0x800, 0x10000))
    return width, np.ones(len(codes), np.int64)


def line_ends(
    vocabulary: Vocabulary, text: str, lines: Sequence[str], bytes_: np.ndarray
) -> list[int]:
    """How many tokens end with each line of a text: of all but its first, of `bytes_` each [N]."""
    if vocabulary.kind in PIECES:  # a line's end is a word; some white space may be in no word
        ends = np.cumsum([len(vocabulary.cut(line + "\n")) for line in lines]) - 1
    else:
        before = len(text.encode()) - int(bytes_.sum())
        edges = np.cumsum([len(line.encode()) + 1 for line in lines])
        ends = np.searchsorted(before + np.cumsum(bytes_), edges, side="right")
    return [*ends[:-1].tolist(), len(bytes_)]


def rare_words(reader: Reader, folder: str) -> list[str]:
    """The training text's unknown words, by whose letters others are spelled; else nothing."""
    if reader.vocabulary.kind not in PIECES or reader.text is None:
        return []
    corpus_of(folder, reader.text, reader.digest)
    known = frozenset(reader.vocabulary.symbols)
    words = reader.vocabulary.cut(parts_of(reader.text)[0])
    return [word for word in words if word not in known]


def spelled(vocabulary: Vocabulary, text: str, rare: Sequence[str]) -> np.ndarray:
    """Nats for spelling out each token that is an unknown word [N]; 0 for all others."""
    cut, known = vocabulary.cut(text), frozenset(vocabulary.symbols)
    cost = {word: spelling_nats([word], rare) for word in {*cut} - known}
    return np.array([cost.get(word, 0.0) for word in cut])


def scored(reader: Reader, text: str, rare: Sequence[str] = ()) -> Scored:
    """All tokens of a text but its first, which is only read; as an evaluation reads a stream."""
    ids = reader.vocabulary.encode(text)
    nats = -decode.log_probs_of_stream(reader.model, reader.params, one(ids))
    return _scored(reader.vocabulary, text, ids, nats, rare, first=1)


def scored_lines(reader: Reader, lines: Sequence[str], rare: Sequence[str] = ()) -> list[Scored]:
    """Each line on its own, all its tokens and its end's, after a line's end."""
    vocabulary = reader.vocabulary
    start = vocabulary.encode("\n")
    texts = [line + "\n" for line in lines]
    ids = [vocabulary.encode(text) for text in texts]
    given = [np.concatenate([start[-1:], each]) for each in ids]
    found = decode.log_probs(reader.model, reader.params, given)
    return [
        _scored(vocabulary, text, each, -nats, rare, first=0)
        for text, each, nats in zip(texts, ids, found, strict=True)
    ]


def _scored(
    vocabulary: Vocabulary, text: str, ids: np.ndarray, nats: np.ndarray, rare: Any, *, first: int
) -> Scored:
    unknown = np.zeros(len(ids), bool) if vocabulary.unknown is None else ids == vocabulary.unknown
    spelling = np.zeros(len(ids))
    if vocabulary.kind in PIECES and unknown.any():
        spelling = spelled(vocabulary, text, rare)
    parts = (*sizes(vocabulary, text, ids), unknown, spelling)
    return Scored(nats, *(part[first:] for part in parts))


def blocks(a: Scored, b: Scored, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nats of both (spelling included) and bytes of the same pieces of one text, each [N].

    A piece has `least` bytes at least, and ends where a token of both ends. Both texts' tokens end
    with the text; what stands before the first common end is left out.
    """
    total = int(max(a.bytes.sum(), b.bytes.sum()))
    ends = [total - int(s.bytes.sum()) + np.cumsum(s.bytes) for s in (a, b)]
    common = np.intersect1d(*ends)
    edges = [int(common[0])]
    for end in common[1:].tolist():
        if end - edges[-1] >= least:
            edges.append(end)
    nats = []
    for s, end in zip((a, b), ends, strict=True):
        upto = np.concatenate([[0.0], np.cumsum(s.nats + s.spelling)])
        nats.append(np.diff(upto[np.searchsorted(end, edges, side="right")]))
    return nats[0], nats[1], np.diff(edges)
