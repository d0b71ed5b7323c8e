"""Glyphs and their names: pictures of characters, and the words of what Unicode calls them.

"č" is "latin small letter c with caron". What is held out are combinations: every word of a
held-out name is to be seen in training with other words, and its picture never.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.images import glyph
from rnn_jax.data.images.glyphs import FONTS, outline
from rnn_jax.errors import BadInput

FACES = FONTS[:10]  # DejaVu in all its forms but one; the first is the one that is asked about
LEAST = 5  # names with a word that comes less often are left out
_EM, _BASELINE = 0.66, 0.74  # so that letters with two marks stay within the picture


class NamedGlyphs(NamedTuple):
    """pictures uint8 [N, F, S, S] of N glyphs in F fonts; there [N, F]: the font has it.

    names: of each glyph all that are right, each as its words; characters: as many, in the same
    order; outlined: how many of them, the first, have the picture's very outline, while the others
    only look like it; held_out [N]: not to be trained on.
    """

    pictures: np.ndarray
    there: np.ndarray
    names: list[list[list[str]]]
    characters: list[str]
    outlined: list[int]
    held_out: np.ndarray


def named_glyphs(
    scripts: Sequence[str], size: int, share: float, rng: np.random.Generator
) -> NamedGlyphs:
    """All small and capital letters of these scripts whose names' words come often enough.

    scripts: first words of Unicode names; share: of the glyphs "with" something that is held out.
    Characters that share an outline (Latin A, Cyrillic A) are one glyph with several right names,
    and so are those that look the same (`_alike`).
    """
    glyphs = _frequent(_alike(_outlines(scripts), size))
    if not glyphs:
        raise BadInput(f"--scripts {' '.join(scripts)}: no letters; try latin, cyrillic or greek")
    characters = ["".join(group) for group in glyphs]
    names = [[name(c) for c in group] for group in glyphs]
    there = np.array([[_has(group[0], face) for face in FACES] for group in glyphs])
    pictures = np.zeros((*there.shape, size, size), np.uint8)
    for i, f in np.argwhere(there):
        pictures[i, f] = picture(glyphs[i][0], size, FACES[f])
    outlined = [sum(_same(c, group[0]) for c in group) for group in glyphs]
    return NamedGlyphs(pictures, there, names, characters, outlined, _held_out(names, share, rng))


def picture(character: str, size: int, face: str = FACES[0]) -> np.ndarray:
    """uint8 [size, size], ink 255, on the common base line."""
    drawn = glyph(character, size, font=face, em=_EM, baseline=_BASELINE)
    return np.clip(np.rint(255 * drawn), 0, 255).astype(np.uint8)


def name(character: str) -> list[str]:
    """The words of its Unicode name, in small letters."""
    return unicodedata.name(character, "").lower().split()


def _has(character: str, face: str) -> bool:
    try:
        return bool(outline(character, face))
    except BadInput:
        return False


def _outlines(scripts: Sequence[str]) -> list[tuple[str, ...]]:
    """The letters of the scripts that FACES[0] has, those of one outline together."""
    found: dict[bytes, list[str]] = {}
    for code in range(0x20, 0x10000):
        words = name(chr(code))
        if words[:1] and words[0] in scripts and words[2:3] == ["letter"] and len(words) > 3:
            if words[1] in ("small", "capital") and _has(chr(code), FACES[0]):
                found.setdefault(outline(chr(code), FACES[0]), []).append(chr(code))
    return [tuple(group) for group in found.values()]


def _same(one: str, other: str) -> bool:
    return outline(one, FACES[0]) == outline(other, FACES[0])


def _alike(groups: list[tuple[str, ...]], size: int) -> list[tuple[str, ...]]:
    """Groups joined that nobody can tell apart in pictures of this size.

    Their pictures are equal, or Unicode makes them of the same letters and marks by their outlines:
    Latin and Cyrillic "ä" differ by where exactly the font has put the dots.
    """
    joined: dict[Any, list[str]] = {}
    for group in groups:
        parts = unicodedata.normalize("NFD", group[0])
        keys: list[Any] = [picture(group[0], size).tobytes()]
        if all(_has(part, FACES[0]) for part in parts):
            keys.append(tuple(outline(part, FACES[0]) for part in parts))
        found = {id(joined[key]): joined[key] for key in keys if key in joined}
        together = [c for members in found.values() for c in members] + [*group]
        known = [key for key, members in joined.items() if id(members) in found]
        joined |= dict.fromkeys([*known, *keys], together)
    return [tuple(members) for members in {id(m): m for m in joined.values()}.values()]


def _frequent(groups: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without names that have a word fewer than LEAST glyphs have, until there is none."""
    while True:
        counts = Counter(w for group in groups for w in {w for c in group for w in name(c)})
        kept = [tuple(c for c in g if min(counts[w] for w in name(c)) >= LEAST) for g in groups]
        kept = [group for group in kept if group]
        if kept == groups:
            return groups
        groups = kept


def _held_out(names: list[list[list[str]]], share: float, rng: np.random.Generator) -> np.ndarray:
    """Some of the glyphs "with" something, so that each of their words stays LEAST times."""
    words = [{w for one in each for w in one} for each in names]
    counts = Counter(w for each in words for w in each)
    marked = [i for i, each in enumerate(words) if "with" in each]
    held = np.zeros(len(names), bool)
    for i in rng.permutation(marked):
        if held.sum() < share * len(marked) and min(counts[w] for w in words[i]) > LEAST:
            held[i] = True
            counts.subtract(words[i])
    return held
