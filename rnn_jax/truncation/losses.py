"""The summed loss of a batch whose gradient is cut, a function for each way to cut it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnn_jax.bptt import select
from rnn_jax.models import Model
from rnn_jax.objective import outputs, summed_loss, time_first, with_gradient
from rnn_jax.tasks import Batch
from rnn_jax.truncation.cuts import Truncation

Array = jax.Array
Total = Callable[..., tuple[Array, tuple[Array, Any]]]

_CUTS = 2**31 - 1  # where the keys of cuts part from those of dropout


def objective(cut: Truncation) -> Total:
    """What `train.make_step` minimises, with the gradient cut; value and carry are not.

    The losses of all k1 steps count once; digits tell the piece that a loss's gradient stays in::

        k2 < k1     111 222 333 444        the k1 / k2 gradients are summed, one update
                    └───── k1 ────┘

        k2 > k1     ····  ····  1111       a batch has the k2 - k1 steps before, which are done
                    └ k2 - k1 ┘ └k1┘       again, for the weights have changed; the loss looks at
                     ^                     the last k1. The carry handed on is that at ^, k1 on.

        carry       ···h→111 h→222         the state crosses an edge, the gradient does not
        zero        0→111 0→222            each piece begins at model.start
        burn-in     0→···→111  0→···→222   b steps from there make its state, no gradient

        random      11 2222 3 44444        each lane is cut with p = grain / k2 at each grain's edge
        artbp       11⇠2222⇠3⇠44444        likewise; what is not cut is multiplied by 1 / (1 - p)

    Where nothing crosses, a piece's gradient is taken as soon as its losses are, so memory is that
    of one piece. For k2 > k1 and for burn-in the batch is that of `widened`.
    """
    if cut.edge != "carry":
        return partial(_started, cut)
    if cut.k2 > cut.k1:
        return partial(_windowed, cut)
    if cut.lengths != "fixed":
        return partial(_random, cut)
    return summed_loss if cut.k1 == cut.k2 else partial(_carried, cut)


def _part(batch: Batch, begin: int, end: int | None) -> Batch:
    """Steps begin … end; a fresh of [B] is before the first of all. ValueError with a context."""
    if batch.context is not None:
        raise ValueError("sequences that begin from a context are not cut; train them whole")
    fresh = batch.fresh if batch.fresh is None or batch.fresh.ndim > 1 or not begin else None
    rest = jax.tree.map(lambda a: a[:, begin:end], batch._replace(fresh=None))
    return rest._replace(fresh=fresh if fresh is None or fresh.ndim == 1 else fresh[:, begin:end])


def _begun(model: Model, params: Any, carry: Any, batch: Batch) -> tuple[Any, Batch]:
    """The carry after a restart before the first step, and the batch without it."""
    if batch.fresh is None or batch.fresh.ndim > 1:
        return carry, batch
    start = model.start(params, batch.fresh.shape[0])
    return select(batch.fresh, start, carry), batch._replace(fresh=None)


def _keys(keys: Array | None, number: Any) -> Array | None:
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _run(model: Model, params: Any, carry: Any, batch: Batch, keys: Array | None) -> Any:
    """The carry after steps at which the loss does not look."""
    if not jax.tree.leaves(batch.inputs)[0].shape[1]:
        return carry
    return outputs(model, params, carry, time_first(batch), keys)[0]


def _pieces(batch: Batch, count: int, stride: int, length: int) -> Batch:
    """[B, T, ...] to [count, B, length, ...], each `stride` steps after the one before."""
    places = np.arange(count)[:, None] * stride + np.arange(length)
    return jax.tree.map(lambda a: jnp.moveaxis(a[:, places], 1, 0), batch)


def _summed_apart(piece: Callable, params: Any, carry: Any, pieces: Any) -> Any:
    """Loss, weight and gradient summed over pieces, one after another; and the last carry."""

    def body(loop: tuple, at: Any) -> tuple[tuple, None]:
        carry, sums = loop
        (total, (weight, carry)), bars = jax.value_and_grad(piece, has_aux=True)(params, carry, at)
        return (carry, jax.tree.map(jnp.add, sums, (total, weight, bars))), None

    one = jax.tree.map(lambda a: a[0], pieces)
    (total, (weight, _)), bars = jax.eval_shape(
        jax.value_and_grad(piece, has_aux=True), params, carry, one
    )
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (total, weight, bars))
    (carry, (total, weight, bars)), _ = lax.scan(body, (carry, zeros), pieces)
    return total, weight, bars, carry


def _carried(
    cut: Truncation, model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Any
) -> tuple[Array, tuple[Array, Any]]:
    """k2 < k1, the state crossing."""
    count, held = cut.k1 // cut.k2, lax.stop_gradient(params)
    carry, batch = _begun(model, params, carry, batch)

    def piece(params: Any, carry: Any, at: tuple[Batch, Array]) -> tuple[Array, Any]:
        return summed_loss(model, loss, params, carry, at[0], _keys(keys, at[1]))

    # The first piece by itself: only there may a learned start be what the carry came from.
    first, rest = _part(batch, 0, cut.k2), _part(batch, cut.k2, None)
    total, (weight, carry) = summed_loss(model, loss, params, carry, first, _keys(keys, 0))
    pieces = _pieces(rest, count - 1, cut.k2, cut.k2), jnp.arange(1, count)
    more, heavier, bars, carry = _summed_apart(piece, held, lax.stop_gradient(carry), pieces)
    return total + with_gradient(more, params, bars), (weight + heavier, carry)


def _started(
    cut: Truncation, model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Any
) -> tuple[Array, tuple[Array, Any]]:
    """Each piece from ``model.start``, or burnt in from there."""
    count, old = max(1, cut.k1 // cut.k2), max(cut.k2 - cut.k1, 0)
    new = min(cut.k1, cut.k2)
    lanes = jax.tree.leaves(batch.inputs)[0].shape[0]
    if batch.fresh is not None and batch.fresh.ndim == 1:
        batch = batch._replace(fresh=None)  # all begin anew

    def piece(params: Any, carry: Any, at: tuple[Batch, Array]) -> tuple[Array, Any]:
        steps, mine = at[0], [_keys(keys, 3 * at[1] + i) for i in range(3)]
        h = model.start(params, lanes)
        if cut.burn:
            h = lax.stop_gradient(_run(model, params, h, _part(steps, 0, cut.burn), mine[0]))
        h = _run(model, params, h, _part(steps, cut.burn, cut.burn + old), mine[1])
        return summed_loss(model, loss, params, h, _part(steps, cut.burn + old, None), mine[2])

    pieces = _pieces(batch, count, new, cut.burn + old + new), jnp.arange(count)
    total, weight, bars, carry = _summed_apart(piece, lax.stop_gradient(params), carry, pieces)
    return with_gradient(total, params, bars), (weight, carry)


def _windowed(
    cut: Truncation, model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Any
) -> tuple[Array, tuple[Array, Any]]:
    """k2 > k1, the state crossing: the batch's first k1 steps lead to the carry handed on."""
    mine = [_keys(keys, i) for i in range(3)]
    old = cut.k2 - cut.k1
    onward = _run(model, params, carry, _part(batch, 0, cut.k1), mine[0])
    h = _run(model, params, onward, _part(batch, cut.k1, old), mine[1])
    total, (weight, _) = summed_loss(model, loss, params, h, _part(batch, old, None), mine[2])
    return total, (weight, onward)


