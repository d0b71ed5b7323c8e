"""Several seeds in one program: `jax.vmap` of the training steps, against one after another."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.racing import charlm, training
from experiments.racing.charlm import Sizes
from experiments.racing.contest import Entrant, Values, difference
from experiments.racing.settings import Job, RaceSettings
from experiments.racing.turns import median, race, rounded
from rnn_jax import pace, tasks
from rnn_jax.together import together

SEEDS = 8
# layers, H, T, B: as small as they come, small ones, and one that is hardly small any more.
SHAPES = (*((1, H, 16, B) for B in (1, 8) for H in (8, 16, 32, 64)), (1, 64, 50, 32))
_COUNT = 16  # steps in one dispatch


def jobs(settings: RaceSettings) -> list[Job]:
    """A row for each size and cell."""
    return [
        Job("seeds", f"{SEEDS} seeds {sizes}", functools.partial(measure, sizes, settings))
        for cell in settings.cells_or("tanh", "gru", "lstm")
        for shape in (((1, 64, 16, 8),) if settings.quick else SHAPES)
        for sizes in [Sizes(cell, *shape)]
    ]


def measure(sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row, in milliseconds a step of all seeds; one_ms is a step of one seed alone.

    The data is the same for all seeds, as in `fit`.
    """
    recipes = [
        charlm.recipe(sizes, settings.seed)._replace(seed=settings.seed + k) for k in range(SEEDS)
    ]
    steps = training.compiled(recipes[0])
    together, apart = _together(recipes), _apart(recipes, steps)
    why = difference(apart.values(), together.values())
    if why:
        raise RuntimeError(f"seeds in one program do not train as one after another: {why}")
    runners = {"ours": together.run, "apart": apart.run, "one": _apart(recipes[:1], steps).run}
    measured = race(runners, settings.turns, settings.seconds)
    times = {name: median([t / _COUNT for t in each]) for name, each in measured.items()}
    minima = {name: rounded(min(each) / _COUNT) for name, each in measured.items()}
    return {
        **{"ours_ms": times["ours"], "peers": {}, "turns": len(measured["ours"])},
        **{"one_after_another_ms": times["apart"], "one_ms": times["one"], "min_ms": minima},
        "times_one": rounded(times["ours"] / times["one"]),
    }


def _data(recipe: Any) -> tasks.Batch:
    return pace.batches(recipe.task, 0, _COUNT, _COUNT)[0]


def _together(recipes: list) -> Entrant:
    """All seeds in one program; the first axis of the state is the seed."""
    side = together(recipes, _COUNT)
    state = side.start()

    def run() -> Any:
        nonlocal state
        state, metrics = side.advance(state, side.data(0, _COUNT), _COUNT)
        return np.asarray(metrics.loss)

    def values() -> Values:
        metrics = side.advance(side.start(), side.data(0, _COUNT), _COUNT)[1]
        return {"losses": np.asarray(metrics.loss)}

    return Entrant(run, values)


def _apart(recipes: list, steps: Callable) -> Entrant:
    """The program of one seed, called for each."""
    states = [recipe.start() for recipe in recipes]

    def all_of(states: list) -> list:
        losses = []
        for k, recipe in enumerate(recipes):
            states[k], metrics = steps(states[k], _data(recipe), np.int32(_COUNT), recipe.key())
            losses.append(np.asarray(metrics.loss))
        return losses

    def values() -> Values:
        return {"losses": np.stack(all_of([recipe.start() for recipe in recipes]))}

    return Entrant(lambda: all_of(states), values)
