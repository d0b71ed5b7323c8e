"""A training step that touches only the rows it needs of large tables.

A step of T B words looks at few rows of a table of 250,000, yet an ordinary one makes a gradient of
all of them, and the optimizer passes over all weights and all its moments. Here the rows are taken
out first, together with their part of the optimizer's state; the step is the ordinary one, on small
tables; then the rows are put back. With plain SGD and Adagrad this is the same update, for where
the gradient is zero they change nothing; what decays at every step (momentum, Adam's moments,
weight decay) decays only in the rows that are touched.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from rnn_jax import train
from rnn_jax.models import Model
from rnn_jax.tables import Rows
from rnn_jax.tasks import Batch

Array = jax.Array

Needed = Callable[[Batch, Array | None], Mapping[tuple[str, ...], Array]]

_WHOLE = np.zeros(0, np.int32)  # stands for all rows


def make_step(
    model: Model,
    loss: Callable,
    optimizer: optax.GradientTransformation,
    *settings: Any,
    needed: Needed,
    **more: Any,
) -> Callable[..., tuple[train.TrainState, train.Metrics]]:
    """`train.make_step` on the rows of ``needed(batch, keys of the lanes)``.

    settings, more: its other arguments. needed: {path of a leaf of the parameters: row numbers,
    ascending, distinct, then V}; the model
    reads these leaves through `tables.take`. One device, and no average of the weights: ValueError
    where there are several (the rows of each would differ) or a state with an average.
    """

    def step(
        state: train.TrainState, batch: Batch, key: Array | None = None, axis: str | None = None
    ) -> tuple[train.TrainState, train.Metrics]:
        if axis is not None or state.average != ():
            raise ValueError("rows of tables are trained on one device and without an average")
        rows = needed(batch, train.step_keys(key, state))
        numbers = _numbers(state.params, rows)
        moments = optax.tree_utils.tree_map_params(
            *(optimizer, lambda _, own: own, state.opt_state, numbers),
            transform_non_params=lambda _: _WHOLE,
        )

        def apply(W: Any, *args: Any, **steps: Any) -> Any:
            return model.apply(jax.tree.map(_as_rows, W, numbers), *args, **steps)

        both, at = (state.params, state.opt_state), (numbers, moments)
        params, opt_state = jax.tree.map(_taken, both, at)
        inner = train.make_step(model._replace(apply=apply), loss, optimizer, *settings, **more)
        small, metrics = inner(state.replace(params=params, opt_state=opt_state), batch, key)
        new = jax.tree.map(_put_back, both, at, (small.params, small.opt_state))
        return small.replace(params=new[0], opt_state=new[1]), metrics

    return step


def _numbers(params: Any, rows: Mapping[tuple[str, ...], Array]) -> Any:
    """Like params; the numbers of the rows that are taken of each leaf, `_WHOLE` for all."""

    def of(path: Any, leaf: Array) -> Array:
        return rows.get(tuple(getattr(part, "key", None) for part in path), _WHOLE)

    return jax.tree_util.tree_map_with_path(of, params)


def _taken(leaf: Array, numbers: Array) -> Array:
    return leaf if numbers is _WHOLE else leaf.at[numbers].get(mode="fill", fill_value=0)


def _as_rows(leaf: Array, numbers: Array) -> Array | Rows:
    return leaf if numbers is _WHOLE else Rows(numbers, leaf)


def _put_back(leaf: Array, numbers: Array, new: Array) -> Array:
    return new if numbers is _WHOLE else leaf.at[numbers].set(new, mode="drop")
