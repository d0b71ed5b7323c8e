"""Weights for tests of what is done with them, where how they are drawn does not matter."""

import jax
import numpy as np


def drawn(init, scale=0.5, seed=0):
    """What ``init(key)`` returns in structure, shapes and types, drawn evenly from minus to plus
    scale by NumPy: to compile what an initializer draws takes longer than most tests.
    """
    rng = np.random.default_rng(seed)

    def leaf(like):
        return np.asarray(rng.uniform(-scale, scale, like.shape), like.dtype)

    return jax.device_put(jax.tree.map(leaf, jax.eval_shape(init, jax.random.key(0))))
