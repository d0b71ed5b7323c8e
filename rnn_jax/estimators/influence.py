"""One step of one lane as a function of flat vectors, and models that carry an influence along.

RTRL and UORO go forward in time: what they know of the gradient travels with the carry, so they
need no past and no chunk, and see all of it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from rnn_jax.errors import BadInput
from rnn_jax.models import Model
from rnn_jax.objective import time_first
from rnn_jax.tasks import Batch

Array = jax.Array


def split(params: Any) -> tuple[Any, Any]:
    """What the carry depends on, and what only reads it: the "layers" of a `models.recurrent`."""
    if isinstance(params, dict) and "layers" in params:
        return params["layers"], {name: w for name, w in params.items() if name != "layers"}
    return params, {}


def joined(layers: Any, rest: Any) -> Any:
    """The parameters that `split` took apart."""
    return {**rest, "layers": layers} if rest else layers


def with_influence(model: Model, empty: Callable[[Any, int, int], Any]) -> Model:
    """The model whose carry holds an influence as well.

    empty: ``(layers, lanes, N) -> influence``, leaves [B, ...], for carries of N numbers a lane.
    BadInput where a carry is not made of real numbers, for it then has no derivative.
    """

    def start(W: Any, lanes: int) -> dict[str, Any]:
        carry = model.start(W, lanes)
        leaves = jax.tree.leaves(carry)
        if not leaves or not all(jnp.issubdtype(a.dtype, jnp.floating) for a in leaves):
            raise BadInput("this cell's carry is not of real numbers: it has no RTRL and no UORO")
        size = sum(a[0].size for a in leaves)
        return {"carry": carry, "influence": empty(split(W)[0], lanes, size)}

    def apply(W: Any, carry: dict[str, Any], xs: Any, **steps: Any) -> tuple[dict[str, Any], Array]:
        h, ys = model.apply(W, carry["carry"], xs, **steps)
        return {"carry": h, "influence": carry["influence"]}, ys

    return model._replace(start=start, apply=apply)


def lane_step(model: Model, loss: Callable, example: Any) -> Callable:
    """``(layers, rest, h [N], step, key) -> (h' [N], its weighted loss)`` for one lane.

    model: without influence, of the general path, for it is differentiated forward; example: a
    carry of one lane, [1, ...]; step: a `Batch` of scalars, fresh included.
    """
    _, unravel = ravel_pytree(example)

    def advance(layers: Any, rest: Any, h: Array, step: Batch, key: Any) -> tuple[Array, Array]:
        W = joined(layers, rest)
        lane = jax.tree.map(lambda a: a[None, None], step)  # one step of one lane
        key = None if key is None else key[None]
        carry, ys = model.apply(
            W, unravel(h), lane.inputs, mask=lane.mask, fresh=lane.fresh, keys=key
        )
        each = loss(ys, lane.targets)[0, 0]
        weight = step.mask if step.weights is None else step.weights
        if weight is not None:
            each = jnp.where(weight != 0, each * weight.astype(each.dtype), 0)
        return ravel_pytree(carry)[0], each

    return advance


def flat_lanes(carry: Any) -> Array:
    """A carry of leaves [B, ...] as [B, N]."""
    return jax.vmap(lambda one: ravel_pytree(one)[0])(carry)


def unflat_lanes(h: Array, like: Any) -> Any:
    """[B, N] as a carry of leaves like these, [B, ...]."""
    _, unravel = ravel_pytree(jax.tree.map(lambda a: a[0], like))
    return jax.vmap(unravel)(h)


def over_time(
    step: Callable[[Any, Batch, Any], tuple[Any, tuple[Array, Any]]],
    begin: Any,
    bars: Any,
    batch: Batch,
    keys: Array | None,
) -> tuple[Any, Array, Array, Any]:
    """Scan ``(loop, steps [B], keys [B]) -> (loop, (loss, bars))``, the last two summed over time.

    Returns the loop's end, loss, weight and bars; bars: zeros of their shapes.
    """
    if batch.context is not None:
        raise ValueError("an influence goes on from batch to batch; with a context none does")
    steps = time_first(batch)
    T, lanes = jax.tree.leaves(steps.inputs)[0].shape[:2]
    if steps.fresh is not None and steps.fresh.ndim == 1:
        steps = steps._replace(fresh=jnp.zeros((T, lanes), bool).at[0].set(steps.fresh))
    dtype = jax.tree.leaves(bars)[0].dtype

    def body(loop: tuple, at: tuple[Batch, Array]) -> tuple[tuple, None]:
        inner, total, sums = loop
        now, t = at
        mine = None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, t)
        inner, (lost, more) = step(inner, now, mine)
        return (inner, total + lost, jax.tree.map(jnp.add, sums, more)), None

    (inner, total, bars), _ = lax.scan(
        body, (begin, jnp.zeros((), dtype), bars), (steps, jnp.arange(T))
    )
    weights = steps.mask if steps.weights is None else steps.weights
    weight = jnp.asarray(T * lanes, dtype) if weights is None else weights.astype(dtype).sum()
    return inner, total, weight, bars
