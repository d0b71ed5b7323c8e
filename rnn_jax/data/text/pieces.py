"""Pieces of words, from a training text's own statistics, by the library `tokenizers`.

Byte-pair encoding (Sennrich et al. 2016) joins the most frequent pairs; a unigram model (Kudo 2018)
keeps the pieces that make the text most probable. Both are here over graphemes, so that no piece
ends within what a reader takes for one character, and both fall back to bytes: symbols 0 to 255 are
the byte values, in which any grapheme is written that the training part hardly has. So every text
of every script has its pieces, nothing is unknown, and decoding gives the text back.
"""

import functools
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.extras import extra
from rnn_jax.data.text.graphemes import graphemes, short, units
from rnn_jax.errors import BadInput

KINDS = ("bpe", "unigram")
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))

_SEEN = 2  # a grapheme that comes less often is written in bytes
_LETTERS = 0.5  # of the vocabulary beyond the bytes: what single graphemes may take at most
_INSIDE = 0xF0000  # the library sees a grapheme as one code point, from here on


class Trained(NamedTuple):
    """symbols: the 256 bytes' names, then the pieces; model: what `encode` needs, as JSON."""

    symbols: tuple[str, ...]
    model: str


class _Loaded(NamedTuple):
    inside: dict[str, str]  # a grapheme as the library sees it
    tokenizer: Any


def train(kind: str, text: str, size: int) -> Trained:
    """A vocabulary of `size` symbols in all. BadInput where the text does not support so many."""
    library = extra("tokenizers", f"--alphabet {kind}", "tokenizers regex")
    seen = Counter(units(text))
    known, tokenizer = _sized(library, kind, seen, size)
    asked, found = size, _symbols(tokenizer)
    while found < asked:  # fewer symbols have fewer letters, which may support still fewer
        asked, found = found, _symbols(_sized(library, kind, seen, found)[1])
    if asked < size:
        raise BadInput(
            f"--pieces {size}: the training part supports {asked} of --alphabet {kind}; use "
            f"--pieces {asked}, or a longer text"
        )
    pieces = ("".join(known[ord(c) - _INSIDE] for c in piece) for piece in _in_order(tokenizer))
    model = {"letters": known, "tokenizer": json.loads(tokenizer.to_str())}
    return Trained((*BYTES, *pieces), json.dumps(model, ensure_ascii=False))


def _sized(library: Any, kind: str, seen: Counter[str], size: int) -> tuple[list[str], Any]:
    """The graphemes that are letters, most frequent first, and the library's tokenizer."""
    letters: Counter[str] = Counter()
    for unit, times in seen.items():
        for cluster in graphemes(unit):
            letters[cluster] += times
    most = max(1, int((size - len(BYTES)) * _LETTERS))
    often = sorted((-n, cluster) for cluster, n in letters.items() if n >= _SEEN)[:most]
    known = [cluster for _, cluster in often]
    inside = {cluster: chr(_INSIDE + i) for i, cluster in enumerate(known)}
    runs: Counter[str] = Counter()
    for unit, times in sorted(seen.items()):
        for run in _runs(unit, inside):
            if isinstance(run, str):
                runs[run] += times
    return known, _trained(library, kind, runs, size - len(BYTES))


def _symbols(tokenizer: Any) -> int:
    return tokenizer.get_vocab_size() + len(BYTES)


def _in_order(tokenizer: Any) -> list[str]:
    """The library's pieces by their numbers."""
    return [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]


def _trained(library: Any, kind: str, runs: Counter[str], size: int) -> Any:
    """The library's tokenizer of at most `size` pieces; the same for the same text."""
    models, trainers = library.models, library.trainers
    shared = {"vocab_size": size, "show_progress": False, "special_tokens": []}
    if kind == "bpe":
        tokenizer = library.Tokenizer(models.BPE())
        tokenizer.train_from_iterator(_many(runs), trainers.BpeTrainer(**shared))
        return tokenizer
    tokenizer = library.Tokenizer(models.Unigram())
    tokenizer.train_from_iterator(_many(runs), trainers.UnigramTrainer(**shared))
    found = json.loads(tokenizer.to_str())["model"]["vocab"]
    # The library numbers the graphemes that it would rather not have by chance, and scores them so.
    least = min((score for piece, score in found if len(piece) > 1), default=math.inf)
    low = round(min(score for _, score in found), 6)
    even = [(p, low if len(p) == 1 and s < least else round(s, 6)) for p, s in found]
    return library.Tokenizer(models.Unigram(sorted(even, key=lambda one: (-one[1], one[0]))))


def _many(runs: Counter[str]) -> Iterator[list[str]]:
    """Every run as often as it comes, in lists of some size."""
    each = runs.elements()
    return iter(lambda: list(itertools.islice(each, 1000)), [])


def _runs(unit: str, inside: dict[str, str]) -> Iterator[str | bytes]:
    """A unit as runs of known graphemes, in the library's code points, and others' bytes."""
    for part in short(graphemes(unit)):
        for known, run in itertools.groupby(part, inside.__contains__):
            if known:
                yield "".join(inside[cluster] for cluster in run)
            else:
                yield "".join(run).encode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=8)
def _load(model: str) -> _Loaded:
    """BadInput where it is no model of `train`'s."""
    library = extra("tokenizers", "a run of --alphabet bpe or unigram", "tokenizers regex")
    try:
        saved = json.loads(model)
        inside = {cluster: chr(_INSIDE + i) for i, cluster in enumerate(saved["letters"])}
        return _Loaded(inside, library.Tokenizer.from_str(json.dumps(saved["tokenizer"])))
    except Exception as error:  # the library raises bare Exception
        raise BadInput(f"the saved pieces are damaged ({error}): train into a new folder") from None


def encode(model: str, text: str) -> np.ndarray:
    """The numbers of a text's pieces, int32 [N]."""
    inside, tokenizer = _load(model)
    numbers: dict[str, list[int]] = {}

    def number(unit: str) -> list[int]:
        ids: list[int] = []
        for run in _runs(unit, inside):
            found = run if isinstance(run, bytes) else tokenizer.encode(run).ids
            ids += found if isinstance(run, bytes) else [len(BYTES) + i for i in found]
        return ids

    found: list[int] = []
    for unit in units(text):
        if unit not in numbers:
            numbers[unit] = number(unit)
        found += numbers[unit]
    return np.array(found, np.int32)


def raw(symbols: tuple[str, ...]) -> list[bytes]:
    """What each symbol is in UTF-8; half a character for a byte."""
    pieces = (piece.encode("utf-8", "surrogatepass") for piece in symbols[len(BYTES) :])
    return [*(bytes([value]) for value in range(256)), *pieces]
