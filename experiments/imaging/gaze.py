"""Reading by glimpses: the task, how noisy REINFORCE is, and where a network looked."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.imaging.answers import answering
from experiments.imaging.settings import ImageSettings, warp

if TYPE_CHECKING:
    from rnn_jax.data.images import Images
    from rnn_jax.models import Model
    from rnn_jax.tasks import Batch, Task

_VALID_LANES = 250
_DRAWS = 64  # of all glimpses, from which the gradient's variance is estimated


class Reading(NamedTuple):
    """How labels are asked: `per` glimpses before each, up to `digits` of them in a picture.

    With more than one digit, a picture has 1 to `digits` of them, and after the last the class
    "end" is asked.
    """

    digits: int
    per: int

    @property
    def asked(self) -> int:
        """Labels asked at most."""
        return self.digits + (self.digits > 1)


def _batch(
    rng: np.random.Generator, pixels: np.ndarray, labels: np.ndarray, end: int, how: Reading
) -> "Batch":
    """Pictures [B, D, H, W] and labels [B, D] as one batch: T = asked * per glimpses."""
    from rnn_jax.data.images import strips
    from rnn_jax.tasks import Batch

    lanes = len(labels)
    seen = pixels[:, 0]
    if how.digits > 1:
        counts = rng.integers(1, how.digits + 1, lanes)
        seen = strips(rng, pixels, counts, how.digits)
        places = np.arange(how.asked)[None]
        labels = np.pad(labels, ((0, 0), (0, 1)))
        labels = np.where(
            places < counts[:, None], labels, np.where(places > counts[:, None], -1, end)
        )
    targets = np.repeat(labels.astype(np.int32), how.per, axis=1)
    last = np.arange(targets.shape[1]) % how.per == how.per - 1
    steps = np.broadcast_to(np.arange(targets.shape[1], dtype=np.int32), targets.shape)
    weights = (last & (targets >= 0)).astype(np.float32)
    return Batch(steps, targets, weights=weights, context=seen)


def reading(config: ImageSettings, learn: "Images", test: "Images", how: Reading) -> "Task":
    """Warped pictures drawn anew for every batch; those held out as they are."""
    from rnn_jax.data import synthetic
    from rnn_jax.data.images import warped
    from rnn_jax.tasks import Task

    by, end = warp(config, learn.pixels.shape[1]), len(learn.names)

    def batch(position: int) -> "Batch":
        rng = synthetic.generator(config.seed, position)
        chosen = rng.integers(0, len(learn.labels), (config.lanes, how.digits))
        pixels = warped(rng, learn.pixels[chosen.ravel()], by)
        pixels = pixels.reshape(*chosen.shape, *pixels.shape[1:])
        return _batch(rng, pixels, learn.labels[chosen], end, how)

    valid = list(held_out(test, end, how))
    losses = _measures(how.per)
    chunks = max(1, len(learn.labels) // config.lanes)
    return Task(batch, lambda: valid, losses[0], config.lanes, chunks, config.lanes, losses[1])


@lru_cache(maxsize=16)  # one pair for one `per`, so that what is made of it is traced once
def _measures(per: int) -> tuple[Callable, Callable]:
    from rnn_jax import models

    return models.reinforced(per), models.misread(per)


def held_out(test: "Images", end: int, how: Reading) -> Iterator["Batch"]:
    """Every picture once, with more than one digit in pictures of `digits` drawn from them."""
    from rnn_jax.data import synthetic

    rng = synthetic.generator(0, 2, held_out=True)
    chosen = np.arange(len(test.labels))[:, None]
    if how.digits > 1:
        chosen = rng.integers(0, len(test.labels), (len(test.labels), how.digits))
    for begin in range(0, len(chosen), _VALID_LANES):
        part = chosen[begin : begin + _VALID_LANES]
        yield _batch(rng, test.pixels[part], test.labels[part], end, how)


def commonest(test: "Images", end: int, how: Reading) -> float:
    """The share of the commonest of all labels that are asked of the pictures held out."""
    asked = [batch.targets[batch.weights > 0] for batch in held_out(test, end, how)]
    counts = np.bincount(np.concatenate(asked))
    return float(counts.max() / counts.sum())


def all_right(model: "Model", weights: Any, task: "Task") -> float:
    """The share of pictures of which no label is misread."""
    look, right = answering(model), []
    for batch in task.valid():
        wrong = task.error(look(weights, batch), np.swapaxes(batch.targets, 0, 1))
        right.append(np.asarray(wrong).sum(0) == 0)
    return float(np.concatenate(right).mean())


def noise(model: "Model", weights: Any, batch: "Batch", how: Reading) -> dict[str, float]:
    """The variance of the policy's gradient, over draws of the places for the same pictures.

    Summed over W_next's and b_next's entries: "none" without a baseline, "learned" with the one
    that is learned; "mean" is the squared length of the latter's mean, which they hide.
    """
    import jax
    from jax import flatten_util

    from rnn_jax.models import reinforced
    from rnn_jax.objective import summed_loss

    lanes = len(batch.targets)

    def gradient(key: Any, baseline: Any) -> Any:
        def loss(looking: Any) -> Any:
            total, (weight, _) = summed_loss(
                *(model, reinforced(how.per, 1.0, baseline), {**weights, "next": looking}),
                *(model.start(weights, lanes), batch, jax.random.split(key, lanes)),
            )
            return total / weight

        return flatten_util.ravel_pytree(jax.grad(loss)(weights["next"]))[0]

    def both(key: Any) -> Any:
        return jax.lax.map(lambda baseline: gradient(key, baseline), np.array([0.0, 1.0]))

    @jax.jit
    def drawn(key: Any) -> Any:
        return jax.lax.map(both, jax.random.split(key, _DRAWS))

    each = np.asarray(drawn(jax.random.key(1)), np.float64)
    variances = each.var(0, ddof=1).sum(1)
    found = dict(zip(("none", "learned"), map(float, variances), strict=True))
    each = each[:, 1]
    found["mean"] = float((each.mean(0) ** 2).sum())
    return found


class Looked(NamedTuple):
    """A picture, where was looked [T, 2] in pixels (y, x), and the labels read and asked."""

    image: np.ndarray
    places: np.ndarray
    read: np.ndarray
    asked: np.ndarray


def looked(model: "Model", weights: Any, batch: "Batch", how: Reading) -> list[Looked]:
    """What a network does with each picture of a batch, as far as labels are asked."""
    looks = answering(model)(weights, batch)
    half = (np.array(batch.context.shape[1:]) - 1) / 2
    places = (np.asarray(looks.place).swapaxes(0, 1) + 1) * half
    read = np.asarray(looks.logits).argmax(-1).T[:, how.per - 1 :: how.per]
    asked = batch.targets[:, how.per - 1 :: how.per]
    return [
        Looked(image, p[: (a >= 0).sum() * how.per], r[a >= 0], a[a >= 0])
        for image, p, r, a in zip(batch.context, places, read, asked, strict=True)
    ]


def sheet(rows: Sequence[tuple[str, Sequence[Looked]]], names: Sequence[str], window: int) -> bytes:
    """Pictures with the glimpses in them, a title a row, as PNG: the path from dot to dot, lighter
    to darker, and a frame around what the first and the last glimpse saw at full resolution.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from rnn_jax import plots

    height, width = rows[0][1][0].image.shape
    columns = max(len(row) for _, row in rows)
    size = (1.25 * columns * width / height + 0.3, 1.65 * len(rows) + 0.2)
    figure = Figure(figsize=size, dpi=110)
    panels = figure.subplots(
        *(len(rows), columns),
        **{
            "squeeze": False,
            "gridspec_kw": {"left": 0, "right": 1, "bottom": 0.02, "top": 1 - 0.3 / size[1]},
        },
    )
    for line, (title, row) in zip(panels, rows, strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, one in zip(line, row, strict=False):
            axes.imshow(1 - one.image, cmap="gray", vmin=0, vmax=1, alpha=0.6)
            y, x = one.places.T
            axes.plot(x, y, color="tab:blue", linewidth=1)
            axes.scatter(x, y, c=np.arange(len(x)), cmap="autumn_r", s=14, zorder=3)
            for at, style in ((0, ":"), (-1, "-")):
                corner = x[at] - window / 2, y[at] - window / 2
                frame = {"fill": False, "edgecolor": "tab:red", "linestyle": style}
                axes.add_patch(Rectangle(corner, window, window, **frame))
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            wrong = (one.read != one.asked).any()
            read = " ".join(names[i] for i in one.read)
            told = f"{title}: {read}" if axes is line[0] else read
            axes.set_title(told, color="tab:red" if wrong else "black", fontsize=9)
    return plots.png(figure)
