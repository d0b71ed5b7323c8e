"""What n costs and buys: the table grows as V^n, the text fills ever less of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_jax import plots
from rnn_jax.data.text import Stream
from rnn_jax.ngrams.counts import Counts, coverage
from rnn_jax.ngrams.tables import Tables, log_probabilities, size


class Growth(NamedTuple):
    """One n: the table's V^n entries, the distinct n-grams of the training text, the numbers that
    the model estimates; of a held-out text how many n-grams it has, how many of these were never
    seen in training, and how many not even their contexts; its mean nats and its perplexity per
    token.
    """

    n: int
    entries: int
    distinct: int
    parameters: int
    held_out: int
    unseen: int
    unseen_contexts: int
    nats: float
    perplexity: float


def growth(counts: Counts, held_out: Stream, fit: Callable[[int], Tables]) -> list[Growth]:
    """Growth for n = 1 … N, with the model ``fit(n)``; nats and perplexity may be infinite."""
    rows = []
    for n, seen in enumerate(coverage(counts, held_out), start=1):
        model = fit(n)
        nats = -float(log_probabilities(model, held_out).mean())
        stored = (counts.vocabulary**n, counts.distinct()[n - 1], size(model))
        rows.append(Growth(n, *stored, *seen, nats, float(np.exp(nats))))
    return rows


def picture(rows: Sequence[Growth], title: str) -> bytes:
    """Against n: the perplexity, the table's size, the share never seen; as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    n, every = [row.n for row in rows], -(-len(rows) // _MARKS)
    full, dashed = ({**style, "markevery": every} for style in (_FULL, _DASHED))
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=130)
    score, entries, unseen = figure.subplots(1, 3)
    score.plot(n, [row.perplexity for row in rows], **full)
    score.set(ylabel="held-out perplexity per token", title=title, ylim=(0, None))
    for row in rows[::every]:
        if math.isinf(row.perplexity):
            score.text(row.n, 0.94, "∞", transform=score.get_xaxis_transform(), ha="center")
    entries.semilogy(n, [float(row.entries) for row in rows], **dashed, label="entries, $V^n$")
    entries.semilogy(n, [row.distinct for row in rows], **full, label="n-grams seen in training")
    entries.set(ylabel="number", title="conditional probability table")
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "unseen": ("n-grams", full),
        "unseen_contexts": ("contexts, n - 1 tokens", dashed),
    }
    for name, (label, style) in kinds.items():
        share = [getattr(row, name) / max(row.held_out, 1) for row in rows]
        unseen.plot(n, share, **style, label=label)
    unseen.set(ylabel="share in the held-out text", title="never seen in training", ylim=(0, None))
    unseen.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (score, entries, unseen):
        axes.set(xlabel="n", xlim=(n[0] - 0.3, n[-1] + 0.3))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=_MARKS))
        axes.grid(color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    entries.legend(frameon=False)
    unseen.legend(frameon=False)
    return plots.png(figure)


_MARKS = 10  # of a curve and of an axis, about; more would run into each other
_FULL = {"color": "0.0", "linestyle": "-", "marker": "o"}
_DASHED = {"color": "0.5", "linestyle": "--", "marker": "s"}
