"""Recurrent cells, ``h_t = f_W(h_{t-1}, x_t)``, as bundles of pure functions; see `cells.core`."""

from rnn_jax.cells.core import Cell, Gate, gated
from rnn_jax.cells.gru import cho_gru, gru
from rnn_jax.cells.lstm import lstm
from rnn_jax.cells.named import CELLS, build, constructor, from_flax
from rnn_jax.cells.tokens import embedded, one_hot
from rnn_jax.cells.vanilla import PHI, Phi, vanilla

__all__ = [
    "CELLS",
    "PHI",
    "Cell",
    "Gate",
    "Phi",
    "build",
    "cho_gru",
    "constructor",
    "embedded",
    "from_flax",
    "gated",
    "gru",
    "lstm",
    "one_hot",
    "vanilla",
]
