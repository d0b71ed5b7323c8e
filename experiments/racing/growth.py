"""How time and memory grow: with steps T, lanes B, units H and layers, and memory with segments."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.racing import charlm, forms, layers
from experiments.racing.contest import contest, difference
from experiments.racing.problem import Sizes, draw
from experiments.racing.settings import Job, RaceSettings
from experiments.racing.turns import median, race, rounded
from rnn_jax import segments

BASE = {"T": 50, "B": 16, "H": 128, "layers": 1}
AXES = {
    "T": (100, 316, 1000, 3162, 10000),
    "B": (1, 4, 16, 64, 256),
    "H": (32, 64, 128, 256, 512, 1024),
    "layers": (1, 2, 4, 8),
}
MEMORY = (100, 316, 1000, 3162, 10000)  # T, with H = 128 and B = 8
QUICK, QUICK_MEMORY = {"T": (50, 200)}, (50, 200)
_RIVALS = ("torch", "scan")  # two of the peers show how the others grow


def jobs(settings: RaceSettings) -> list[Job]:
    """A row for each point of each axis, and one for each T of the memory."""
    points = [
        Job(
            "growth",
            f"along {axis}: {sizes}",
            functools.partial(measure, axis, at, sizes, settings),
        )
        for cell in settings.cells_or("lstm")
        for axis, values in (QUICK if settings.quick else AXES).items()
        for at in values
        for sizes in [Sizes(cell=cell, **(BASE | {axis: at}))]
    ]
    return points + [
        Job("growth", f"memory: {sizes}", functools.partial(memory, sizes, settings))
        for cell in settings.cells_or("lstm")
        for T in (QUICK_MEMORY if settings.quick else MEMORY)
        for sizes in [charlm.Sizes(cell, 1, 64 if settings.quick else 128, T, 8)]
    ]


def measure(axis: str, at: int, sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row of one point: layers forward and backward, as in `layers`."""
    problem = draw(sizes, settings.seed)
    ours = forms.entrant(forms.ours(sizes.cell, sizes.H), problem)
    rivals = layers.peers(problem, [name for name in _RIVALS if name in settings.peers])
    turns, seconds = max(2, settings.turns // 3), settings.seconds / 4
    return contest(ours, rivals, turns, seconds) | {"axis": axis, "at": at}


def memory(sizes: charlm.Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row of one T: full BPTT of the character model, keeping all carries and every √T-th.

    Tokens in, the gradient of all parameters out; in segments the loss is taken inside each.
    Mebibytes are what the compiled program says of itself: temporaries, arguments and outputs.
    """
    segment = math.isqrt(sizes.T)
    programs = {
        "whole": _program(sizes, 0, settings),
        "segments": _program(sizes, segment, settings),
    }
    values = {name: _named(run()) for name, (run, _) in programs.items()}
    why = difference(values["whole"], values["segments"])
    if why:
        raise RuntimeError(f"segments do not compute what the whole does: {why}")
    turns, seconds = max(2, settings.turns // 6), settings.seconds / 4
    measured = race({name: run for name, (run, _) in programs.items()}, turns, seconds)
    return {
        **{"ours_ms": median(measured["whole"]), "peers": {}, "turns": len(measured["whole"])},
        **{"segments_ms": median(measured["segments"]), "segment": segment},
        "mebibytes": {name: rounded(size / 2**20) for name, (_, size) in programs.items()},
        **{"axis": "memory", "at": sizes.T},
    }


def _program(
    sizes: charlm.Sizes, segment: int, settings: RaceSettings
) -> tuple[Callable[[], Any], int]:
    """Loss and gradient of one chunk of T steps, and the bytes it needs."""
    recipe = charlm.recipe(sizes, settings.seed)
    model, task = recipe.model, recipe.task
    params, batch = recipe.start().params, task.batch(0)
    objective = segments.objective(segment)

    def mean(params: Any, batch: Any) -> Any:
        carry = model.start(params, sizes.B)
        total, (weight, _) = objective(model, task.loss, params, carry, batch, None)
        return total / weight

    compiled = jax.jit(jax.value_and_grad(mean)).lower(params, batch).compile()
    size = compiled.memory_analysis()
    needed = size.temp_size_in_bytes + size.argument_size_in_bytes + size.output_size_in_bytes
    return lambda: jax.block_until_ready(compiled(params, batch)), needed


def _named(found: Any) -> dict[str, np.ndarray]:
    loss, bars = found
    return charlm.named(loss, bars, loss)
