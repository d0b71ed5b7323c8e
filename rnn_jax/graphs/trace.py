"""The graph of a function: which of its named values depends on which, and where a gradient flows.

Nothing is drawn from memory. A function marks its values (``h = mark(h, "h_1")``), JAX traces it,
and the graph is what the jaxpr says: an edge runs from one name to another where the second is
computed from the first by way of no third.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from rnn_jax.graphs.interpret import interpret

# The derivative is zero wherever there is one. Integers and truth values have none either.
_FLAT = frozenset(("stop_gradient", "sign", "floor", "ceil", "round"))


class Graph(NamedTuple):
    """nodes: names, parents before children; edges: (parent, child) -> a gradient flows back."""

    nodes: tuple[str, ...]
    edges: Mapping[tuple[str, str], bool]


class _Value(NamedTuple):
    """What is known of a value: itself, where it depends on no name, or else on which names.

    known: computes it, when it is asked for (few are); sources: name -> a gradient flows back.
    """

    known: Callable[[], Any] | None
    sources: Mapping[str, bool]


def mark(tree: Any, name: str) -> Any:
    """The same values; a trace knows all of them under this one name."""
    return jax.tree.map(lambda a: checkpoint_name(a, name), tree)


def trace(f: Callable[[dict[str, Any]], Any], inputs: dict[str, Any]) -> Graph:
    """The graph of ``f(inputs)``, whose nodes are the inputs (pytrees) and what f marks.

    What depends on no input is computed, and where it chooses (a mask, weights of zero) the graph
    has only what is chosen.
    """
    closed = jax.make_jaxpr(f)(inputs)
    paths, _ = jax.tree.flatten_with_path(inputs)
    names, edges = dict.fromkeys(path[0].key for path, _ in paths), {}

    def rule(equation: Any, values: list[_Value]) -> list[_Value]:
        primitive = equation.primitive.name
        if primitive == "name":
            name = equation.params["name"]
            names.setdefault(name)
            for source, flows in values[0].sources.items():
                if source != name:
                    edges[source, name] = flows or edges.get((source, name), False)
            return [_Value(None, {name: _smooth(equation.outvars[0])})]
        if primitive == "scan":
            return _scan(equation, values, rule)
        if all(value.known is not None for value in values):
            return _computed(equation, values)
        if primitive == "select_n" and values[0].known is not None:
            values = _chosen(values)
        return _joined(equation, values)

    leaves = zip(paths, closed.jaxpr.invars, strict=True)
    named = [_Value(None, {path[0].key: _smooth(var)}) for (path, _), var in leaves]
    interpret(closed, named, _constant, rule)
    return Graph(tuple(names), edges)


def leading_to(graph: Graph, end: str) -> Graph:
    """Only the nodes on which `end` depends, and `end`."""
    wanted = {end}
    for child in reversed(graph.nodes):
        if child in wanted:
            wanted |= {parent for parent, to in graph.edges if to == child}
    edges = {edge: flows for edge, flows in graph.edges.items() if set(edge) <= wanted}
    return Graph(tuple(name for name in graph.nodes if name in wanted), edges)


def reaches(graph: Graph, start: str, end: str, *, gradient: bool = False) -> bool:
    """Whether a path leads from start to end; gradient: one along which a gradient flows back."""
    found = {start}
    for name in graph.nodes:
        for (parent, child), flows in graph.edges.items():
            if child == name and parent in found and (flows or not gradient):
                found.add(child)
    return end in found


def _constant(array: Any) -> _Value:
    return _Value(lambda: array, {})


def _smooth(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.inexact)


def _union(values: list[_Value]) -> _Value:
    sources: dict[str, bool] = {}
    for value in values:
        for name, flows in value.sources.items():
            sources[name] = flows or sources.get(name, False)
    return _Value(None, sources)


def _joined(equation: Any, values: list[_Value]) -> list[_Value]:
    """Every output from all inputs; a gradient passes from real numbers to real numbers only."""
    pairs = zip(equation.invars, values, strict=True)
    values = [value if _smooth(atom) else _cut(value) for atom, value in pairs]
    out = _union(values)
    flat = equation.primitive.name in _FLAT
    return [out if _smooth(var) and not flat else _cut(out) for var in equation.outvars]


def _cut(value: _Value) -> _Value:
    return _Value(value.known, dict.fromkeys(value.sources, False))


def _computed(equation: Any, values: list[_Value]) -> list[_Value]:
    @functools.cache
    def outs() -> Any:
        known = (value.known() for value in values)
        out = equation.primitive.bind(*known, **equation.params)
        return out if equation.primitive.multiple_results else [out]

    return [_Value(lambda i=i: outs()[i], {}) for i in range(len(equation.outvars))]


def _chosen(values: list[_Value]) -> list[_Value]:
    """A select whose choice is known: the cases that are chosen somewhere."""
    which, *cases = values
    taken = set(np.ravel(np.asarray(which.known())).astype(int).tolist())
    nothing = _Value(None, {})
    return [which, *(case if i in taken else nothing for i, case in enumerate(cases))]


def _scan(equation: Any, values: list[_Value], rule: Callable[..., Any]) -> list[_Value]:
    """A loop, step by step; of arrays over time that depend on names, every step on all of them."""
    params = equation.params
    inner = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    # JAX's versions count constants, carry and rows under different names; the shapes say it in
    # all of them: a row has an axis more outside than inside, a carry and a constant have not.
    carried = sum(map(_same_axes, equation.outvars, inner.outvars))
    fixed = sum(map(_same_axes, equation.invars, inner.invars)) - carried
    constants, carry = values[:fixed], values[fixed : fixed + carried]
    rows = values[fixed + carried :]
    steps = range(params["length"])
    outs = []
    for t in reversed(steps) if params["reverse"] else steps:
        now = [_row(row, t) for row in rows]
        step = interpret(params["jaxpr"], [*constants, *carry, *now], _constant, rule)
        carry = step[:carried]
        outs.append(step[carried:])
    return [*carry, *(_union(list(column)) for column in zip(*outs, strict=True))]


def _same_axes(outside: Any, inside: Any) -> bool:
    return outside.aval.ndim == inside.aval.ndim


def _row(value: _Value, t: int) -> _Value:
    return value if value.known is None else _Value(lambda: value.known()[t], {})
