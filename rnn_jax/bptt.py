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

from rnn_jax import native
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


class Kept(NamedTuple):
    """What the backward pass is given of the forward one.

    nexts: the carry after each step; saves: what the gate saved; prevs: the carry before each step,
    None where that is the one after the step before; rs: for a gate without `back` or with vectors.
    """

    w: Recurrence
    steps: Steps
    carry: Carry
    start: Carry
    nexts: Carry
    saves: Any
    prevs: Carry | None
    rs: Array | None


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
    def scanned(w: Recurrence, carry: Carry, start: Carry, steps: Steps) -> tuple:
        return _forward_scan(gate, reverse, w, carry, start, steps)

    def compiled(w: Recurrence, carry: Carry, start: Carry, steps: Steps) -> tuple:
        b = jnp.zeros(w.W.shape[1], w.W.dtype) if w.b is None else w.b
        made = native.forward(gate.native, reverse, w.W, b, carry, steps.inputs, steps.mask)
        return *made, None, None

    run = lax.platform_dependent if _is_native(gate, w, carry, steps) else _the_default
    nexts, saves, prevs, rs = run(w, carry, start, steps, cpu=compiled, default=scanned)
    hs = gate.hidden(nexts)
    ys = hs if steps.mask is None else select(steps.mask, hs, jnp.zeros_like(hs))
    final = jax.tree.map(lambda a: a[0 if reverse else -1], nexts)
    return (final, ys), Kept(w, steps, carry, start, nexts, saves, prevs, rs)


def _the_default(*args: Any, default: Callable, **others: Callable) -> Any:
    return default(*args)


def _is_native(gate: Gate, w: Recurrence, carry: Carry, steps: Steps) -> bool:
    """Whether the compiled loop can do it, for there the step is one pass over registers."""
    known = gate.native is not None and steps.fresh is None
    return known and native.fits(w.W, w.b, carry, steps.inputs) and native.available()


def _forward_scan(
    gate: Gate, reverse: bool, w: Recurrence, carry: Carry, start: Carry, steps: Steps
) -> tuple[Carry, Any, Carry | None, Array | None]:
    """All carries, what the gate saves, where each step began if not in the one before, all r."""

    def body(carry: Carry, step: Steps) -> tuple[Carry, Any]:
        prev = carry if step.fresh is None else select(step.fresh, start, carry)
        r = affine(gate.hidden(prev), w.W, w.b)
        new, saved = gate.forward(w.p, prev, step.inputs, r)
        new = select(step.mask, new, prev)
        began = None if step.fresh is None else prev
        # Without a hand-written derivative, jax.vjp of forward will want its inputs again.
        kept_r = r if _needs_r(gate, w) else None
        return new, (new, saved if gate.back else None, began, kept_r)

    return lax.scan(body, carry, steps, reverse=reverse)[1]


def _previous(carry: Carry, nexts: Carry, reverse: bool) -> Carry:
    """The carry each step began from, where none was fresh."""

    def shift(first: Array, a: Array) -> Array:
        return jnp.concatenate([a[1:], first[None]] if reverse else [first[None], a[:-1]])

    return jax.tree.map(shift, carry, nexts)


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
    gate: Gate, kept: Kept
) -> tuple[Any, Callable[[Any, Carry], tuple[Carry, Array, Array]]]:
    """What the backward loop reads at each step, and the pullback of one step that uses it."""
    p = kept.w.p
    if gate.back is not None:
        return gate.factors(p, kept.prevs, kept.nexts, kept.saves), gate.back

    def pullback(inputs: Any, carry_bar: Carry) -> tuple[Carry, Array, Array]:
        _, back = jax.vjp(lambda *inputs: gate.forward(p, *inputs)[0], *inputs)
        return back(carry_bar)

    return (kept.prevs, kept.steps.inputs, kept.rs), pullback


def _backward(gate: Gate, reverse: bool, kept: Kept, bars: tuple[Carry, Array]) -> tuple:
    if kept.prevs is None:
        kept = kept._replace(prevs=_previous(kept.carry, kept.nexts, reverse))
    w, steps = kept.w, kept.steps

    def scanned(kept: Kept, bars: tuple[Carry, Array]) -> tuple:
        return _backward_scan(gate, reverse, kept, bars)

    def compiled(kept: Kept, bars: tuple[Carry, Array]) -> tuple:
        final_bar, ys_bar = bars
        carry_bar, z_bars, r_bars = native.backward(
            *(gate.native, reverse, w.W, kept.carry, kept.nexts, kept.saves, ys_bar, final_bar),
            steps.mask,
        )
        return carry_bar, _zeros_like(kept.start), z_bars, r_bars, None

    run = lax.platform_dependent if _is_native(gate, w, kept.carry, steps) else _the_default
    carry_bar, start_bar, z_bars, r_bars, lives = run(kept, bars, cpu=compiled, default=scanned)
    w_bar = _recurrence_bar(gate, kept, r_bars, lives)
    return w_bar, carry_bar, start_bar, Steps(z_bars, None, None)


def _backward_scan(
    gate: Gate, reverse: bool, kept: Kept, bars: tuple[Carry, Array]
) -> tuple[Carry, Carry, Array, Array, Carry | None]:
    """The bars of carry, start, zs and rs; and carry̅_t for all t where a gate has vectors."""
    w, (final_bar, ys_bar) = kept.w, bars
    local, back = _local_derivative(gate, kept)
    # The slide's h̄_t has two sources, the output and the next step; both land in the carry.
    _, to_carry = jax.vjp(gate.hidden, kept.start)
    wants_live = bool(jax.tree.leaves(w.p))

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
        # Most gates add z and r first; then both bars are one array, made once.
        made = (z_bar, None if r_bar is z_bar else r_bar, live if wants_live else None)
        return (prev_bar, start_bar), made

    begin = (final_bar, _zeros_like(kept.start))
    steps = (ys_bar, local, kept.steps.mask, kept.steps.fresh)
    (carry_bar, start_bar), made = lax.scan(body, begin, steps, reverse=not reverse)
    z_bars, r_bars, lives = made
    return carry_bar, start_bar, z_bars, z_bars if r_bars is None else r_bars, lives


def _recurrence_bar(gate: Gate, kept: Kept, r_bars: Array, lives: Carry | None) -> Recurrence:
    """The sums over time: one product for W_hh, one sum for b_hh, one pullback for the vectors."""
    w, hs, G = kept.w, gate.hidden(kept.prevs), r_bars.shape[-1]
    W_bar = hs.reshape(-1, hs.shape[-1]).T @ r_bars.reshape(-1, G)
    b_bar = None if w.b is None else r_bars.reshape(-1, G).sum(0)
    p_bar = w.p
    if jax.tree.leaves(w.p):
        over_time = jax.vmap(lambda p, *inputs: gate.forward(p, *inputs)[0], (None, 0, 0, 0))
        _, pullback = jax.vjp(lambda p: over_time(p, kept.prevs, kept.steps.inputs, kept.rs), w.p)
        (p_bar,) = pullback(lives)
    return Recurrence(W_bar, b_bar, p_bar)


bptt.defvjp(_forward, _backward)
