"""The run of char_lm that many tests train: one text, one network, one recipe.

Its programs are so compiled once for all of them: the length of the text, which is the epoch's, and
the learning rate are in them as well. How often it logs, evaluates and saves is not.
"""

import jax
import jax.numpy as jnp

from rnn_jax.cells import Cell

TEXT = "to be, or not to be: that is the question. " * 11
FLAGS = (
    *("--cell", "gru", "--layers", "1", "--hidden", "6", "--embed", "3", "--bptt", "5"),
    *("--lanes", "4", "--dropout", "0.3", "--lr", "0.02", "--sample-length", "4"),
)


def leaky(inputs, hidden):
    """A user's own cell, ``h_t = (h_{t-1} + tanh(x_t W_xh + h_{t-1} W_hh)) / 2``."""

    def init(key):
        matrices = {"W_xh": (inputs, hidden), "W_hh": (hidden, hidden)}
        return {name: 0.3 * jax.random.normal(key, shape) for name, shape in matrices.items()}

    def start(w, lanes):
        return jnp.zeros((lanes, hidden))

    def read(w, x):
        return x @ w["W_xh"]

    def step(w, h, z):
        h = (h + jnp.tanh(z + h @ w["W_hh"])) / 2
        return h, h

    return Cell(init, start, read, step)
