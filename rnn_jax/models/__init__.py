"""Models: bundles of pure functions made of cells and layers.

core.py has `Model` and plain stacks, directions.py reads both ways, conditioned.py begins from
something given, named.py builds whole models from a run's record,
words.py those of very many words.
"""

from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Apply, Model, lane_keys, recurrent, stack
from rnn_jax.models.directions import bidirectional
from rnn_jax.models.named import (
    BUILDERS,
    from_spec,
    language_model,
    vector_model,
    window_model,
)
from rnn_jax.models.sentences import Parts, sentence_model, sentence_parts
from rnn_jax.models.sequences import anew, framed, memoryless, pooled
from rnn_jax.models.words import WordNetwork, word_model, word_network

__all__ = [
    "BUILDERS",
    "Apply",
    "Encoder",
    "Model",
    "WordNetwork",
    "Parts",
    "anew",
    "bidirectional",
    "conditioned",
    "framed",
    "from_spec",
    "lane_keys",
    "language_model",
    "memoryless",
    "pooled",
    "recurrent",
    "sentence_model",
    "sentence_parts",
    "stack",
    "vector_model",
    "window_model",
    "word_model",
    "word_network",
]
