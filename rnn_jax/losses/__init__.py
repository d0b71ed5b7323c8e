"""Losses: of scores that are there (`cross_entropy`), and outputs that decide what is scored.

An `Output` is a last layer and its loss: `full`, `sampled_softmax`, `noise_contrastive`,
`class_factored`, `adaptive`; each has exact probabilities beside what it trains by.
"""

from rnn_jax.losses.adaptive import adaptive
from rnn_jax.losses.classes import class_factored
from rnn_jax.losses.named import NAMES, build
from rnn_jax.losses.output import Asked, Output, full, loss_of
from rnn_jax.losses.sampled import noise_contrastive, sampled_softmax
from rnn_jax.losses.sampling import by_frequency, log_uniform, systematic
from rnn_jax.losses.steps import cross_entropy, smoothed

__all__ = [
    "NAMES",
    "Asked",
    "Output",
    "adaptive",
    "build",
    "by_frequency",
    "class_factored",
    "cross_entropy",
    "full",
    "log_uniform",
    "loss_of",
    "noise_contrastive",
    "sampled_softmax",
    "smoothed",
    "systematic",
]
