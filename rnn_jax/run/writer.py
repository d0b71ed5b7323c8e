"""Writing a run: start it or find where it stands, log, sample, save."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_jax import plots
from rnn_jax.digest import combined
from rnn_jax.errors import BadInput
from rnn_jax.plain import shown
from rnn_jax.run import checkpoints, leaves, locks, manifest, strangers
from rnn_jax.run.board import Board
from rnn_jax.run.checkpoints import Checkpoints, Restored
from rnn_jax.run.records import (
    Sample,
    keep_rows,
    keep_samples,
    row_line,
    sample_block,
    write_atomically,
)
from rnn_jax.run.storage import Damaged
from rnn_jax.run.surroundings import lost

# What a start that was killed at once may leave; a folder of nothing else counts as empty.
_OWN = {locks.NAME, manifest.NAME + ".tmp"}


def start_or_resume(
    folder: str | Path,
    asked: dict[str, Any],
    example: Any,
    *,
    steps: int | None = None,
    keep_last: int = 2,
    keep_best: int = 1,
    tensorboard: bool = False,
) -> tuple[Run, Restored | None]:
    """Opens a folder for a run: makes it, or finds the newest sound step of the same run.

    ``asked`` is a ``new_manifest``; ``example`` a state, or its ``jax.eval_shape``. Rows and
    samples after the restored step are dropped, for the run will write them again. ``steps``: how
    far it is to go, if that is known; ``tensorboard``: the rows go there too. Returns the run and
    what was restored, None for a start at step 0. BadInput, before anything is written, where the
    folder is no run, is another run, is being written by another process, or has gone further than
    ``steps``; where steps exist and none is sound; and where the folder cannot be written.
    """
    folder = Path(folder)
    board = Board(folder) if tensorboard else None
    with _one_line(folder), contextlib.ExitStack() as undo:
        _check(folder, asked)
        folder.mkdir(parents=True, exist_ok=True)
        undo.callback(os.close, lock := locks.take(folder))
        # Again, now that nobody else can write: two commands may have started together.
        found = _check(folder, asked)
        restored = _restore(folder, example) if found else None
        if restored and steps is not None and restored.step > steps:
            told = f"{folder} has {restored.step} steps and is asked for {steps}"
            raise BadInput(f"{told}: give more --steps, or use another --out")
        _record_start(folder, found, asked, restored)
        run = Run(folder, lock, restored, keep_last, keep_best, board)
        undo.pop_all()
    return run, restored


class Run:
    """A folder held for writing; a context manager, which waits for the last save on exit."""

    def __init__(
        self,
        folder: Path,
        lock: int,
        restored: Restored | None,
        keep_last: int,
        keep_best: int,
        board: Board | None,
    ) -> None:
        self.folder = folder
        self._lock = lock
        self._restored = restored.step if restored else -1
        self.rows = keep_rows(folder / "metrics.jsonl", self._restored)
        keep_samples(folder / "samples.txt", self._restored)
        keep_rows(folder / "digests.jsonl", self._restored)
        self._checkpoints = Checkpoints(folder, keep_last, keep_best)
        self._board = board
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
            with _one_line(self.folder):
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
        with _one_line(self.folder):
            saving = self._checkpoints.prepare(int(step), state, metric, extra or {})
            if saving is None:
                return
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
        with _one_line(self.folder):
            write_atomically(self.folder / name, data)
        return self.folder / name

    def close(self) -> None:
        """Waits until the last save is on the disk and gives the folder free; harmless twice."""
        if self._lock < 0:
            return
        try:
            with _one_line(self.folder):
                self._checkpoints.close()
                if self._board:
                    self._board.close()
        finally:
            os.close(self._lock)
            self._lock = -1

    def _append(self, name: str, data: bytes) -> None:
        with _one_line(self.folder), (self.folder / name).open("ab") as file:
            file.write(data)


def _check(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of the run in the folder, None if it is to be started, BadInput if neither."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; use another --out")
    if not (folder / manifest.NAME).exists():
        if {path.name for path in folder.iterdir()} - _OWN:
            raise BadInput(f"{folder} has files but is not a run; use another --out")
        strangers.check_files(folder)
        return None
    found = manifest.read(folder)
    manifest.check_same(folder, found, asked)
    return found


def _restore(folder: Path, example: Any) -> Restored | None:
    """The newest sound step; damaged ones after it are named and moved out of the way."""
    saved, damaged = checkpoints.steps(folder), {}
    for step in reversed(saved):
        try:
            restored = checkpoints.read(folder, step, example)
            break
        except Damaged as damage:
            damaged[step] = str(damage)
    else:
        if saved:
            told = "; ".join(f"step {step}: {why}" for step, why in damaged.items())
            raise BadInput(f"no checkpoint in {folder} is sound ({told}); use another --out")
        _say(f"{folder} has no checkpoint yet: starting again at step 0")
        return None
    for step, why in damaged.items():
        moved = _set_aside(folder, step)
        _say(f"warning: step {step} is damaged: {why}; moved to {moved}, using {restored.step}")
    return restored


def _set_aside(folder: Path, step: int) -> Path:
    target = folder / "damaged" / str(step)
    target.parent.mkdir(exist_ok=True)
    while target.exists():  # the same step was damaged before
        target = target.with_name(target.name + "x")
    (folder / checkpoints.FOLDER / str(step)).rename(target)
    return target


def _record_start(
    folder: Path, found: dict[str, Any] | None, asked: dict[str, Any], restored: Restored | None
) -> None:
    """Writes run.json; at a resume the first environment stays and what is new is noted."""
    if found is None:
        manifest.write(folder, asked)
        return
    new = manifest.changes(found, asked)
    for line in lost(found, asked):
        _say(f"note: {line}")
    resumed = {"step": restored.step if restored else 0, "at": manifest.now(), "changed": new}
    told = {**found, "config": asked["config"]}
    manifest.write(folder, {**told, "resumed": [*found.get("resumed", []), resumed]})


@contextlib.contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """What the system says about a full disk or a closed door, as BadInput."""
    try:
        yield
    except OSError as error:
        told = error.strerror or str(error)
        raise BadInput(f"cannot write {error.filename or folder}: {told}") from error


def _say(line: str) -> None:
    print(shown(line), file=sys.stderr)
