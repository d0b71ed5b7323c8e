"""Where a text may be cut: between what a reader takes for one character each (UAX 29)."""

import numpy as np

from rnn_jax.data.extras import extra
from rnn_jax.data.text.words import words

_LONGEST = 200  # graphemes of one unit, where a language writes no spaces


def graphemes(text: str) -> list[str]:
    """The grapheme clusters of a text: a letter with its marks, an emoji with all its parts."""
    if text.isascii() and "\r" not in text:
        return list(text)
    regex = extra("regex", "--alphabet bpe or unigram", "tokenizers regex")
    return regex.findall(r"\X", text)


def units(text: str) -> list[str]:
    """The `words` of a text, joined where a cut would go through a grapheme."""
    pieces = words(text)
    if text.isascii() and "\r" not in text:
        return pieces
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    whole = np.cumsum([len(cluster) for cluster in graphemes(text)], dtype=np.int64)
    ends = ends[np.isin(ends, whole)].tolist()
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def short(clusters: list[str]) -> list[list[str]]:
    """The graphemes of a unit in parts of bounded length."""
    return [clusters[i : i + _LONGEST] for i in range(0, len(clusters), _LONGEST)]
