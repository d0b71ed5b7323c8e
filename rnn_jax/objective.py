"""What is minimised: the loss of a batch, summed where it looks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.models import Model
from rnn_jax.tasks import Batch

Array = jax.Array


def time_first(batch: Batch) -> Batch:
    """[B, T, ...] to [T, B, ...]; a fresh of [B] has no time to move, nor has the context."""

    def turn(a: Array | None) -> Array | None:
        return a if a is None or a.ndim == 1 else jnp.swapaxes(a, 0, 1)

    context, turned = batch.context, jax.tree.map(turn, batch._replace(context=None))
    return turned._replace(context=context)


def outputs(
    model: Model, params: Any, carry: Any, steps: Batch, keys: Array | None
) -> tuple[Any, Any]:
    """The carry for the next batch and ys [T, B, ...]; steps: a batch with time first.

    Sequences that begin from a context leave the carry as it was: the next ones begin anew.
    """
    given = {"mask": steps.mask, "fresh": steps.fresh, "keys": keys}
    if steps.context is None:
        return model.apply(params, carry, steps.inputs, **given)
    begun = model.condition(params, steps.context, keys)
    return carry, model.apply(params, begun, steps.inputs, **given)[1]


def weighted(each: Array, steps: Batch) -> tuple[Array, Array]:
    """Sum over steps of weight times `each` [T, B], and the sum of weights."""
    weights = steps.mask if steps.weights is None else steps.weights
    if weights is None:
        return each.sum(), jnp.asarray(each.size, each.dtype)
    weights = weights.astype(each.dtype)
    # Where, not times: what the loss does not look at may be anything, also NaN.
    return jnp.where(weights != 0, each * weights, 0).sum(), weights.sum()


def summed_loss(
    model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Array | None
) -> tuple[Array, tuple[Array, Any]]:
    """Sum over steps of weight times loss, with the sum of weights and the final carry."""
    steps = time_first(batch)
    carry, ys = outputs(model, params, carry, steps, keys)
    total, weight = weighted(loss(ys, steps.targets), steps)
    return total, (weight, carry)


def with_gradient(value: Array, params: Any, bars: Any) -> Array:
    """`value`, to the bit, with `bars` for its gradient by params, whatever else it came from."""
    held, bars = lax.stop_gradient((params, bars))
    parts = jax.tree.map(lambda bar, p, p_held: jnp.sum(bar * (p - p_held)), bars, params, held)
    return lax.stop_gradient(value) + sum(jax.tree.leaves(parts))
