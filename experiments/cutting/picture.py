"""The figure of the grid: scores, curves, costs, and the gradient's error."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.cutting.problems import Problem
from experiments.cutting.report import mean_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]


def picture(problem: Problem, rows: Rows, k1: int, lanes: int, title: str) -> bytes:
    """Six panels as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    from rnn_jax import plots

    figure = Figure(figsize=(11, 6.4), layout="constrained", dpi=130)
    (scores, steps, tokens), (clock, cost, error) = figure.subplots(2, 3)
    cut = sorted((r for r in rows if r["gradient"] == "truncated"), key=lambda row: row["k2"])
    fixed, common = ([r for r in cut if (r["k1"] == k1) is same] for same in (True, False))
    others = [row for row in rows if row["gradient"] != "truncated"]
    _scores(scores, problem, fixed, common, others)
    _curves(steps, rows, lambda row: 1.0)
    _curves(tokens, rows, lambda row: row["k1"] * lanes)
    _curves(clock, rows, lambda row: row["ms"] / 1e3)
    scale = _scale(rows)
    scores.set_yscale(scale)
    for axes, name in ((steps, "updates"), (tokens, "tokens"), (clock, "seconds of updates")):
        axes.set(xlabel=name, ylabel=problem.measure, yscale=scale)
        axes.axhline(problem.chance, color="0.6", linestyle="--", linewidth=1)
    _costs(cost, rows)
    _errors(error, fixed)
    for axes in figure.axes:
        axes.spines["top"].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    tokens.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes, where in ((steps, "upper"), (error, "lower")):
        told = axes.get_legend_handles_labels()
        figure.legend(*told, loc=f"outside right {where}", frameon=False, fontsize=8)
    return plots.png(figure)


def _scale(rows: Rows) -> str:
    """Logarithmic where something diverges and would leave no room for the rest."""
    means = [row["mean"] for row in rows if math.isfinite(row["mean"])]
    return "log" if means and min(means) > 0 and max(means) > 1e3 * min(means) else "linear"


def _scores(axes: "Axes", problem: Problem, fixed: Rows, common: Rows, others: Rows) -> None:
    """Final scores against k2 with their intervals; what has no length is a line across."""
    for rows, style, label in ((fixed, "o-", "k1 fixed"), (common, "s:", "k1 = k2")):
        rows = [row for row in rows if math.isfinite(row["mean"])]
        if rows:
            k2, mean = [row["k2"] for row in rows], [row["mean"] for row in rows]
            half = [0 if math.isnan(row["half_width"]) else row["half_width"] for row in rows]
            axes.plot(k2, mean, style, color="0", markersize=4, label=label)
            low, high = ([m + s * h for m, h in zip(mean, half, strict=True)] for s in (-1, 1))
            axes.fill_between(k2, low, high, color="0", alpha=0.15, linewidth=0)
    styles = ("-", "--", "-.", ":")  # lines that lie on one another are told apart by the legend
    for row, style in zip(others, styles * len(others), strict=False):
        if math.isfinite(row["mean"]):
            axes.axhline(row["mean"], color="0.4", linestyle=style, label=row["name"])
    axes.axhline(problem.chance, color="0.6", linestyle="--", linewidth=1)
    axes.set(ylabel=problem.measure)
    _along_lengths(axes, [*fixed, *common])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _curves(axes: "Axes", rows: Rows, unit: Any) -> None:
    """Mean over seeds against updates times `unit`, light for the long, dashed for k1 = k2."""
    from matplotlib import colormaps

    lengths = sorted({row["k2"] for row in rows})
    for row in rows:
        shade = colormaps["viridis"](0.9 * lengths.index(row["k2"]) / max(1, len(lengths) - 1))
        means = [(step * unit(row), value) for step, value in mean_curve(row["curves"])]
        dashed = "--" if "k1=k2" in row["name"] else "-"
        if means:
            axes.plot(*zip(*means, strict=True), dashed, color=shade, label=row["name"])


def _costs(axes: "Axes", rows: Rows) -> None:
    """Milliseconds and MiB of an update, a pair of marks for each row."""
    places = range(len(rows))
    axes.plot(places, [row["ms"] for row in rows], "o", color="0", label="ms an update")
    axes.plot(places, [row["mib"] for row in rows], "x", color="0.5", label="MiB")
    axes.set(yscale="log", xticks=places)
    axes.set_xticklabels([row["name"] for row in rows], rotation=60, ha="right", fontsize=7)
    axes.legend(frameon=False, fontsize=8)


def _along_lengths(axes: "Axes", rows: Rows) -> None:
    """A logarithmic axis of k2, marked at the rows' lengths."""
    lengths = sorted({row["k2"] for row in rows})
    axes.set(xscale="log", xlabel="k2, steps of the gradient")
    axes.set_xticks(lengths, [str(k2) for k2 in lengths])
    axes.minorticks_off()


def _errors(axes: "Axes", fixed: Rows) -> None:
    """Cosine with the full gradient, ratio of norms and dependence seen against k2."""
    for when, color in (("early", "0.6"), ("late", "0")):
        rows = [row for row in fixed if when in row["gradient_error"]]
        for part, style in (("cosine", "o-"), ("norm_ratio", "s:")):
            values = [row["gradient_error"][when]["looks_back"][part] for row in rows]
            k2 = [row["k2"] for row in rows]
            named = f"{part.replace('_', ' ')}, {when}"
            axes.plot(k2, values, style, color=color, markersize=4, label=named)
        found = [(row["k2"], row["dependence"].get(when, {}).get("share")) for row in rows]
        found = [(k2, share) for k2, share in found if share is not None and math.isfinite(share)]
        if found:
            look = {"color": color, "markersize": 4, "label": f"dependence seen, {when}"}
            axes.plot(*zip(*found, strict=True), "^--", **look)
    axes.set(ylabel="of full BPTT (cosine, ratio: W_hh)")
    _along_lengths(axes, fixed)
