"""Writing with a model: every output is fed back as the next input."""

from rnn_jax.decode.beam import Hypotheses, beam, search
from rnn_jax.decode.draw import generate, stream
from rnn_jax.decode.reading import Read, padded, read, read_texts
from rnn_jax.decode.scoring import chosen, log_probs, log_probs_of_stream
from rnn_jax.decode.screen import Screen
from rnn_jax.decode.shaping import repeats, restrict

__all__ = [
    "Hypotheses",
    "Read",
    "Screen",
    "beam",
    "chosen",
    "generate",
    "log_probs",
    "log_probs_of_stream",
    "padded",
    "read",
    "read_texts",
    "repeats",
    "restrict",
    "search",
    "stream",
]
