"""The pairs that the flags name, as numbers."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import cli
from experiments.cli.settings import flag as flag_of
from experiments.translating.settings import PairSettings
from rnn_jax.data import pairs as data
from rnn_jax.data.tables import COLUMNAR, SEPARATED
from rnn_jax.data.text import Vocabulary, words
from rnn_jax.errors import BadInput

NAMES = (*data.MAKERS, "french")


class Coded(NamedTuple):
    """Pairs, and the numbers of their symbols, int32 [N] each."""

    pairs: Sequence[data.Pair]
    sources: list[np.ndarray]
    targets: list[np.ndarray]


class Material(NamedTuple):
    """What is learned from; `end` is the target's number after those of its vocabulary."""

    train: Coded
    valid: Coded
    test: Coded
    source: Vocabulary
    target: Vocabulary
    made: bool
    record: dict[str, Any]

    @property
    def end(self) -> int:
        """What a target begins after, and ends with."""
        return len(self.target)

    def text(self, tokens: Any) -> str:
        """What was written up to the first `end`."""
        tokens = np.asarray(tokens)
        ends = np.flatnonzero(tokens == self.end)
        written = self.target.decode(tokens[: ends[0] if len(ends) else None])
        return written.lstrip() if self.target.kind == "words" else written


def read(config: PairSettings) -> Material:
    """The pairs, checked, split, numbered; one line about them on stderr. Raises BadInput."""
    made = len(config.data) == 1 and config.data[0] in data.MAKERS
    by_words = config.alphabet == "words" or (config.alphabet == "auto" and not made)
    parts = _parts(config, by_words)
    print(parts.describe(), file=sys.stderr)
    vocabularies = [
        _vocabulary([pair[side] for pair in parts.train], by_words, config.least)
        for side in range(2)
    ]
    coded = [_coded(part, *vocabularies) for part in (parts.train, parts.valid, parts.test)]
    named = dict(zip(("source", "target"), vocabularies, strict=True))
    unknown = np.concatenate(coded[2].targets) == named["target"].unknown
    record = {
        **parts.record(),
        "vocabularies": {name: each.to_json() for name, each in named.items()},
        "unknown_in_test": float(unknown.mean()),
    }
    sizes = " and ".join(f"{len(each)} of the {name}" for name, each in named.items())
    print(f"symbols: {sizes}; unknown in the test {unknown.mean():.2%}", file=sys.stderr)
    return Material(*coded, **named, made=made, record=record)


def _parts(config: PairSettings, by_words: bool) -> data.Pairs:
    """The three parts, each pair checked."""
    given = {}
    for name in ("data", "valid_data", "test_data"):
        if entries := getattr(config, name):
            pairs = _entries(config, entries, flag_of(name))
            sizes = (tuple(len(_pieces(text, by_words)) for text in pair[:2]) for pair in pairs)
            told = " and ".join(entries)
            given[name] = data.checked(pairs, sizes, config.longest, told, skip=config.skip)
    shares = [
        0.0 if given.get(name) else share
        for name, share in (("valid_data", config.valid), ("test_data", config.test))
    ]
    parts = data.parted(given["data"], " and ".join(config.data), config.seed, *shares)
    return data.Pairs(
        parts.train,
        tuple(given.get("valid_data", parts.valid)),
        tuple(given.get("test_data", parts.test)),
        parts.description,
    )


def _entries(config: PairSettings, entries: Sequence[str], flag: str) -> list[data.Pair]:
    """The pairs that one flag names."""
    if len(entries) == 2:
        return data.aligned(*entries, flag)
    (entry,) = entries
    if entry in data.MAKERS and flag == "--data":
        return data.make(entry, config.pairs, config.size, config.seed)
    if entry == "french":
        return data.french()
    ends = entry.removesuffix(".gz").lower()
    if entry.startswith("hub:") or ends.endswith((*SEPARATED, *COLUMNAR)):
        return data.columns(entry, config.source, config.target, flag)
    raise BadInput(
        f"{flag} {entry}: nearest: {cli.nearest(entry, NAMES)}; or give two files, a table with "
        "columns, or hub:NAME"
    )


def _pieces(text: str, by_words: bool) -> Sequence[str]:
    """The symbols of a text; its first word has a space before it, like any other."""
    if not by_words:
        return text
    return words(f" {text.strip()}") if text.strip() else []


def _vocabulary(texts: Sequence[str], by_words: bool, least: int) -> Vocabulary:
    if not by_words:
        return Vocabulary.of("".join(texts))
    pieces = [piece for text in texts for piece in _pieces(text, True)]
    found = Vocabulary.of_words(pieces, least)
    if len(found) == 1:
        raise BadInput(f"no word comes --least {least} times: lower it, or --alphabet characters")
    return found


def _coded(pairs: Sequence[data.Pair], source: Vocabulary, target: Vocabulary) -> Coded:
    sources, targets = zip(*(pair[:2] for pair in pairs), strict=True)
    return Coded(pairs, numbers(source, sources), numbers(target, targets))


def numbers(vocabulary: Vocabulary, texts: Sequence[str]) -> list[np.ndarray]:
    """The numbers of each text's symbols, int32 [N]; all texts at once, for a table is made."""
    by_words = vocabulary.kind == "words"
    pieces = [_pieces(text, by_words) for text in texts]
    if by_words:
        coded = vocabulary.number_words([piece for text in pieces for piece in text])
    else:
        coded = vocabulary.encode("".join(pieces))
    return np.split(coded, np.cumsum([len(text) for text in pieces])[:-1])
