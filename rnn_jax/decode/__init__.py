"""Writing with a model: every output is fed back as the next input."""

from rnn_jax.decode.beam import Hypotheses, beam, search
from rnn_jax.decode.draw import generate, restrict

__all__ = ["Hypotheses", "beam", "generate", "restrict", "search"]
