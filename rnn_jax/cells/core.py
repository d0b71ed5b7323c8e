"""Recurrent cells: the lecture's ``h_t = f_W(h_{t-1}, x_t)`` as bundles of pure functions.

A gated cell is three things: a product that does not look back (``z_t = x_t W_xh + b``, `read`),
one that does (``r_t = h_{t-1} W_hh + b_hh``), and a gate that is local to one time step
(``h_t = gate(h_{t-1}, z_t, r_t)``). `rnn_jax.unroll` does the first for all t at once and owns the
second; to write a new cell, write its `Gate` and pass it to `gated`.

Shapes: X inputs, H hidden units, G = columns of the products (H, 3H, 4H), B lanes. Every function
takes any leading axes unless it says otherwise. Vectors are rows: the slide's ``W_xh x`` is
``x W_xh``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.affine import affine

Array = jax.Array
Carry = Any  # a pytree of [B, ...] arrays
Params = Any  # a pytree of arrays


def _nothing(w: Params) -> tuple[()]:
    return ()


def _itself(carry: Carry) -> Array:
    return carry


class Gate(NamedTuple):
    """What happens inside one time step, after both products.

    forward: ``(p, carry, z, r) -> (next carry, saved)``, z and r [B, G]; saved is for `factors`.
    matrix: ``w -> W_hh`` [H, G].
    bias: ``w -> b_hh`` [G], added to ``h W_hh``; None for no such bias.
    vectors: ``w -> p``, the gate's own parameters (peepholes, a norm's scale), used in `forward`.
    hidden: ``carry -> h`` [B, H], the part that W_hh multiplies and the next layer reads.
    factors: ``(p, prev, next, saved) -> factors``, the part of the derivative that does not wait
        for later steps; it is called once, with all steps on a leading axis [T, B, ...].
    back: ``(factors, carry_bar) -> (prev_bar, z_bar, r_bar)``, the rest of the derivative of
        `forward`, one step at a time. Both None: ``jax.vjp`` of `forward` instead.
    native: the name under which `rnn_jax.native` has the whole loop compiled; None where it has
        not.
    """

    forward: Callable[..., tuple[Carry, Any]]
    matrix: Callable[[Params], Array]
    bias: Callable[[Params], Array] | None = None
    vectors: Callable[[Params], Params] = _nothing
    hidden: Callable[[Carry], Array] = _itself
    factors: Callable[..., Any] | None = None
    back: Callable[[Any, Carry], tuple[Carry, Array, Array]] | None = None
    native: str | None = None


class Cell(NamedTuple):
    """``h_t, y_t = step(w, h_{t-1}, read(w, x_t))``.

    init: ``key -> w``, a pytree of arrays.
    start: ``(w, lanes) -> carry``, h_0 for that many lanes; it may depend on w (a learned h_0).
    read: ``(w, x) -> z``, all that a step can do without looking back; x of any leading axes.
    step: ``(w, carry, z) -> (carry, y)``, one step of [B, ...] arrays.
    gate: what the fast backward pass needs; None sends the cell through autodiff of the scan.
    """

    init: Callable[[Array], Params]
    start: Callable[[Params, int], Carry]
    read: Callable[[Params, Any], Any]
    step: Callable[[Params, Carry, Any], tuple[Carry, Array]]
    gate: Gate | None = None


def recurrent_product(gate: Gate, w: Params, h: Array) -> Array:
    """``r_t = h_{t-1} W_hh + b_hh``: h [..., H] -> [..., G]."""
    return affine(h, gate.matrix(w), gate.bias(w) if gate.bias else None)


def gated(
    init: Callable[[Array], Params],
    start: Callable[[Params, int], Carry],
    read: Callable[[Params, Any], Array],
    gate: Gate,
) -> Cell:
    """A Cell whose step follows from its gate: ``gate.forward(p, carry, z, h W_hh + b_hh)``."""
    if (gate.factors is None) != (gate.back is None):
        raise ValueError("a gate has both factors and back, or neither")

    def step(w: Params, carry: Carry, z: Array) -> tuple[Carry, Array]:
        r = recurrent_product(gate, w, gate.hidden(carry))
        carry, _ = gate.forward(gate.vectors(w), carry, z, r)
        return carry, gate.hidden(carry)

    return Cell(init, start, read, step, gate)


def read_affine(w: Params, x: Array) -> Array:
    """``z = x W_xh + b_h``: x [..., X] or tokens [...] -> [..., G]."""
    return affine(x, w["W_xh"], w.get("b_h"))


def matrix_hh(w: Params) -> Array:
    """W_hh [H, G]."""
    return w["W_hh"]


def initial(key: Array, inputs: int, hidden: int, blocks: int) -> Params:
    """W_xh Glorot-uniform and W_hh orthogonal, each block on its own; b_h zero."""
    keys = jax.random.split(key, 2 * blocks)
    glorot, orthogonal = jax.nn.initializers.glorot_uniform(), jax.nn.initializers.orthogonal()
    return {
        "W_xh": jnp.concatenate([glorot(k, (inputs, hidden)) for k in keys[:blocks]], axis=1),
        "W_hh": jnp.concatenate([orthogonal(k, (hidden, hidden)) for k in keys[blocks:]], axis=1),
        "b_h": jnp.zeros(blocks * hidden),
    }


def zero_hidden(w: Params, lanes: int) -> Array:
    """``h_0 = 0`` [B, H], in the weights' own precision."""
    W_hh = w["W_hh"]
    return jnp.zeros((lanes, W_hh.shape[0]), W_hh.dtype)
