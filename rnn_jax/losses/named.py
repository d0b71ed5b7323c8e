"""Outputs by name, as a run's record and the command line have them."""

import numpy as np

from rnn_jax.errors import BadInput
from rnn_jax.losses.adaptive import adaptive
from rnn_jax.losses.classes import class_factored
from rnn_jax.losses.output import Output, full
from rnn_jax.losses.sampled import noise_contrastive, sampled_softmax
from rnn_jax.losses.sampling import by_frequency, log_uniform

NAMES = ("full", "sampled", "sampled-frequency", "nce", "classes", "adaptive")
TABLED = ("full", "sampled", "sampled-frequency", "nce")  # a row of W_vh for each word


def build(
    name: str,
    vocabulary: int,
    size: int,
    *,
    samples: int = 0,
    counts: np.ndarray | None = None,
    scale: float = 0.05,
) -> Output:
    """The output of this name over V words from h of E numbers.

    samples: S of those that draw, a twentieth of V if 0; counts: how often each word of the
    training text occurs [V], for "sampled-frequency" and "nce"; where there are none the output
    is for evaluation alone, and they count as if all words were equal. BadInput for another name.
    """
    S = samples or max(1, vocabulary // 20)
    seen = np.ones(vocabulary) if counts is None else counts
    if name == "full":
        return full(vocabulary, size, scale)
    if name == "sampled":
        return sampled_softmax(vocabulary, size, log_uniform(vocabulary), S, scale)
    if name == "sampled-frequency":
        return sampled_softmax(vocabulary, size, by_frequency(seen), S, scale)
    if name == "nce":
        return noise_contrastive(vocabulary, size, by_frequency(seen, 1.0), S, scale)
    if name == "classes":
        return class_factored(vocabulary, size, scale=scale)
    if name == "adaptive":
        return _adaptive(vocabulary, size, counts, scale)
    raise BadInput(f"--loss {name} is not known; known: {', '.join(NAMES)}")


def _adaptive(vocabulary: int, size: int, counts: np.ndarray | None, scale: float) -> Output:
    """Two clusters, with room for half as many targets again as the text has there."""
    cutoffs = tuple(sorted({max(1, vocabulary // 50), max(1, vocabulary // 10)}))
    if counts is None:
        return adaptive(vocabulary, size, cutoffs, scale=scale)
    edges = (*cutoffs, vocabulary)
    seen = [counts[a:b].sum() / counts.sum() for a, b in zip(edges[:-1], edges[1:], strict=True)]
    shares = tuple(min(1.0, 1.5 * float(p) + 0.02) for p in seen)
    return adaptive(vocabulary, size, cutoffs, shares=shares, scale=scale)
