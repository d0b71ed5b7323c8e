"""One, two and four devices on the same cores, and what `pmap` and `--invariant` cost on each.

    python -m experiments.racing.devices SIZES TURNS SECONDS      one size, in a process of its own

The number of a CPU's devices is fixed when JAX starts, so another process has four of them.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.racing.charlm import Sizes
from experiments.racing.settings import Job, RaceSettings

# Layers, H, T, and B, which the 8 shards of --invariant divide.
SHAPES = ((1, 64, 16, 8), (2, 128, 50, 48), (2, 256, 50, 48))
DEVICES = {"one device": 1, "two devices": 2, "four devices": 4}
_COUNT = 8  # steps in one dispatch
_FOUR = "--xla_force_host_platform_device_count=4"


def jobs(settings: RaceSettings) -> list[Job]:
    """A row for each size, of the LSTM unless other cells are asked for."""
    return [
        Job("devices", f"devices {sizes}", functools.partial(measure, sizes, settings))
        for cell in settings.cells_or("lstm")
        for shape in (SHAPES[:1] if settings.quick else SHAPES)
        for sizes in [Sizes(cell, *shape)]
    ]


def measure(sizes: Sizes, settings: RaceSettings) -> dict[str, Any]:
    """The row: a step of `jit` on one device; of `pmap` and with `--invariant` on each number."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} {_FOUR}".strip()  # of two the last counts
    arguments = [json.dumps(sizes), str(settings.turns), str(settings.seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.racing.devices", *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        **{"cwd": Path(__file__).parents[2], "check": True, "text": True},
        stdout=subprocess.PIPE,
    )
    return json.loads(done.stdout)


def _row(sizes: Sizes, turns: int, seconds: float) -> dict[str, Any]:
    import numpy as np

    from experiments.racing import charlm, training
    from experiments.racing.contest import difference
    from experiments.racing.turns import median, race, rounded
    from rnn_jax import parallel

    recipe = charlm.recipe(sizes, 0)
    steps: dict[str, Callable] = {"jit": parallel.data_parallel(recipe.steps(), 1)}
    for how, made in (("pmap", recipe.steps()), ("invariant", recipe.steps(invariant=True))):
        for told, count in DEVICES.items():
            steps[f"{how}, {told}"] = parallel.over_devices(made, count)
    trainers = {name: training.trainer(recipe, each) for name, each in steps.items()}
    losses = {
        name: {"losses": np.asarray(each.advance(_COUNT).loss)} for name, each in trainers.items()
    }
    for name, found in losses.items():
        if why := difference(losses["jit"], found):
            raise RuntimeError(f"{name} does not train as jit does: {why}")
    runners = {name: functools.partial(each.advance, _COUNT) for name, each in trainers.items()}
    measured = race(runners, turns, seconds)
    times = {name: [t / _COUNT for t in each] for name, each in measured.items()}
    return {
        **{"ours_ms": median(times["jit"]), "peers": {}, "turns": len(times["jit"])},
        "devices_ms": {name: median(each) for name, each in times.items()},
        "min_ms": {name: rounded(min(each)) for name, each in times.items()},
    }


if __name__ == "__main__":
    shape, asked, longest = sys.argv[1:]
    print(json.dumps(_row(Sizes(*json.loads(shape)), int(asked), float(longest))))
