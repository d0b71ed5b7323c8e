"""Full backpropagation through time over long sequences in little memory.

A sequence of T steps is cut into segments of S. The forward pass keeps the carry at each cut and
nothing else; the backward pass does a segment's forward pass again when its turn comes. Memory is
that of T/S carries and one segment, O(√T) at the best S, for one more forward pass; the gradient is
the same, for nothing is truncated (Chen et al. 2016). The loss is taken inside each segment, so
that neither the outputs nor the logits of all steps exist at once.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.bptt import select
from rnn_jax.errors import BadInput
from rnn_jax.models import Model
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch

Array = jax.Array


def segmented_loss(
    segment: int, model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Any
) -> tuple[Array, tuple[Array, Any]]:
    """`summed_loss` of a batch [B, T, ...], in segments of so many steps.

    What is left over of T is one shorter segment at the end. A lane's dropout differs from segment
    to segment.
    """
    T = jax.tree.leaves(batch.inputs)[0].shape[1]
    if batch.fresh is not None and batch.fresh.ndim == 1:  # only before the first segment
        lanes = batch.fresh.shape[0]
        carry = select(batch.fresh, model.start(params, lanes), carry)
        batch = batch._replace(fresh=None)

    @jax.checkpoint
    def part(params: Any, carry: Any, steps: Batch, index: Array) -> tuple[Any, tuple]:
        now = None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, index)
        total, (weight, carry) = summed_loss(model, loss, params, carry, steps, now)
        return carry, (total, weight)

    whole = T // segment

    def body(carry: Any, at: tuple[Batch, Array]) -> tuple[Any, tuple]:
        return part(params, carry, *at)

    cut = jax.tree.map(lambda a: _segments(a, whole, segment), batch)
    carry, sums = lax.scan(body, carry, (cut, jnp.arange(whole)))
    total, weight = jax.tree.map(jnp.sum, sums)
    if T % segment:
        rest = jax.tree.map(lambda a: a[:, whole * segment :], batch)
        carry, (more, heavier) = part(params, carry, rest, jnp.asarray(whole))
        total, weight = total + more, weight + heavier
    return total, (weight, carry)


def _segments(a: Array, count: int, segment: int) -> Array:
    """[B, T, ...] to [count, B, segment, ...]."""
    a = a[:, : count * segment].reshape(a.shape[0], count, segment, *a.shape[2:])
    return jnp.swapaxes(a, 0, 1)


class Plan(NamedTuple):
    """A segment length and what it costs.

    segment: steps; 0 is no segments; predicted, measured: bytes of the compiled gradient (its
    temporaries, arguments and results); recomputed: steps done forward for each step of the data.
    """

    segment: int
    predicted: int
    measured: int
    recomputed: float

    def describe(self) -> str:
        """One line."""
        how = f"segments of {self.segment} steps" if self.segment else "no segments"
        mib = [f"{size / 2**20:.0f} MiB" for size in (self.predicted, self.measured)]
        return (
            f"{how}: {mib[0]} predicted, {mib[1]} measured, each step done forward"
            f" {self.recomputed:.2f} times"
        )


def gradient_bytes(
    model: Model, loss: Callable, lanes: int, batch: Batch, segment: int, *, noisy: bool = False
) -> int:
    """Peak memory of one gradient as compiled: temporaries, arguments and results, in bytes.

    batch: arrays or their shapes, [B, T, ...]; noisy: with dropout.
    """
    params = jax.eval_shape(model.init, jax.random.key(0))
    carry = jax.eval_shape(lambda p: model.start(p, lanes), params)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), lanes)) if noisy else None
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), batch)

    def gradient(params: Any, carry: Any, batch: Batch, keys: Any) -> Any:
        total = objective(segment)
        return jax.grad(lambda p: total(model, loss, p, carry, batch, keys), has_aux=True)(params)

    used = jax.jit(gradient).lower(params, carry, batch, keys).compile().memory_analysis()
    return used.temp_size_in_bytes + used.argument_size_in_bytes + used.output_size_in_bytes


@lru_cache(maxsize=16)  # one object for one length, so that what is made of it is traced once
def objective(segment: int) -> Callable[..., tuple[Array, tuple[Array, Any]]]:
    """`summed_loss`, in segments unless `segment` is 0."""
    if not segment:
        return summed_loss

    def in_segments(*args: Any) -> tuple[Array, tuple[Array, Any]]:
        return segmented_loss(segment, *args)

    return in_segments


def plan(
    model: Model, loss: Callable, lanes: int, batch: Batch, budget: int, *, noisy: bool = False
) -> Plan:
    """The longest segments whose gradient stays within `budget` bytes; none if it all fits.

    The bytes of S steps are taken as ``a + b S + c T / S``: c is the carry, a and b follow from
    two compilations around √T, and the plan is then measured. BadInput where the least is more
    than the budget, saying how much it is.
    """

    def measure(segment: int) -> int:
        return gradient_bytes(model, loss, lanes, batch, segment, noisy=noisy)

    T = jax.tree.leaves(batch.inputs)[0].shape[1]
    params = jax.eval_shape(model.init, jax.random.key(0))
    leaves = jax.tree.leaves(jax.eval_shape(lambda p: model.start(p, lanes), params))
    c = sum(math.prod(a.shape) * a.dtype.itemsize for a in leaves)
    small = max(1, min(T // 4, round(math.sqrt(T))))
    sizes = {s: measure(s) - c * T / s for s in (small, 2 * small)}
    b = max((sizes[2 * small] - sizes[small]) / small, 1.0)
    a = sizes[small] - b * small

    def predicted(segment: float) -> float:
        return a + b * segment + (c * T / segment if segment < T else 0)

    if (whole := measure(0)) <= budget:
        return Plan(0, int(predicted(T)), whole, 1.0)
    # a + b S + c T / S = budget has two roots, on both sides of the least; the larger is S.
    room = budget - a
    square = room * room - 4 * b * c * T
    segment = int((room + math.sqrt(square)) / (2 * b)) if square >= 0 and room > 0 else 0
    while segment and (used := measure(segment)) > budget:
        segment = segment * 3 // 4  # compilers are not linear
        if segment < math.sqrt(c * T / b):
            break
    if not segment or used > budget:
        best = max(1, min(T, round(math.sqrt(c * T / b))))
        least = measure(best) / 2**20
        raise BadInput(
            f"the gradient over {T} steps needs at least {least:.0f} MiB (segments of {best});"
            " give it more, fewer --lanes, or a shorter --bptt"
        )
    return Plan(segment, int(predicted(segment)), used, 2.0)
