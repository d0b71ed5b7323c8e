"""Writing a run: log, sample, save."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_jax import plots
from rnn_jax.digest import combined
from rnn_jax.errors import BadInput
from rnn_jax.run import leaves
from rnn_jax.run.board import Board
from rnn_jax.run.checkpoints import Checkpoints, Restored
from rnn_jax.run.places import Claim
from rnn_jax.run.records import (
    Sample,
    keep_rows,
    keep_samples,
    row_line,
    sample_block,
    write_atomically,
)


class Run:
    """A folder held for writing; a context manager, which waits for the last save on exit."""

    def __init__(
        self,
        folder: Path,
        lock: int,
        restored: Restored | None,
        saves: Checkpoints,
        board: Board | None,
        claim: Claim | None,
    ) -> None:
        self.folder = folder
        self._lock = lock
        self._restored = restored.step if restored else -1
        self.rows = keep_rows(folder / "metrics.jsonl", self._restored)
        keep_samples(folder / "samples.txt", self._restored)
        keep_rows(folder / "digests.jsonl", self._restored)
        self._checkpoints, self._board, self._claim = saves, board, claim
        if board:
            board.begin(self.rows)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, step: int, **values: Any) -> None:
        """Appends a row to metrics.jsonl; one a step, in order, else ValueError.

        A step the run had logged before it was resumed is not written twice. NaN and infinities
        become null.
        """
        if step <= self._restored:
            return
        if self.rows and step <= self.rows[-1]["step"]:
            raise ValueError(f"step {step} is logged after step {self.rows[-1]['step']}")
        line = row_line({"step": int(step), **values})
        self._append("metrics.jsonl", line.encode())
        self.rows.append(json.loads(line))
        if self._board:
            with one_line(self.folder):
                self._board.add(self.rows[-1])

    def sample(self, step: int, header: str, text: str) -> None:
        """Appends a text to samples.txt, under a header of one line."""
        if step > self._restored:
            self._append("samples.txt", sample_block(Sample(int(step), header, text)))

    def save(
        self,
        step: int,
        state: Any,
        *,
        metric: float | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Saves a checkpoint in the background; log and sample the step before.

        ``metric`` ranks the step (lower is better; None and NaN come last), ``extra`` is JSON
        that comes back with it. A step already saved is left as it is. The digests of all leaves
        also go to digests.jsonl, which outlives the checkpoint.
        """
        with one_line(self.folder):
            saving = self._checkpoints.prepare(int(step), state, metric, extra or {})
            if saving is None:
                return
            if self._claim:
                self._claim.check()
            found = leaves.digests(saving.record)
            row = {"step": saving.step, "digest": combined(found), "leaves": found}
            self._append("digests.jsonl", row_line(row).encode())
            self._checkpoints.save(saving)

    def curves(self, **labels: str) -> Path | None:
        """Draws curves.png from the rows (``plots.curves``); None while there is nothing in it."""
        data = plots.curves(self.rows, **labels)
        return None if data is None else self.file("curves.png", data)

    def file(self, name: str, data: bytes) -> Path:
        """Writes a file of the run in one move; where it lies."""
        with one_line(self.folder):
            write_atomically(self.folder / name, data)
        return self.folder / name

    def close(self) -> None:
        """Waits until the last save is on the disk and gives the folder free; harmless twice."""
        if self._lock < 0:
            return
        try:
            with one_line(self.folder):
                self._checkpoints.close()
                if self._board:
                    self._board.close()
        finally:
            os.close(self._lock)
            self._lock = -1

    def _append(self, name: str, data: bytes) -> None:
        with one_line(self.folder), (self.folder / name).open("ab") as file:
            file.write(data)


@contextlib.contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """What the system says about a full disk or a closed door, as BadInput."""
    try:
        yield
    except OSError as error:
        told = error.strerror or str(error)
        raise BadInput(f"cannot write {error.filename or folder}: {told}") from error
