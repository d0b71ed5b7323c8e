"""A word as one of a class: ``p(w | h) = p(class | h) p(w | class, h)``."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.affine import against
from rnn_jax.losses.output import Output, blocked
from rnn_jax.tables import distinct, take, whole

Array = jax.Array


def class_factored(vocabulary: int, size: int, classes: int = 0, scale: float = 0.05) -> Output:
    """Two softmaxes: over C classes, and over the M words of the target's class (Goodman 2001).

    A class is M = ceil(V / C) words with numbers one after another, so that, numbered by falling
    frequency, most words of a text are in few classes; C is about √V unless given. w: W_ch [C, E]
    and b_c [C] of the classes, W_cmh [C, M, E] and b_cm [C, M] of their words, of which the last
    class may have fewer.
    """
    C = classes or max(1, round(vocabulary**0.5))
    M = -(-vocabulary // C)
    C = -(-vocabulary // M)

    def init(key: Array) -> dict[str, Array]:
        k_class, k_word = jax.random.split(key)
        W_ch = jax.random.uniform(k_class, (C, size), minval=-scale, maxval=scale)
        W_cmh = jax.random.uniform(k_word, (C, M, size), minval=-scale, maxval=scale)
        return {"W_ch": W_ch, "b_c": jnp.zeros(C), "W_cmh": W_cmh, "b_cm": jnp.zeros((C, M))}

    # The last class may have places without a word; they have no probability.
    exists = np.arange(C * M).reshape(C, M) < vocabulary

    def class_log_probs(w: Any, h: Array) -> Array:
        return jax.nn.log_softmax(h @ w["W_ch"].T + against(w["b_c"], h))

    def nats(w: Any, h: Array, targets: Array) -> Array:
        number, place = targets // M, targets % M
        y = jnp.einsum("nme,ne->nm", take(w["W_cmh"], number), h) + take(w["b_cm"], number)
        inside = jax.nn.log_softmax(jnp.where(jnp.asarray(exists)[number], y, -jnp.inf))
        of_class = jnp.take_along_axis(class_log_probs(w, h), number[:, None], 1)[:, 0]
        return -of_class - jnp.take_along_axis(inside, place[:, None], 1)[:, 0]

    def log_probs(w: Any, h: Array) -> Array:
        flat = h.reshape(-1, h.shape[-1])
        y = jnp.einsum("cme,ne->ncm", whole(w["W_cmh"]), flat) + whole(w["b_cm"])[None]
        inside = jax.nn.log_softmax(jnp.where(exists[None], y, -jnp.inf))
        joint = class_log_probs(w, flat)[:, :, None] + inside
        return joint.reshape(*h.shape[:-1], C * M)[..., :vocabulary]

    def needed(targets: Array, key: Array) -> Mapping[str, Array]:
        rows = distinct(targets // M, C, min(C, targets.size))
        return {"W_cmh": rows, "b_cm": rows}

    def loss(w: Any, h: Array, targets: Array, key: Array) -> Array:
        return nats(w, h, targets)

    return Output(init, loss, blocked(nats, M * size), log_probs, needed)
