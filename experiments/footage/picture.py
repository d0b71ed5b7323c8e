"""A clip, what is asked of each frame, and what the networks answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rnn_jax import plots

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes


class Answers(NamedTuple):
    """frames [T, ...] and truth [T] of one clip, said: {network: answers [T]}; right: {network:
    share of right answers at so many frames after the asked class changed}.
    """

    frames: "np.ndarray"
    truth: "np.ndarray"
    said: Mapping[str, "np.ndarray"]
    right: Mapping[str, "np.ndarray"]


def picture(answers: Answers, classes: Sequence[str], best_frame: float | None) -> bytes:
    """A PNG: the frames (where they are pictures), the answers under them, and below the share of
    right answers by the time since the last change.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained", dpi=120)
    above, below = figure.subplots(2, height_ratios=(1, 1.3))
    _film(above, answers, classes)
    for (name, right), style in zip(answers.right.items(), ("-o", "--s", ":^"), strict=False):
        below.plot(range(len(right)), right, style, color="0.1", markersize=4, label=name)
    if best_frame is not None:
        below.axhline(best_frame, color="0.6", linewidth=1)
        below.annotate("the best that a frame alone allows", (0, best_frame), (2, 4),
                       textcoords="offset points", fontsize=8, color="0.4")  # fmt: skip
    below.set(xlabel="frames since the asked class changed", ylabel="share of right answers")
    below.set_ylim(-0.03, 1.03)
    below.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    below.spines[["top", "right"]].set_visible(False)
    return plots.png(figure)


def _film(axes: "Axes", answers: Answers, classes: Sequence[str]) -> None:
    """Frames side by side; a row of answers a network, wrong ones in a box."""
    T, rows = len(answers.truth), {"asked": answers.truth, **answers.said}
    if answers.frames.ndim >= 3:
        for t, frame in enumerate(answers.frames):
            axes.imshow(frame, cmap="gray_r", extent=(t + 0.04, t + 0.96, 0.04, 0.96), vmin=0)
    for line, (name, said) in enumerate(rows.items()):
        axes.text(-0.2, -0.45 - 0.7 * line, name, ha="right", va="center", fontsize=9)
        for t in range(T):
            wrong = said[t] != answers.truth[t]
            box = {"boxstyle": "square,pad=0.15", "fc": "1.0", "ec": "0.2" if wrong else "none"}
            axes.text(
                *(t + 0.5, -0.45 - 0.7 * line, classes[said[t]].replace("none", "–")[:5]),
                **{"ha": "center", "va": "center", "fontsize": 8, "bbox": box},
                color="0.0" if wrong or name == "asked" else "0.45",
            )
    axes.set(xlim=(-2.2, T), ylim=(-0.2 - 0.7 * len(rows), 1), aspect="equal")
    axes.axis("off")
