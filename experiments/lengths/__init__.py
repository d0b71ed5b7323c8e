"""Networks trained on short sequences and tested on long ones: what `parity` and `sums` share.

A `Problem` is a rule that makes sequences and knows the answer at every step; an `Entrant` is a
network that learns it, a row of the table. Every entrant and seed is a run of its own below
``--out``, so the same command resumes, and trains nothing again that is finished.
"""

from experiments.lengths.byhand import every_sequence, outputs
from experiments.lengths.entrants import Entrant, Problem, check, from_hand, learner
from experiments.lengths.report import Row, compete, picture, record, result, table
from experiments.lengths.settings import LengthSettings
from experiments.lengths.unrolled import Arrow, Unit, unrolled

__all__ = [
    "Arrow",
    "Entrant",
    "LengthSettings",
    "Problem",
    "Row",
    "Unit",
    "check",
    "compete",
    "every_sequence",
    "from_hand",
    "learner",
    "outputs",
    "picture",
    "record",
    "result",
    "table",
    "unrolled",
]
