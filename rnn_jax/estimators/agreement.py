"""How a gradient that is cut or estimated compares with the full one on the same data."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from rnn_jax.digest import named_leaves
from rnn_jax.models import Model
from rnn_jax.tasks import Batch


class Agreement(NamedTuple):
    """Of one block of parameters, ḡ and f̄ being the means over batches of both gradients.

    norm_ratio: ‖ḡ‖ / ‖f̄‖; cosine: of the angle between ḡ and f̄; bias: ‖ḡ - f̄‖² / ‖f̄‖²; variance:
    mean of ‖g - ḡ‖² / ‖f̄‖² over batches. NaN where the full gradient is 0.
    """

    norm_ratio: float
    cosine: float
    bias: float
    variance: float


def gradients(
    model: Model,
    total: Callable[..., Any],
    loss: Callable,
    params: Any,
    batches: Iterable[Batch],
    key: jax.Array,
    skip: int = 0,
) -> Any:
    """The gradient of the mean loss of each batch after the first `skip`: leaves [N, ...].

    The parameters stay as they are and the carry goes from batch to batch, the first ones making
    it what it is in the middle of the data.
    """
    carry, found, one = None, [], _program(model, total, loss)
    for number, batch in enumerate(batches):
        lanes = jax.tree.leaves(batch.inputs)[0].shape[0]
        if carry is None:
            carry = model.start(params, lanes)
        keys = jax.random.split(jax.random.fold_in(key, number), lanes)
        bars, carry = one(params, carry, batch, keys)
        if number >= skip:
            found.append(jax.tree.map(np.asarray, bars))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


@functools.lru_cache(maxsize=1)  # one after another, several weights are looked at
def _program(model: Model, total: Callable[..., Any], loss: Callable) -> Callable[..., Any]:
    """``(params, carry, batch, keys) -> (the mean loss's gradient, the next carry)``."""

    @jax.jit
    def one(params: Any, carry: Any, batch: Batch, keys: Any) -> tuple[Any, Any]:
        def summed(params: Any) -> Any:
            return total(model, loss, params, carry, batch, keys)

        (_, (weight, end)), bars = jax.value_and_grad(summed, has_aux=True)(params)
        return jax.tree.map(lambda bar: bar / jax.numpy.maximum(weight, 1e-30), bars), end

    return one


def agreement(full: Any, other: Any) -> dict[str, Agreement]:
    """Both gradients' leaves [N, ...]: by the path of each block, and of all under "all"."""

    def flat(tree: Any) -> dict[str, np.ndarray]:
        blocks = {name: a.reshape(len(a), -1) for name, a in named_leaves(tree).items()}
        return blocks | {"all": np.concatenate(list(blocks.values()), axis=1)}

    theirs = flat(full)
    return {name: _compare(theirs[name], mine) for name, mine in flat(other).items()}


def _compare(full: np.ndarray, other: np.ndarray) -> Agreement:
    full, other = full.astype(np.float64), other.astype(np.float64)
    f, g = full.mean(0), other.mean(0)
    square = f @ f
    if square == 0:
        return Agreement(*[float("nan")] * 4)
    cosine = f @ g / np.sqrt(square * (g @ g)) if g.any() else 0.0
    spread = np.square(other - g).sum(1).mean()
    parts = np.sqrt(g @ g / square), cosine, np.square(g - f).sum() / square, spread / square
    return Agreement(*map(float, parts))
