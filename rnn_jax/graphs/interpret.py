"""A jaxpr run on values of any kind: numbers, nodes of a graph, sets of names."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jax.extend.core import Literal

Value = TypeVar("Value")

# What only calls another jaxpr, and under which name it keeps it.
_CALLS = {
    "jit": "jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


def interpret(
    jaxpr: Any,
    inputs: Sequence[Value],
    constant: Callable[[Any], Value],
    rule: Callable[[Any, list[Value]], Sequence[Value]],
) -> list[Value]:
    """A jaxpr's outputs (closed or open): ``rule(equation, values in) -> values out``, in order.

    constant: an array that the jaxpr holds, as a value. Calls (jit, functions with derivatives of
    their own) are entered; loops and branches are given to `rule` like any other equation.
    """
    inner, constants = getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())
    found = dict(zip(inner.constvars, map(constant, constants), strict=True))
    found.update(zip(inner.invars, inputs, strict=True))

    def value(atom: Any) -> Value:
        return constant(atom.val) if isinstance(atom, Literal) else found[atom]

    for equation in inner.eqns:
        values = [value(atom) for atom in equation.invars]
        called = _CALLS.get(equation.primitive.name)
        if called:
            values = interpret(equation.params[called], values, constant, rule)
        else:
            values = rule(equation, values)
        found.update(zip(equation.outvars, values, strict=True))
    return [value(atom) for atom in inner.outvars]
