"""What each of them can be told."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from experiments import cli


@dataclasses.dataclass(frozen=True, kw_only=True)
class StandaloneSettings(cli.Settings):
    """Data, network and training; every batch holds whole sequences."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"layers": "[1, inf)", "hidden": "[1, inf)", "lanes": "[1, inf)"},
        **{"dropout": "[0, 1)", "valid": "(0, 0.5]", "average": "[0, 1)", "buckets": "[1, 64]"},
        **{"horizon": "[0, inf)"},
    }
    ALIASES: ClassVar[Mapping[str, str]] = {"--batch-size": "lanes"}

    data: str = ""
    """what is learned from: a file, or hub:NAME[@CONFIG][:SPLIT]; if empty, made here"""
    valid_data: str = ""
    """what is evaluated on, likewise; if empty, a part of --data"""
    valid: float = 0.1
    """that part, drawn by --seed"""
    cell: str = "lstm"
    """the recurrent cell: a name, or module:constructor"""
    layers: int = 1
    """recurrent layers, one on another"""
    hidden: int
    """width H of a layer, of each direction"""
    lanes: int = 64
    """sequences B of a batch (also --batch-size)"""
    dropout: float = 0.0
    """share of the activations dropped"""
    buckets: int = 6
    """different lengths that batches may have, each a program to compile"""
    average: float = 0.99
    """evaluate and keep a moving average of the weights with this decay; 0 is off"""
    optimizer: Literal["adam", "muon"] = "adam"
    """muon makes the singular values of each matrix's step about equal"""
    horizon: int = 0
    """steps over which the learning rate falls to zero along a cosine; 0 is off"""
    log_every: int = 10
    """steps between two rows of metrics"""
