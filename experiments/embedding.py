"""What a table of embeddings has learned: its nearest neighbours, and a picture of it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # imported inside the functions, so that --help answers at once
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rnn_jax.data.text import Corpus, Vocabulary

# Told apart in grey: by shape, and light against black.
_STYLES = {
    "lower case": {"marker": "o", "color": "0.6"},
    "upper case": {"marker": "^", "color": "0.0"},
    "digit": {"marker": "s", "facecolors": "none", "edgecolors": "0.0"},
    "other": {"marker": "x", "color": "0.35"},
}
_SMALLEST, _LARGEST = 7.0, 12.0  # of the labels, in points
_GAPS = (4.0, 14.0)  # pixels between a symbol's mark and its label; the second where it is crowded


class Table(NamedTuple):
    """The embeddings R [N, E] of symbols, the most frequent first; counts [N] in the text."""

    symbols: tuple[str, ...]
    counts: "np.ndarray"
    R: "np.ndarray"


def frequent(R: Any, corpus: "Corpus", most: int) -> Table:
    """The rows of R [V or more, E] for the most frequent symbols of the training text.

    At most so many, and none rarer than 1 in 10,000: it would hardly have left its random start.
    """
    import numpy as np

    counts = np.bincount(corpus.train.targets, minlength=len(corpus.vocabulary))
    enough = np.count_nonzero(counts > counts.sum() / 10_000)
    chosen = np.argsort(-counts, kind="stable")[: min(most, enough)]
    symbols = tuple(shown(corpus.vocabulary, i) for i in chosen)
    return Table(symbols, counts[chosen], np.asarray(R)[chosen])


def shown(vocabulary: "Vocabulary", number: int) -> str:
    """A symbol as one can read it: a space as ␣, what cannot be printed as in Python's strings."""
    if number == vocabulary.unknown:
        return "<unknown>"

    def as_it_is(c: str) -> bool:
        return c.isprintable() and (c.isascii() or vocabulary.kind != "bytes")

    symbol = vocabulary.symbols[number]
    return "".join(c if as_it_is(c) else ascii(c)[1:-1] for c in symbol).replace(" ", "␣")


def similarity(R: "np.ndarray") -> "np.ndarray":
    """``cos(r_i - r̄, r_j - r̄)``, r̄ the mean embedding: [N, E] -> [N, N]."""
    import numpy as np

    about = R - R.mean(0, keepdims=True)
    about = about / np.maximum(np.linalg.norm(about, axis=1, keepdims=True), 1e-12)
    return about @ about.T


def neighbours(table: Table, rows: int, count: int) -> list[str]:
    """A line for each of the first `rows` symbols: the nearest others and their similarity."""
    import numpy as np

    alike = similarity(table.R)
    np.fill_diagonal(alike, -np.inf)
    lines = []
    for symbol, row in list(zip(table.symbols, alike, strict=True))[:rows]:
        nearest = np.argsort(-row, kind="stable")[: min(count, len(row) - 1)]
        told = "   ".join(f"{table.symbols[i]} {row[i]:.2f}" for i in nearest)
        lines.append(f"{symbol:>8}   {told}")
    return lines


