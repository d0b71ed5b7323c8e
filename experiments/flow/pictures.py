"""Vanishing and exploding made visible: heat maps of lag against training, and spectra."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.flow.watch import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DECADES = (-8, 2)  # of the heat map's colours


def logs(values: Sequence[float | None]) -> list[float]:
    """log10, a lost gradient at the lowest colour and one beyond all numbers at the highest."""
    low, high = _DECADES
    return [high if v is None else low if v <= 0 else math.log10(v) for v in values]


def heat(config: Any, seen: Mapping[str, Sequence[Look]]) -> "Figure":
    """A panel for each entrant: ``log10 ‖∂L_T/∂h_{T-τ}‖``, the lag up, training to the right."""
    import numpy as np
    from matplotlib.figure import Figure

    columns = min(4, len(seen))
    rows = -(-len(seen) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.9, 2.3 * rows + 0.6), layout="constrained", dpi=130)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    low, high = _DECADES
    for axes, (name, those) in zip(panels.flat, seen.items(), strict=False):
        values = np.array([logs(look.flow) for look in those]).T
        steps, lags = [look.step for look in those], np.arange(1, len(values) + 1)
        how = {"cmap": "viridis", "vmin": low, "vmax": high, "shading": "nearest"}
        image = axes.pcolormesh(steps, lags, values, rasterized=True, **how)
        axes.axhline(config.lag, color="1.0", linewidth=0.8, linestyle="--")
        axes.set_title(name, fontsize=8)
        axes.yaxis.get_major_locator().set_params(integer=True)
    for axes in panels.flat[len(seen) :]:
        axes.set_visible(False)
    bar = figure.colorbar(image, ax=panels, extend="both", shrink=0.9)
    bar.set_label("log10 of the gradient's norm", fontsize=9)
    figure.supxlabel("step of training", fontsize=9)
    figure.supylabel("lag τ (dashed: what is asked)", fontsize=9)
    return figure


def spectra(seen: Mapping[str, Sequence[Look]]) -> "Figure":
    """Left a step's singular values, right the Lyapunov exponents; before and after training."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 3.2), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2)
    for place, (name, those) in enumerate(seen.items()):
        color = colormaps["viridis"](0.9 * place / max(1, len(seen) - 1))
        for look, style in ((those[0], ":"), (those[-1], "-")):
            label = name if style == "-" else None
            for axes, values in ((left, look.singular), (right, look.exponents)):
                told = [math.nan if v is None else v for v in values]
                axes.plot(range(1, len(told) + 1), told, style, color=color, label=label)
    left.set(xlabel="number", ylabel="singular value of a step's Jacobian", yscale="log")
    left.set_ylim(bottom=max(1e-6, left.get_ylim()[0]))
    right.set(xlabel="number", ylabel="Lyapunov exponent [nats a step]")
    right.axhline(0, color="0.7", linewidth=1)
    right.set_ylim(bottom=max(-6, right.get_ylim()[0]))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *left.get_legend_handles_labels(),
        **{"loc": "outside lower center", "ncols": 3, "frameon": False, "fontsize": 8},
        title="dotted: before training",
    )
    return figure
