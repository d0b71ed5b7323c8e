"""Pairs of sequences: what is read and what is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xxhash

from rnn_jax.errors import BadInput


class Pair(NamedTuple):
    """A source, its target, and how hard it is (from 1 up; 0 where that is not known)."""

    source: str
    target: str
    level: int = 0


@dataclass(frozen=True)
class Pairs:
    """Pairs in three parts, and what they were made from."""

    train: tuple[Pair, ...]
    valid: tuple[Pair, ...]
    test: tuple[Pair, ...]
    description: str

    def record(self) -> dict[str, Any]:
        """What a run's manifest keeps: the sizes, and the xxh3_64 digest of all pairs in order."""
        parts = {name: getattr(self, name) for name in ("train", "valid", "test")}
        digest = xxhash.xxh3_64()
        for pairs in parts.values():
            joined = "\0".join(text for pair in pairs for text in pair[:2])
            digest.update(joined.encode("utf-8", "surrogatepass") + b"\0\0")
        return {
            "description": self.description,
            "pairs": {name: len(pairs) for name, pairs in parts.items()},
            "digest": digest.hexdigest(),
        }

    def describe(self) -> str:
        """One line."""
        sizes = f"{len(self.train):,} train, {len(self.valid):,} validate, {len(self.test):,} test"
        return f"{self.description}: pairs: {sizes}"


def parted(pairs: Sequence[Pair], description: str, seed: int, valid: float, test: float) -> Pairs:
    """The pairs in random order, the last shares `valid` and `test` of them held out.

    Pairs with the same source stay together, so that none is both learned and asked. BadInput
    where a part is empty that has a share.
    """
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    rng = np.random.Generator(np.random.Philox(seed))
    place = dict(zip(sources, (rng.permutation(len(sources)) + 0.5) / len(sources), strict=True))
    ordered = sorted(pairs, key=lambda pair: place[pair.source])
    parts: list[list[Pair]] = [[], [], []]
    for pair in ordered:
        at = place[pair.source]
        parts[int(at > 1 - test - valid) + int(at > 1 - test)].append(pair)
    shares = {"training": 1.0, "validation": valid, "test": test}
    for part, (asked, share) in zip(parts, shares.items(), strict=True):
        if share and not part:
            told = f"--valid {valid} and --test {test}"
            raise BadInput(f"{len(pairs)} pairs leave none to {asked} ({told}): give more")
    return Pairs(*map(tuple, parts), description)
