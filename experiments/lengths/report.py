"""What came of it: errors by length, as a table, as JSON and as a picture."""

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.lengths.entrants import Entrant, Problem, train_all
from experiments.lengths.settings import LengthSettings

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from rnn_jax.models import Model

_TEST_LANES = 128


class Row(NamedTuple):
    """Errors at each step [S, T], a line a seed, mean over the test's sequences.

    before: those of the weights that training starts from, where they are not random, else no
    lines; states: what training ends with, a seed each.
    """

    name: str
    parameters: int
    before: "np.ndarray"
    after: "np.ndarray"
    states: list[Any]


def compete(
    config: LengthSettings, experiment: str, problem: Problem, entrants: Iterable[Entrant]
) -> list[Row]:
    """Train every entrant with every seed, then test all of them on the same long sequences."""
    import jax

    from rnn_jax.data import synthetic

    rng = synthetic.generator(config.seed, 1, held_out=True)
    tested = problem.draw(rng, _TEST_LANES, config.test_length)
    seeds, rows = range(config.seed, config.seed + config.seeds), []
    for entrant in entrants:
        states = train_all(config, experiment, entrant)
        learned = [state.params for state in states]
        starts = [entrant.start(seed) for seed in seeds] if entrant.start else []
        found = errors(entrant, problem, starts + learned, tested)
        size = sum(a.size for a in jax.tree.leaves(learned[0]))
        before, after = found[: len(starts)], found[len(starts) :]
        rows.append(Row(entrant.name, size, before, after, states))
    return rows


def errors(entrant: Entrant, problem: Problem, weights: Sequence[Any], tested: Any) -> "np.ndarray":
    """The error of each of several weights at each step, mean over sequences: [S, T]."""
    import jax
    import numpy as np

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *weights)
    xs, targets = (np.swapaxes(a, 0, 1) for a in tested)
    return np.asarray(_tester(entrant.model, problem.error)(stacked, xs, targets), np.float64)


@lru_cache(maxsize=16)  # so that networks of one shape are compiled once
def _tester(model: "Model", error: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """``(weights [S, ...], xs [T, B, X], targets [T, B, ...]) -> errors [S, T]``."""
    import jax

    def one(W: Any, xs: Any, targets: Any) -> Any:
        _, ys = model.apply(W, model.start(W, xs.shape[1]), xs)
        return error(ys, targets).mean(1)

    return jax.jit(jax.vmap(one, in_axes=(0, None, None)))


def best(rows: Sequence[Row]) -> Row:
    """The row with the least error over all steps, mean over seeds."""
    return min(rows, key=lambda row: row.after.mean())


def table(config: LengthSettings, problem: Problem, rows: Sequence[Row]) -> None:
    """The rows on stderr, a number for each seed."""
    short, long = config.train_length, config.test_length
    names, many = max(len(row.name) for row in rows), 9 * config.seeds

    def shown(values: Iterable[float]) -> str:
        return " ".join(f"{v:8.3g}" for v in values).ljust(many)

    heads = [head.ljust(many) for head in (f"mean to {short}", f"mean to {long}", f"at {long}")]
    lines = [
        f"\n{problem.name}: {problem.measure}, each of {config.seeds} seeds",
        f"{'network':{names}}  parameters  {'  '.join(heads)}",
    ]
    for row in rows:
        for e, what in ((row.before, "untrained"), (row.after, row.parameters)):
            if len(e):
                told = [shown(part) for part in (e[:, :short].mean(1), e.mean(1), e[:, -1])]
                lines.append(f"{row.name:{names}}  {what:>10}  {'  '.join(told)}")
    print("\n".join(lines), file=sys.stderr)


def record(config: LengthSettings, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The same for JSON: a list has a number for each seed."""

    def summary(e: "np.ndarray") -> dict[str, Any]:
        means = {n: e[:, :n].mean(1) for n in (config.train_length, config.test_length)}
        return {"mean_to_step": means, "at_last_step": e[:, -1]}

    return [
        {
            **{"network": row.name, "parameters": row.parameters},
            **{"steps": [int(state.step) for state in row.states], **summary(row.after)},
            **({"untrained": summary(row.before)} if len(row.before) else {}),
        }
        for row in rows
    ]


def result(
    config: LengthSettings,
    problem: Problem,
    rows: Sequence[Row],
    contest: Sequence[Row],
    seconds: float,
) -> dict[str, Any]:
    """The experiment's result: the best of `contest`; the digest is of all that `rows` learned."""
    import numpy as np

    from rnn_jax.digest import digest

    winner, steps = best(contest), np.arange(1, config.test_length + 1)
    return {
        "metric": f"{problem.measure}, mean to step {config.test_length} and over seeds, best cell",
        "value": winner.after.mean(),
        "baseline": problem.chance(steps).mean(),
        "better": "lower",
        "best": winner.name,
        "seconds": round(seconds, 2),
        "parameters": winner.parameters,
        "step": max(int(state.step) for state in winner.states),
        "digest": digest({row.name: row.states for row in rows}),
        "out": config.out,
    }


def picture(config: LengthSettings, problem: Problem, rows: Sequence[Row]) -> bytes:
    """The error against the step as a PNG, a panel for each row and a line for each seed."""
    import numpy as np
    from matplotlib.figure import Figure

    from rnn_jax import plots

    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.4 * lines + 0.5), layout="constrained", dpi=130)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, row in zip(panels.flat, rows, strict=False):
        _panel(axes, config, problem, row)
    if problem.scale == "log":  # what explodes would leave no room for the rest
        panels[0, 0].set_ylim(top=1e3 * problem.chance(np.array([config.test_length]))[0])
    for axes in panels.flat[len(rows) :]:
        axes.set_visible(False)
    labels = {
        text: line
        for axes in panels.flat
        for line, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        labels.values(), labels.keys(), loc="outside upper center", ncols=4, frameon=False
    )
    figure.supxlabel("step t of the sequence", fontsize=9)
    figure.supylabel(problem.measure, fontsize=9)
    return plots.png(figure)


def _panel(axes: "Axes", config: LengthSettings, problem: Problem, row: Row) -> None:
    """One row's errors, each the mean over some neighbouring steps."""
    import numpy as np

    steps = np.arange(1, config.test_length + 1)
    edges = np.unique(np.geomspace(1, config.test_length + 1, 40).astype(int))
    at, width = np.sqrt(edges[:-1] * (edges[1:] - 1)), np.diff(edges)
    # A logarithmic axis has no place for an error of 0.
    floor = 1e-16 if problem.scale == "log" else 0

    def binned(e: "np.ndarray") -> "np.ndarray":
        return np.maximum(np.add.reduceat(e, edges[:-1] - 1) / width, floor)

    grey = {"color": "0.6", "linewidth": 1, "linestyle": "--", "label": "knows nothing"}
    axes.axvline(config.train_length, color="0.8", linewidth=4, label="longest trained")
    axes.plot(steps, problem.chance(steps), **grey)
    for e in row.before:
        axes.plot(at, binned(e), color="0.5", linewidth=1, linestyle=":", label="untrained")
    for e in row.after:
        axes.plot(at, binned(e), color="0", linewidth=1.2, alpha=0.7, label="learned")
    axes.set_title(row.name, fontsize=9)
    axes.set(xscale="log", yscale=problem.scale)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
