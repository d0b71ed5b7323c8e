"""A graph as a picture, in the lecture's manner: time to the right, losses on top, weights shared.

Every edge of the graph is drawn, and each is found again in the SVG by its id. What makes a hidden
state is drawn as a box f before it; a weight's edges leave it as one rail under what it feeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_jax.graphs.trace import Graph

STEP = 1.25  # from a box to the state it makes
_INCH = 0.6  # inches for one unit of a Place
_CURVE = 0.3  # the radius of a rail's turn
_ASIDE = 0.16  # how far a gradient's arrow lies from the edge it belongs to
_DASHES = (0, (2.2, 1.4))
_ARROW = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0}


class Place(NamedTuple):
    """A node's label (mathtext without its dollars), its kind (a key of KINDS) and its centre."""

    label: str
    kind: str
    x: float
    y: float


class _Kind(NamedTuple):
    """How a node looks: told apart by shape, then by grey."""

    outline: str
    half: float  # of its width and height
    fill: str
    width: float = 1.0


KINDS = {
    "weight": _Kind("square", 0.36, "0.78", 1.8),
    "input": _Kind("round", 0.36, "0.93"),
    "hidden": _Kind("circle", 0.42, "1.0", 1.4),
    "function": _Kind("square", 0.38, "0.87"),
    "output": _Kind("round", 0.36, "1.0"),
    "loss": _Kind("circle", 0.38, "0.93"),
    "unit": _Kind("circle", 0.42, "1.0", 1.4),
    "total": _Kind("circle", 0.42, "0.78", 1.8),
}


def draw(
    graph: Graph,
    places: Mapping[str, Place],
    title: str,
    *,
    gradients: bool = False,
    beside: float = 0.0,
) -> Any:
    """The graph as a Matplotlib Figure; beside: more room right of the last node.

    gradients: a dashed arrow back along every edge on which a gradient flows, those from weights
    and inputs left out, and a dotted line across every edge between hidden states where none does.
    """
    import matplotlib
    from matplotlib.figure import Figure

    xs, ys = [p.x for p in places.values()], [p.y for p in places.values()]
    left, right, low, high = min(xs) - 0.7, max(xs) + 0.7 + beside, min(ys) - 0.6, max(ys) + 1.3
    low -= 1.5 if gradients else 0
    size = ((right - left) * _INCH, (high - low) * _INCH)
    with matplotlib.rc_context({"mathtext.fontset": "cm"}):
        figure = Figure(figsize=size, dpi=150)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, high), aspect="equal")
        axes.set_axis_off()
        axes.text((left + right) / 2, high - 0.4, title, ha="center", va="center", fontsize=13)
        boxes = {name: _box(graph, places, name) for name in graph.nodes}
        _edges(axes, graph, places, boxes)
        if gradients:
            _gradients(axes, graph, places)
            _chunks(axes, graph, places)
            _legend(axes)
        for name in graph.nodes:
            _node(axes, name, places[name])
            if boxes[name] is not None:
                _node(axes, f"f-{name}", boxes[name])
    return figure


def _box(graph: Graph, places: Mapping[str, Place], name: str) -> Place | None:
    """The f that makes a hidden state, one unit before it, named after the weights it uses."""
    parents = [places[parent] for parent, child in graph.edges if child == name]
    if places[name].kind != "hidden" or not parents:
        return None
    weights = ",".join(parent.label for parent in parents if parent.kind == "weight")
    label = f"f_{{{weights}}}" if weights else "f"
    return Place(label, "function", places[name].x - STEP, places[name].y)


def _edges(
    axes: Any, graph: Graph, places: Mapping[str, Place], boxes: Mapping[str, Place | None]
) -> None:
    for name, box in boxes.items():
        if box is not None:
            _arrow(axes, _rim(box, places[name]), _rim(places[name], box), f"f-{name}-to-{name}")
    for parent, child in graph.edges:
        start, end, gid = places[parent], boxes[child] or places[child], f"{parent}-to-{child}"
        if start.kind == "weight":
            _rail(axes, start, end, gid)
        elif start.kind == "output" and end.kind == "function":
            _fed_back(axes, start, end, gid)
        else:
            _arrow(axes, _rim(start, end), _rim(end, start), gid)


