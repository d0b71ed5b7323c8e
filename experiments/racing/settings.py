"""What can be asked of the races."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from experiments import cli
from rnn_jax.errors import BadInput

Kind = Literal["layer", "step", "sampling", "growth", "startup", "seeds", "devices"]
Peer = Literal["torch", "flax", "equinox", "keras", "scan"]
CellName = Literal["tanh", "gru", "lstm"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RaceSettings(cli.CommonSettings):
    """Which rows are measured, against whom, and how often."""

    RANGES: ClassVar[Mapping[str, str]] = {"turns": "[2, inf)"}
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"json"})

    only: tuple[Kind, ...] = ("layer", "step", "sampling", "growth", "startup", "seeds", "devices")
    """which kinds of rows"""
    cells: tuple[CellName, ...] = ()
    """which cells; if none all three as layers and as seeds, and the LSTM in everything else"""
    rows: tuple[str, ...] = ()
    """only rows whose name contains one of these, such as T=25 or 2x128; if none all"""
    peers: tuple[Peer, ...] = ("torch", "flax", "equinox", "keras", "scan")
    """whom to race, as far as installed; scan is a plain lax.scan and always is"""
    turns: int = 30
    """measurements of each; what takes seconds gets fewer"""
    json: str = ""
    """a file for the results, besides results.json in the run's folder"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.json and not Path(self.json).absolute().parent.is_dir():
            raise BadInput(f"--json {self.json}: its folder does not exist; make it first")
        if self.json and Path(self.json).is_dir():
            raise BadInput(f"--json {self.json} is a folder; name a file")

    @property
    def seconds(self) -> float:
        """After so long a row gets no other turn."""
        return 3.0 if self.quick else 240.0

    def cells_or(self, *usual: str) -> tuple[str, ...]:
        """The cells that were asked for, else the usual ones."""
        return self.cells or usual


class Job(NamedTuple):
    """A row that can be measured; `measure` returns its values without kind and name."""

    kind: str
    name: str
    measure: Callable[[], dict[str, Any]]


def chosen(jobs: Sequence[Job], settings: RaceSettings) -> list[Job]:
    """The jobs that --rows names; BadInput for one of its words that no row's name contains."""
    for word in settings.rows:
        if not any(word in job.name for job in jobs):
            names = "; ".join(job.name for job in jobs)
            raise BadInput(f"--rows {word}: no such row; there are {names}")
    return [job for job in jobs if not settings.rows or any(w in job.name for w in settings.rows)]
