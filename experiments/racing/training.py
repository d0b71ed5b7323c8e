"""Our own training, as `fit` does it: how many steps a dispatch, and what they come to."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax import pace, parallel, train
from rnn_jax.recipe import Recipe


class _Endless(NamedTuple):
    """Nothing else is due: what `Pace` is told of an experiment's Config."""

    steps: int = 2**30
    devices: str = "1"
    log_every: int = 2**30
    eval_every: int = 2**30
    save_every: int = 2**30


class Trainer(NamedTuple):
    """advance: ``count -> Metrics`` of the next so many steps, done when it returns.

    params: the weights as they are now.
    """

    advance: Callable[[int], train.Metrics]
    tokens: int  # of one step
    params: Callable[[], Any]


def trainer(recipe: Recipe, compiled: Callable) -> Trainer:
    """Training from the recipe's start with its compiled steps, fetching the data as `fit` does."""
    state, step, room = recipe.start(), 0, pace.room(recipe.task)

    def advance(count: int) -> train.Metrics:
        nonlocal state, step
        data, _ = pace.batches(recipe.task, step, count, room)
        state, metrics = compiled(state, data, np.int32(count), recipe.key())
        step += count
        return train.Metrics(*(np.asarray(each)[:count] for each in metrics))

    return Trainer(advance, recipe.task.tokens, lambda: state.params)


def compiled(recipe: Recipe, devices: int = 1) -> Callable[..., Any]:
    """The steps as `fit` compiles them."""
    return parallel.data_parallel(recipe.steps(), devices)


def steps_a_dispatch(trainer: Trainer, room: int) -> int:
    """As many as `fit` would take here, from the time of a few steps."""
    measured = pace.Pace()
    for _ in range(6):
        began = time.monotonic()
        trainer.advance(1)
        measured.add(1, time.monotonic() - began)
    return measured.count(0, _Endless(), room)


def first_gradient(recipe: Recipe) -> tuple[Any, Any]:
    """The mean loss of the first batch at the recipe's start, and its gradient."""
    state, batch = recipe.start(), recipe.task.batch(0)

    def mean(params: Any) -> Any:
        total, (weight, _) = train.summed_loss(
            recipe.model, recipe.task.loss, params, state.carry, batch, None
        )
        return total / weight

    return jax.jit(jax.value_and_grad(mean))(state.params)
