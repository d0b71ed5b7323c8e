"""Scores in the units in which models can be compared: of a language model, of a classifier."""

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_jax.data.text import Corpus

# What one symbol of a vocabulary is called, by its kind.
ONE = {
    "characters": "character",
    "words": "word",
    "spaces": "word",
    "bytes": "byte",
    "bpe": "piece",
    "unigram": "piece",
}
_AT_ONCE = 500  # draws, whose counts are in memory together


class Comparison(NamedTuple):
    """Bits per byte of two models on one text, b - a, and what chance makes of the difference.

    low, high: 95 % of the resampled differences lie between; p: how often, two-sided, they have the
    other sign.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float


def record(
    nats: float,
    tokens: int,
    characters: float | None,
    bytes_: float,
    *,
    unknown: float = 0.0,
    spelling: float = 0.0,
) -> dict[str, Any]:
    """The score of a language model on a text, the same for every model.

    nats: -log p of all `tokens` that were scored; characters, bytes_: of the original text that
    these tokens stand for (None: it has no characters, being no UTF-8); unknown: how many of the
    tokens are the unknown symbol; spelling: nats that saying which these were costs besides. Bits
    are of the original text, spelling included; perplexity is of the tokens, without it.
    """
    bits, each = (nats + spelling) / math.log(2), nats / tokens
    return {
        "nats_per_token": each,
        "perplexity": math.exp(each) if each < 700 else math.inf,
        "bits_per_character": None if characters is None else bits / characters,
        "bits_per_byte": bits / bytes_,
        "tokens": tokens,
        "unknown_rate": unknown / tokens,
    }


def language(nats: float, corpus: Corpus) -> dict[str, Any]:
    """An experiment's result from a validation loss of `nats` per symbol, with its `record`.

    An unknown word is charged what the model gives the unknown symbol and the cost of spelling it
    out, an unknown character the former alone.
    """
    width, tokens = corpus.width, len(corpus.valid.targets)
    characters = None if width.characters is None else width.characters * tokens
    unknown, spelling = corpus.unknown_rate["valid"] * tokens, width.spelling * tokens
    sizes = (tokens, characters, width.bytes * tokens)
    return {
        "metric": f"validation nats per {ONE[corpus.vocabulary.kind]}",
        "value": nats,
        "baseline": unigram(corpus),
        "better": "lower",
        **record(nats * tokens, *sizes, unknown=unknown, spelling=spelling),
    }


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, bytes_: np.ndarray, *, times: int = 10_000, seed: int = 0
) -> Comparison:
    """Is one model better than another, or was it this text? (Koehn 2004)

    a, b: nats of the two on the same pieces of a text [N], of so many bytes each [N]. The pieces
    are drawn anew, with replacement, and the difference in bits per byte taken of each draw.
    """
    noise, n = np.random.default_rng(seed), len(a)
    total, gap = bytes_ * math.log(2), b - a
    drawn = np.empty(times)
    for first in range(0, times, _AT_ONCE):
        many = min(_AT_ONCE, times - first)
        counts = noise.multinomial(n, np.full(n, 1 / n), many)
        drawn[first : first + many] = (counts @ gap) / (counts @ total)
    low, high = np.quantile(drawn, [0.025, 0.975])
    other = min(float(np.mean(drawn <= 0)), float(np.mean(drawn >= 0)))
    bits = (float(part.sum() / total.sum()) for part in (a, b, gap))
    # What never happened in so many draws has not probability 0.
    return Comparison(*bits, float(low), float(high), min(1.0, 2 * max(other, 1 / times)))


def unigram(corpus: Corpus) -> float:
    """Nats per symbol of the validation text by the training text's frequencies, add one."""
    counts = 1 + np.bincount(corpus.train.targets, minlength=len(corpus.vocabulary))
    return float(-np.log(counts / counts.sum())[corpus.valid.targets].mean())


def classes(truth: np.ndarray, answers: np.ndarray, count: int) -> dict[str, Any]:
    """How well `answers` [N] meet `truth` [N], both numbers below `count`.

    accuracy: the share of right answers; balanced_accuracy: its mean over the classes there are,
    each by itself; f1: ``2 tp / (2 tp + fp + fn)`` of each class, macro_f1 their mean. confusion
    [truth][answer]: how often.
    """
    confusion = np.bincount(truth * count + answers, minlength=count**2).reshape(count, count)
    right, asked, said = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    there = asked > 0
    f1 = 2 * right / np.maximum(asked + said, 1)
    return {
        "accuracy": float(right.sum() / asked.sum()),
        "balanced_accuracy": float((right[there] / asked[there]).mean()),
        "macro_f1": float(f1[there].mean()),
        "f1": f1.tolist(),
        "confusion": confusion.tolist(),
    }
