"""Losses per step; what weighs and averages them is `rnn_jax.train`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array


def cross_entropy(logits: Array, targets: Array) -> Array:
    """``-log softmax(y_t)[target_t]`` in nats: logits [..., V], targets [...] integers -> [...].

    The lecture's ``-Σ_v t_tv log y_tv`` with one-hot t, as a lookup instead of a sum over V.
    """
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def smoothed(part: float) -> Callable[[Array, Array], Array]:
    """`cross_entropy` with this part of the target's probability spread over all V symbols:
    ``(1 - part) (-log p[target]) + part mean_v(-log p[v])`` (Szegedy et al. 2016).
    """

    def loss(logits: Array, targets: Array) -> Array:
        chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        wanted = (1 - part) * chosen + part * logits.mean(-1)
        return jax.nn.logsumexp(logits, axis=-1) - wanted

    return loss
