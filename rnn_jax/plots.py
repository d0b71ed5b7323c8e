"""Drawings as bytes, and those of a run; Matplotlib is imported when the first is made."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any


def png(figure: Any) -> bytes:
    """A Matplotlib Figure as a PNG."""
    return _saved(figure, "png")


def pdf(figure: Any) -> bytes:
    """A Matplotlib Figure as a PDF, without the time at which it was made."""
    return _saved(figure, "pdf", metadata={"CreationDate": None})


def svg(figure: Any) -> bytes:
    """A Matplotlib Figure as an SVG, the same bytes whenever it is the same figure."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "rnn_jax"}):
        return _saved(figure, "svg", metadata={"Date": None})


def _saved(figure: Any, kind: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **how)
    return buffer.getvalue()


def curves(
    rows: Sequence[dict[str, Any]],
    *,
    train: str = "loss",
    valid: str = "valid",
    unit: str = "character",
    title: str = "",
) -> bytes | None:
    """Training and validation loss against the step, as a PNG; None if no row has either.

    ``train`` and ``valid`` are the names of the values in the rows (``step`` is there always);
    absent values and null are passed over. Left axis nats, right axis bits, per ``unit``.
    """
    lines = {label: _points(rows, name) for label, name in _labels(train, valid).items()}
    if not any(steps for steps, _ in lines.values()):
        return None
    # The figure's own canvas, not pyplot: no window system, nothing global.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=130)
    axes = figure.subplots()
    for (label, (steps, values)), style in zip(lines.items(), _STYLES, strict=True):
        if steps:
            # A line through few points is hard to see, or with one point not there at all.
            marker = {"marker": style["mark"]} if len(steps) <= 30 else {}
            axes.plot(steps, values, label=label, **style["line"], **marker)
    axes.set(xlabel="step", ylabel=f"nats per {unit}", title=title)
    bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))
    bits.set_ylabel(f"bits per {unit}")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    return png(figure)


# Told apart in grey: light and thin against black, thick and dashed.
_STYLES = (
    {"line": {"color": "0.6", "linewidth": 1.0}, "mark": "."},
    {"line": {"color": "0.0", "linewidth": 1.8, "linestyle": (0, (4, 2))}, "mark": "o"},
)


def _labels(train: str, valid: str) -> dict[str, str]:
    return {"training": train, "validation": valid}


def _points(rows: Sequence[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    found = [(row["step"], float(row[name])) for row in rows if row.get(name) is not None]
    finite = [(step, value) for step, value in found if math.isfinite(value)]
    return [step for step, _ in finite], [value for _, value in finite]


def _to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _to_nats(bits: Any) -> Any:
    return bits * math.log(2)


def ladder(rungs: Sequence[tuple[str, float]], unit: str, title: str = "") -> bytes:
    """Models from top to bottom, each with its score in `unit` (lower is better), as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.2 + 0.3 * len(rungs)), layout="constrained", dpi=130)
    axes = figure.subplots()
    names, values = zip(*rungs, strict=True)
    places = range(len(names))
    axes.hlines(places, 0, values, color="0.75", linewidth=1.5)
    axes.plot(values, places, "o", color="0.0", markersize=5)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:.3f}", (value, place), (7, 0), textcoords="offset points", va="center"
        )
    axes.set(yticks=places, yticklabels=names, xlabel=unit, title=title)
    axes.set_xlim(0, max(values) * 1.12)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)
