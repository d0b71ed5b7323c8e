"""Models: bundles of pure functions made of cells and layers.

core.py has `Model` and plain stacks, directions.py reads both ways, conditioned.py begins from
something given, named.py builds whole models from a run's record.
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

__all__ = [
    "BUILDERS",
    "Apply",
    "Encoder",
    "Model",
    "bidirectional",
    "conditioned",
    "from_spec",
    "lane_keys",
    "language_model",
    "recurrent",
    "stack",
    "vector_model",
    "window_model",
]
