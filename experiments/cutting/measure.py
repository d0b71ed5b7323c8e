"""What a gradient costs, and how far it is from the full one."""

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.cutting.problems import Problem
from experiments.cutting.sweep import Entry, recipe, road

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from experiments.truncation import Config
    from rnn_jax.truncation import Truncation

_TURNS = 7
WHOLE = "whole"  # names the gradient that all are compared with; no row is called so


def costs(config: "Config", problem: Problem, rows: list[Entry]) -> dict[str, dict[str, float]]:
    """Milliseconds of an update and MiB that it takes beside weights and h, by the entry's name.

    MiB: what is in memory for a while, and the influence that goes on with h. Milliseconds: the
    median of several turns, one entry after the other in each, of updates as `fit` does them.
    """
    import jax
    import numpy as np

    from rnn_jax import estimators, pace

    ready, found = {}, {}
    for entry in rows:
        one = recipe(config, problem, entry, config.lr, config.seed)
        count = min(8, pace.room(one.task))
        data, _ = pace.batches(one.task, 0, count, count)
        begun = one.start()
        arguments = (begun, data, np.int32(count), one.key())
        compiled = jax.jit(one.steps()).lower(*arguments).compile()
        ready[entry.name] = partial(compiled, *arguments)
        influence = begun.carry["influence"] if entry.road in estimators.FORWARD else ()
        held = sum(a.nbytes for a in jax.tree.leaves(influence))
        memory = (compiled.memory_analysis().temp_size_in_bytes + held) / 2**20
        found[entry.name] = {"mib": round(memory, 3), "of_steps": count}
        jax.block_until_ready(ready[entry.name]())
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(_TURNS):
        for name, run in ready.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - began)
    for name, each in found.items():
        steps = each.pop("of_steps")
        each["ms"] = round(1e3 * statistics.median(times[name]) / steps, 4)
    return found


def needed(config: "Config", problem: Problem, entry: Entry) -> int:
    """MiB, rounded up, of what the entry's gradient keeps of the past beside the carry."""
    from rnn_jax import estimators

    model = problem.build(None)
    return -(-estimators.needed_bytes(entry.road, model, config.lanes) // 2**20)


def whole(config: "Config", stream: bool) -> "Truncation":
    """The cut of the full gradient: none within a sequence.

    Where chunks go on from each other, a chunk's first losses reach back through the longest length
    too.
    """
    from rnn_jax.truncation import Truncation

    return Truncation(config.k1, config.k1 + stream * max([config.k1, *config.lengths]))


def gradients(
    config: "Config",
    problem: Problem,
    rows: list[Entry],
    weights: dict[str, Any],
    *,
    crossed: bool = False,
) -> dict[str, dict[str, Any]]:
    """{when: {entry: gradients [N, ...]}} at each of `weights`, on the same batches.

    That of `whole` is there too, as WHOLE. crossed: of `dependence`'s loss.
    """
    import jax

    from rnn_jax import estimators, truncation
    from rnn_jax.estimators import dependence

    full = Entry(WHOLE, "truncated", whole(config, problem.stream), config.k1, 0)
    skip = 1 + full.cut.before // config.k1  # until all that is read is within the data
    found: dict[str, dict[str, Any]] = {when: {} for when in weights}
    task = problem.task(config.seed)
    loss = dependence.crossed_loss(task.loss) if crossed else task.loss
    for entry in [full, *(row for row in rows if row.chunk == config.k1)]:
        chosen = road(problem, entry)
        read = truncation.widened(task, chosen.cut).batch
        batches = [read(p) for p in range(config.samples + skip)]
        batches = [dependence.crossed(batch) for batch in batches] if crossed else batches
        for when, params in weights.items():
            arguments = (chosen.model, chosen.total, loss, params, batches)
            found[when][entry.name] = estimators.gradients(
                *arguments, jax.random.key(config.seed), skip=skip
            )
    return found


def seen(
    config: "Config", problem: Problem, rows: list[Entry], weights: dict[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """{when: {entry: share and error}}: what it sees of the dependence on inputs (`dependence`).

    No entries for a single lane, for it has no others, nor without a first layer's W_xh and b_h.
    """
    from rnn_jax.estimators import dependence

    layers = {when: params["layers"][0] for when, params in weights.items()}
    if config.lanes < 2 or not all(name in layers["early"] for name in ("W_xh", "b_h")):
        return {when: {} for when in weights}
    task = problem.task(config.seed)
    read = (task.batch(p) for p in range(config.samples))
    mean = dependence.mean_input(read, len(layers["early"]["W_xh"]))
    found = gradients(config, problem, rows, weights, crossed=True)
    told: dict[str, dict[str, dict[str, float]]] = {when: {} for when in weights}
    for when, each in found.items():
        felt = {
            name: dependence.by_gain(layers[when], bars["layers"][0], mean)
            for name, bars in each.items()
        }
        for name, one in felt.items():
            share, error = dependence.share(felt[WHOLE], one)
            told[when][name] = {"share": share, "error": error}
    return told


def biases(
    config: "Config", problem: Problem, rows: list[Entry], weights: dict[str, Any]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """{when: {entry: {block: Agreement}}}; WHOLE's own says how much it varies over batches."""
    from rnn_jax import estimators

    found = gradients(config, problem, rows, weights)
    return {
        when: {name: _told(estimators.agreement(each[WHOLE], one)) for name, one in each.items()}
        for when, each in found.items()
    }


def _told(agreed: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By block; "looks_back" is that of the first W_hh, or of all where there is none."""
    matrices = [block for block in agreed if block.endswith("W_hh")] or ["all"]
    named = {**agreed, "looks_back": agreed[matrices[0]]}
    return {block: each._asdict() for block, each in named.items()}
