"""A text cut into words and marks, by spaces or, for languages without them, by a segmenter."""

import functools
import logging
import re
import unicodedata
import warnings
from typing import Any

from rnn_jax.data.extras import extra

_MARK_BLOCKS = range(0x300, 0x20000)  # where Unicode has its combining marks


def _marks() -> str:
    """What goes with the character before it, as part of a set: combining marks and joiners."""
    found = [c for c in _MARK_BLOCKS if unicodedata.category(chr(c))[0] == "M"]
    starts = [c for c in found if unicodedata.category(chr(c - 1))[0] != "M"]
    ends = [c for c in found if unicodedata.category(chr(c + 1))[0] != "M"]
    spans = (f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True))
    return "\u200c\u200d" + "".join(spans)


_WITH = _marks()

# A word with what English writes inside it, or one mark, each with the space before it; a run of
# spaces but for its last; one other white space. Every character is in exactly one piece, and what
# combines with a character is in that character's.
_PIECE = re.compile(rf" ?\w[\w{_WITH}]*(?:['\u2019]\w[\w{_WITH}]*)*| ?[^\w\s][{_WITH}]*| +(?= )|\s")


def words(text: str, segmenter: str = "") -> list[str]:
    """The pieces of a text, a word or a mark each with the space before it; joined they are it.

    segmenter: what cuts a word of a language without spaces into its words; empty: nothing does.
    """
    pieces = _PIECE.findall(text)
    if not segmenter:
        return pieces
    return [part for piece in pieces for part in _segmented(piece)]


def _segmented(piece: str) -> list[str]:
    """The words that jieba finds in a piece; what is all ASCII it leaves whole."""
    if piece.isascii():
        return [piece]
    return _jieba().lcut(piece, HMM=False)


@functools.cache
def _jieba() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own old code
        module = extra("jieba", "--segmenter jieba", "jieba")
    module.setLogLevel(logging.WARNING)
    module.initialize()
    return module
