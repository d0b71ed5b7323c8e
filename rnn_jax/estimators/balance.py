"""Influence balancing: one parameter whose near effects say the opposite of its far ones.

``s_t = A s_{t-1} + θ (1, …, 1, -1, …, -1)`` with A_ii = A_{i,i+1} = 1/2, p times +θ and n - p times
-θ, asked for s_t^1 = 1 by ``(s_t^1 - 1)² / 2`` (Tallec and Ollivier 2017). An effect needs about
two steps for each unit on its way to the first; so a gradient cut too early sees the p positive
ones only. At rest s^1 = 2 (2p - n) θ, so for n = 23, p = 10 the loss is 0 at θ = -1/6.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells import Cell
from rnn_jax.layers import Layer
from rnn_jax.models import Model, recurrent, stack
from rnn_jax.tasks import Batch, Task

Array = jax.Array


def balance_cell(units: int, positive: int) -> Cell:
    """s as the carry [B, n]; the output is s^1 [B, 1]; its one parameter is "theta" [1]."""
    A = (np.eye(units) + np.eye(units, k=1)) / 2
    signs = np.where(np.arange(units) < positive, 1.0, -1.0)

    def init(key: Array) -> dict[str, Array]:
        return {"theta": jnp.zeros(1)}

    def start(w: Any, lanes: int) -> Array:
        return jnp.zeros((lanes, units), w["theta"].dtype)

    def step(w: Any, s: Array, nothing: Array) -> tuple[Array, Array]:
        s = s @ jnp.asarray(A.T, s.dtype) + (w["theta"] * jnp.asarray(signs, s.dtype))[None]
        return s, s[:, :1]

    return Cell(init, start, lambda w, x: x, step)


def balance_model(units: int = 23, positive: int = 10) -> Model:
    """The system as a model that reads nothing and says s^1."""
    nothing = Layer(lambda key: {}, lambda w, x: x)
    return recurrent(stack(balance_cell(units, positive)), nothing)


def balance_task(chunk: int) -> Task:
    """One lane that never ends, asked for 1 at each step; validation begins once it is at rest."""
    ones = np.ones((1, chunk, 1), np.float32)

    def batch(position: int) -> Batch:
        return Batch(0 * ones, ones, fresh=np.array([position == 0]))

    nothing, settled = np.zeros((1, 500, 1), np.float32), (np.arange(500) >= 250)[None]
    valid = [Batch(nothing, nothing + 1, settled.astype(np.float32))]
    return Task(batch, lambda: valid, half_square, 1, 2**31, chunk)


def half_square(ys: Array, targets: Array) -> Array:
    """``Σ (y - target)² / 2`` over the last axis."""
    return jnp.square(ys - targets).sum(-1) / 2
