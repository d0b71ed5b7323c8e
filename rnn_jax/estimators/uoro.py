"""Unbiased online recurrent optimization (Tallec and Ollivier 2017): RTRL with a random rank 1.

The influence is kept as s θ̃ᵀ, s [N] and θ̃ [|θ|], whose mean over signs ν is P (`rtrl`):

    s ← ρ0 ∂F/∂h s + ρ1 ν,     θ̃ ← θ̃ / ρ0 + νᵀ ∂F/∂θ / ρ1,     L̄_t = ∂L_t/∂θ + (∂L_t/∂h s) θ̃

for cross terms have mean 0. ρ0 = √(‖θ̃‖ / ‖∂F/∂h s‖), ρ1 = √(‖νᵀ ∂F/∂θ‖ / ‖ν‖) make the noise
least; each lane has its own. Memory B (N + |θ|), time that of a few steps forward and one back.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
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

_SIGNS = 2**31 - 2  # where the keys of signs part from those of dropout


def uoro(model: Model) -> tuple[Model, Callable]:
    """The model with s and θ̃ in its carry, and the objective; as in `rtrl`."""
    return with_influence(model, _empty), partial(_total, model)


def _empty(layers: Any, lanes: int, N: int) -> tuple[Array, Any]:
    dtype = jax.tree.leaves(layers)[0].dtype
    theta = jax.tree.map(lambda a: jnp.zeros((lanes, *a.shape), a.dtype), layers)
    return jnp.zeros((lanes, N), dtype), theta


def _root(above: Array, below: Array) -> tuple[Array, Array]:
    """√(above / below) and its inverse; both 0 where either is 0, for then the term is 0."""
    there = (above > 0) & (below > 0)
    ratio = jnp.sqrt(jnp.where(there, above, 1) / jnp.where(there, below, 1))
    return jnp.where(there, ratio, 0), jnp.where(there, 1 / ratio, 0)


def _total(
    base: Model, _: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Array | None
) -> tuple[Array, tuple[Array, Any]]:
    """The summed loss with UORO's gradient; s and θ̃ go on with the carry."""
    if keys is None:
        raise ValueError("UORO draws signs from the step's keys; give make_step's step a key")
    layers, rest = lax.stop_gradient(split(params))
    h, influence = carry["carry"], carry["influence"]
    advance = lane_step(base, loss, jax.tree.map(lambda a: a[:1], h))

    def lane(h: Array, rank_1: tuple[Array, Any], step: Batch, key: Any) -> tuple:
        """One lane's step: its next carry and influence, its loss and gradient."""
        s, theta = rank_1
        nu = jax.random.rademacher(jax.random.fold_in(key, _SIGNS), h.shape, h.dtype)
        lost, (layers_bar, rest_bar, h_bar) = jax.value_and_grad(
            lambda layers, rest, h: advance(layers, rest, h, step, key)[1], (0, 1, 2)
        )(layers, rest, h)
        scale = h_bar @ s
        layers_bar = jax.tree.map(lambda a, b: a + scale * b, layers_bar, theta)
        new, s = jax.jvp(lambda h: advance(layers, rest, h, step, key)[0], (h,), (s,))
        _, pullback = jax.vjp(lambda w: advance(w, rest, h, step, key)[0], layers)
        (back,) = pullback(nu)
        rho_0, inverse_0 = _root(optax.tree.norm(theta), jnp.linalg.norm(s))
        rho_1, inverse_1 = _root(optax.tree.norm(back), jnp.linalg.norm(nu))
        s = rho_0 * s + rho_1 * nu
        theta = jax.tree.map(lambda a, b: a * inverse_0 + b * inverse_1, theta, back)
        return new, (s, theta), lost, joined(layers_bar, rest_bar)

    def step(loop: tuple[Array, Any], steps: Batch, keys: Array) -> tuple:
        h, rank_1, lost, bars = jax.vmap(lane)(*loop, steps, keys)
        return (h, rank_1), jax.tree.map(lambda a: a.sum(0), (lost, bars))

    zeros = jax.tree.map(jnp.zeros_like, params)
    begin = (flat_lanes(h), influence)
    (flat, influence), total, weight, bars = over_time(step, begin, zeros, batch, keys)
    new = {"carry": unflat_lanes(flat, h), "influence": influence}
    return with_gradient(total, params, bars), (weight, new)
