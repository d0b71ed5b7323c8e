"""Counting words: what can be known without their order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def naive_bayes(
    train: Sequence["np.ndarray"],
    truth: "np.ndarray",
    asked: Sequence["np.ndarray"],
    vocabulary: int,
) -> "np.ndarray":
    """The most probable class of each sentence [N] of tokens, ``argmax_c log p(c) + Σ log p(w|c)``.

    By the training sentences' counts, add one.
    """
    import numpy as np

    classes = int(truth.max()) + 1
    labels = np.repeat(truth, [len(tokens) for tokens in train])
    places = labels * vocabulary + np.concatenate(train)
    counts = 1 + np.bincount(places, minlength=classes * vocabulary).reshape(classes, vocabulary)
    words = np.log(counts / counts.sum(1, keepdims=True))
    prior = np.log(np.bincount(truth) / len(truth))
    return np.array([(prior + words[:, tokens].sum(1)).argmax() for tokens in asked])