def _node(axes: Any, name: str, place: Place) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    kind = KINDS[place.kind]
    style = {"facecolor": kind.fill, "edgecolor": "0", "linewidth": kind.width, "zorder": 3}
    if kind.outline == "circle":
        patch = Circle((place.x, place.y), kind.half, **style)
    else:
        round_ = 0.16 if kind.outline == "round" else 0.04
        corner, side = (place.x - kind.half, place.y - kind.half), 2 * kind.half
        shape = f"round,pad=0,rounding_size={round_}"
        patch = FancyBboxPatch(corner, side, side, boxstyle=shape, **style)
    patch.set_gid(name)
    axes.add_patch(patch)
    size = 12.5 if len(place.label) <= 6 else 10.5
    text = f"${place.label}$"
    axes.text(place.x, place.y, text, ha="center", va="center", fontsize=size, zorder=4)


def _rim(place: Place, toward: Place, aside: float = 0.0) -> tuple[float, float]:
    """Where the line between two centres leaves the first one's outline; aside: one beside it."""
    dx, dy = toward.x - place.x, toward.y - place.y
    long, half = (dx * dx + dy * dy) ** 0.5, KINDS[place.kind].half
    dx, dy = dx / long, dy / long
    out = (half * half - aside * aside) ** 0.5
    if KINDS[place.kind].outline != "circle":
        out = half / max(abs(dx), abs(dy))
    return place.x + dx * out - dy * aside, place.y + dy * out + dx * aside


def _arrow(axes: Any, a: tuple[float, float], b: tuple[float, float], gid: str) -> None:
    from matplotlib.patches import FancyArrowPatch

    # White under the line's middle, so that a rail is seen to pass beneath it.
    ends = [[p + share * (q - p) for share in (0.15, 0.75)] for p, q in zip(a, b, strict=True)]
    axes.plot(*ends, color="1.0", linewidth=4, solid_capstyle="butt", zorder=1.5)
    arrow = FancyArrowPatch(a, b, color="0", linewidth=1.1, zorder=2, **_ARROW)
    arrow.set_gid(gid)
    axes.add_patch(arrow)


def _rail(axes: Any, start: Place, end: Place, gid: str) -> None:
    """Level with the weight, then up or down into what it feeds, left of the centre."""
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path

    up = 1 if end.y > start.y else -1
    x, y, rim = end.x - 0.6 * KINDS[end.kind].half, start.y, end.y - up * KINDS[end.kind].half
    if KINDS[end.kind].outline == "circle":
        rim += up * 0.2 * KINDS[end.kind].half  # a circle's is 0.8 of half away there
    turn = [(x - _CURVE, y), (x, y), (x, y + up * _CURVE)]
    points = [(start.x, y), *turn, (x, rim - up * 0.1)]
    codes = [Path.MOVETO, Path.LINETO, Path.CURVE3, Path.CURVE3, Path.LINETO]
    style = {"edgecolor": "0.45", "linewidth": 1.1, "zorder": 1}
    line = PathPatch(Path(points, codes), facecolor="none", **style)
    line.set_gid(gid)
    axes.add_patch(line)
    axes.add_patch(FancyArrowPatch(turn[-1], (x, rim), facecolor="0.45", **style, **_ARROW))


