"""Several seeds of one experiment in one program: the training steps under `jax.vmap`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax import pace
from rnn_jax.recipe import Recipe
from rnn_jax.tasks import Batch
from rnn_jax.train import Metrics, TrainState


class Together(NamedTuple):
    """S runs side by side, seeds first in every leaf.

    start: the states at step 0, [S, ...]; data: ``(position, count) -> batches``, to the bit what
    each run reads alone, [S, K, B, ...], or without S where all read the same; advance: ``(state,
    data, count) -> (state, metrics [S, K])``, which may use up the state.
    """

    start: Callable[[], TrainState]
    data: Callable[[int, int], Batch]
    advance: Callable[[TrainState, Batch, int], tuple[TrainState, Metrics]]


def together(recipes: Sequence[Recipe], room: int) -> Together:
    """Train `recipes`, which differ in seed, weights and data alone, as one program.

    room: the largest count of steps in a dispatch. Every run comes to what it does alone but for
    rounding, as products over seeds are added up in another order. What differs must have equal
    shapes, else ValueError; runs that share a Task object share their batches in memory. Whether
    it pays depends on the machine (``python -m experiments.throughput --only seeds``): since the
    loops are compiled most of a step is arithmetic, of which S runs have S times as much. On two
    cores 8 runs take 2.7 times as long as one where H is 8 and there is one lane, 3.6 to 6.7 times
    with 8 lanes; two processes with four of them each take 3 to 4.5 times as long.
    """
    first = recipes[0]
    shapes = [jax.tree.map(lambda a: a.shape, jax.eval_shape(r.start)) for r in recipes]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("runs in one program need states of equal shapes; train them apart")
    shared = all(recipe.task is first.task for recipe in recipes)
    axes = (0, None if shared else 0, None, 0)
    steps = jax.jit(jax.vmap(first.steps(), axes), donate_argnums=0)
    keys = jnp.stack([recipe.key() for recipe in recipes])

    @jax.jit  # one program, not two for each shape
    def side_by_side(*states: TrainState) -> TrainState:
        return jax.tree.map(lambda *a: jnp.stack(a), *states)

    def start() -> TrainState:
        return side_by_side(*[recipe.start() for recipe in recipes])

    def data(position: int, count: int) -> Batch:
        those = recipes[:1] if shared else recipes
        parts = [pace.batches(recipe.task, position, count, room) for recipe in those]
        if any(found != count for _, found in parts):
            raise ValueError("batches of differing shapes; train these runs apart")
        if shared:
            return parts[0][0]
        return jax.tree.map(lambda *a: np.stack(a), *[part for part, _ in parts])

    def advance(state: TrainState, data: Batch, count: int) -> tuple[TrainState, Metrics]:
        return steps(state, data, np.int32(count), keys)

    return Together(start, data, advance)
