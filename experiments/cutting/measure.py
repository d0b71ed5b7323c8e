"""What a gradient costs, and how far it is from the full one."""

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.cutting.problems import Problem
from experiments.cutting.sweep import Entry, chunked, recipe, road

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from experiments.truncation import Config
    from rnn_jax.truncation import Truncation

_TURNS = 7


def costs(config: "Config", problem: Problem, rows: list[Entry]) -> dict[str, dict[str, float]]:
    """Milliseconds of an update and MiB that it takes beside its state, by the entry's name.

    The median of several turns, one entry after the other in each, of updates as `fit` does them.
    """
    import jax
    import numpy as np

    from rnn_jax import pace

    ready, found = {}, {}
    for entry in rows:
        one = recipe(config, problem, entry, config.lr, config.seed)
        count = min(8, pace.room(one.task))
        data, _ = pace.batches(one.task, 0, count, count)
        arguments = (one.start(), data, np.int32(count), one.key())
        compiled = jax.jit(one.steps()).lower(*arguments).compile()
        ready[entry.name] = partial(compiled, *arguments)
        memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
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
    """MiB of what the entry's gradient keeps of the past beside the carry."""
    from rnn_jax import estimators

    model = problem.build(None)
    return estimators.needed_bytes(entry.road, model, config.lanes) // 2**20


def whole(config: "Config", stream: bool) -> "Truncation":
    """The cut of the full gradient: none within a sequence.

    Where chunks go on from each other, a chunk's first losses reach back through the longest length
    too.
    """
    from rnn_jax.truncation import Truncation

    return Truncation(config.k1, config.k1 + stream * max([config.k1, *config.lengths]))


def biases(
    config: "Config", problem: Problem, rows: list[Entry], weights: dict[str, Any]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """{when: {entry: {block: Agreement}}} at each of `weights`, on the same batches.

    The full gradient, of `whole`, is an entry itself, "full", which says how much it varies from
    batch to batch.
    """
    import jax

    from rnn_jax import estimators, truncation

    full = Entry("full", "truncated", whole(config, problem.stream), config.k1, 0)
    skip = 1 + full.cut.before // config.k1  # until all that is read is within the data
    found: dict[str, dict[str, Any]] = {when: {} for when in weights}
    for entry in [full, *(row for row in rows if row.chunk == config.k1)]:
        chosen = road(problem, entry)
        task = chunked(problem.task(config.seed), entry.chunk, config.k1)
        task = truncation.widened(task, chosen.cut)
        batches = [task.batch(p) for p in range(config.samples + skip)]
        for when, params in weights.items():
            arguments = (chosen.model, chosen.total, task.loss, params, batches)
            found[when][entry.name] = estimators.gradients(
                *arguments, jax.random.key(config.seed), skip=skip
            )
    return {
        when: {name: _told(estimators.agreement(each["full"], one)) for name, one in each.items()}
        for when, each in found.items()
    }


def _told(agreed: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By block; "looks_back" is that of the first W_hh, or of all where there is none."""
    matrices = [block for block in agreed if block.endswith("W_hh")] or ["all"]
    named = {**agreed, "looks_back": agreed[matrices[0]]}
    return {block: each._asdict() for block, each in named.items()}
