"""The runs below a folder: what each is, how it stands, how good it has become. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.errors import BadInput
from rnn_jax.evaluate import best, best_step, stale
from rnn_jax.run import checkpoints, locks, manifest, places, remote
from rnn_jax.run.records import read_rows


class Listed(NamedTuple):
    """A run as it stands.

    state: "running" (a process writes it), "finished" (it has saved its last step, or where its
    patience ended it), "stopped", "new" (it has saved nothing yet) or "damaged", which `why`
    explains; it also says that a bucket was not reached, and then the state is what the folder
    knows of it. step: the last it has logged while it runs, else the last it has saved; steps: to
    which it was told to go. best: the lowest error, or validation loss [nats] where the task has no
    error, seen at step `at`; written: when its rows last grew [seconds since 1970]. None where
    there is none.
    """

    folder: Path
    experiment: str
    state: str
    step: int | None = None
    steps: int | None = None
    best: float | None = None
    at: int | None = None
    written: float | None = None
    why: str | None = None


def listing(root: Path) -> list[Listed]:
    """Every run below a folder, the folder itself included. BadInput where it is none."""
    if not root.is_dir():
        raise BadInput(
            f"{root} {'is a file' if root.exists() else 'does not exist'}; name a folder"
        )
    closed: dict[str, str] = {}
    return [_listed(folder, closed) for folder in _folders(root)]


def _folders(root: Path) -> Iterator[Path]:
    """Those that hold a run.json, by name; a run holds no other run."""
    for place, inner, files in os.walk(root):
        if manifest.NAME in files:
            inner.clear()
            yield Path(place)
        inner.sort()


def _listed(folder: Path, closed: dict[str, str]) -> Listed:
    try:
        told = manifest.read(folder)
    except BadInput as problem:
        return Listed(folder, "", "damaged", why=str(problem))
    rows = read_rows(folder / "metrics.jsonl")
    running, (saved, why) = locks.is_held(folder), _saved(folder, told, closed)
    step = max((rows[-1]["step"] if running and rows else 0, *saved[-1:]), default=None)
    at = best_step(rows)
    steps = told["config"].get("steps")
    steps = steps if type(steps) is int else None
    state = "stopped" if saved else "new"
    if saved and ((steps is not None and saved[-1] >= steps) or _ended(told, rows, saved[-1])):
        state = "finished"
    return Listed(
        folder,
        told["experiment"],
        "running" if running else state,
        step if step or saved else None,
        steps,
        None if at is None else best(rows),
        at,
        _written(folder / "metrics.jsonl"),
        why,
    )


def _saved(
    folder: Path, told: Mapping[str, Any], closed: dict[str, str]
) -> tuple[list[int], str | None]:
    """The steps that a run has, and None; those that it has ever saved, and why no more is known.

    closed: {bucket: why} of those that do not answer, which are asked once.
    """
    bucket = told["checkpoints"]["url"].split("/")[2] if told.get("checkpoints") else ""
    if bucket not in closed:
        try:
            return checkpoints.steps(places.of(folder, told)), None
        except remote.Unreached as problem:
            closed[bucket] = str(problem)
        except BadInput as problem:
            return [], str(problem)
    return [row["step"] for row in read_rows(folder / "digests.jsonl")], closed[bucket]


def _ended(told: Mapping[str, Any], rows: list[Mapping[str, Any]], step: int) -> bool:
    """Whether --patience has ended the run at this step."""
    patience, every = (told["config"].get(name) for name in ("patience", "eval_every"))
    if type(patience) is not int or type(every) is not int or min(patience, every) < 1:
        return False
    return stale([row for row in rows if row["step"] <= step], every) >= patience


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
