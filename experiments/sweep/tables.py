"""Variants compared: mean and spread over seeds, and differences of the same seed to the first."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.sweep.plan import Trial

COVERAGE = 0.95  # of the intervals


class Estimate(NamedTuple):
    """A mean over n seeds, their standard deviation, and half the mean's confidence interval.

    deviation and half are None below two seeds.
    """

    n: int
    mean: float | None
    deviation: float | None
    half: float | None


class Line(NamedTuple):
    """One variant: values by seed, what they come to, and the paired differences to the first."""

    variant: str
    values: dict[int, float]
    value: Estimate
    difference: Estimate | None
    parameters: int | None
    seconds: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, s.d. with n - 1, and ``t s / sqrt(n)`` with Student's t at 95 %."""
    n = len(values)
    if n < 2:
        return Estimate(n, *(list(values) or [None]), None, None)
    from scipy.special import stdtrit  # JAX needs SciPy, so it is there

    deviation = statistics.stdev(values)
    t = float(stdtrit(n - 1, 0.5 + COVERAGE / 2))
    return Estimate(n, statistics.mean(values), deviation, t * deviation / math.sqrt(n))


def compare(trials: Sequence[Trial], done: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """A line for each variant, in the plan's order; values that are not numbers do not count."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {trial.variant: {} for trial in trials}
    for trial in trials:
        if trial.name in done and done[trial.name]["result"].get("value") is not None:
            found[trial.variant][trial.seed] = done[trial.name]
    lines: list[Line] = []
    for variant, records in found.items():
        values = {seed: float(r["result"]["value"]) for seed, r in records.items()}
        first = lines[0].values if lines else {}
        paired = [values[seed] - first[seed] for seed in values if seed in first]
        sizes = [r["result"].get("parameters") for r in records.values()]
        times = [r["seconds"] for r in records.values()]
        lines.append(
            Line(
                *(variant, values, estimate(list(values.values()))),
                estimate(paired) if lines else None,
                sizes[0] if sizes else None,
                statistics.mean(times) if times else None,
            )
        )
    return lines


def text(lines: Sequence[Line], metric: str) -> str:
    """The table for people, without times: equal whenever the results are."""
    width = max(len("variant"), *(len(line.variant) for line in lines))
    head = f"{'variant':{width}}  seeds  {'mean':>10} ± s.d.     {'difference':>10}  95 % interval"
    rows = [metric, f"{head}         parameters"]
    for line in lines:
        spread = "" if line.value.deviation is None else f"± {line.value.deviation:.3g}"
        rows.append(
            f"{line.variant:{width}}  {line.value.n:5}  {_number(line.value.mean):>10} {spread:10}"
            f" {_paired(line.difference)}  {'–' if line.parameters is None else line.parameters}"
        )
    return "\n".join(rows)


def _paired(difference: Estimate | None) -> str:
    if difference is None or difference.mean is None:
        return f"{'–':>10}{'':23}"
    told = f"{difference.mean:+10.4g}"
    if difference.half is None:
        return f"{told}{'':23}"
    low, high = difference.mean - difference.half, difference.mean + difference.half
    return f"{told}  {f'[{low:+.4g}, {high:+.4g}]':21}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"


def trials_csv(trials: Sequence[Trial], done: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each finished trial: what was changed, and every number and text of its result."""
    records = [(trial, done[trial.name]) for trial in trials if trial.name in done]
    settings = [record["config"] for _, record in records]
    changed = [
        k for k in (settings[0] if settings else {}) if len({str(s[k]) for s in settings}) > 1
    ]
    results: dict[str, None] = {}
    for _, record in records:
        plain = (k for k, v in record["result"].items() if not isinstance(v, list | dict))
        results |= dict.fromkeys(plain)
    changed = [name for name in changed if name != "seed"]
    rows = [
        [trial.variant, trial.seed, *(record["config"][k] for k in changed)]
        + [record["result"].get(k) for k in results]
        for trial, record in records
    ]
    return _csv(["variant", "seed", *(f"config.{name}" for name in changed), *results], rows)


def table_csv(lines: Sequence[Line]) -> str:
    """The table, a row for each variant."""
    head = ["variant", "seeds", "mean", "deviation", "half_interval", "difference"]
    head += ["difference_deviation", "difference_half_interval", "parameters", "seconds"]
    rows = []
    for line in lines:
        other = line.difference or Estimate(0, None, None, None)
        rows.append([line.variant, *line.value, *other[1:], line.parameters, line.seconds])
    return _csv(head, rows)


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return file.getvalue()
