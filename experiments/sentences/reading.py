"""What a network read in a sentence, drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rnn_jax import plots

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_COLUMNS = 96  # characters of a line


class Read(NamedTuple):
    """A sentence: its words; how much each counted [T]; by how much log p of the last class falls
    without it [T, nats]; what is written above it.
    """

    words: list[str]
    weights: "np.ndarray"
    effects: "np.ndarray"
    header: str


def picture(sentences: Sequence[Read], favoured: str) -> bytes:
    """A PNG: a word's colour is its effect, the bar below it its weight."""
    from matplotlib.figure import Figure

    placed = [_placed(read.words) for read in sentences]
    heights = [1.6 + max(line for line, _ in places) for places in placed]
    figure = Figure(figsize=(10, 0.55 * sum(heights) + 0.7), layout="constrained", dpi=110)
    axes = figure.subplots(len(sentences), height_ratios=heights, squeeze=False)[:, 0]
    most = max(float(abs(read.effects).max()) for read in sentences) or 1.0
    for ax, read, places, height in zip(axes, sentences, placed, heights, strict=True):
        _draw(ax, read, places, most)
        ax.set(xlim=(0, _COLUMNS), ylim=(height - 0.3, -0.75))
        ax.axis("off")
    figure.suptitle(
        f"Orange: the word speaks for {favoured!r}, purple: against it (log p without it, up to"
        f" {most:.1f} nats). Bar: how much the pool takes of it.",
        fontsize=9,
    )
    return plots.png(figure)


def _placed(words: Sequence[str]) -> list[tuple[int, int]]:
    """Line and column of each word."""
    places, line, column = [], 0, 0
    for word in words:
        if column and column + len(word) > _COLUMNS:
            line, column = line + 1, 0
        places.append((line, column))
        column += len(word) + 1
    return places


def _draw(ax: "Axes", read: Read, places: Sequence[tuple[int, int]], most: float) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    colours = colormaps["PuOr_r"]
    ax.text(0, -0.42, read.header, fontsize=8, color="0.35", va="center")
    for word, (line, column), weight, effect in zip(
        read.words, places, read.weights, read.effects, strict=True
    ):
        shade = colours(0.5 + 0.5 * float(effect) / most)
        middle = column + len(word) / 2
        ax.add_patch(Rectangle((column - 0.3, line), len(word) + 0.6, 0.62, color=shade, lw=0))
        dark = abs(float(effect)) > 0.7 * most
        ax.text(
            *(middle, line + 0.32, word),
            **{"fontsize": 8, "family": "monospace", "ha": "center", "va": "center"},
            color="1.0" if dark else "0.0",
        )
        width = (len(word) + 0.6) * float(weight / max(read.weights.max(), 1e-9))
        ax.add_patch(Rectangle((column - 0.3, line + 0.68), width, 0.12, color="0.15", lw=0))
