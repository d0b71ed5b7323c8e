"""Who learns: cells from different beginnings, clipped in different ways, on delayed recall."""

import dataclasses
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import cli
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import optax

    from rnn_jax.fit import Outcome
    from rnn_jax.tasks import Task

CLIPS = ("none", "norm", "value", "adaptive")
_VALID_LANES = 128


class Entrant(NamedTuple):
    """A cell, where its W_hh starts (how, radius; "" is the cell's own way), a way of clipping."""

    cell: str
    how: str
    radius: float
    clip: str

    @property
    def name(self) -> str:
        """As on the command line, and the way of clipping."""
        start = f" {self.how} {self.radius:g}" * bool(self.how)
        return f"{self.cell}{start}, clip {self.clip}"


def entrants(written: Iterable[str], clips: Iterable[str]) -> list[Entrant]:
    """``CELL``, ``CELL:HOW`` or ``CELL:HOW:RADIUS`` with every way of clipping; BadInput if odd."""
    from rnn_jax import cells, initial

    found = []
    for text in written:
        cell, _, start = text.partition(":")
        how, _, radius = start.partition(":")
        cells.build(cell, 1, 2)
        if how and how not in initial.WAYS:
            near = cli.nearest(how, initial.WAYS)
            raise BadInput(f"--entrants {text}: no initialisation {how!r}; nearest: {near}")
        if radius and not re.fullmatch(r"\d+(\.\d+)?", radius):
            raise BadInput(f"--entrants {text}: {radius!r} is no radius; write such as 1.2")
        found += [Entrant(cell, how, float(radius or 1), clip) for clip in clips]
    names = [entrant.name for entrant in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"--entrants and --clips name {twice[0]!r} twice; once is enough")
    return found


def recall(config: Any) -> "Task":
    """Symbols at random; at step t the one of `lag` steps before is asked, from step lag on."""
    import numpy as np

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    def draw(rng: "np.random.Generator", lanes: int) -> tasks.Batch:
        xs = rng.integers(0, config.symbols, (lanes, config.length), np.int32)
        targets = np.roll(xs, config.lag, axis=1)
        asked = np.broadcast_to(np.arange(config.length) >= config.lag, xs.shape)
        fresh = np.ones(lanes, bool)
        return tasks.Batch(xs, targets, weights=asked.astype(np.float32), fresh=fresh)

    def batch(position: int) -> tasks.Batch:
        return draw(synthetic.generator(config.seed, position), config.lanes)

    def wrong(ys: Any, targets: Any) -> Any:
        return (ys.argmax(-1) != targets).astype("float32")

    valid = [draw(synthetic.generator(config.seed, 0, held_out=True), _VALID_LANES)]
    asked = config.lanes * (config.length - config.lag)
    return tasks.Task(
        *(batch, lambda: valid, losses.cross_entropy, config.lanes, 2**31, asked), error=wrong
    )


def clipping(entrant: Entrant, bound: float) -> "optax.GradientTransformation":
    """The norm of the whole gradient, each entry, or each unit's norm against its weights' own.

    `adaptive` is Brock et al. 2021; its bound is a tenth, as a share of a weight's norm is asked.
    """
    import optax

    if entrant.clip == "none":
        return optax.identity()
    if entrant.clip == "norm":
        return optax.clip_by_global_norm(bound)
    return optax.clip(bound) if entrant.clip == "value" else optax.adaptive_grad_clip(bound / 10)


def folder(config: Any, entrant: Entrant) -> Path:
    """Where its run lies."""
    return Path(config.out) / "runs" / re.sub(r"[^\w.+-]+", "_", entrant.name)


def train(config: Any, entrant: Entrant, show: Any) -> "Outcome":
    """One run, in a folder of its own below ``--out``."""
    import jax
    import optax

    from rnn_jax import fit, initial, models
    from rnn_jax.run import new_manifest

    sizes = {"vocabulary": config.symbols, "cell": entrant.cell, "hidden": config.hidden}
    spec = {"builder": "language_model", "arguments": sizes | {"layers": 1}}
    model = models.from_spec(spec, trust=True)
    k_params, k_start = jax.random.split(jax.random.key(config.seed))
    params = jax.jit(model.init)(k_params)
    if entrant.how:
        params = initial.restarted(k_start, params, entrant.how, entrant.radius)
    optimizer = optax.chain(clipping(entrant, config.clip), optax.adam(config.lr))
    recipe = fit.Recipe(model, recall(config), optimizer, config.seed, params=params)
    same = {"entrant": entrant.name, "lanes_seen": config.seen}
    whole = dataclasses.asdict(config) | same
    names = [n for n in cli.identity(config) if n not in ("entrants", "clips", "seen")]
    manifest = new_manifest("gradients", whole, [*names, *same], model=spec)
    print(f"--- {entrant.name}", file=sys.stderr)
    return fit.fit(folder(config, entrant), manifest, recipe, config, show, unit="symbols")
