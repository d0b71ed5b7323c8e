"""Tasks: what is read, what is asked, where the loss looks.

core.py has `Batch` and `Task`, text.py reads a text on and on, examples.py reads sequences that
each stand alone, in buckets of lengths, pairs.py a source and writes its target.
"""

from rnn_jax.tasks.core import Batch, Task
from rnn_jax.tasks.examples import Examples, bucketed
from rnn_jax.tasks.pairs import curriculum, feeding_back, free_running, own, pair_examples
from rnn_jax.tasks.text import held_out, next_token

__all__ = [
    "Batch",
    "Examples",
    "Task",
    "bucketed",
    "curriculum",
    "feeding_back",
    "free_running",
    "held_out",
    "next_token",
    "own",
    "pair_examples",
]
