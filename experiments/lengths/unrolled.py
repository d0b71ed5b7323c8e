"""A hand-set network unrolled in time: its units' values, and the weights on the arrows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_STEPS = 12  # more would not be readable
_WIDTH, _RADIUS = 2.0, 0.27  # of a step, of a unit


class Unit(NamedTuple):
    """A unit: its value at each step [T], its name, and its place in a step's column.

    start: its value before the first step, where an arrow from it goes on to the next step.
    """

    values: "np.ndarray"
    name: str
    at: tuple[float, float]
    start: float | None = None


class Arrow(NamedTuple):
    """A weight from one unit to another, by their keys; later: to the next step's."""

    source: str
    target: str
    weight: float
    later: bool = False


def unrolled(units: Mapping[str, Unit], arrows: Sequence[Arrow], title: str) -> bytes:
    """The first 12 steps side by side, as PNG; where all units are binary, those at 1 are dark."""
    from matplotlib.figure import Figure

    from rnn_jax import plots

    steps = min(_STEPS, *(len(unit.values) for unit in units.values()))
    heights = [unit.at[1] for unit in units.values()]
    binary = all(v in (0, 1) for unit in units.values() for v in unit.values[:steps])
    wide, high = _WIDTH * (steps + 1), max(heights) - min(heights) + 1.6
    figure = Figure(figsize=(0.62 * wide, 0.62 * high + 0.4), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.set(xlim=(-0.6, wide - 0.2), ylim=(min(heights) - 0.9, max(heights) + 0.7), aspect=1)
    axes.set_axis_off()
    longest = min(len(unit.values) for unit in units.values())
    of = f"; the first {steps} of {longest} steps" if steps < longest else ""
    axes.set_title(title + of, fontsize=11)
    for step in range(steps + 1):
        for unit in units.values():
            value = unit.values[step - 1] if step else unit.start
            if value is not None:
                _circle(axes, _place(unit, step), value, dark=binary and value == 1)
        for arrow in arrows:
            before = step - 1 if arrow.later else step
            if step and before >= 0:
                ends = [_place(units[arrow.source], before), _place(units[arrow.target], step)]
                _arrow(axes, *ends, arrow.weight, 0.3 if arrow.later else 0.5)
        label = f"t = {step}" if step else "start"
        axes.text(_WIDTH * step + _WIDTH / 2 - 0.4, min(heights) - 0.75, label, ha="center")
    for unit in units.values():
        x, y = _place(unit, steps)
        axes.text(x + _RADIUS + 0.1, y, unit.name, va="center", fontsize=9)
    return plots.png(figure)


def _place(unit: Unit, step: int) -> tuple[float, float]:
    return _WIDTH * step + unit.at[0], unit.at[1]


def _circle(axes: "Axes", at: tuple[float, float], value: float, *, dark: bool) -> None:
    from matplotlib.patches import Circle

    face, ink = ("0.2", "white") if dark else ("white", "black")
    axes.add_patch(Circle(at, _RADIUS, facecolor=face, edgecolor="black", zorder=3))
    text = f"{value:g}".replace("-", "−")
    middle = {"ha": "center", "va": "center", "fontsize": 9 if len(text) < 4 else 7.5}
    axes.text(*at, text, color=ink, zorder=4, **middle)


def _arrow(axes: "Axes", source: Any, target: Any, weight: float, where: float) -> None:
    """From rim to rim, the weight at that part of the way: not where arrows cross."""
    from matplotlib.patches import FancyArrowPatch

    (x0, y0), (x1, y1) = source, target
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    x0, y0, x1, y1 = (
        *(x0 + (x1 - x0) * _RADIUS / length, y0 + (y1 - y0) * _RADIUS / length),
        *(x1 - (x1 - x0) * _RADIUS / length, y1 - (y1 - y0) * _RADIUS / length),
    )
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": "0.45", "linewidth": 0.9}
    axes.add_patch(FancyArrowPatch((x0, y0), (x1, y1), shrinkA=0, shrinkB=0, zorder=1, **look))
    axes.text(
        *(x0 + where * (x1 - x0), y0 + where * (y1 - y0), f"{weight:+g}".replace("-", "−")),
        **{"ha": "center", "va": "center", "fontsize": 7.5, "zorder": 2},
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )
