"""What `parity` and `sums` can be told."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from experiments import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthSettings(cli.Settings):
    """What is trained, how often, and on which lengths."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"seeds": "[1, inf)", "layers": "[1, inf)", "hidden": "[1, inf)", "lanes": "[1, inf)"},
        **{"train_length": "[1, inf)", "test_length": "[1, inf)", "horizon": "[1, inf)"},
        "noise": "[0, inf)",
    }

    cells: tuple[str, ...]
    """the cells that learn from random weights: names, or module:constructor"""
    seeds: int = 5
    """how often each is trained, by the seeds --seed, --seed + 1, ..."""
    layers: int = 1
    """recurrent layers, one on another"""
    hidden: int
    """width H of a layer"""
    lanes: int = 64
    """sequences in one update"""
    train_length: int = 20
    """the longest sequence of training; lengths are drawn evenly from 1 to it"""
    test_length: int = 1000
    """the length tested"""
    noise: float = 1.0
    """standard deviation of what is added to the hand-set weights before they are trained"""
    steps: int = 2000
    """updates in total; a resumed run goes on up to here"""
    horizon: int = 2000
    """updates over which the learning rate falls to a thousandth along a cosine"""
    lr: float = 0.01
    """learning rate of Adam at first"""
    log_every: int = 20
    """steps between two lines of metrics"""
    eval_every: int = 1000
    """steps between two evaluations, at the length trained"""
    save_every: int = 1000
    """steps between two checkpoints"""
