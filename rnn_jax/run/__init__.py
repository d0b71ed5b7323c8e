"""A run's folder: manifest, metrics, samples, curves, checkpoints. The only code that writes.

Training writes a run, everything else opens it:

    run, restored = start_or_resume("runs/a", new_manifest("char_lm", config, identity), state)
    with run:
        run.log(10, loss=1.7)
        run.save(10, state, metric=1.6)
    open("runs/a").params
"""

from .checkpoints import Restored
from .manifest import environment, new_manifest
from .opened import OpenedRun
from .opened import open_run as open
from .records import Sample
from .signals import Signals
from .writer import Run, start_or_resume

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
]
