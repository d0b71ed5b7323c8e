"""What came of the grid: a table, a record, numbers with their confidence."""

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.cutting.problems import Problem
from experiments.cutting.sweep import Entry, Trained
from experiments.sweep.tables import estimate

Runs = Mapping[float, Sequence[Trained]]  # rate: a run for each seed


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half of its 95 % confidence interval; NaN for one value or an infinite one."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return statistics.fmean(values), math.nan
    found = estimate(values)
    return found.mean, found.half


def best_rate(runs: Runs) -> float:
    """The learning rate with the lowest mean score over seeds."""
    return min(runs, key=lambda rate: statistics.fmean(one.final for one in runs[rate]))


def at_time(one: Trained, ms: float, budget: float) -> float:
    """The score of a run's last evaluation within `budget` ms of updates at `ms` each."""
    within = [score for step, score in one.curve() if step * ms <= budget]
    return within[-1] if within and within[-1] is not None else math.inf


def mean_curve(curves: Sequence[Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """(step, mean score) where all seeds were scored, as --eval-every may have changed.

    A seed counts while it is finite and below 1e6, and a step where one counts.
    """
    runs, means = [dict(points) for points in curves], []
    for step in sorted(set.intersection(*map(set, runs))):
        values = [run[step] for run in runs if run[step] is not None and run[step] < 1e6]
        if values:
            means.append((step, statistics.fmean(values)))
    return means


def record(
    entries: Sequence[Entry],
    trained: Mapping[str, Runs],
    costs: Mapping[str, Mapping[str, float]],
    biases: Mapping[str, Any],
    seen: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """A row for each entry, at its best rate.

    steps: updates, of the seed that made most; finals: each seed's last score; other_rates: those
    of every rate; at_equal_time: mean score within the time in which the quickest entry of the grid
    is done.
    """
    budget = min(entry.steps * costs[entry.name]["ms"] for entry in entries)
    rows = []
    for entry in entries:
        runs = trained[entry.name]
        rate = best_rate(runs)
        best, cost = runs[rate], costs[entry.name]
        mean, half = mean_and_half_width([one.final for one in best])
        within = [at_time(one, cost["ms"], budget) for one in best]
        agreed, share = (
            {when: each[entry.name] for when, each in found.items() if entry.name in each}
            for found in (biases, seen)
        )
        rows.append(
            {
                **{"name": entry.name, "k1": entry.chunk, "k2": entry.cut.k2},
                "steps": max(int(one.state.step) for one in best),
                **{"gradient": entry.road, "lr": rate, "mean": mean, "half_width": half},
                "finals": [one.final for one in best],
                "other_rates": {f"{r:g}": [one.final for one in each] for r, each in runs.items()},
                **{"ms": cost["ms"], "mib": cost["mib"], "seconds_of_equal_time": budget / 1e3},
                **{"at_equal_time": statistics.fmean(within), "gradient_error": agreed},
                "dependence": share,
                "curves": [one.curve() for one in best],
            }
        )
    return rows


def saturates(rows: Sequence[Mapping[str, Any]], k1: int) -> int | None:
    """The least k2 of the fixed-k1 rows from which no longer one is better beyond confidence."""
    ours = [row for row in rows if row["gradient"] == "truncated" and row["k1"] == k1]
    for row in sorted(ours, key=lambda row: row["k2"]):
        longer = [other for other in ours if other["k2"] > row["k2"]]
        if math.isfinite(row["mean"]) and not any(_better(other, row) for other in longer):
            return row["k2"]
    return None


def _better(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the intervals are apart, that of one seed being its point."""
    halves = [0 if math.isnan(row["half_width"]) else row["half_width"] for row in (one, other)]
    return one["mean"] + halves[0] < other["mean"] - halves[1]


def table(problem: Problem, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows on stderr.

    The gradient's error is that of W_hh; seen is its share of the dependence on inputs, – where
    the full gradient has none either.
    """
    heads = "".join(
        f"   {'cosine':>7} {'ratio':>7} {'variance':>9} {'seen':>7} {f'({when})':7}"
        for when in ("early", "late")
    )
    print(
        f"\n{problem.measure}; chance {problem.chance:.4g}\n"
        f"{'gradient':>12} {'lr':>8} {'mean':>9} {'± 95 %':>8} {'=time':>9} {'ms':>9} {'MiB':>8}"
        f"{heads}".rstrip(),
        file=sys.stderr,
    )
    for row in rows:
        errors = ""
        for when in ("early", "late"):
            found = row["gradient_error"].get(when, {}).get("looks_back")
            if found:
                told = (found["cosine"], found["norm_ratio"], found["variance"])
                share = row["dependence"].get(when, {}).get("share", math.nan)
                seen = "–" if math.isnan(share) else f"{share:.3f}"
                errors += "   {:7.3f} {:7.3f} {:9.3g} {:>7}        ".format(*told, seen)
        print(
            f"{row['name']:>12} {row['lr']:8.3g} {row['mean']:9.4g} {row['half_width']:8.2g} "
            f"{row['at_equal_time']:9.4g} {row['ms']:9.3g} {row['mib']:8.3g}{errors.rstrip()}",
            file=sys.stderr,
        )
