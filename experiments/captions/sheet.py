"""Pictures with what was written under them."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnn_jax import plots

if TYPE_CHECKING:
    import numpy as np

_ACROSS = 6


def contact_sheet(
    pictures: "np.ndarray", said: Sequence[list[str]], right: Sequence[list[list[str]]], title: str
) -> bytes:
    """A PNG of pictures [N, S, S] or [N, S, S, 3]; under a wrong caption the right one."""
    from matplotlib.figure import Figure

    down = -(-len(said) // _ACROSS)
    figure = Figure(figsize=(1.75 * _ACROSS, 2.05 * down + 0.4), layout="constrained", dpi=110)
    for axes in (grid := figure.subplots(down, _ACROSS, squeeze=False).ravel()):
        axes.axis("off")
    for axes, image, words, names in zip(grid, pictures, said, right, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        told, wrong = textwrap.fill(" ".join(words), 25), words not in names
        if wrong:
            told = f"× {told}\n({textwrap.fill(' '.join(names[0]), 25)})"
        axes.set_title(told, fontsize=6.5, y=-0.04, va="top", color="0.0" if wrong else "0.35")
    figure.suptitle(title, fontsize=9)
    return plots.png(figure)