def drawn(cut: Truncation, keys: Array) -> Array:
    """What the gradient is multiplied by on its way back into each piece: [k1 / grain, B].

    keys [B]. The first is 1: that piece begins at a carry that is given, or at a start.
    """
    p, count = cut.grain / cut.k2, cut.k1 // cut.grain
    whole = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - p, (count,)), out_axes=1)
    weights = whole(_keys(keys, _CUTS)) / (1 - p if cut.lengths == "artbp" else 1)
    return weights.at[0].set(1)


def _random(
    cut: Truncation, model: Model, loss: Callable, params: Any, carry: Any, batch: Batch, keys: Any
) -> tuple[Array, tuple[Array, Any]]:
    """Cuts drawn for each lane; the gradient of what crosses is multiplied as `drawn` says."""
    if keys is None:
        raise ValueError("random cuts are drawn from the step's keys; give make_step's step a key")
    count, weights = cut.k1 // cut.grain, drawn(cut, keys)
    carry, batch = _begun(model, params, carry, batch)

    def body(carry: Any, at: tuple[Batch, Array, Array]) -> tuple[Any, tuple[Array, Array]]:
        steps, weight, number = at
        carry = jax.tree.map(lambda h: _weighed(h, weight), carry)
        now = _keys(keys, number)
        total, (heavy, carry) = summed_loss(model, loss, params, carry, steps, now)
        return carry, (total, heavy)

    pieces = _pieces(batch, count, cut.grain, cut.grain)
    carry, sums = lax.scan(body, carry, (pieces, weights, jnp.arange(count)))
    total, weight = jax.tree.map(jnp.sum, sums)
    return total, (weight, carry)


def _weighed(h: Array, weight: Array) -> Array:
    """h [B, ...], to the bit, with its gradient multiplied by weight [B]."""
    held = lax.stop_gradient(h)
    return held + (h - held) * weight.astype(h.dtype).reshape(-1, *[1] * (h.ndim - 1))
