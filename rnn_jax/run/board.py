"""The rows of metrics.jsonl for TensorBoard as well: ``tensorboard --logdir runs``."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.data.extras import extra

FOLDER = "tensorboard"


class Board:
    """A file of events that says what metrics.jsonl says, no row less and none twice.

    What an earlier start wrote may be of steps that the run does again; so each start writes all
    rows anew and drops the files before. BadInput where the package is missing, before anything is
    written.
    """

    def __init__(self, folder: Path) -> None:
        def part(module: str) -> Any:
            return extra(module, "--tensorboard", "tensorboard")

        part("tensorboard")
        self._events = part("tensorboard.compat.proto.event_pb2")
        self._summaries = part("tensorboard.compat.proto.summary_pb2")
        self._record_writer = part("tensorboard.summary.writer.record_writer").RecordWriter
        self._folder = folder / FOLDER

    def begin(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A new file with these rows, in place of all older ones."""
        self._folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (self._folder / name).open("wb")
        self._records = self._record_writer(self._file)
        self._write(file_version="brain.Event:2")
        for row in rows:
            self._add(row)
        self._file.flush()
        for old in self._folder.glob("events.out.tfevents.*"):
            if old.name != name:
                old.unlink()

    def add(self, row: Mapping[str, Any]) -> None:
        """One more row, to be seen at once; null is NaN."""
        self._add(row)
        self._file.flush()

    def close(self) -> None:
        """Done."""
        self._file.close()

    def _add(self, row: Mapping[str, Any]) -> None:
        values = [
            self._summaries.Summary.Value(tag=tag, simple_value=math.nan if x is None else x)
            for tag, x in row.items()
            if tag != "step" and isinstance(x, int | float | None)
        ]
        self._write(step=row["step"], summary=self._summaries.Summary(value=values))

    def _write(self, **what: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **what)
        self._records.write(event.SerializeToString())
