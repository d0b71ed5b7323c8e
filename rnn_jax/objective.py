"""What is minimised: the loss of a batch, summed where it looks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.models import Model
from rnn_jax.tasks import Batch

Array = jax.Array


def time_first(batch: Batch) -> Batch:
    """[B, T, ...] to [T, B, ...]; a fresh of [B] has no time to move."""

    def turn(a: Array | None) -> Array | None:
        return a if a is None or a.ndim == 1 else jnp.swapaxes(a, 0, 1)

    return Batch(*(jax.tree.map(turn, part) for part in batch))


def summed_loss(
    model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Array | None
) -> tuple[Array, tuple[Array, Any]]:
    """Sum over steps of weight times loss, with the sum of weights and the final carry."""
    steps = time_first(batch)
    carry, ys = model.apply(
        params, carry, steps.inputs, mask=steps.mask, fresh=steps.fresh, keys=keys
    )
    each = loss(ys, steps.targets)
    weights = steps.mask if steps.weights is None else steps.weights
    if weights is None:
        return each.sum(), (jnp.asarray(each.size, each.dtype), carry)
    weights = weights.astype(each.dtype)
    # Where, not times: what the loss does not look at may be anything, also NaN.
    return jnp.where(weights != 0, each * weights, 0).sum(), (weights.sum(), carry)
