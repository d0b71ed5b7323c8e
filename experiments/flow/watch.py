"""What is seen of a network at a moment of its training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.plain import plain


class Look(NamedTuple):
    """At one step of training, over some held-out sequences.

    flow: root mean square over lanes of ``‖∂L_T/∂h_{T-τ}‖`` for τ = 1 … T; singular: singular
    values of a step's Jacobian, mean over lanes, largest first; exponents: finite-time Lyapunov
    exponents [nats a step], mean over lanes; radius: of W_hh's blocks, the largest |eigenvalue|.
    """

    step: int
    flow: list[float]
    singular: list[float]
    exponents: list[float]
    radius: list[float]


def watcher(config: Any, entrant: Any) -> Callable[[int, Any], tuple[str, str]]:
    """What `fit` calls to see the weights: a `Look` as one line of JSON."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.flow.entrants import recall
    from rnn_jax import cells, diagnose, layers, losses, models
    from rnn_jax.objective import time_first

    first = cells.one_hot(cells.build(entrant.cell, config.symbols, config.hidden), config.symbols)
    out = layers.dense(config.hidden, config.symbols)
    model = models.recurrent(models.stack(first, fast=False), out)
    (batch,) = recall(config).valid()
    steps = time_first(jax.tree.map(lambda a: a[: config.seen], batch))

    @jax.jit
    def seen(W: Any) -> tuple[Any, ...]:
        start = model.start(W, config.seen)
        xs, targets = jnp.asarray(steps.inputs), jnp.asarray(steps.targets)
        norms = diagnose.by_lag(model, W, xs, targets, losses.cross_entropy, start)
        _, Js = diagnose.jacobians(model, W, xs, start)
        flow = jnp.sqrt(jnp.square(norms).mean(1))
        singular, exponents = diagnose.singular_values(Js[-1]), diagnose.lyapunov(Js)
        return flow, singular.mean(0), exponents.mean(0)

    def show(step: int, W: Any) -> tuple[str, str]:
        W_hh = np.asarray(W["layers"][0]["W_hh"])
        blocks = np.split(W_hh, W_hh.shape[1] // len(W_hh), axis=1)
        radius = [float(np.abs(np.linalg.eigvals(block)).max()) for block in blocks]
        look = Look(step, *([float(f"{v:.5g}") for v in a] for a in (*seen(W), radius)))
        return f"seen at step {step}", json.dumps(plain(look._asdict()))

    return show


def looks(folder: Path) -> list[Look]:
    """Those of a run, in order."""
    from rnn_jax import run

    return [Look(**json.loads(sample.text)) for sample in run.open(folder, trust=True).samples]
