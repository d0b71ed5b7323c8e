"""Losses per step; what weighs and averages them is `rnn_jax.train`."""

import jax
import jax.numpy as jnp

Array = jax.Array


def cross_entropy(logits: Array, targets: Array) -> Array:
    """``-log softmax(y_t)[target_t]`` in nats: logits [..., V], targets [...] integers -> [...].

    The lecture's ``-Σ_v t_tv log y_tv`` with one-hot t, as a lookup instead of a sum over V.
    """
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen
