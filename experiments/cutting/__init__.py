"""The truncation laboratory's parts: problems, the grid, what a gradient costs, what came of it.

Every cell of the grid is a run of its own below ``--out``: the same command goes on where it was
stopped, trains nothing again that is finished, and may be given a larger grid.
"""

from experiments.cutting.measure import WHOLE, biases, costs, needed, seen
from experiments.cutting.picture import picture
from experiments.cutting.problems import Problem, problem
from experiments.cutting.report import Runs, best_rate, record, saturates, table
from experiments.cutting.sweep import Entry, Trained, entries, rates, road, start, train

__all__ = [
    "WHOLE",
    "Entry",
    "Problem",
    "Runs",
    "Trained",
    "best_rate",
    "biases",
    "costs",
    "entries",
    "needed",
    "picture",
    "problem",
    "rates",
    "record",
    "road",
    "saturates",
    "seen",
    "start",
    "table",
    "train",
]
