"""Painting pictures: the task, and what a network paints, as PNG and as an animated GIF."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.imaging.answers import answering
from experiments.imaging.settings import ImageSettings, warp

if TYPE_CHECKING:
    from rnn_jax.data.images import Images
    from rnn_jax.models import Model, Painting
    from rnn_jax.tasks import Batch, Task

_VALID_LANES = 250
_MILLISECONDS, _REST = 250, 5  # a frame of the animation, and frames that it rests at its end


def _batch(pixels: np.ndarray, steps: int) -> "Batch":
    """Pictures of 0 and 1 as a batch of T steps, of which the last has the bound."""
    from rnn_jax.tasks import Batch

    number = np.broadcast_to(np.arange(steps, dtype=np.int32), (len(pixels), steps))
    weights = (number == steps - 1).astype(np.float32)
    return Batch(number, number, weights=weights, context=pixels)


def tossed(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Each pixel 1 with a probability of its grey, else 0: float32 like the pixels."""
    return (rng.random(pixels.shape, np.float32) < pixels).astype(np.float32)


def held_out(test: "Images") -> np.ndarray:
    """The pictures to be judged by, tossed once."""
    from rnn_jax.data import synthetic

    return tossed(synthetic.generator(0, 3, held_out=True), test.pixels)


def alone(pixels: np.ndarray, images: np.ndarray) -> float:
    """Nats a picture where each pixel is told by its own frequency, as if none knew the others."""
    p = (pixels.sum(0) + 0.5) / (len(pixels) + 1)
    return float(-(images * np.log(p) + (1 - images) * np.log(1 - p)).sum((1, 2)).mean())


def painting(config: ImageSettings, learn: "Images", test: "Images", steps: int) -> "Task":
    """Pictures warped and tossed anew for every batch; those held out tossed once, as they are."""
    from rnn_jax import models
    from rnn_jax.data import synthetic
    from rnn_jax.data.images import warped
    from rnn_jax.tasks import Task

    by = warp(config, learn.pixels.shape[1])

    def batch(position: int) -> "Batch":
        rng = synthetic.generator(config.seed, position)
        chosen = learn.pixels[rng.integers(0, len(learn.labels), config.lanes)]
        return _batch(tossed(rng, warped(rng, chosen, by)), steps)

    once = held_out(test)
    begins = range(0, len(once), _VALID_LANES)
    valid = [_batch(once[begin : begin + _VALID_LANES], steps) for begin in begins]
    chunks = max(1, len(learn.labels) // config.lanes)
    return Task(batch, lambda: valid, models.bound, config.lanes, chunks, config.lanes)


def dreamed(model: "Model", weights: Any, steps: int, count: int, seed: int) -> "Painting":
    """What a network paints with no picture before it: leaves [T, N, ...]."""
    import jax

    @jax.jit
    def paint(W: Any, key: Any, xs: np.ndarray) -> "Painting":
        return model.apply(W, model.start(W, count), xs, keys=jax.random.split(key, count))[1]

    return paint(weights, jax.random.key(seed), np.zeros((steps, count), np.int32))


def repainted(model: "Model", weights: Any, batch: "Batch") -> "Painting":
    """What it paints with each picture of a batch before it."""
    return answering(model)(weights, batch)


def greys(canvas: Any) -> np.ndarray:
    """A canvas of log odds as the chance of a 1."""
    import jax

    return np.asarray(jax.nn.sigmoid(canvas))


def contact(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures [N, H, W] in rows of so many, with a rim of white, ink black: uint8."""
    many, height, width = pictures.shape
    rows = -(-many // columns)
    sheet = np.zeros((rows * (height + 2) + 2, columns * (width + 2) + 2), np.float32)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + 2) + 2, i % columns * (width + 2) + 2
        sheet[top : top + height, left : left + width] = picture
    return (255 * (1 - sheet)).round().astype(np.uint8)


def png(sheet: np.ndarray, zoom: int = 3) -> bytes:
    """A sheet [H, W] of greys, each pixel a square of zoom x zoom."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, sheet.repeat(zoom, 0).repeat(zoom, 1), cmap="gray", vmin=0, vmax=255)
    return buffer.getvalue()


def gif(sheets: Sequence[np.ndarray], zoom: int = 3) -> bytes:
    """Sheets [H, W] one after another, the last longer, for ever."""
    from PIL import Image  # Matplotlib, which is always there, brings it

    frames = [Image.fromarray(sheet.repeat(zoom, 0).repeat(zoom, 1)) for sheet in sheets]
    buffer = io.BytesIO()
    times = [_MILLISECONDS] * (len(frames) - 1) + [_MILLISECONDS * _REST]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return buffer.getvalue()


def growth(images: np.ndarray, painted: "Painting", title: str) -> bytes:
    """Rows of a picture [B, H, W] and its canvas after each step, as PNG; framed where DRAW looked
    (blue, dashed) and painted (red).
    """
    from matplotlib.figure import Figure

    from rnn_jax import plots

    canvases, grids = greys(painted.canvas), np.asarray(painted.grids)
    steps, rows = canvases.shape[:2]
    figure = Figure(figsize=(0.9 * (steps + 1), 0.95 * rows + 0.3), dpi=110)
    figure.suptitle(title, fontsize=9)
    edges = {"left": 0.01, "right": 0.99, "bottom": 0.01, "top": 1 - 0.35 / (0.95 * rows + 0.3)}
    near = {"wspace": 0.05, "hspace": 0.05}
    panels = figure.subplots(rows, steps + 1, squeeze=False, gridspec_kw=edges | near)
    for row, line in enumerate(panels):
        line[0].imshow(1 - images[row], cmap="gray", vmin=0, vmax=1)
        for step, axes in enumerate(line[1:]):
            axes.imshow(1 - canvases[step, row], cmap="gray", vmin=0, vmax=1)
            for place, ink, style in zip(
                grids[step, row], ("tab:blue", "tab:red"), ("--", "-"), strict=True
            ):
                _frame(axes, place, ink, style)
        for axes in line:
            axes.set_axis_off()
            axes.set(xlim=(-0.5, images.shape[2] - 0.5), ylim=(images.shape[1] - 0.5, -0.5))
    return plots.png(figure)


def _frame(axes: Any, place: np.ndarray, ink: str, style: str) -> None:
    """Around a grid: (y, x), half its width, and how wide its filters are."""
    from matplotlib.patches import Rectangle

    y, x, half, deviation = place
    if deviation:
        corner, side = (x - half, y - half), 2 * half
        look = {"fill": False, "edgecolor": ink, "linewidth": min(deviation, 4), "linestyle": style}
        axes.add_patch(Rectangle(corner, side, side, **look))
