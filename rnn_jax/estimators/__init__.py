"""Roads to the gradient of a recurrent network, each an objective for `train.make_step`.

    model, total = choose("uoro", build, Truncation(k1=32, k2=8))
    make_step(model, loss, optimizer, total=total)

All see the same batches and make the same log; they differ in the gradient, its bias and variance,
and in what it costs (`needed_bytes`, `agreement`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from rnn_jax.errors import BadInput
from rnn_jax.estimators.agreement import agreement, gradients
from rnn_jax.estimators.local import rflo, snap1
from rnn_jax.estimators.rtrl import rtrl
from rnn_jax.estimators.uoro import uoro
from rnn_jax.models import Model
from rnn_jax.objective import summed_loss
from rnn_jax.truncation import Truncation, objective

FORWARD = {"rtrl": rtrl, "uoro": uoro, "snap1": snap1, "rflo": rflo}  # in time, with an influence
NAMES = ("full", "truncated", *FORWARD, "artbp")


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
    if name in FORWARD:
        return Estimator(*FORWARD[name](build(False)), Truncation(cut.k1, cut.k1))
    if name == "full":
        return Estimator(build(None), summed_loss, Truncation(cut.k1, cut.k1))
    if name == "artbp":
        cut = dataclasses.replace(cut, lengths="artbp")
    elif name != "truncated":
        raise BadInput(f"no estimator {name!r}; there are {', '.join(NAMES)}")
    return Estimator(build(None), objective(cut), cut)


def needed_bytes(name: str, model: Model, lanes: int) -> int:
    """What the influence takes: but of UORO thrice, as it was, is, and its new part.

    model: without influence; 0 for a road that keeps none.
    """
    if name not in FORWARD:
        return 0
    carried, _ = FORWARD[name](model)
    state = jax.eval_shape(lambda: carried.start(carried.init(jax.random.key(0)), lanes))
    kept = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state["influence"]))
    return kept if name == "uoro" else 3 * kept


__all__ = [
    "NAMES",
    "Estimator",
    "agreement",
    "choose",
    "gradients",
    "needed_bytes",
    "rflo",
    "rtrl",
    "snap1",
    "uoro",
]
