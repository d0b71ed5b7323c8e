"""The scalar example to read: its quantities step by step, and its sums taken apart."""

import math
import unicodedata
from collections.abc import Iterable, Sequence

from rnn_jax import plots
from rnn_jax.byhand.scalar import Bars, States, Terms, is_edge


def rows(cells: Iterable[Sequence[object]], width: int = 10) -> str:
    """Lines of right-aligned columns; floats with four digits, and nothing for one that is NaN."""
    return "\n".join("".join(_padded(_shown(c), width) for c in line).rstrip() for line in cells)


def forward_table(states: States) -> str:
    """x, target, z, h, r, y and the loss at t = 0 … T."""
    head = ("t", "x(t)", "target", "z(t)", "h(t)", "r(t)", "y(t)", "L(t)")
    return rows([head, *zip(range(len(states.x)), *states, strict=True)])


def backward_table(states: States, bars: Bars) -> str:
    """The bars for t = T+1 … 0, in the order they are found, beside the terms of the three sums."""
    head = ("t", "ȳ(t)", "r̄(t)", "h̄(t)", "z̄(t)", "z̄(t)x(t)", "r̄(t)h(t)", "z̄(t+1)h(t)")
    T = len(states.x) - 1
    x, h = [*states.x, math.nan], [*states.h, math.nan]
    z_next = [*bars.z[1:], math.nan]
    lines = [
        (t, bars.y[t], bars.r[t], bars.h[t], bars.z[t], *products)
        for t in range(T + 1, -1, -1)
        for products in [(bars.z[t] * x[t], bars.r[t] * h[t], z_next[t] * h[t])]
    ]
    return rows([head, *lines, ("sum", "", "", "", "", bars.u, bars.v, bars.w)], width=11)


def terms_table(weight: str, terms: list[list[float]], chunk: int) -> str:
    """One weight's double sum, a line for each s, and what of it the chunks' edges drop."""
    pairs = [(s, t) for s in range(len(terms)) for t in range(s + 1)]
    gone = [terms[s][t] for s, t in pairs if dropped(s, t, chunk)]
    whole = sum(map(sum, terms))
    lines: list[list[object]] = [["s \\ t", *range(1, len(terms) + 1)]]
    for s, line in enumerate(terms):
        cells = [
            f"({_shown(value)})" if dropped(s, t, chunk) else f"{_shown(value)} "
            for t, value in enumerate(line[: s + 1])
        ]
        lines.append([s + 1, *cells])
    return (
        f"{weight}̄'s terms: the loss at s, {weight} used at t; (dropped at an edge)\n"
        f"{rows(lines, width=12)}\n"
        f"all {whole:.6f} = kept {whole - sum(gone):.6f} + dropped {sum(gone):.6f}"
        f" ({len(gone)} of {len(pairs)} terms)"
    )


def dropped(s: int, t: int, chunk: int) -> bool:
    """Whether a chunk's edge lies between two steps t <= s, both counted from 0."""
    return any(is_edge(step, chunk) for step in range(t + 1, s + 1))


def terms_picture(terms: Terms, chunk: int) -> bytes:
    """Both sums' terms as squares, the darker the larger, as a PNG; what is dropped is hatched."""
    from matplotlib.figure import Figure

    T = len(terms.w)
    side = min(max(0.62 * T, 3.0), 7.0)
    figure = Figure(figsize=(2 * side + 1.2, side + 1.1), layout="constrained", dpi=130)
    for axes, values, weight in zip(figure.subplots(1, 2), terms, "uw", strict=True):
        largest = max(abs(value) for line in values for value in line) or 1.0
        for s in range(T):
            for t in range(s + 1):
                share = abs(values[s][t]) / largest
                _square(axes, s, t, share, dropped(s, t, chunk))
                if T <= 12:
                    shown = {"ha": "center", "va": "center", "fontsize": 8}
                    white = {"boxstyle": "round,pad=0.1", "fc": "1.0", "ec": "none"}
                    axes.text(t + 1, s + 1, f"{values[s][t]:.2g}", bbox=white, **shown)
        for edge in range(chunk, T, chunk) if chunk else ():
            axes.axhline(edge + 0.5, color="0", linestyle=":", linewidth=1.5)
            axes.axvline(edge + 0.5, color="0", linestyle=":", linewidth=1.5)
        axes.set(xlim=(0.4, T + 0.6), ylim=(T + 0.6, 0.4), aspect="equal")
        axes.locator_params(integer=True)
        axes.set(xlabel=f"step t, at which {weight} is used", ylabel="step s, of the loss")
        axes.set_title(f"Terms of $\\bar{{{weight}}}$", fontsize=11)
    if chunk:
        figure.suptitle(
            f"Hatched: dropped, the gradient stops after every {chunk} steps", fontsize=11
        )
    return plots.png(figure)


def _square(axes: object, s: int, t: int, share: float, cut: bool) -> None:
    from matplotlib.patches import Rectangle

    style = {"facecolor": str(1 - 0.7 * share), "edgecolor": "0.5", "linewidth": 0.8}
    axes.add_patch(Rectangle((t + 0.5, s + 0.5), 1, 1, hatch="////" if cut else None, **style))


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return ""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def _padded(text: str, width: int) -> str:
    """Right-aligned; a bar over a letter takes no room."""
    return " " * (width - sum(not unicodedata.combining(c) for c in text)) + text
