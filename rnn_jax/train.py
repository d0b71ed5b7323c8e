"""Training by truncated backpropagation through time, as one pure function of the state.

Truncation needs no `detach`: the last chunk's carry comes in as an argument and the loss is
differentiated by the parameters alone, so the carry crosses the chunk's edge and the gradient does
not.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from rnn_jax import ordered
from rnn_jax.bptt import select
from rnn_jax.models import Model
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch

Array = jax.Array

_NOISE = 2**31  # the parameters' place among the lanes, where keys are told apart


class TrainState(flax.struct.PyTreeNode):
    """All that changes in a run; a checkpoint of it is complete.

    step: steps done, also the data's position; skipped: those whose gradient was not finite;
    average: exponential moving average of params, or an empty tuple where none is kept.
    """

    step: Array
    params: Any
    opt_state: Any
    carry: Any  # [B, ...]
    average: Any
    skipped: Array


class Metrics(NamedTuple):
    """Of one step: mean loss over the weighted steps [nats], gradient's norm before clipping."""

    loss: Array
    gradient_norm: Array


def create(
    model: Model,
    optimizer: optax.GradientTransformation,
    params: Any,
    lanes: int,
    average: bool = False,
) -> TrainState:
    """The state at step 0; average: keep a moving average of the parameters.

    The params are copied, for the first update may write over the buffers it is given.
    """
    params = jax.tree.map(jnp.array, params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        carry=model.start(params, lanes),
        average=jax.tree.map(jnp.array, params) if average else (),
        skipped=jnp.zeros((), jnp.int32),
    )


def make_step(
    model: Model,
    loss: Callable[[Array, Array], Array],
    optimizer: optax.GradientTransformation,
    decay: float = 0.0,
    noise: Callable[[Array, Any], Any] | None = None,
    shards: int = 0,
    total: Callable[..., tuple[Array, tuple[Array, Any]]] = summed_loss,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """One step of truncated BPTT: ``(state, batch, key=None, axis=None) -> (state, metrics)``.

    decay: of the average of parameters, 0 for none. noise: ``(key, params) -> params`` that the
    step's loss is taken at, the same on all devices and for all lanes; None is none. total:
    `summed_loss`, or what does the same in another order (`segments.objective`).
    key: for noise and dropout, with the step (and for dropout the lane) folded in; None is neither.
    axis: the mapped axis's name where lanes lie on several devices; sums and weights are each
    summed over it before they are divided, outside what is differentiated. shards: of all lanes, so
    that the bits are the same on any number of devices (`ordered.summed`); 0 does without. A step
    whose loss or gradient is not finite leaves parameters, optimizer and average as they were and
    is counted; lanes whose carry is not finite start afresh.
    """

    def step(
        state: TrainState, batch: Batch, key: Array | None = None, axis: str | None = None
    ) -> tuple[TrainState, Metrics]:
        def objective(params: Any, *part: Any) -> tuple[Array, tuple[Array, Any]]:
            return total(model, loss, _noisy(noise, now, params), *part)

        lanes = jax.tree.leaves(state.carry)[0].shape[0]
        now = None if key is None else jax.random.fold_in(key, state.step)
        keys = step_keys(key, state, axis)
        sums, part = partial(_sums, objective, state.params), (state.carry, batch, keys)
        if shards:
            summed, carry = ordered.summed(sums, part, shards, axis, state.step + 1)
        else:
            summed, carry = sums(part)
            summed = summed if axis is None else lax.psum(summed, axis)
        lost, weight, bars = summed
        # A chunk in which the loss looks nowhere has no gradient; 0 / 0 would skip it as NaN.
        weight = jnp.maximum(weight, jnp.finfo(weight.dtype).tiny)
        bars = jax.tree.map(lambda bar: bar / weight, bars)
        metrics = Metrics(lost / weight, optax.tree.norm(bars))
        new = _updated(state, optimizer, bars, decay)
        finite = jnp.isfinite(metrics.loss) & jnp.isfinite(metrics.gradient_norm)
        state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
        return state.replace(
            step=state.step + 1,
            carry=_restart_broken(carry, model.start(state.params, lanes)),
            skipped=state.skipped + ~finite,
        ), metrics

    return step


def _sums(objective: Callable, params: Any, part: Any) -> tuple[tuple[Array, Array, Any], Any]:
    """Sums over some lanes of loss, weight and gradient; and their last carry."""
    (total, (weight, carry)), bars = jax.value_and_grad(objective, has_aux=True)(params, *part)
    return (total, weight, bars), carry


def _noisy(noise: Callable | None, key: Array | None, params: Any) -> Any:
    if noise is None or key is None:
        return params
    return noise(jax.random.fold_in(key, _NOISE), params)


def step_keys(key: Array | None, state: TrainState, axis: str | None = None) -> Array | None:
    """The key of each lane [B] for the step that comes next; key, axis: as in `make_step`."""
    if key is None:
        return None
    lanes = jax.tree.leaves(state.carry)[0].shape[0]
    return _lane_keys(jax.random.fold_in(key, state.step), lanes, axis)


def _lane_keys(key: Array, lanes: int, axis: str | None) -> Array:
    """One key a lane, by the lane's number among all devices' lanes."""
    first = 0 if axis is None else lax.axis_index(axis) * lanes
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(lanes))


def _updated(state: TrainState, optimizer: Any, bars: Any, decay: float) -> TrainState:
    updates, opt_state = optimizer.update(bars, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if decay:
        # Early on the average is short, so that it does not remember the random start.
        d = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        average = jax.tree.map(lambda a, p: a + (1 - d) * (p - a), average, params)
    return state.replace(params=params, opt_state=opt_state, average=average)


def _restart_broken(carry: Any, start: Any) -> Any:
    """Lanes with a value that is not finite go back to start; every leaf [B, ...]."""
    flat = [jnp.isfinite(a).reshape(a.shape[0], -1).all(1) for a in jax.tree.leaves(carry)]
    return select(jnp.stack(flat).all(0), carry, start)


def make_steps(step: Callable) -> Callable[..., tuple[TrainState, Metrics]]:
    """Several steps in one dispatch: ``(state, batches, count, key=None, axis=None)``.

    batches: leaves [K, B, ...], of which the first `count` are used; metrics are [K]. The count is
    a runtime value, so one compiled program serves every number of steps and the bits do not depend
    on how steps are grouped.
    """

    def steps(
        state: TrainState,
        batches: Batch,
        count: Array,
        key: Array | None = None,
        axis: str | None = None,
    ) -> tuple[TrainState, Metrics]:
        K = jax.tree.leaves(batches)[0].shape[0]
        empty = Metrics(jnp.zeros(K), jnp.zeros(K))

        def body(i: Array, loop: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, metrics = loop
            batch = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, 0, False), batches)
            state, now = step(state, batch, key, axis)
            return state, jax.tree.map(lambda a, x: a.at[i].set(x), metrics, now)

        return lax.fori_loop(0, count, body, (state, empty))

    return steps