def principal(R: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """The two principal components [N, 2], ``U S`` of ``R - r̄ = U S V^T``, and their shares.

    shares [2]: of the variance. [N, E] -> [N, 2]; zeros where there are fewer than two.
    """
    import numpy as np

    U, S, _ = np.linalg.svd(R - R.mean(0, keepdims=True), full_matrices=False)
    points, shares = np.zeros((len(R), 2)), np.zeros(2)
    rank = min(2, len(S))
    points[:, :rank] = U[:, :rank] * S[:rank]
    shares[:rank] = S[:rank] ** 2 / max((S**2).sum(), 1e-12)
    return points, shares


def draw(table: Table, title: str) -> "Figure":
    """The principal components with the symbols as labels; size by the logarithm of frequency.

    Labels never overlap: the most frequent are placed first, and one that finds no room beside
    its mark is left out.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), layout="constrained", dpi=130)
    axes = figure.subplots()
    points, shares = principal(table.R)
    kinds = np.array([_kind(symbol) for symbol in table.symbols])
    for kind in [kind for kind in _STYLES if kind in kinds]:
        axes.scatter(*points[kinds == kind].T, s=14, linewidths=0.8, label=kind, **_STYLES[kind])
    for which, share in zip(("first", "second"), shares, strict=True):
        set_label = axes.set_xlabel if which == "first" else axes.set_ylabel
        set_label(f"{which} principal component ({share:.0%} of the variance)")
    others = f"; the other {table.R.shape[1] - 2} are not seen" if table.R.shape[1] > 2 else ""
    axes.set_title(f"{title},\nalong the two directions in which they differ most{others}")
    axes.margins(0.06)
    figure.legend(loc="outside right upper", frameon=False)
    figure.draw_without_rendering()  # fixes where the points are
    figure.set_layout_engine("none")
    logs = np.log(table.counts)
    size = (logs - logs.min()) / max(np.ptp(logs), 1e-12)
    _label(axes, points, table.symbols, _SMALLEST + (_LARGEST - _SMALLEST) * size)
    return figure


def _kind(symbol: str) -> str:
    first = symbol.removeprefix("␣")[:1]
    tests = {"lower case": first.islower(), "upper case": first.isupper(), "digit": first.isdigit()}
    return next((kind for kind, is_it in tests.items() if is_it), "other")


def _label(axes: "Axes", points: "np.ndarray", symbols: Sequence[str], sizes: "np.ndarray") -> None:
    """Write each symbol beside its point where there is room, first come, first served."""
    import numpy as np

    inside = axes.get_window_extent()
    marks = axes.transData.transform(points)
    free = _GAPS[0]
    taken = np.concatenate([marks - free, marks + free], axis=1)  # boxes x0 y0 x1 y1 [N, 4]
    back = axes.transData.inverted()
    zero = axes.transData.transform((0, 0))
    for symbol, size, mark in zip(_written(symbols), sizes, marks, strict=True):
        text = axes.text(0, 0, symbol, fontsize=size, parse_math=False, va="bottom", ha="left")
        extent = text.get_window_extent()
        offset = extent.p0 - zero
        for corner in _around(mark, extent.width, extent.height):
            box = np.array([*corner, corner[0] + extent.width, corner[1] + extent.height])
            apart = (box[2:] < taken[:, :2]) | (taken[:, 2:] < box[:2])
            within = inside.contains(*box[:2]) and inside.contains(*box[2:])
            if within and apart.any(axis=1).all():
                text.set_position(back.transform(corner - offset))
                taken = np.concatenate([taken, box[None]])
                near = np.clip(mark, box[:2], box[2:])
                if np.abs(near - mark).max() > 2 * free:  # a thread, for other marks are as near
                    ends = back.transform([mark, near])
                    axes.plot(*ends.T, color="0.6", linewidth=0.6, zorder=0.5)
                break
        else:
            text.remove()


def _written(symbols: Sequence[str]) -> list[str]:
    """Each symbol, or the numbers of its code points where Matplotlib's font lacks one of them."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()

    def numbers(symbol: str) -> str:
        return " ".join(f"U+{ord(c):04X}" for c in symbol)

    return [s if all(ord(c) in known for c in s) else numbers(s) for s in symbols]


def _around(mark: "np.ndarray", width: float, height: float) -> Iterator["np.ndarray"]:
    """Lower left corners of a box beside, above, below and diagonal to a mark, nearest first."""
    import numpy as np

    middle = np.array([-width / 2, -height / 2])
    for gap in _GAPS:
        right, left, up, down = gap + 1, -gap - 1 - width, gap + 1, -gap - 1 - height
        for dx, dy in (
            *((right, middle[1]), (left, middle[1]), (middle[0], up), (middle[0], down)),
            *((right, up), (left, up), (right, down), (left, down)),
        ):
            yield mark + (dx, dy)
