"""Ablations: named changes of an experiment's settings times seeds, each pair a run of its own.

An `Ablation` says which experiment and which changes; `plan` makes its `Trial`s, one for every
variant and seed; `trials` says what a folder of them holds and runs what is left there, `processes`
several at a time; `tables` and `pictures` compare variants over the seeds that they share.
"""

from experiments.sweep.named import ABLATIONS
from experiments.sweep.plan import Ablation, Trial, grid, plan

__all__ = ["ABLATIONS", "Ablation", "Trial", "grid", "plan"]
