"""Where a network with attention looked."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.translating.writing import Writer
from rnn_jax import plots
from rnn_jax.data import buckets
from rnn_jax.data.text.vocabulary import UNKNOWN
from rnn_jax.models import alignment

SHOWN = 4


def look(writer: Writer, params: Any, sources: Sequence[np.ndarray]) -> list[tuple]:
    """Symbols read, symbols written and the weights [written, read] of a few sources."""
    material, found = writer.material, []
    tokens, mask = buckets.pad(sources, np.arange(len(sources)), max(map(len, sources)))
    context = {"tokens": tokens, "mask": mask}
    written = np.asarray(writer.tokens(params, context))
    first = np.full((len(sources), 1), material.end, np.int32)
    read = np.concatenate([first, written[:, :-1]], axis=1)
    aligned = jax.jit(partial(alignment, writer.model))
    weights = np.asarray(aligned(params, context, read))
    for source, row, looked in zip(sources, written, weights, strict=True):
        ends = np.flatnonzero(row == material.end)
        length = int(ends[0]) + 1 if len(ends) else len(row)
        symbols = (*material.target.symbols, "end")
        down = [_shown(symbols[token]) for token in row[:length]]
        across = [_shown(material.source.symbols[token]) for token in source]
        found.append((across, down, looked[:length, : len(source)]))
    return found


def _shown(symbol: str) -> str:
    named = {" ": "␣", "\n": "⏎", UNKNOWN: "<unknown>"}
    return named.get(symbol) or symbol.strip() or repr(symbol)


def picture(found: Sequence[tuple]) -> bytes:
    """A PNG with a panel for each: what is read from left to right, what is written downwards."""
    from matplotlib.figure import Figure

    shown = found[:SHOWN]
    sizes = [max(len(columns), len(rows)) for columns, rows, _ in shown]
    side = max(4.0, 0.26 * max(sizes) + 1.4)
    across = min(2, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(side * across, side * down), layout="constrained", dpi=110)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (columns, rows, weights) in zip(panels, shown, strict=False):
        axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        upright = all(len(column) == 1 for column in columns)
        axes.set_xticks(range(len(columns)), columns, rotation=0 if upright else 90)
        axes.set_yticks(range(len(rows)), rows)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return plots.png(figure)
