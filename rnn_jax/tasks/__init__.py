"""Tasks: what is read, what is asked, where the loss looks.

core.py has `Batch` and `Task`, text.py reads a text on and on, examples.py reads sequences that
each stand alone, in buckets of lengths.
"""

from rnn_jax.tasks.core import Batch, Task
from rnn_jax.tasks.examples import Examples, bucketed
from rnn_jax.tasks.text import held_out, next_token

__all__ = ["Batch", "Examples", "Task", "bucketed", "held_out", "next_token"]
