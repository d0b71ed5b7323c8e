"""Writing text, characters a second: this library's `generate` against PyTorch's eager loop."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.racing import charlm
from experiments.racing.charlm import Sizes
from experiments.racing.contest import Entrant, Values, contest
from experiments.racing.settings import Job, RaceSettings
from rnn_jax import decode

LANES = (1, 64)
_CHECKED = 40  # characters of the most probable text, whose log-probabilities are compared


def jobs(settings: RaceSettings) -> list[Job]:
    """One lane and 64, of the 2x128 LSTM (in --quick 1x64) unless other cells are asked for."""
    layers, H = (1, 64) if settings.quick else (2, 128)
    return [
        Job(
            "sampling",
            f"{cell} {layers}x{H} {lanes} lane{'s' if lanes > 1 else ''}",
            functools.partial(measure, Sizes(cell, layers, H, 1, lanes), settings),
        )
        for cell in settings.cells_or("lstm")
        for lanes in LANES
    ]


def measure(sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row: milliseconds for one character in every lane, and characters a second."""
    length = 50 if settings.quick else 500
    recipe = charlm.recipe(sizes, settings.seed)
    model, params = recipe.model, recipe.start().params
    prompt, key = jnp.zeros((sizes.B, 1), jnp.int32), jax.random.key(settings.seed)

    def values() -> Values:
        _, log_probs = decode.generate(model, params, prompt, key, _CHECKED, greedy=True)
        return {"log p": np.asarray(log_probs)}

    def run() -> Any:
        return jax.block_until_ready(decode.generate(model, params, prompt, key, length))

    def torch() -> Entrant:
        from experiments.racing import pytorch_charlm

        return pytorch_charlm.sampling_entrant(params, sizes, sizes.B, length, _CHECKED)

    rivals = {"torch": torch} if "torch" in settings.peers else {}
    ours = Entrant(run, values)
    found = contest(ours, rivals, settings.turns, settings.seconds, units=length)
    times = {"ours": found["ours_ms"]} | found["peers"]
    speeds = {name: round(sizes.B / ms * 1e3) for name, ms in times.items()}
    return found | {"characters_per_second": speeds, "characters": length}
