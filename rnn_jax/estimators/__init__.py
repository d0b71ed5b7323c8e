"""Roads to the gradient of a recurrent network, each an objective for `train.make_step`.

    model, total = choose("uoro", build, Truncation(k1=32, k2=8))
    make_step(model, loss, optimizer, total=total)

All see the same batches and make the same log; they differ in the gradient, its bias and variance,
and in what it costs (`needed_bytes`, `agreement`).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from rnn_jax.errors import BadInput
from rnn_jax.estimators.agreement import agreement, gradients
from rnn_jax.estimators.influence import split
from rnn_jax.estimators.rtrl import rtrl
from rnn_jax.estimators.uoro import uoro
from rnn_jax.models import Model
from rnn_jax.objective import summed_loss
from rnn_jax.truncation import Truncation, objective

NAMES = ("full", "truncated", "rtrl", "uoro", "artbp")


class Estimator(NamedTuple):
    """A model as this road needs it, the objective, and the cut that its batches are made for."""

    model: Model
    total: Callable[..., Any]
    cut: Truncation


def choose(name: str, build: Callable[[bool | None], Model], cut: Truncation) -> Estimator:
    """The road called `name`.

    build: ``fast -> model``, as `unroll` has it; cut: k1, and for "truncated" and "artbp" the rest.
    "full" is BPTT through all of a batch, "artbp" the random cuts of `truncation` with weights.
    """
    if name in ("rtrl", "uoro"):
        return Estimator(
            *(rtrl if name == "rtrl" else uoro)(build(False)), Truncation(cut.k1, cut.k1)
        )
    if name == "full":
        return Estimator(build(None), summed_loss, Truncation(cut.k1, cut.k1))
    if name == "artbp":
        cut = dataclasses.replace(cut, lengths="artbp")
    elif name != "truncated":
        raise BadInput(f"no estimator {name!r}; there are {', '.join(NAMES)}")
    return Estimator(build(None), objective(cut), cut)


def needed_bytes(name: str, model: Model, lanes: int) -> int:
    """What the influence of RTRL or UORO takes: of RTRL thrice, as it was, is, and its new part.

    model: without influence; 0 for what keeps none.
    """
    if name not in ("rtrl", "uoro"):
        return 0
    params = jax.eval_shape(model.init, jax.random.key(0))
    carry = jax.tree.leaves(jax.eval_shape(lambda W: model.start(W, 1), params))
    N, bytes_each = sum(math.prod(a.shape) for a in carry), carry[0].dtype.itemsize
    size = sum(math.prod(a.shape) for a in jax.tree.leaves(split(params)[0]))
    return lanes * bytes_each * (3 * N * size if name == "rtrl" else N + size)


__all__ = [
    "NAMES",
    "Estimator",
    "agreement",
    "choose",
    "gradients",
    "needed_bytes",
    "rtrl",
    "uoro",
]
