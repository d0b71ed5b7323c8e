"""Backpropagation through time by the lecture's equations, once for every gated cell.

Forward, with ``prev_t`` the carry that step t starts from (h_0 where the lane is fresh):
``r_t = hidden(prev_t) W_hh + b_hh`` and ``carry_t = forward(prev_t, z_t, r_t)``.

Backward, ``v̄`` being the loss's derivative by v: only what depends on ``carry̅_t`` stays in the
loop, ``(prev̅_t, z̄_t, r̄_t) = back(factors_t, carry̅_t)`` and ``prev̅_t += r̄_t W_hhᵀ``; the factors
are made for all t at once before it. The slide's sum over time, ``W̄_hh = Σ_t h_{t-1}ᵀ r̄_t``, is
then ONE product over all steps and lanes, where differentiating a `lax.scan` would add an [H, G]
matrix at every step.

As a `custom_vjp` it has no forward mode; `rnn_jax.unroll` says how to ask for the general path.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.affine import affine
from rnn_jax.cells.core import Array, Carry, Gate, Params


class Recurrence(NamedTuple):
    """What looks back in a gated cell: W_hh [H, G], b_hh [G] or None, the gate's vectors p."""

    W: Array
    b: Array | None
    p: Params


class Steps(NamedTuple):
    """What each step is given, time first [T, B, ...].

    inputs: x_t, or z_t once it has been read; mask: this step exists; fresh: restart before it.
    """

    inputs: Any
    mask: Array | None = None
    fresh: Array | None = None


def select(where: Array | None, new: Any, old: Any) -> Any:
    """Per lane, new where `where` [..., B] holds and old elsewhere; None holds everywhere."""
    if where is None:
        return new

    def pick(a: Array, b: Array) -> Array:
        shape = where.shape + (1,) * (a.ndim - where.ndim)
        return jnp.where(where.reshape(shape), a, b)

    return jax.tree.map(pick, new, old)


def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


def _zeros_like(tree: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, tree)


def _forward(
    gate: Gate, reverse: bool, w: Recurrence, carry: Carry, start: Carry, steps: Steps
) -> tuple[tuple[Carry, Array], Any]:
    def body(carry: Carry, step: Steps) -> tuple[Carry, Any]:
        prev = carry if step.fresh is None else select(step.fresh, start, carry)
        r = affine(gate.hidden(prev), w.W, w.b)
        new, saved = gate.forward(w.p, prev, step.inputs, r)
        new = select(step.mask, new, prev)
        # Without a hand-written derivative, jax.vjp of forward will want its inputs again.
        return new, (prev, new, r if _needs_r(gate, w) else None, saved if gate.back else None)

    final, (prevs, nexts, rs, saves) = lax.scan(body, carry, steps, reverse=reverse)
    hs = gate.hidden(nexts)
    ys = hs if steps.mask is None else select(steps.mask, hs, jnp.zeros_like(hs))
    return (final, ys), (w, steps, prevs, nexts, rs, saves, start)


def _needs_r(gate: Gate, w: Recurrence) -> bool:
    return gate.back is None or bool(jax.tree.leaves(w.p))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def bptt(
    gate: Gate, reverse: bool, w: Recurrence, carry: Carry, start: Carry, steps: Steps
) -> tuple[Carry, Array]:
    """The final carry and ys [T, B, H] of a gated cell; its gradient is the module's equations.

    carry: where the loop begins; start: what a fresh lane restarts from, both [B, ...].
    """
    return _forward(gate, reverse, w, carry, start, steps)[0]


def _local_derivative(
    gate: Gate, w: Recurrence, zs: Array, prevs: Carry, nexts: Carry, rs: Array | None, saves: Any
) -> tuple[Any, Callable[[Any, Carry], tuple[Carry, Array, Array]]]:
    """What the backward loop reads at each step, and the pullback of one step that uses it."""
    if gate.back is not None:
        return gate.factors(w.p, prevs, nexts, saves), gate.back

    def pullback(inputs: Any, carry_bar: Carry) -> tuple[Carry, Array, Array]:
        _, back = jax.vjp(lambda *inputs: gate.forward(w.p, *inputs)[0], *inputs)
        return back(carry_bar)

    return (prevs, zs, rs), pullback


def _backward(gate: Gate, reverse: bool, residuals: Any, bars: tuple[Carry, Array]) -> tuple:
    w, steps, prevs, nexts, rs, saves, start = residuals
    final_bar, ys_bar = bars
    local, back = _local_derivative(gate, w, steps.inputs, prevs, nexts, rs, saves)
    # The slide's h̄_t has two sources, the output and the next step; both land in the carry.
    _, to_carry = jax.vjp(gate.hidden, start)

    def body(loop: tuple[Carry, Carry], step: Any) -> tuple[tuple[Carry, Carry], Any]:
        carry_bar, start_bar = loop
        y_bar, local, mask, fresh = step
        zeros = _zeros_like(carry_bar)
        live = select(mask, _add(carry_bar, to_carry(y_bar)[0]), zeros)
        prev_bar, z_bar, r_bar = back(local, live)
        prev_bar = _add(prev_bar, to_carry(r_bar @ w.W.T)[0])
        if mask is not None:  # a masked step copied its carry: the gradient passes it by
            prev_bar = select(mask, prev_bar, carry_bar)
        if fresh is not None:
            start_bar = _add(start_bar, select(fresh, prev_bar, zeros))
            prev_bar = select(fresh, zeros, prev_bar)
        # Most gates add z and r first; then both bars are one array, kept once.
        return (prev_bar, start_bar), (z_bar, None if r_bar is z_bar else r_bar, live)

    (carry_bar, start_bar), (z_bars, r_bars, lives) = lax.scan(
        body,
        (final_bar, _zeros_like(start)),
        (ys_bar, local, steps.mask, steps.fresh),
        reverse=not reverse,
    )
    r_bars = z_bars if r_bars is None else r_bars
    w_bar = _recurrence_bar(gate, w, prevs, steps.inputs, rs, r_bars, lives)
    return w_bar, carry_bar, start_bar, Steps(z_bars, None, None)


def _recurrence_bar(
    gate: Gate, w: Recurrence, prevs: Carry, zs: Array, rs: Array, r_bars: Array, lives: Carry
) -> Recurrence:
    """The sums over time: one product for W_hh, one sum for b_hh, one pullback for the vectors."""
    hs = gate.hidden(prevs)
    G = r_bars.shape[-1]
    W_bar = hs.reshape(-1, hs.shape[-1]).T @ r_bars.reshape(-1, G)
    b_bar = None if w.b is None else r_bars.reshape(-1, G).sum(0)
    p_bar = w.p
    if jax.tree.leaves(w.p):
        over_time = jax.vmap(lambda p, *inputs: gate.forward(p, *inputs)[0], (None, 0, 0, 0))
        _, pullback = jax.vjp(lambda p: over_time(p, prevs, zs, rs), w.p)
        (p_bar,) = pullback(lives)
    return Recurrence(W_bar, b_bar, p_bar)


bptt.defvjp(_forward, _backward)
