"""Where the nodes of an unrolled network stand, by their names.

    x_3     the input at step 3            y_3     the output      L_3   its loss     L  the total
    h2_3    layer 2's carry after step 3   h2_0    where it starts
    W1.2    network 1's weights, layer 2   W_hy1   its read-out's

A step in time is two columns to the right, the box and the state. Each layer stands one column
further right than the one below, so that its box is over the state it reads. A weight is level with
the rail of its edges.
"""

import re

from rnn_jax.graphs.draw import STEP, Place
from rnn_jax.graphs.trace import Graph

_NAMES = {
    "weights": re.compile(r"W(?P<network>\d+)\.(?P<layer>\d+)"),
    "read_out": re.compile(r"W_hy(?P<network>\d+)"),
    "hidden": re.compile(r"h(?P<layer>\d+)_(?P<t>\d+)"),
    "input": re.compile(r"x_(?P<t>\d+)"),
    "output": re.compile(r"y_(?P<t>\d+)"),
    "loss": re.compile(r"L_(?P<t>\d+)"),
    "total": re.compile(r"L"),
}


def unrolled(graph: Graph, turn: int = 0) -> dict[str, Place]:
    """A Place for every node of the graph; from step turn + 1 on a second network counts anew.

    ValueError for a name that is none of the module's.
    """
    read = {name: _read(name) for name in graph.nodes}
    layers = max(numbers.get("layer", 0) for _, numbers in read.values())
    networks = max(numbers.get("network", 0) for _, numbers in read.values())
    outputs = [numbers["t"] for kind, numbers in read.values() if kind == "output"] or [1]
    # With many losses their edges need a steeper way up to the total.
    rise = 1.4 + min(max(1.5, 0.45 * len(outputs)), 4)

    def place(kind: str, network: int = 1, layer: int = 0, t: int = 0) -> Place:
        step = t - turn if turn and t > turn else t
        which = f"^{{({layer})}}" if layers > 1 else ""
        top, begin = 2 * layers + 2, 2 * turn * (network - 1)
        left = begin + layer - (1.5 if network == 1 else 1)
        number = f"_{{{network}}}" if networks > 1 else ""
        kind, label, column, row = {
            "weights": ("weight", f"W{which}{number}", left, 2 * layer - 1),
            "read_out": ("weight", "W_{hy}", 2 * min(outputs) + layers - 2.9, top - 1),
            "hidden": ("hidden", f"h{which}_{{{step}}}", 2 * t + layer - 1, 2 * layer),
            "input": ("input", f"x_{{{step}}}", 2 * t - 1, 0),
            "output": ("output", f"y_{{{step}}}", 2 * t + layers - 1, top),
            "loss": ("loss", f"L_{{{step}}}", 2 * t + layers - 1, top + 1.4),
            "total": ("total", "L", min(outputs) + max(outputs) + layers - 1, top + rise),
        }[kind]
        return Place(label, kind, column * STEP, row)

    return {name: place(kind, **numbers) for name, (kind, numbers) in read.items()}


def _read(name: str) -> tuple[str, dict[str, int]]:
    for kind, pattern in _NAMES.items():
        found = pattern.fullmatch(name)
        if found:
            return kind, {key: int(number) for key, number in found.groupdict().items()}
    raise ValueError(f"{name!r} is no name of an unrolled network's node")
