"""Generated opinions with negation and contrast: sentences whose words do not add up.

A grammar's, made here; nobody has written or meant any of them. What decides is what is negated,
and which of two clauses is the main one; a bag of words sees neither.
"""

from typing import NamedTuple

import numpy as np

_SUBJECTS = (
    *("the plot", "the acting", "the music", "its hero", "every scene", "the dialogue"),
    *("the ending", "this film", "the camera", "her voice", "the pace", "the humour"),
)
_GOOD = (
    *("good", "clever", "moving", "fresh", "charming", "honest", "gripping", "bright"),
    *("graceful", "funny", "tender", "bold"),
)
_BAD = (
    *("bad", "dull", "clumsy", "stale", "tedious", "false", "flat", "grim"),
    *("shallow", "noisy", "lifeless", "timid"),
)
_DEGREES = ("", "really", "often", "quite", "simply")
_NEGATED = 0.3  # share of clauses that say what they say by denying the opposite
_NEGATIONS = ("not", "never", "hardly", "no longer")


class Opinions(NamedTuple):
    """texts, and labels: 1 where the sentence is in favour, 0 where it is against."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]


def opinions(count: int, rng: np.random.Generator) -> Opinions:
    """So many different sentences, drawn."""
    found: dict[str, int] = {}
    while len(found) < count:
        text, label = _sentence(rng)
        found[text] = label
    return Opinions(tuple(found), tuple(found.values()))


def _sentence(rng: np.random.Generator) -> tuple[str, int]:
    """One clause, or two of opposite mind of which the main one decides."""
    label, form = int(rng.integers(2)), int(rng.integers(4))
    main = _clause(rng, label)
    if form == 0:
        return f"{main} .", label
    other = _clause(rng, 1 - label)
    texts = (
        f"{other} , but {main} .",
        f"although {other} , {main} .",
        f"{main} , although {other} .",
    )
    return texts[form - 1], label


def _clause(rng: np.random.Generator, label: int) -> str:
    """Subject, is, words that say `label`: plainly, or by denying the opposite."""
    negated = bool(rng.random() < _NEGATED)
    words = (_BAD, _GOOD)[label ^ negated]
    parts = [_pick(rng, _SUBJECTS), "is"]
    parts += [_pick(rng, _NEGATIONS)] if negated else []
    parts += [_pick(rng, _DEGREES), _pick(rng, words)]
    return " ".join(part for part in parts if part)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
