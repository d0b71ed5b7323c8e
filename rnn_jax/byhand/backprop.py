"""General backpropagation: the slide's two passes over any computation graph of scalars.

    forward     for i = 1 … N:      compute v_i from Pa(v_i)
    backward    v̄_N = 1;  for i = N-1 … 1:      v̄_i = Σ_{j in Ch(v_i)} v̄_j ∂v_j/∂v_i

A graph is a list of nodes in topological order: parents come before children, the loss is last.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.byhand import scalar
from rnn_jax.errors import BadInput
from rnn_jax.graphs.interpret import interpret


class Operation(NamedTuple):
    """A function of its parents' values, and its derivative by each of them, in their order."""

    value: Callable[..., float]
    slopes: Callable[..., tuple[float, ...]]


class Node(NamedTuple):
    """``v_i = operation(v_p for p in parents)``, with parents as places in the graph."""

    name: str
    operation: Operation
    parents: tuple[int, ...] = ()


def constant(value: float) -> Operation:
    """An operation without parents: an input, a weight, a number."""
    return Operation(lambda: value, lambda: ())


def forward(graph: Sequence[Node]) -> list[float]:
    """The values v_1 … v_N."""
    v: list[float] = []
    for node in graph:
        v.append(node.operation.value(*(v[p] for p in node.parents)))
    return v


def backward(graph: Sequence[Node], v: Sequence[float]) -> list[float]:
    """The derivatives v̄_1 … v̄_N of v_N, at the values v that `forward` found."""
    children: list[list[tuple[int, int]]] = [[] for _ in graph]
    for j, node in enumerate(graph):
        for place, i in enumerate(node.parents):
            children[i].append((j, place))
    slopes = [node.operation.slopes(*(v[p] for p in node.parents)) for node in graph]
    bars = [0.0] * len(graph)
    bars[-1] = 1.0
    for i in reversed(range(len(graph) - 1)):
        bars[i] = sum(bars[j] * slopes[j][place] for j, place in children[i])
    return bars


def unrolled(
    network: scalar.Network, xs: Sequence[float], targets: Sequence[float], chunk: int = 0
) -> list[Node]:
    """The slide's unrolled graph of the scalar network: u, v and w are one node each, with T uses.

    chunk: at its edges h passes through a node whose slope is 0, and the gradient ends there.
    """
    phi = Operation(scalar.PHI[network.phi].value, lambda a: (scalar.PHI[network.phi].slope(a),))
    graph: list[Node] = []

    def add(name: str, operation: Operation, *parents: int) -> int:
        graph.append(Node(name, operation, parents))
        return len(graph) - 1

    u, v, w = (add(name, constant(getattr(network, name))) for name in "uvw")
    h, ys = add("h(0)", constant(network.h_0)), []
    for t, number in enumerate(xs, start=1):
        x = add(f"x({t})", constant(number))
        before = add("stop", _STOP, h) if scalar.is_edge(t - 1, chunk) and t > 1 else h
        z = add(f"z({t})", _TWO_PRODUCTS, u, x, w, before)
        h = add(f"h({t})", phi, z)
        r = add(f"r({t})", OPERATIONS["mul"], v, h)
        ys.append(add(f"y({t})", phi, r))
    add("L", _half_squares(targets), *ys)
    return graph


def from_function(f: Callable[..., Any], *inputs: float) -> list[Node]:
    """The graph of a JAX function of scalars, read off its jaxpr; its inputs are the first nodes.

    BadInput where it uses a primitive that is not in OPERATIONS, or anything but scalars.
    """
    graph = [Node(f"input {i}", constant(float(value))) for i, value in enumerate(inputs)]

    def add(name: str, operation: Operation, *parents: int) -> int:
        graph.append(Node(name, operation, parents))
        return len(graph) - 1

    def rule(equation: Any, parents: list[int]) -> list[int]:
        name, made = equation.primitive.name, equation.outvars[0].aval
        if made.shape or not jnp.issubdtype(made.dtype, jnp.floating):
            raise BadInput(f"{name} makes {made.str_short()}; the graph has real scalars only")
        if name == "integer_pow":
            return [add(name, _power(equation.params["y"]), *parents)]
        if name not in OPERATIONS:
            known = ", ".join((*OPERATIONS, "integer_pow"))
            raise BadInput(f"no derivative for the primitive {name}; there are {known}")
        return [add(name, OPERATIONS[name], *parents)]

    def number(value: Any) -> int:
        return add("number", constant(float(value)))

    (last,) = interpret(jax.make_jaxpr(f)(*inputs), range(len(inputs)), number, rule)
    add("output", OPERATIONS["copy"], last)
    return graph


def _power(n: int) -> Operation:
    return Operation(lambda a: a**n, lambda a: (n * a ** (n - 1),))


def _half_squares(targets: Sequence[float]) -> Operation:
    def value(*ys: float) -> float:
        return sum((y - k) * (y - k) / 2 for y, k in zip(ys, targets, strict=True))

    return Operation(value, lambda *ys: tuple(y - k for y, k in zip(ys, targets, strict=True)))


_TWO_PRODUCTS = Operation(lambda u, x, w, h: u * x + w * h, lambda u, x, w, h: (x, u, h, w))
_IDENTITY = Operation(lambda a: a, lambda a: (1.0,))
_STOP = Operation(lambda a: a, lambda a: (0.0,))

# By the names of JAX's primitives.
OPERATIONS: dict[str, Operation] = {
    "copy": _IDENTITY,
    "convert_element_type": _IDENTITY,
    "stop_gradient": _STOP,
    "neg": Operation(lambda a: -a, lambda a: (-1.0,)),
    "add": Operation(lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "sub": Operation(lambda a, b: a - b, lambda a, b: (1.0, -1.0)),
    "mul": Operation(lambda a, b: a * b, lambda a, b: (b, a)),
    "div": Operation(lambda a, b: a / b, lambda a, b: (1 / b, -a / (b * b))),
    "square": _power(2),
    "exp": Operation(math.exp, lambda a: (math.exp(a),)),
    "log": Operation(math.log, lambda a: (1 / a,)),
    "sin": Operation(math.sin, lambda a: (math.cos(a),)),
    "cos": Operation(math.cos, lambda a: (-math.sin(a),)),
    "tanh": Operation(math.tanh, lambda a: (scalar.PHI["tanh"].slope(a),)),
    "logistic": Operation(
        scalar.PHI["logistic"].value, lambda a: (scalar.PHI["logistic"].slope(a),)
    ),
}
