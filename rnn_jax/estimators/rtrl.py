"""Real-time recurrent learning (Williams and Zipser 1989): the exact gradient, forward in time.

With h_t = F(θ, h_{t-1}, x_t) the influence P_t = ∂h_t/∂θ follows from the one before it,

    P_t = ∂F/∂h P_{t-1} + ∂F/∂θ,          L̄_t = ∂L_t/∂θ + ∂L_t/∂h_{t-1} P_{t-1}

L_t being what the step's loss is of (θ, h_{t-1}). Over one sequence the sum of L̄_t is BPTT's
gradient; over a stream it looks back to the start, by the weights of each time. Memory B N |θ| for
N numbers of carry and |θ| weights in the layers, time N times that a step; BPTT's grow with T.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.estimators.influence import (
    flat_lanes,
    joined,
    lane_step,
    over_time,
    split,
    unflat_lanes,
    with_influence,
)
from rnn_jax.models import Model
from rnn_jax.objective import with_gradient
from rnn_jax.tasks import Batch

Array = jax.Array


def rtrl(model: Model) -> tuple[Model, Callable]:
    """The model with an influence in its carry, and the objective for `make_step` to go with it.

    model: of `models.recurrent` with ``fast=False``, for the general path has a forward mode.
    """
    return with_influence(model, _empty), partial(_total, model)


def _empty(layers: Any, lanes: int, N: int) -> Any:
    return jax.tree.map(lambda a: jnp.zeros((lanes, N, *a.shape), a.dtype), layers)


def _total(
    base: Model, _: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Array | None
) -> tuple[Array, tuple[Array, Any]]:
    """The summed loss with RTRL's gradient; the influence goes on with the carry."""
    layers, rest = lax.stop_gradient(split(params))
    h, influence = carry["carry"], carry["influence"]
    advance = lane_step(base, loss, jax.tree.map(lambda a: a[:1], h))

    def lane(h: Array, P: Any, step: Batch, key: Any) -> tuple:
        """One lane's step: its next carry and influence, its loss and gradient."""
        forward = jax.jacrev(lambda layers, h: advance(layers, rest, h, step, key)[0], (0, 1))
        J_theta, J_h = forward(layers, h)
        lost, (layers_bar, rest_bar, h_bar) = jax.value_and_grad(
            lambda layers, rest, h: advance(layers, rest, h, step, key)[1], (0, 1, 2)
        )(layers, rest, h)
        layers_bar = jax.tree.map(lambda a, p: a + jnp.tensordot(h_bar, p, 1), layers_bar, P)
        P = jax.tree.map(lambda p, J: jnp.tensordot(J_h, p, 1) + J, P, J_theta)
        return advance(layers, rest, h, step, key)[0], P, lost, joined(layers_bar, rest_bar)

    def step(loop: tuple[Array, Any], steps: Batch, keys: Any) -> tuple:
        h, P, lost, bars = jax.vmap(lane)(*loop, steps, keys)
        return (h, P), jax.tree.map(lambda a: a.sum(0), (lost, bars))

    zeros = jax.tree.map(jnp.zeros_like, params)
    begin = (flat_lanes(h), influence)
    (flat, influence), total, weight, bars = over_time(step, begin, zeros, batch, keys)
    new = {"carry": unflat_lanes(flat, h), "influence": influence}
    return with_gradient(total, params, bars), (weight, new)
