"""Pairs of sequences: made by rule, or read from files.

core.py has `Pairs`, made.py and programs.py make them, read.py reads them.
"""

from rnn_jax.data.pairs.core import Pair, Pairs, parted
from rnn_jax.data.pairs.made import MAKERS, make
from rnn_jax.data.pairs.read import aligned, checked, columns, french

__all__ = ["MAKERS", "Pair", "Pairs", "aligned", "checked", "columns", "french", "make", "parted"]
