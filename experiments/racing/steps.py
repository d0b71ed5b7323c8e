"""Whole training steps of the character model, tokens a second: this library against PyTorch.

Embedding, layers, softmax, backward pass, clipping, Adam, the carry from chunk to chunk, and the
fetching of every batch. A turn of each is as many steps as `fit` puts into one dispatch.
"""

import functools
from typing import Any

from experiments.racing import charlm, training
from experiments.racing.charlm import Sizes
from experiments.racing.contest import Entrant, Values, contest
from experiments.racing.settings import Job, RaceSettings
from rnn_jax import pace

# layers, H, T, B
SHAPES = (
    *((1, 64, 16, 8), (1, 128, 25, 16), (2, 128, 50, 50)),
    *((2, 256, 50, 50), (2, 512, 64, 32)),
)
_CHECKED = 16  # steps of training whose losses are compared


def jobs(settings: RaceSettings) -> list[Job]:
    """A row for each size, of the LSTM unless other cells are asked for."""
    return [
        Job("step", str(sizes), functools.partial(measure, sizes, settings))
        for cell in settings.cells_or("lstm")
        for shape in (SHAPES[:2] if settings.quick else SHAPES)
        for sizes in [Sizes(cell, *shape)]
    ]


def measure(sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row of one size, in milliseconds a step and in tokens a second."""
    recipe = charlm.recipe(sizes, settings.seed)
    steps = training.compiled(recipe)
    raced = training.trainer(recipe, steps)
    count = training.steps_a_dispatch(raced, pace.room(recipe.task))

    def values() -> Values:
        loss, bars = training.first_gradient(recipe)
        losses = training.trainer(recipe, steps).advance(_CHECKED).loss
        return charlm.named(loss, bars, losses)

    def torch() -> Entrant:
        from experiments.racing import pytorch_charlm

        return pytorch_charlm.step_entrant(recipe, sizes, count, _CHECKED)

    ours = Entrant(lambda: raced.advance(count), values)
    rivals = {"torch": torch} if "torch" in settings.peers else {}
    found = contest(ours, rivals, settings.turns, settings.seconds, units=count)
    times = {"ours": found["ours_ms"]} | found["peers"]
    speeds = {name: round(raced.tokens / ms * 1e3) for name, ms in times.items()}
    return found | {"tokens_per_second": speeds, "steps_a_turn": count}
