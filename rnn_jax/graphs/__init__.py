"""Computational graphs: read off a function's jaxpr, with its gradients' ways, and drawn."""

from rnn_jax.graphs.draw import KINDS, STEP, Place, draw
from rnn_jax.graphs.interpret import interpret
from rnn_jax.graphs.layout import unrolled
from rnn_jax.graphs.trace import Graph, leading_to, mark, reaches, trace

__all__ = [
    "KINDS",
    "STEP",
    "Graph",
    "Place",
    "draw",
    "interpret",
    "leading_to",
    "mark",
    "reaches",
    "trace",
    "unrolled",
]
