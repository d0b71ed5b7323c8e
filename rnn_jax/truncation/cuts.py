"""What is cut, where, and how often weights change."""

import dataclasses
from typing import Literal

from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Truncation:
    """An update every k1 steps, the gradient through k2 of them.

    Of fixed lengths one divides the other; of random ones k2 is the mean.

    edge: what crosses a cut: the state ("carry"), nothing ("zero", each piece begins at
    ``model.start``), or the state that the `burn` steps before the cut make from there ("burn-in").
    lengths: "fixed"; "random", a cut after every `grain` steps with probability grain / k2;
    "artbp", the same with what crosses weighted by 1 / (1 - grain / k2), so that the gradient's
    mean over cuts is that of no cut at all (Tallec and Ollivier 2017).
    """

    k1: int
    k2: int
    edge: Literal["carry", "zero", "burn-in"] = "carry"
    burn: int = 0
    lengths: Literal["fixed", "random", "artbp"] = "fixed"
    grain: int = 1

    def __post_init__(self) -> None:
        check(self)

    @property
    def before(self) -> int:
        """Steps that a batch holds before its k1 new ones."""
        return max(self.k2 - self.k1, 0) + self.burn


def check(cut: Truncation) -> None:
    """BadInput for what is no truncation, naming the nearest that is."""
    k1, k2 = cut.k1, cut.k2
    if min(k1, k2, cut.grain) < 1 or cut.burn < 0:
        told = f"k1 {k1}, k2 {k2}, grain {cut.grain}, burn {cut.burn}"
        raise BadInput(f"{told}: they count steps, so at least 1 (burn 0)")
    if cut.lengths == "fixed" and max(k1, k2) % min(k1, k2):
        fitting = [k for k in range(1, k1) if k1 % k == 0]
        fitting += [max(k2 // k1, 1) * k1, (k2 // k1 + 1) * k1]
        near = min(fitting, key=lambda k: abs(k - k2))
        raise BadInput(f"k1 {k1} and k2 {k2}: neither divides the other; the nearest k2 is {near}")
    if (cut.edge == "burn-in") != (cut.burn > 0):
        raise BadInput(f"--edge {cut.edge} and --burn {cut.burn}: burn-in has at least 1 step")
    if cut.lengths != "fixed":
        if k1 % cut.grain or not cut.grain < k2 <= k1 or cut.edge != "carry":
            told = f"k1 {k1}, mean length {k2}, grain {cut.grain}, edge {cut.edge}"
            raise BadInput(
                f"{cut.lengths} lengths with {told}: they need a grain that divides k1,"
                " grain < mean length <= k1, and --edge carry"
            )
