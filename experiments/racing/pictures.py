"""The results as pictures, to be read in grey."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

_AXES = {"T": "steps T", "B": "lanes B", "H": "units H", "layers": "layers"}
_LINES = (
    {"color": "0.0", "marker": "o", "markersize": 4, "linewidth": 1.6},
    {"color": "0.35", "marker": "s", "markersize": 4, "linewidth": 1.1, "linestyle": "--"},
    {"color": "0.6", "marker": "^", "markersize": 4, "linewidth": 1.1, "linestyle": ":"},
)


def drawn(rows: Sequence[Row]) -> dict[str, bytes]:
    """PNG files by name; those for which there are no rows are left out."""
    figures = {"ratios.png": ratios(rows), "growth.png": growth(rows)}
    return {name: _png(figure) for name, figure in figures.items() if figure is not None}


def _png(figure: "Figure") -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def ratios(rows: Sequence[Row]) -> "Figure | None":
    """Every row against its fastest peer, and layers against the time of their products."""
    from matplotlib.figure import Figure

    raced = [row for row in rows if "ratio" in row and row["kind"] != "growth"]
    if not raced:
        return None
    figure = Figure(figsize=(9.5, 1.5 + 0.23 * len(raced)), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = range(len(raced))
    for place, row in zip(places, raced, strict=True):
        ahead = row["ratio"] >= 1
        left.plot([1, row["ratio"]], [place, place], color="0.75", linewidth=1.5, zorder=1)
        left.plot(row["ratio"], place, "o", color="0", markersize=5, fillstyle=_fill(ahead))
        _beside(left, f"{row['ratio']:.2f} {row['best_peer']}", max(row["ratio"], 1), place)
        if "of_products" in row:
            right.plot(row["of_products"], place, "D", color="0", markersize=4)
            _beside(right, f"{row['of_products']:.2f}", row["of_products"], place)
    left.set_yticks(places, [f"{row['kind']}  {row['name']}" for row in raced], fontsize=7)
    left.set_ylim(len(raced) - 0.5, -0.5)
    _ratio_axis(left, [row["ratio"] for row in raced])
    limits = [row["of_products"] for row in raced if "of_products" in row]
    right.set_visible(bool(limits))
    right.set_xlim(0, max([1.25, *limits]) * 1.2)
    right.axvline(1, color="0.3", linewidth=1)
    for axes, label in (
        (left, "fastest peer's time over ours (1: equal)"),
        (right, "our time over that of the products (1: the limit)"),
    ):
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _beside(axes: "Axes", text: str, x: float, y: float) -> None:
    paper = {"facecolor": "1", "edgecolor": "none", "pad": 1}  # over the lines that cross it
    axes.annotate(
        *(text, (x, y), (8, 0)),
        **{"textcoords": "offset points", "va": "center", "fontsize": 7, "bbox": paper},
    )


def _fill(ahead: bool) -> str:
    return "full" if ahead else "none"  # a hollow point is a race that is lost


def _ratio_axis(axes: "Axes", values: Sequence[float]) -> None:
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set_xscale("log")
    low, high = min(*values, 1), max(*values, 1)
    axes.set_xlim(low / 1.15, high * (high / low) ** 0.3 * 1.2)  # room for what is written there
    _ticks(axes.xaxis)


def _ticks(axis: "Axis") -> None:
    """1, 2, 5 and their likes on a logarithmic axis, written out."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def growth(rows: Sequence[Row]) -> "Figure | None":
    """Time along each axis, and memory against T with and without segments; one cell a column."""
    from matplotlib.figure import Figure

    grown = [row for row in rows if row["kind"] == "growth"]
    panels = [
        (axis, cell)
        for axis in (*_AXES, "memory")
        for cell in dict.fromkeys(row["name"].split(": ")[1].split()[0] for row in grown)
        if any(_is_of(row, axis, cell) for row in grown)
    ]
    if not panels:
        return None
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * lines), layout="constrained", dpi=130)
    every = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, (axis, cell) in zip(every, panels, strict=False):
        _panel(axes, axis, cell, [row for row in grown if _is_of(row, axis, cell)])
    for axes in every[len(panels) :]:
        axes.set_visible(False)
    return figure


def _is_of(row: Row, axis: str, cell: str) -> bool:
    return row["axis"] == axis and row["name"].split(": ")[1].startswith(f"{cell} ")


def _panel(axes: "Axes", axis: str, cell: str, rows: Sequence[Row]) -> None:
    from matplotlib.ticker import NullLocator

    at = [row["at"] for row in rows]
    if axis == "memory":
        lines = {name: [row["mebibytes"][name] for row in rows] for name in ("whole", "segments")}
    else:
        lines = {"ours": [row["ours_ms"] for row in rows]}
        for name in dict.fromkeys(name for row in rows for name in row["peers"]):
            lines[name] = [row["peers"].get(name, math.nan) for row in rows]
    for (name, values), style in zip(lines.items(), _LINES, strict=False):
        label = {"segments": "every √T-th carry", "whole": "all carries"}.get(name, name)
        axes.plot(at, values, label=label, **style)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(at, [f"{value:g}" for value in at])
    axes.xaxis.set_minor_locator(NullLocator())
    _ticks(axes.yaxis)
    axes.set_xlabel(_AXES.get(axis, "steps T"), fontsize=8)
    axes.set_ylabel("MiB" if axis == "memory" else "ms, forward and backward", fontsize=8)
    axes.set_title(f"{cell}, full BPTT" if axis == "memory" else cell, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.legend(frameon=False, fontsize=7)
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
