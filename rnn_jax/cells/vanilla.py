"""The vanilla RNN and its units."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.affine import against
from rnn_jax.cells.core import (
    Array,
    Cell,
    Gate,
    Params,
    gated,
    initial,
    matrix_hh,
    read_affine,
    zero_hidden,
)


class Phi(NamedTuple):
    """A unit's non-linearity and its slope, the latter as a function of the unit's *output* h."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


PHI = {
    "tanh": Phi(jnp.tanh, lambda h: 1 - h * h),
    "relu": Phi(jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
    "identity": Phi(lambda a: a, jnp.ones_like),
    "threshold": Phi(lambda a: (a > 0).astype(a.dtype), jnp.zeros_like),
}


@functools.cache
def _vanilla_gate(phi: str) -> Gate:
    value, slope = PHI[phi]

    def forward(p: tuple[()], h: Array, z: Array, r: Array) -> tuple[Array, tuple[()]]:
        return value(z + r), ()

    def factors(p: tuple[()], prev: Array, next: Array, saved: tuple[()]) -> Array:
        return slope(next)

    def back(slopes: Array, h_bar: Array) -> tuple[Array, Array, Array]:
        a_bar = h_bar * slopes
        return jnp.zeros_like(h_bar), a_bar, a_bar

    native = "tanh" if phi == "tanh" else None
    return Gate(forward, matrix_hh, factors=factors, back=back, native=native)


def vanilla(
    inputs: int, hidden: int, *, phi: str = "tanh", bias: bool = True, learned_start: bool = False
) -> Cell:
    """``h_t = phi(h_{t-1} W_hh + x_t W_xh + b)``, the lecture's RNN.

    phi: "tanh", "relu", "identity" (linear units) or "threshold" (1 where the sum is positive, else
    0; its derivative is 0). bias=False is the slide to the letter. Parameters: W_xh [X, H], W_hh
    [H, H], b_h [H], and h_0 [H] where the start is learned. A ReLU starts from W_hh = identity
    (Le, Jaitly and Hinton 2015).
    """
    if phi not in PHI:
        raise ValueError(f"phi is {phi!r}; it can be {', '.join(PHI)}")

    def init(key: Array) -> Params:
        w = initial(key, inputs, hidden, 1)
        if phi == "relu":
            w["W_hh"] = jnp.eye(hidden)
        if not bias:
            del w["b_h"]
        return w | {"h_0": jnp.zeros(hidden)} if learned_start else w

    def start(w: Params, lanes: int) -> Array:
        zeros = zero_hidden(w, lanes)
        return zeros + against(w["h_0"], zeros) if learned_start else zeros

    return gated(init, start, read_affine, _vanilla_gate(phi))
