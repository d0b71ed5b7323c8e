"""The n-gram model: a conditional probability table by counting, smoothed, and run as a cell."""

from rnn_jax.ngrams.cell import cell, distribution, widths
from rnn_jax.ngrams.counts import Counts, Coverage, Grams, count, coverage, most_frequent
from rnn_jax.ngrams.ensemble import Fit, ensemble, fit_ensemble, reserved
from rnn_jax.ngrams.growth import Growth, growth, picture
from rnn_jax.ngrams.smoothing import add, discounts, kneser_ney, maximum_likelihood
from rnn_jax.ngrams.tables import Order, Tables, log_probabilities, size

__all__ = [
    "Counts",
    "Coverage",
    "Fit",
    "Grams",
    "Growth",
    "Order",
    "Tables",
    "add",
    "cell",
    "count",
    "coverage",
    "discounts",
    "distribution",
    "ensemble",
    "fit_ensemble",
    "growth",
    "kneser_ney",
    "log_probabilities",
    "maximum_likelihood",
    "most_frequent",
    "picture",
    "reserved",
    "size",
    "widths",
]
