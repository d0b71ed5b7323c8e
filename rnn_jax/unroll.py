"""A cell over time.

`unroll` equals this loop, which is also its oracle in the tests:

    for t in range(T):
        carry = where(fresh[t], cell.start(w, B), carry)
        new, y = cell.step(w, carry, cell.read(w, xs[t]))
        carry, ys[t] = where(mask[t], (new, y), (carry, 0))

Time is the first axis inside: transpose the tokens ([B, T] -> [T, B]), never the activations.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.bptt import Recurrence, Steps, bptt, select
from rnn_jax.cells.core import Array, Carry, Cell, Params


def unroll(
    cell: Cell,
    w: Params,
    xs: Any,
    carry: Carry,
    *,
    mask: Array | None = None,
    fresh: Array | None = None,
    reverse: bool = False,
    fast: bool | None = None,
    segment: int | None = None,
) -> tuple[Carry, Array]:
    """Run `cell` over xs [T, B, ...] from carry; the final carry and the outputs ys [T, B, ...].

    mask [T, B]: False where a step does not exist; it copies the carry and outputs zeros.
    fresh [T, B]: True where the lane restarts before the step from ``cell.start``; [B] means the
        first step alone and costs nothing in the loop. Under `reverse` a lane restarts where its
        sequence ends, one step before (in the loop's order) the next one's first step is done.
    reverse: t runs from T-1 to 0; ys stay in the order of xs.
    fast: None takes the hand-written backward pass where the cell has a gate; False takes autodiff
        of the scan, which also has forward mode (jvp, jacfwd, linearize); True insists.
    segment: keep only every segment-th carry for the backward pass and recompute the rest: memory
        for T/segment carries and one segment instead of T steps, for one more forward pass.
    """
    if fast and cell.gate is None:
        raise ValueError("fast=True, but this cell has no gate; build it with cells.gated")
    if segment is not None and segment < 1:
        raise ValueError(f"segment is {segment}; it counts steps, so at least 1")
    lanes = jax.tree.leaves(xs)[0].shape[1]
    start = cell.start(w, lanes) if fresh is not None else carry
    if fresh is not None and fresh.ndim == 1:
        # Seen from the other end, a restart before the first step is one after the last.
        carry, fresh = carry if reverse else select(fresh, start, carry), None
    elif fresh is not None and reverse:
        fresh = jnp.roll(fresh, -1, axis=0).at[-1].set(False)
    if mask is not None:
        # A gradient of 0 times an input of NaN is NaN: what does not exist must be finite.
        xs = select(mask, xs, jax.tree.map(jnp.zeros_like, xs))
    run = _gated if cell.gate is not None and fast is not False else _general
    steps = Steps(xs, mask, fresh)
    if segment is None:
        return run(cell, reverse, w, carry, start, steps)
    return _segmented(run, segment, cell, reverse, w, carry, start, steps)


def _gated(
    cell: Cell, reverse: bool, w: Params, carry: Carry, start: Carry, steps: Steps
) -> tuple[Carry, Array]:
    gate = cell.gate
    recurrence = Recurrence(gate.matrix(w), gate.bias(w) if gate.bias else None, gate.vectors(w))
    steps = steps._replace(inputs=cell.read(w, steps.inputs))
    return bptt(gate, reverse, recurrence, carry, start, steps)


def _general(
    cell: Cell, reverse: bool, w: Params, carry: Carry, start: Carry, steps: Steps
) -> tuple[Carry, Array]:
    def body(carry: Carry, step: Steps) -> tuple[Carry, Array]:
        if step.fresh is not None:
            carry = select(step.fresh, start, carry)
        new, y = cell.step(w, carry, step.inputs)
        if step.mask is None:
            return new, y
        return select(step.mask, (new, y), (carry, jax.tree.map(jnp.zeros_like, y)))

    steps = steps._replace(inputs=cell.read(w, steps.inputs))
    return lax.scan(body, carry, steps, reverse=reverse)


def _segmented(
    run: Callable[..., tuple[Carry, Array]],
    segment: int,
    cell: Cell,
    reverse: bool,
    w: Params,
    carry: Carry,
    start: Carry,
    steps: Steps,
) -> tuple[Carry, Array]:
    """The same run in segments, each behind a `jax.checkpoint`; T is padded by masked steps."""
    T, lanes = jax.tree.leaves(steps.inputs)[0].shape[:2]
    padding = -T % segment
    if padding and steps.mask is None:
        steps = steps._replace(mask=jnp.ones((T, lanes), bool))

    def cut(a: Array) -> Array:
        a = jnp.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1))
        return a.reshape(-1, segment, *a.shape[1:])

    @jax.checkpoint
    def body(w: Params, start: Carry, carry: Carry, part: Steps) -> tuple[Carry, Array]:
        return run(cell, reverse, w, carry, start, part)

    carry, ys = lax.scan(
        lambda carry, part: body(w, start, carry, part),
        carry,
        jax.tree.map(cut, steps),
        reverse=reverse,
    )
    return carry, jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:])[:T], ys)
