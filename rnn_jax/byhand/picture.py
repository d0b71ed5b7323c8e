"""The slide's unrolled graph of the scalar network, with its values and bars, as a picture."""

import re
from collections.abc import Sequence
from typing import Any

from rnn_jax import graphs, plots
from rnn_jax.byhand import backprop, scalar

_LONGEST = 10  # steps; more would not be readable
_STEP = 3.2  # from one step to the next, as a Place counts
_ROWS = {"x": 0, "z": 2, "h": 4, "r": 6, "y": 8}
_WEIGHTS = {"u": 1, "w": 3, "v": 5}  # each between the rows that it joins
_LINES = {"h": 0.42, "y": -0.05, "L": 0.33}  # above the node's middle, where no arrow is in the way


def files(
    network: scalar.Network, xs: Sequence[float], targets: Sequence[float]
) -> dict[str, bytes]:
    """`unrolled` as SVG and PNG, by their names; nothing for more than 10 steps."""
    if len(xs) > _LONGEST:
        return {}
    figure = unrolled(network, xs, targets)
    return {"unrolled.svg": plots.svg(figure), "unrolled.png": plots.png(figure)}


def unrolled(network: scalar.Network, xs: Sequence[float], targets: Sequence[float]) -> Any:
    """`backprop.unrolled` with what `backprop` finds on it, as a Matplotlib Figure.

    u, v and w are one node each with T children. Beside a node its value, and under that in italics
    L's derivative by it.
    """
    nodes = backprop.unrolled(network, xs, targets)
    values = backprop.forward(nodes)
    bars = backprop.backward(nodes, values)
    names = [node.name for node in nodes]
    edges = {(names[p], node.name): True for node in nodes for p in node.parents}
    places = {name: _place(name, len(xs)) for name in names}
    title = "Unrolled, with shared u, v and w:\nvalues; in italics L's derivatives by them"
    figure = graphs.draw(graphs.Graph(tuple(names), edges), places, title, beside=1.2)
    (axes,) = figure.axes
    for name, value, bar in zip(names, values, bars, strict=True):
        place = places[name]
        x, y = place.x + 0.52, place.y + _LINES.get(name[0], 0.16)
        if name in _WEIGHTS:  # a rail leaves it on the right
            x, y = place.x - 0.36, place.y - 0.58
        style = {"va": "center", "fontsize": 8.5}
        axes.text(x, y, _short(value), **style)
        axes.text(x, y - 0.33, _short(bar), style="italic", color="0.35", **style)
    return figure


def _place(name: str, T: int) -> graphs.Place:
    if name in _WEIGHTS:
        return graphs.Place(name, "weight", -1.2, _WEIGHTS[name])
    if name == "L":
        return graphs.Place("L", "total", _STEP * (T + 1) / 2, 10.2)
    letter, t = re.fullmatch(r"(\w)\((\d+)\)", name).groups()
    kind = "input" if letter == "x" else "unit"
    return graphs.Place(f"{letter}^{{({t})}}", kind, _STEP * int(t), _ROWS[letter])


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "\u2212")
