"""Why it is hard to learn far: how a gradient shrinks or grows on its way back through time.

A carry is taken as one vector of N numbers a lane (of the LSTM h and c together), and vectors are
rows as everywhere here, so a Jacobian J is ``∂carry_t / ∂carry_{t-1}`` [N, N] with a row for each
entry of the later carry. All of it goes through reverse mode, so any model will do; one whose
layers were built with ``fast=False`` is quicker: a step is too short for the compiled loops.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from rnn_jax.models import Model

Array = jax.Array


def by_lag(model: Model, W: Any, xs: Any, targets: Array, loss: Callable, carry: Any) -> Array:
    """``‖∂L_T / ∂h_{T-τ}‖`` [T, B] for the lags τ = 1 … T, in this order.

    L_T: the loss at the last step alone, of each lane; xs, targets [T, B, ...]; carry: h_0. The
    whole derivative, over every path from h_{T-τ} to the loss.
    """

    def last(nudges: Any) -> Array:
        def body(carry: Any, step: Any) -> tuple[Any, Array]:
            x, nudge = step
            carry = jax.tree.map(jnp.add, carry, nudge)
            carry, ys = model.apply(W, carry, jax.tree.map(lambda a: a[None], x))
            return carry, ys[0]

        _, ys = lax.scan(body, carry, (xs, nudges))
        return loss(ys[-1], targets[-1]).sum()  # a lane's carry reaches its own loss alone

    T = jax.tree.leaves(xs)[0].shape[0]
    bars = jax.grad(last)(jax.tree.map(lambda a: jnp.zeros((T, *a.shape), a.dtype), carry))
    squares = [jnp.square(b).reshape(*b.shape[:2], -1).sum(-1) for b in jax.tree.leaves(bars)]
    return jnp.sqrt(sum(squares))[::-1]


def jacobians(model: Model, W: Any, xs: Any, carry: Any) -> tuple[Any, Array]:
    """The last carry, and every step's Jacobian along the way: [T, B, N, N]."""

    def body(carry: Any, x: Any) -> tuple[Any, Array]:
        def one(carry: Any, x: Any) -> tuple[Any, Array]:
            flat, shaped = ravel_pytree(jax.tree.map(lambda a: a[None], carry))
            x = jax.tree.map(lambda a: a[None, None], x)

            def step(flat: Array) -> tuple[Array, Any]:
                new, _ = model.apply(W, shaped(flat), x)
                return ravel_pytree(new)[0], new

            J, new = jax.jacrev(step, has_aux=True)(flat)
            return jax.tree.map(lambda a: a[0], new), J

        return jax.vmap(one)(carry, x)

    return lax.scan(body, carry, xs)


def singular_values(J: Array) -> Array:
    """Of matrices [..., N, N], the largest first: [..., N]."""
    return jnp.linalg.svd(J, compute_uv=False)


def lyapunov(Js: Array) -> Array:
    """Finite-time Lyapunov exponents [B, N], nats a step, the largest first; Js [T, B, N, N].

    ``λ_i = 1/T Σ_t log |R_t[i, i]|`` with ``J_t Q_{t-1} = Q_t R_t`` and Q_0 the identity (Benettin
    et al. 1980): how fast nearby carries part (above 0) or meet (below). A direction that is lost
    altogether has -inf.
    """

    def body(Q: Array, J: Array) -> tuple[Array, Array]:
        Q, R = jnp.linalg.qr(J @ Q)
        return Q, jnp.log(jnp.abs(jnp.diagonal(R, axis1=-2, axis2=-1)))

    Q = jnp.broadcast_to(jnp.eye(Js.shape[-1], dtype=Js.dtype), Js.shape[1:])
    _, logs = lax.scan(body, Q, Js)
    return -jnp.sort(-logs.mean(0), axis=-1)
