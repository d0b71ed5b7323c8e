"""Figures of a sweep: every seed's value with its mean, paired differences, and learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.sweep.plan import Trial
from experiments.sweep.tables import Line

_DOT = {"marker": "o", "linestyle": "none", "markersize": 4}
_MEAN = {"marker": "|", "markersize": 14, "color": "0.0", "linewidth": 1.4, "capsize": 3}


def values(lines: Sequence[Line], metric: str) -> Any:
    """A Figure: left each seed's value and the mean with its interval, right the differences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 1.6 + 0.34 * len(lines)), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2, sharey=True)
    for place, line in enumerate(lines):
        found = list(line.values.values())
        left.plot(found, [place] * len(found), color="0.6", **_DOT)
        for axes, estimate in ((left, line.value), (right, line.difference)):
            if estimate and estimate.mean is not None:
                axes.errorbar(estimate.mean, place, xerr=estimate.half, **_MEAN)
    left.set(yticks=range(len(lines)), yticklabels=[line.variant for line in lines], xlabel=metric)
    left.set_title("each seed; mean, 95 % interval", fontsize=9)
    right.set_title(f"less {lines[0].variant}, of the same seed", fontsize=9)
    right.axvline(0, color="0.7", linewidth=1)
    right.set_xlabel("difference")
    left.set_ylim(len(lines) - 0.5, -0.5)
    for axes in (left, right):
        axes.grid(axis="x", color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def curves(trials: Sequence[Trial]) -> Any | None:
    """A Figure of validation loss against the step, a band from the least to the greatest seed.

    None where no trial's own folder has such rows.
    """
    found = {}
    for trial in trials:
        points = validation(Path(trial.config.out))
        if points:
            found.setdefault(trial.variant, []).append(points)
    if not found:
        return None
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=130)
    axes = figure.subplots()
    for place, (variant, runs) in enumerate(found.items()):
        shared = sorted(set.intersection(*(set(points) for points in runs)))
        columns = [[points[step] for points in runs] for step in shared]
        color = colormaps["viridis"](0.9 * place / max(1, len(found) - 1))
        means = [sum(column) / len(column) for column in columns]
        axes.plot(shared, means, color=color, marker=".", label=variant)
        lows, highs = [min(c) for c in columns], [max(c) for c in columns]
        axes.fill_between(shared, lows, highs, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="step", ylabel="validation loss [nats a step]")
    axes.grid(color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def validation(folder: Path) -> dict[int, float]:
    """{step: validation loss} of a run's rows where it is finite; empty for what is no run."""
    from rnn_jax.run import records

    rows = records.read_rows(folder / "metrics.jsonl")
    return {r["step"]: r["valid"] for r in rows if r.get("valid") is not None}
