"""Units coloured over text as a page, and the two curves of context as a picture."""

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from experiments.page import html
from experiments.probing.states import Told

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

_LEVELS = 9  # shades, from blue over white to red
_SHADES = "#4f7fc0 #7ea3d4 #aec6e6 #d9e4f3 #ffffff #f8dcd3 #efb3a1 #e28670 #cf5945".split()
_STYLE = "".join(f".v{i} {{ background: {c}; }}\n" for i, c in enumerate(_SHADES))


def coloured(text: str, values: "np.ndarray", label: "np.ndarray") -> str:
    """The text as HTML: each character on its unit's shade, underlined where the label is not 0."""
    import numpy as np

    middle, spread = values.mean(), 2 * values.std() + 1e-12
    shades = np.clip((values - middle) / spread, -1, 1)
    levels = np.round((shades + 1) / 2 * (_LEVELS - 1)).astype(int)
    parts = []
    for (level, true), group in groupby(
        zip(levels, label != 0, text, strict=True), key=lambda one: one[:2]
    ):
        piece = html.safe("".join(character for *_, character in group))
        kind = f"v{level} true" if true else f"v{level}"
        parts.append(f'<span class="{kind}">{piece}</span>')
    return f"<pre>{''.join(parts)}</pre>"


def page(
    title: str,
    text: str,
    values: "np.ndarray",
    known: Mapping[str, "np.ndarray"],
    told: Mapping[str, Told | None],
    picture: bytes,
) -> str:
    """The page; the text is that of the second half, on which nothing was chosen."""
    half = len(text) // 2
    shown = slice(half, half + 1500)
    style = f"<style>{_STYLE}.true {{ text-decoration: underline; }}</style>"
    body = [html.head(title), style, f"<h1>{html.safe(title)}</h1>", _table(told)]
    body.append(
        html.figure(picture, "image/png", "loss by context, and after the carry's exchange")
    )
    for name, one in told.items():
        if one is not None:
            told_of = f"{one.name}, r = {one.r:+.2f}; underlined where the label is not 0"
            body += [f"<h2>{html.safe(name)}</h2>", f'<p class="note">{html.safe(told_of)}</p>']
            body.append(coloured(text[shown], values[shown, one.unit], known[name][shown]))
    return "\n".join([*body, "</body>\n</html>\n"])


def _table(told: Mapping[str, Told | None]) -> str:
    head = ["label", "best unit", "r", "area under ROC", "R² of all units", "r, untrained"]
    rows: list[list[Any]] = [
        [name, *([None] * 5 if one is None else one[1:])] for name, one in told.items()
    ]
    return html.table(head, rows)


def curves(contexts: Mapping[int, float], swapped: Mapping[str, "np.ndarray"]) -> "Figure":
    """Left the loss by context, right the loss after the carry was exchanged."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=130)
    left, right = figure.subplots(1, 2)
    left.plot(list(contexts), list(contexts.values()), "o-", color="0.0", markersize=4)
    left.set(xscale="log", xlabel="symbols read before", ylabel="nats a symbol")
    left.xaxis.set_major_formatter("{x:g}")
    for place, (name, values) in enumerate(swapped.items()):
        color = colormaps["viridis"](0.9 * place / max(1, len(swapped) - 1))
        right.plot(range(1, len(values) + 1), values, color=color, label=name, linewidth=1.2)
    right.set(xscale="log", xlabel="symbols since the carry was exchanged")
    right.xaxis.set_major_formatter("{x:g}")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
