"""What is learned, by which network, from which weights; and one training run of it."""

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.cli.files import check as check_folder
from experiments.lengths.settings import LengthSettings

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.fit import Outcome
    from rnn_jax.models import Model
    from rnn_jax.tasks import Task
    from rnn_jax.train import TrainState

_VALID_LANES = 256


class Problem(NamedTuple):
    """What is asked at every step of sequences that a rule makes.

    draw: ``(rng, lanes, length) -> (xs [B, T, X], targets [B, T, ...])``; loss, error: ``(ys,
    targets) -> per step``, the first to learn by, the second to report; measure: what the error is;
    chance: ``steps -> error`` of a network that knows nothing; scale: "linear" or "log", of the
    error in pictures.
    """

    name: str
    inputs: int
    outputs: int
    draw: Callable[["np.random.Generator", int, int], tuple[Any, Any]]
    loss: Callable[[Any, Any], Any]
    error: Callable[[Any, Any], Any]
    measure: str
    chance: Callable[["np.ndarray"], "np.ndarray"]
    scale: str


class Entrant(NamedTuple):
    """One row of the table: a network, what it is trained on, and where its weights start.

    spec: what `models.from_spec` builds the model from; its sizes with the name and the config
    make its runs these runs and no others; start: ``seed -> weights``, or None for the model's own
    random ones.
    """

    name: str
    model: "Model"
    task: Callable[[int], "Task"]
    spec: Mapping[str, Any]
    start: Callable[[int], Any] | None = None


def check(config: LengthSettings, files: Sequence[str]) -> None:
    """BadInput where --out holds something else than `files`, or where a cell does not exist."""
    check_folder(config.out, files)
    from rnn_jax import cells

    for cell in config.cells:
        cells.build(cell, 1, config.hidden)


def entrant(name: str, task: Callable[[int], "Task"], **sizes: Any) -> Entrant:
    """The `models.vector_model` of these arguments, from random weights."""
    from rnn_jax import models

    spec = {"builder": "vector_model", "arguments": sizes}
    return Entrant(name, models.from_spec(spec, trust=True), task, spec)


def learner(config: LengthSettings, problem: Problem, cell: str) -> Entrant:
    """A cell of the config's size, from random weights."""
    return _entrant(config, problem, f"{problem.name}-{cell}", cell, config.hidden, config.layers)


def from_hand(config: LengthSettings, problem: Problem, cell: str, weights: Any) -> list[Entrant]:
    """The hand-set network with noise on its weights, and its like from random weights."""
    import jax
    import numpy as np

    hidden = weights["layers"][0]["W_hh"].shape[0]
    leaves, tree = jax.tree.flatten(weights)

    @jax.jit
    def normal(key: Any) -> list[Any]:
        keys = jax.random.split(key, len(leaves))
        return [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]

    def disturbed(seed: int) -> Any:
        noise = map(np.asarray, normal(jax.random.key(seed)))
        noisy = [a + config.noise * e for a, e in zip(leaves, noise, strict=True)]
        return jax.tree.unflatten(tree, noisy)

    name = f"{problem.name}-{cell}-of-{hidden}"
    one = _entrant(config, problem, name, cell, hidden, 1)
    named = f"{problem.name}-hand-set, noise {config.noise:g}"
    return [one._replace(name=named, start=disturbed), one]


def _entrant(
    config: LengthSettings, problem: Problem, name: str, cell: str, hidden: int, layers: int
) -> Entrant:
    ends = {"inputs": problem.inputs, "outputs": problem.outputs}
    sizes = {"cell": cell, "hidden": hidden, "layers": layers}
    return entrant(name, lambda seed: sequences(problem, config, seed), **ends, **sizes)


def sequences(problem: Problem, config: LengthSettings, seed: int) -> "Task":
    """Sequences of 1 … train_length steps, new ones at every position, every step asked."""
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data import synthetic

    lanes, longest = config.lanes, config.train_length

    def batch(position: int) -> tasks.Batch:
        rng = synthetic.generator(seed, position)
        mask = synthetic.lengths(rng, lanes, longest)
        xs, targets = problem.draw(rng, lanes, longest)
        return tasks.Batch(xs, targets, mask=mask, fresh=np.ones(lanes, bool))

    held_out = problem.draw(synthetic.generator(seed, 0, held_out=True), _VALID_LANES, longest)
    valid = [tasks.Batch(*held_out, fresh=np.ones(_VALID_LANES, bool))]
    steps = lanes * (longest + 1) // 2
    return tasks.Task(batch, lambda: valid, problem.loss, lanes, config.horizon, steps)


def train(config: LengthSettings, experiment: str, entrant: Entrant, seed: int) -> "Outcome":
    """One run, in the folder ``out/NAME-seed``."""
    from rnn_jax import descent, fit
    from rnn_jax.run import new_manifest

    names = ("lr", "clip", "horizon", "lanes", "train_length", "invariant")
    same = {name: getattr(config, name) for name in names}
    same |= {name: entrant.spec["arguments"][name] for name in ("hidden", "layers")}
    same |= {"network": entrant.name, "seed": seed}
    recipe = fit.Recipe(
        model=entrant.model,
        task=entrant.task(seed),
        optimizer=descent.adam(config.lr, config.clip, config.horizon, 1e-3),
        seed=seed,
        params=entrant.start(seed) if entrant.start else None,
    )
    whole = {**dataclasses.asdict(config), **same}
    manifest = new_manifest(experiment, whole, list(same), model=entrant.spec)
    print(f"--- {entrant.name}, seed {seed}", file=sys.stderr)
    folder = Path(config.out) / re.sub(r"[^\w.+-]+", "_", f"{entrant.name}-{seed}")
    return fit.fit(folder, manifest, recipe, config, unit="steps")


def train_all(config: LengthSettings, experiment: str, entrant: Entrant) -> list["TrainState"]:
    """What every seed's run ends with."""
    seeds = range(config.seed, config.seed + config.seeds)
    return [train(config, experiment, entrant, seed).state for seed in seeds]
