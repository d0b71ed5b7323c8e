"""Sequence to sequence: one network reads, another writes; with attention and without.

    python -m experiments.translation                         sums of numbers, 1 to 2 minutes
    python -m experiments.translation --data reversal         also dates, programs, french
    python -m experiments.translation --data A.de B.en        two files, line by line
    python -m experiments.translation --data hub:bentrevett/multi30k --source en --target de

Many to one reads the source, both ways; one to many begins from what it has read. --attention none
leaves it at that vector, as on the slide; dot, general and additive let the decoder look at every
place of the source at every step. Training forces the truth on the decoder, or with --own lets it
read some of what it has itself written (scheduled sampling); what that gap costs is measured. The
test is written freely, greedily and by beam search. The JSON line's value is the share of answers
that are not exactly right (of what is made by rule), or BLEU where sacrebleu is installed. Writes
translations.txt and, with attention, attention.png. Expected of the first command with --steps
4000: 0.001, and of the second 0.009; the rest is in experiments/results/translation.json.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import cli
from experiments.cli.files import save
from experiments.translating import TranslationSettings

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from experiments.translating.material import Material
    from experiments.translating.writing import Writer
    from rnn_jax.recipe import Recipe
    from rnn_jax.tasks import Task

_SAMPLES = 6  # held-out sources that are written at every evaluation
QUICK = {
    **{"data": ("reversal",), "size": 6, "pairs": 8000, "hidden": 64, "embed": 32, "beams": 2},
    **{"lanes": 64, "steps": 500, "eval_every": 250, "save_every": 250, "buckets": 1, "lr": 5e-3},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TranslationSettings):
    """Defaults: sums of two numbers of up to 3 digits."""

    steps: int = 3000
    """updates in total; a resumed run goes on up to here"""
    lr: float = 2e-3
    """learning rate"""
    log_every: int = 50
    """steps between two lines of metrics"""
    eval_every: int = 500
    """steps between two evaluations, each with what is written for some held-out sources"""
    save_every: int = 500
    """steps between two checkpoints"""


def task(config: Config, material: "Material") -> "Task":
    """The pairs in buckets, with what the flags say about feeding and the curriculum."""
    import numpy as np

    from rnn_jax import losses, tasks

    train, valid = (
        tasks.pair_examples(part.sources, part.targets, material.end)
        for part in (material.train, material.valid)
    )
    loss = losses.smoothed(config.smoothing) if config.smoothing else losses.cross_entropy
    how = {"error": _wrong_symbol, "most": config.buckets}
    made = tasks.bucketed(train, valid, loss, config.lanes, config.seed, **how)
    if config.curriculum:
        levels = np.array([pair.level for pair in material.train.pairs])
        made = tasks.curriculum(made, train, levels, config.curriculum, config.seed)
    if not config.own:
        return made

    def share(position: int) -> float:
        return config.own * min(1.0, position / config.ramp if config.ramp else 1.0)

    return tasks.feeding_back(made, share, config.seed)


def _wrong_symbol(ys: Any, targets: Any) -> Any:
    return (ys.argmax(-1) != targets).astype(ys.dtype)


def model_spec(config: Config, material: "Material") -> dict[str, Any]:
    """What `models.from_spec` builds the model from, now and when the run is opened."""
    names = ("cell", "hidden", "embed", "layers", "attention", "dropout", "half")
    sizes = {"source": len(material.source), "target": material.end + 1}
    arguments = sizes | {name: getattr(config, name) for name in names}
    return {"builder": "translator", "arguments": arguments}


def sampler(writer: "Writer") -> Callable[[int, Any], tuple[str, str]]:
    """``(step, weights) -> (header, text)``: the same held-out sources at every stage."""
    part = writer.material.valid

    def show(step: int, weights: Any) -> tuple[str, str]:
        written = writer.greedy(weights, part.sources[:_SAMPLES])
        lines = [
            f"{pair.source!r} -> {text!r}" + (f"  ({pair.target!r})" * (text != pair.target))
            for pair, text in zip(part.pairs, written, strict=False)
        ]
        return f"after {step} steps", "\n".join(lines)

    return show


def recipe(config: Config, material: "Material", spec: dict[str, Any]) -> "Recipe":
    """Adam behind a clipped gradient; the model can read what it writes."""
    from rnn_jax import descent, fit, models

    return fit.Recipe(
        model=models.feeding(models.from_spec(spec, trust=True)),
        task=task(config, material),
        optimizer=descent.adam(config.lr, config.clip),
        seed=config.seed,
        average=config.average,
    )


def run(config: Config) -> dict[str, Any]:
    """Train, then write the test part and score it."""
    from experiments.translating import material as read

    material = read.read(config)  # before JAX takes its time
    from experiments.translating import scoring
    from experiments.translating.writing import Writer
    from rnn_jax import distributed, fit, run, scores
    from rnn_jax.run import new_manifest

    spec = model_spec(config, material)
    how = recipe(config, material, spec)
    longest = 1 + max(len(target) for target in material.train.targets)
    writer = Writer(how.model, material, longest)
    identity = list(cli.identity(config))
    manifest = new_manifest(
        *("translation", dataclasses.asdict(config), identity), model=spec, data=material.record
    )
    folder, unit = Path(config.out), f"{scores.ONE[material.target.kind]}s"
    outcome = fit.fit(folder, manifest, how, config, sampler(writer), unit=unit)
    distributed.finish()
    params = run.open(folder, trust=True).params
    found, written = scoring.results(config, writer, params, material.test)
    save(config.out, _left(config, writer, params, written))
    gap = scoring.gap(how.model, how.task, params)
    return {**found, **gap, "last": outcome.last, **fit.result(outcome, folder)}


def _left(
    config: Config, writer: "Writer", params: Any, written: dict[str, list[str]]
) -> dict[str, str | bytes]:
    """The files beside the run's own: what was written for the test, and where it looked."""
    from experiments.translating import picture

    part = writer.material.test
    blocks = []
    for i, pair in enumerate(part.pairs):
        lines = {"source": pair.source, "target": pair.target}
        lines |= {how: texts[i] for how, texts in written.items()}
        blocks.append("\n".join(f"{name:8} {text!r}" for name, text in lines.items()))
    files: dict[str, str | bytes] = {"translations.txt": "\n\n".join(blocks) + "\n"}
    if config.attention != "none":
        files["attention.png"] = picture.picture(
            picture.look(writer, params, part.sources[: picture.SHOWN])
        )
    return files


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
