"""From tokens, as they are written, to text that may be shown."""

from collections.abc import Sequence
from typing import Any

from rnn_jax.data.text import Vocabulary

_HALF = "\ufffd"  # what a vocabulary of bytes makes of a character that is not whole yet
_BYTES = 3  # of a character that may be there without its last


class Screen:
    """One text that grows: ``add(tokens)`` gives what of it can now be shown.

    stops: strings that end the text, which then has neither the stop nor anything after it. Held
    back is what may be the beginning of a stop, and the bytes of half a character. text: all that
    was shown; count: the tokens up to the one that completed a stop; stopped: whether one did.
    """

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str] = ()) -> None:
        self.text = ""
        self.count = 0
        self.stopped = False
        self._vocabulary = vocabulary
        self._stops = stops
        self._half: list[int] = []
        self._held = ""

    def add(self, tokens: Any) -> str:
        """The text that is sure after these tokens too; nothing once the text has stopped."""
        shown = ""
        for token in map(int, tokens):
            if self.stopped:
                break
            self.count += 1
            self._half.append(token)
            now = self._vocabulary.decode(self._half)
            if not now.endswith(_HALF) or len(self._half) > _BYTES:
                self._half = []
                shown += self._sure(self._held + now)
        self.text += shown
        return shown

    def end(self) -> str:
        """What was held back, where no more tokens come."""
        rest = "" if self.stopped else self._held + self._vocabulary.decode(self._half)
        self._half, self._held = [], ""
        self.text += rest
        return rest

    def _sure(self, text: str) -> str:
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        kept = max(
            (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])),
            default=0,
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]
