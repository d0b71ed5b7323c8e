"""Networks that recall a symbol of long ago, watched while they learn: what `gradients` is made of.

An `Entrant` is a cell, how its W_hh begins, and how its gradient is clipped. Each is a run of its
own below ``--out``; what is seen of it goes with the samples of that run, so it survives a resume.
"""

from experiments.flow.entrants import Entrant, entrants, folder, recall, train
from experiments.flow.pictures import heat, spectra
from experiments.flow.watch import Look, looks, watcher

__all__ = [
    "Entrant",
    "Look",
    "entrants",
    "folder",
    "heat",
    "looks",
    "recall",
    "spectra",
    "train",
    "watcher",
]
