"""Models: bundles of pure functions made of cells and layers.

core.py has `Model` and plain stacks, directions.py reads both ways, conditioned.py begins from
something given, attention.py and translator.py are sequence to sequence, feeding.py lets a model
read what it has written while it learns, named.py builds whole models from a run's record,
words.py those of very many words.
"""

from rnn_jax.models.attention import (
    Attention,
    Looking,
    additive,
    alignment,
    attend,
    dot,
    general,
    looking,
)
from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Apply, Model, lane_keys, recurrent, stack
from rnn_jax.models.directions import bidirectional
from rnn_jax.models.feeding import fed, feeding
from rnn_jax.models.named import (
    BUILDERS,
    from_spec,
    language_model,
    vector_model,
    window_model,
)
from rnn_jax.models.sentences import Parts, sentence_model, sentence_parts
from rnn_jax.models.sequences import anew, framed, memoryless, pooled
from rnn_jax.models.translator import ATTENTIONS, reader, translator
from rnn_jax.models.words import WordNetwork, word_model, word_network

__all__ = [
    "ATTENTIONS",
    "BUILDERS",
    "Apply",
    "Attention",
    "Encoder",
    "Looking",
    "Model",
    "Parts",
    "WordNetwork",
    "additive",
    "alignment",
    "anew",
    "attend",
    "bidirectional",
    "conditioned",
    "dot",
    "fed",
    "feeding",
    "framed",
    "from_spec",
    "general",
    "lane_keys",
    "language_model",
    "looking",
    "memoryless",
    "pooled",
    "reader",
    "recurrent",
    "sentence_model",
    "sentence_parts",
    "stack",
    "translator",
    "vector_model",
    "window_model",
    "word_model",
    "word_network",
]
