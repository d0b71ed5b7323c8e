"""Models: bundles of pure functions made of cells and layers.

core.py has `Model` and plain stacks, directions.py reads both ways, conditioned.py begins from
something given, attention.py and translator.py are sequence to sequence, feeding.py lets a model
read what it has written while it learns, glimpse.py reads images piece by piece, draw.py paints
them, precision.py computes in fewer bits, named.py builds whole models from a run's record,
words.py those of very many words.
"""

from rnn_jax.models.attention import (
    Attention,
    Looking,
    additive,
    alignment,
    attend,
    covered,
    dot,
    general,
    looking,
)
from rnn_jax.models.conditioned import Encoder, conditioned
from rnn_jax.models.core import Apply, Model, lane_keys, recurrent, stack
from rnn_jax.models.directions import bidirectional
from rnn_jax.models.draw import Painting, bound, draw_model, vae_hidden, vae_model
from rnn_jax.models.feeding import fed, feeding
from rnn_jax.models.glimpse import Looks, glimpse_model, misread, reinforced
from rnn_jax.models.named import (
    BUILDERS,
    from_spec,
    language_model,
    vector_model,
    window_model,
)
from rnn_jax.models.precision import in_bfloat16
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
    "Looks",
    "Model",
    "Painting",
    "Parts",
    "WordNetwork",
    "additive",
    "alignment",
    "anew",
    "attend",
    "bidirectional",
    "bound",
    "conditioned",
    "covered",
    "dot",
    "draw_model",
    "fed",
    "feeding",
    "framed",
    "from_spec",
    "general",
    "glimpse_model",
    "in_bfloat16",
    "lane_keys",
    "language_model",
    "looking",
    "memoryless",
    "misread",
    "pooled",
    "reader",
    "recurrent",
    "reinforced",
    "sentence_model",
    "sentence_parts",
    "stack",
    "translator",
    "vae_hidden",
    "vae_model",
    "vector_model",
    "window_model",
    "word_model",
    "word_network",
]
