"""Targets written by a network, for many sources at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.translating.material import Material
from rnn_jax import decode
from rnn_jax.data import buckets
from rnn_jax.models import Model, covered

_LANES = 100  # sources in a batch; a beam search has as many texts times its beams


class Writer(NamedTuple):
    """A model that writes at most `longest` symbols, the end included."""

    model: Model
    material: Material
    longest: int

    def greedy(self, params: Any, sources: Sequence[np.ndarray]) -> list[str]:
        """The most probable symbol each time."""
        return self._each(sources, lambda context: self.tokens(params, context))

    def beam(
        self, params: Any, sources: Sequence[np.ndarray], beams: int, alpha: float, coverage: float
    ) -> list[str]:
        """The best text that beam search finds (`decode.search`)."""

        def write(context: dict) -> Any:
            end, unknown = self.material.end, self.material.target.unknown
            how = {"end": end, "alpha": alpha, "context": context, "forbid": unknown}
            if coverage:
                how |= {"seen": covered, "coverage": coverage}
            found = decode.search(self.model, params, end, beams, self.longest, **how)
            return found.tokens[:, 0]

        return self._each(sources, write)

    def tokens(self, params: Any, context: dict) -> Any:
        """What greedy writing gives, int32 [B, N]; after the first end it means nothing."""
        lanes = len(context["tokens"])
        prompt = np.full((lanes, 1), self.material.end, np.int32)
        how = {"greedy": True, "forbid": self.material.target.unknown, "context": context}
        key = jax.random.key(0)  # nothing is drawn
        return decode.generate(self.model, params, prompt, key, self.longest, **how)[0]

    def _each(self, sources: Sequence[np.ndarray], write: Any) -> list[str]:
        """Batches of one shape, the last filled up with its first source."""
        width, texts = max(map(len, sources)), []
        lanes = min(_LANES, len(sources))
        for begin in range(0, len(sources), lanes):
            rows = np.arange(begin, begin + lanes)
            inside = rows < len(sources)
            tokens, mask = buckets.pad(sources, np.where(inside, rows, begin), width)
            written = np.asarray(write({"tokens": tokens, "mask": mask}))
            texts += [self.material.text(row) for row in written[inside]]
        return texts
