"""Losses of all runs in one drawing."""

from collections.abc import Sequence

from experiments.page.material import Read

_MOST = 12  # runs that a legend can name


def curves(runs: Sequence[Read]) -> bytes | None:
    """Validation loss by step as an SVG, training loss thin behind it; None without any."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from rnn_jax import plots

    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axes, drawn = figure.subplots(), False
    for place, run in enumerate(runs):
        color = colormaps["viridis"](0.9 * place / max(1, len(runs) - 1))
        for name, width, alpha in (("loss", 0.8, 0.35), ("valid", 1.6, 1.0)):
            points = [(r["step"], r[name]) for r in run.rows if r.get(name) is not None]
            label = run.name if name == "valid" else None
            if points:
                how = {"color": color, "linewidth": width, "alpha": alpha, "label": label}
                axes.plot(*zip(*points, strict=True), **how, marker="." * (name == "valid") or None)
                drawn = True
    if not drawn:
        return None
    axes.set(xlabel="step", ylabel="nats a step (thin: training, thick: validation)")
    axes.grid(color="0.92", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(runs) <= _MOST and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    return plots.svg(figure)
