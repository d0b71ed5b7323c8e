"""The score of a language model in the units in which models can be compared."""

import math
from typing import Any

import numpy as np

from rnn_jax.data.text import Corpus


def language(nats: float, corpus: Corpus) -> dict[str, Any]:
    """An experiment's result from a validation loss of `nats` per symbol.

    Unknown characters are charged what the model gives their symbol; bits per byte are of the
    validation text's UTF-8. A model of bytes has no bits per character.
    """
    bits, raw = nats / math.log(2), corpus.vocabulary.kind == "bytes"
    return {
        "metric": f"validation nats per {'byte' if raw else 'character'}",
        "value": nats,
        "baseline": unigram(corpus),
        "better": "lower",
        "bits_per_character": None if raw else bits,
        "bits_per_byte": bits / corpus.bytes_per_character_valid,
        "unknown_rate": corpus.unknown_rate["valid"],
    }


def unigram(corpus: Corpus) -> float:
    """Nats per character of the validation text by the training text's frequencies, add one."""
    counts = 1 + np.bincount(corpus.train.targets, minlength=len(corpus.vocabulary))
    return float(-np.log(counts / counts.sum())[corpus.valid.targets].mean())
