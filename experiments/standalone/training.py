"""One run of them: train in a folder, open what came out best."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import cli
from experiments.standalone.settings import StandaloneSettings

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import optax

    from rnn_jax.fit import Outcome
    from rnn_jax.tasks import Task


class Trained(NamedTuple):
    """A run that has ended: its outcome, and the model with its best weights."""

    outcome: "Outcome"
    model: Any
    params: Any

    def result(self, folder: Path) -> dict[str, Any]:
        """What every experiment's result has."""
        from rnn_jax import fit

        return {"last": self.outcome.last, **fit.result(self.outcome, folder)}


def train(
    name: str,
    config: StandaloneSettings,
    task: "Task",
    spec: dict[str, Any],
    data: dict[str, Any],
    *,
    vocabulary: Any = None,
    show: Callable[[int, Any], tuple[str, str]] | None = None,
    unit: str = "steps",
    per: str = "",
) -> Trained:
    """Train on `task` the model of `spec` (as `models.from_spec` takes it) in ``config.out``.

    data: of the manifest, with a digest; show, unit, per: as in `fit.fit`.
    """
    from rnn_jax import distributed, fit, models
    from rnn_jax.run import new_manifest

    model = models.from_spec(spec, trust=True)
    recipe = fit.Recipe(model, task, optimizer(config), config.seed, config.average)
    manifest = new_manifest(
        *(name, dataclasses.asdict(config), list(cli.identity(config))),
        **{"model": spec, "vocabulary": vocabulary, "data": data},
    )
    outcome = fit.fit(Path(config.out), manifest, recipe, config, show, unit=unit, per=per)
    distributed.finish()
    return Trained(outcome, model, best(config.out))


def optimizer(config: StandaloneSettings) -> "optax.GradientTransformation":
    """The rule that --optimizer names, at a rate that falls over --horizon."""
    from rnn_jax import descent

    if config.optimizer == "adam":
        return descent.adam(config.lr, config.clip, config.horizon)
    return descent.muon(descent.falling(config.lr, horizon=config.horizon), config.clip)


def best(folder: str) -> Any:
    """A finished run's best weights."""
    from rnn_jax import run

    return run.open(folder, trust=True).params
