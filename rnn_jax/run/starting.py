"""Starting a run, or finding where it stands."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from rnn_jax.errors import BadInput
from rnn_jax.plain import shown
from rnn_jax.run import checkpoints, locks, manifest, places, strangers
from rnn_jax.run.board import Board
from rnn_jax.run.checkpoints import Checkpoints, Restored
from rnn_jax.run.places import Claim
from rnn_jax.run.remote import Place
from rnn_jax.run.storage import Damaged
from rnn_jax.run.surroundings import lost
from rnn_jax.run.writer import Run, one_line
from rnn_jax.urls import checked

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
    checkpoints: str = "",
) -> tuple[Run, Restored | None]:
    """Opens a folder for a run: makes it, or finds the newest sound step of the same run.

    ``asked`` is a ``new_manifest``; ``example`` a state, or its ``jax.eval_shape``. Rows and
    samples after the restored step are dropped, for the run will write them again. ``steps``: how
    far it is to go, if that is known; ``tensorboard``: the rows go there too; ``checkpoints``: a
    path in a bucket where what is saved lies instead. Returns the run and what was restored, None
    for a start at step 0. BadInput, before anything is written, where the folder is no run, is
    another run, is being written by another process, or has gone further than ``steps``; where the
    path in the bucket is another run's; where steps exist and none is sound; and where the folder,
    or the bucket, cannot be written.
    """
    folder, url = Path(folder), checked(checkpoints)
    board = Board(folder) if tensorboard else None
    with one_line(folder), contextlib.ExitStack() as undo:
        _check(folder, asked, url)
        folder.mkdir(parents=True, exist_ok=True)
        undo.callback(os.close, lock := locks.take(folder))
        # Again, now that nobody else can write: two commands may have started together.
        found = _check(folder, asked, url)
        asked = places.named(asked, found, url)
        claim = _claim(folder, found, asked) if url else None
        place = claim.place if claim else folder
        restored = _restore(folder, place, example) if found else None
        if restored and steps is not None and restored.step > steps:
            told = f"{folder} has {restored.step} steps and is asked for {steps}"
            raise BadInput(f"{told}: give more --steps, or use another --out")
        _record_start(folder, found, asked, restored)
        run = Run(folder, lock, restored, Checkpoints(place, keep_last, keep_best), board, claim)
        undo.pop_all()
    return run, restored


def _check(folder: Path, asked: dict[str, Any], url: str) -> dict[str, Any] | None:
    """The manifest of the run in the folder, None if it is to be started, BadInput if neither."""
    found = _found(folder)
    if found:
        manifest.check_same(folder, found, asked)
    places.check(folder, found, url)
    return found


def _found(folder: Path) -> dict[str, Any] | None:
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; use another --out")
    if not (folder / manifest.NAME).exists():
        if {path.name for path in folder.iterdir()} - _OWN:
            raise BadInput(f"{folder} has files but is not a run; use another --out")
        strangers.check_files(folder)
        return None
    return manifest.read(folder)


def _claim(folder: Path, found: dict[str, Any] | None, asked: dict[str, Any]) -> Claim:
    """Takes the place that the run is to have; the run is in the folder before it is there."""
    told = {**(found or asked), "checkpoints": asked["checkpoints"]}
    manifest.write(folder, told)
    try:
        return places.claim(folder, told)
    except BaseException:
        if found is None:
            (folder / manifest.NAME).unlink()
        raise


def _restore(folder: Path, place: Place, example: Any) -> Restored | None:
    """The newest sound step; damaged ones after it are named and moved out of the way."""
    saved, damaged = checkpoints.steps(place), {}
    for step in reversed(saved):
        try:
            restored = checkpoints.read(place, step, example)
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
        moved = checkpoints.set_aside(place, step)
        _say(f"warning: step {step} is damaged: {why}; moved to {moved}, using {restored.step}")
    return restored


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
    told = {**found, **{k: asked[k] for k in ("config", "checkpoints") if k in asked}}
    manifest.write(folder, {**told, "resumed": [*found.get("resumed", []), resumed]})


def _say(line: str) -> None:
    print(shown(line), file=sys.stderr)
