"""The score of a language model in the units in which models can be compared."""

import math
from typing import Any

import numpy as np

from rnn_jax.data.text import Corpus

_ONE = {"characters": "character", "words": "word", "spaces": "word", "bytes": "byte"}


def language(nats: float, corpus: Corpus) -> dict[str, Any]:
    """An experiment's result from a validation loss of `nats` per symbol.

    Bits per character and per byte are of the validation text: an unknown word is charged what
    the model gives the unknown symbol and the cost of spelling it out, an unknown character the
    former alone. A model of bytes has no bits per character.
    """
    kind, width = corpus.vocabulary.kind, corpus.width
    bits = (nats + width.spelling) / math.log(2)
    return {
        "metric": f"validation nats per {_ONE[kind]}",
        "value": nats,
        "baseline": unigram(corpus),
        "better": "lower",
        "perplexity": math.exp(nats) if nats < 700 else math.inf,
        "bits_per_character": None if kind == "bytes" else bits / width.characters,
        "bits_per_byte": bits / width.bytes,
        "unknown_rate": corpus.unknown_rate["valid"],
    }


def unigram(corpus: Corpus) -> float:
    """Nats per symbol of the validation text by the training text's frequencies, add one."""
    counts = 1 + np.bincount(corpus.train.targets, minlength=len(corpus.vocabulary))
    return float(-np.log(counts / counts.sum())[corpus.valid.targets].mean())