def _fed_back(axes: Any, start: Place, end: Place, gid: str) -> None:
    """From an output down between two steps, below all of them, and up into the next one's box."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    down, low, c = start.x + STEP / 2, end.y - 1.6, _CURVE
    side = 1 if end.x > down else -1
    points = [(start.x + KINDS["output"].half, start.y)]
    for x, y, dx, dy in ((down, start.y, -1, -1), (down, low, side, 1), (end.x, low, -side, 1)):
        # A turn: its corner is the curve's middle point.
        leg = [(x + dx * c, y), (x, y), (x, y + dy * c)]
        points += leg if (x, y) != (down, low) else leg[::-1]
    points.append((end.x, end.y - KINDS["function"].half))
    codes = [Path.MOVETO, *[Path.LINETO, Path.CURVE3, Path.CURVE3] * 3, Path.LINETO]
    arrow = FancyArrowPatch(path=Path(points, codes), color="0", linewidth=1.1, **_ARROW)
    arrow.set_gid(gid)
    axes.add_patch(arrow)


def _gradients(axes: Any, graph: Graph, places: Mapping[str, Place]) -> None:
    """An arrow from child to parent: in a bow over a box, or beside the edge."""
    from matplotlib.patches import FancyArrowPatch

    style = {"color": "0.3", "linewidth": 1.6, "linestyle": _DASHES, "zorder": 2}
    for (parent, child), flows in graph.edges.items():
        start, end, bow = places[parent], places[child], "arc3"
        if not flows or start.kind in ("weight", "input"):
            continue
        if start.y == end.y:
            bow = "arc3,rad=0.25"
            a, b = (end.x - 0.28, end.y + 0.33), (start.x + 0.28, start.y + 0.33)
        else:
            end = _box(graph, places, child) or end
            a, b = _rim(end, start, _ASIDE), _rim(start, end, -_ASIDE)
        arrow = FancyArrowPatch(a, b, connectionstyle=bow, **style, **_ARROW)
        arrow.set_gid(f"gradient-{child}-to-{parent}")
        axes.add_patch(arrow)


def _chunks(axes: Any, graph: Graph, places: Mapping[str, Place]) -> None:
    """A dotted line through every edge in time whose gradient is cut; the chunks' numbers."""
    states = [p for p in places.values() if p.kind == "hidden"]
    rows: dict[float, list[tuple[float, float]]] = {p.y: [] for p in states}
    for (parent, child), flows in graph.edges.items():
        start, end = places[parent], places[child]
        if start.kind == end.kind == "hidden" and start.y == end.y and not flows:
            gap = start.x + KINDS["hidden"].half, end.x - STEP - KINDS["function"].half
            rows[start.y].append((sum(gap) / 2, start.y))
    layers = [sorted(rows[y]) for y in sorted(rows)]
    low, high = (f(p.y for p in places.values() if p.kind != "total") for f in (min, max))
    if len({len(layer) for layer in layers}) == 1:  # one line through all layers
        cuts = list(zip(*layers, strict=True))
    else:
        cuts = [(point,) for layer in layers for point in layer]
    for cut in cuts:
        line = [(x, y + up) for x, y in cut for up in (-0.6, 0.6)]
        line = [(line[0][0], low - 1), *line] if cut[0][1] == min(rows) else line
        line = [*line, (line[-1][0], high)] if cut[-1][1] == max(rows) else line
        axes.plot(*zip(*line, strict=True), ":", color="0", linewidth=2, zorder=1.2)
    edges = [min(p.x for p in states), *(x for x, _ in layers[0]), max(p.x for p in states)]
    if edges[1] - edges[0] < STEP:  # no chunk: units without a derivative cut every step
        return
    for number, (a, b) in enumerate(zip(edges, edges[1:], strict=False), start=1):
        axes.text((a + b) / 2, low - 0.8, f"chunk {number}", ha="center", va="center", fontsize=10)


def _legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color="0", linewidth=1.1, label="forward"),
        Line2D([], [], color="0.3", linewidth=1.6, linestyle=_DASHES, label="gradient"),
        Line2D([], [], color="0", linewidth=2, linestyle=":", label="the gradient is cut"),
    ]
    axes.legend(handles=lines, loc="lower center", ncols=3, frameon=False, fontsize=10)
