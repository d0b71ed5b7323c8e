"""One recurrent layer, forward and backward: this library against everybody who is installed."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from experiments.racing import forms, pytorch
from experiments.racing.contest import Entrant, contest
from experiments.racing.limit import products
from experiments.racing.problem import Problem, Sizes, draw
from experiments.racing.settings import Job, RaceSettings

SHAPES = ((25, 16, 128), (50, 50, 128), (64, 32, 256), (128, 64, 512), (200, 8, 64))  # T, B, H
QUICK = SHAPES[:1]


def jobs(settings: RaceSettings) -> list[Job]:
    """A row for each cell and shape: input size H, gradients for all weights and the input."""
    return [
        Job("layer", str(sizes), functools.partial(measure, sizes, settings))
        for cell in settings.cells_or("tanh", "gru", "lstm")
        for T, B, H in (QUICK if settings.quick else SHAPES)
        for sizes in [Sizes(cell, T, B, H)]
    ]


def measure(sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row of one layer, with the machine's limit."""
    problem = draw(sizes, settings.seed)
    ours = forms.entrant(forms.ours(sizes.cell, sizes.H), problem)
    rivals = peers(problem, settings.peers)
    return contest(ours, rivals, settings.turns, settings.seconds, limit=products(sizes))


def peers(problem: Problem, names: Sequence[str]) -> dict[str, Callable[[], Entrant | None]]:
    """How each of the peers is made; None where it has no such cell."""

    def make(name: str) -> Entrant | None:
        if name == "torch":
            return pytorch.layer_entrant(problem)
        form = forms.FORMS[name](problem.sizes.cell, problem.sizes.H)
        return form and forms.entrant(form, problem)

    return {name: functools.partial(make, name) for name in names}
