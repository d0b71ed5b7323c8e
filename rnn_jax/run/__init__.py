"""A run's folder: manifest, metrics, samples, curves, checkpoints. The only code that writes.

Training writes a run, everything else opens it:

    run, restored = start_or_resume("runs/a", new_manifest("char_lm", config, identity), state)
    with run:
        run.log(10, loss=1.7)
        run.save(10, state, metric=1.6)
    open("runs/a").params
"""

from rnn_jax.run.checkpoints import Restored
from rnn_jax.run.manifest import new_manifest
from rnn_jax.run.opened import OpenedRun, steps
from rnn_jax.run.opened import open_run as open
from rnn_jax.run.records import Sample
from rnn_jax.run.signals import Signals
from rnn_jax.run.starting import start_or_resume
from rnn_jax.run.surroundings import environment
from rnn_jax.run.writer import Run

__all__ = [
    "OpenedRun",
    "Restored",
    "Run",
    "Sample",
    "Signals",
    "environment",
    "new_manifest",
    "open",
    "start_or_resume",
    "steps",
]
