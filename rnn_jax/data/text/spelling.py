"""What it costs to say which unknown word it was."""

import math
from collections import Counter
from collections.abc import Sequence

_END = ""  # after a word's last character
_CODE_POINTS = 0x110000


def spelling_nats(words: Sequence[str], like: Sequence[str]) -> float:
    """Nats for spelling these words out, character by character, by the frequencies of others.

    A model over words says no more than "an unknown word" where a model over characters goes on to
    say which; its bits per character are comparable only with the rest added. The rest is charged
    here by the simplest model, the same for every word model of a corpus: each character, and the
    word's end, with its frequency in `like` (the training text's rare words), add one; a character
    that is not there first as a new one and then as one of Unicode's 1,114,112 code points.
    """
    seen = Counter(letter for word in like for letter in (*word, _END))
    total = sum(seen.values()) + len(seen) + 1  # the last for a new character
    new = math.log(total) + math.log(_CODE_POINTS)
    nats = {letter: math.log(total / (n + 1)) for letter, n in seen.items()}
    return sum(nats.get(letter, new) for word in words for letter in (*word, _END))
