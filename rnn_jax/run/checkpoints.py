"""Checkpoints of a run: saved in the background, kept by age and by metric, read with a proof.

A step is saved as two items that become visible together: ``arrays``, {path: array} of the
leaves, and ``record``, JSON with dtype, shape and digest of every leaf, the metric, what the
caller adds, and a seal over itself. Leaves are stored by path and put back onto the caller's
tree, so the structure (optax's NamedTuples, empty states) is the caller's to the last tuple,
nothing is tied to a device, and a part (the parameters alone) reads without the rest.

They lie below a place: the run's folder, or a path in a bucket. There is no renaming in a bucket,
so a step is written under its own name and counts from when Orbax has put a last file beside it.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, LatestN

from rnn_jax.digest import array_digest, from_host, host_copy, host_shape, named_leaves
from rnn_jax.run import leaves, remote
from rnn_jax.run.remote import Place, Remote
from rnn_jax.run.storage import Damaged, alone, read_arrays, writing

FOLDER, ASIDE = "checkpoints", "damaged"
_LAST = "commit_success.txt"  # Orbax's mark in a bucket that a step is whole


class Restored(NamedTuple):
    """A step read back: its number, the tree, the metric it was saved with, what was added."""

    step: int
    state: Any
    metric: float | None
    extra: dict[str, Any]


def steps(place: Place) -> list[int]:
    """The steps a run has saved, oldest first; unfinished and foreign folders do not count."""
    below = place / FOLDER
    if isinstance(below, Remote):
        ends = [key.removesuffix(f"/{_LAST}") for key in remote.keys(below) if key.endswith(_LAST)]
        return sorted(int(name) for name in ends if _is_step(name))
    found = below.iterdir() if below.is_dir() else ()
    return sorted(int(one.name) for one in found if _is_step(one.name) and one.is_dir())


def metrics(
    place: Place, damaged: Callable[[int, Damaged], None] = lambda step, damage: None
) -> dict[int, float]:
    """{step: metric} of the saved steps, infinity for none; a record that is damaged is told of."""
    found = {}
    for step in steps(place):
        try:
            found[step] = leaves.rank(leaves.read(path(place, step))["metric"])
        except Damaged as damage:
            damaged(step, damage)
    return found


def best_first(metrics: dict[int, float]) -> list[int]:
    """Steps by metric, the lowest first; of equals the newest first."""
    return sorted(metrics, key=lambda step: (metrics[step], -step))


def read(place: Place, step: int, example: Any, *, part: bool = False) -> Restored:
    """One step put onto ``example``, a tree of arrays or of ``jax.ShapeDtypeStruct``.

    With ``part`` the example may leave leaves out: ``{"params": ...}`` reads those alone. Every
    leaf is compared with its digest. The arrays lie on the default device, uncommitted. Raises
    Damaged.
    """
    where, wanted = path(place, step), named_leaves(example)
    record = leaves.read(where)
    host = {name: host_shape(leaf) for name, leaf in wanted.items()}
    leaves.check_shapes(record["leaves"], host, part=part)
    arrays, known = read_arrays(where, host), leaves.digests(record)
    for name, array in arrays.items():
        if array_digest(name, array) != known[name]:
            raise Damaged(f"{name} differs from its digest")
    placed = [from_host(arrays[name], leaf) for name, leaf in wanted.items()]
    state = jax.tree.unflatten(jax.tree.structure(example), placed)
    return Restored(step, state, record["metric"], record["extra"])


class Saving(NamedTuple):
    """A step on its way to the disk: its arrays by path, and its record."""

    step: int
    arrays: dict[str, np.ndarray]
    record: dict[str, Any]


class Checkpoints:
    """Saves steps in the background and keeps the latest and the best of them.

    One save is at work at a time: a second waits for the first. Errors of the background show
    at the next save, or in ``close``.
    """

    def __init__(self, place: Place, keep_last: int, keep_best: int) -> None:
        self._place, self._metrics = place, metrics(place)
        if isinstance(place, Path):
            (place / FOLDER).mkdir(exist_ok=True)
        policy = AnyPreservationPolicy([LatestN(keep_last), _Best(keep_best, self._metrics)])
        with writing(place):
            self._manager = ocp.CheckpointManager(
                str(_absolute(place / FOLDER)),
                options=ocp.CheckpointManagerOptions(
                    create=False,
                    cleanup_tmp_directories=True,
                    multiprocessing_options=alone(),
                    preservation_policy=policy,
                ),
            )

    def prepare(
        self, step: int, state: Any, metric: float | None, extra: dict[str, Any]
    ) -> Saving | None:
        """A copy of ``state`` with its record; None for a step that stands.

        That is left as it is: a state is a function of its step.
        """
        if step in self._manager.all_steps():
            return None
        arrays = {name: host_copy(leaf) for name, leaf in named_leaves(state).items()}
        metric = None if metric is None else float(metric)
        return Saving(step, arrays, leaves.make(arrays, metric, extra))

    def save(self, saving: Saving) -> None:
        """Starts to write it; returns before it is on the disk."""
        self._metrics[saving.step] = leaves.rank(saving.record["metric"])
        # Orbax refuses arrays without elements; there is nothing in them to keep.
        stored = {name: array for name, array in saving.arrays.items() if array.size}
        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(stored), record=ocp.args.JsonSave(saving.record)
        )
        with writing(self._place):
            self._manager.save(saving.step, args=items, force=True)

    def close(self) -> None:
        """Waits until all is where it belongs. OSError, or BadInput of a bucket, if it is not."""
        with writing(self._place):
            try:
                self._manager.wait_until_finished()
            finally:
                self._manager.close()


class _Best:
    """An Orbax preservation policy: the n steps of the lowest metric.

    Orbax's own reads metrics from a file that, damaged, would stop the whole manager.
    """

    def __init__(self, n: int, metrics: dict[int, float]) -> None:
        self.n = n
        self.metrics = metrics

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        there = {one.step: self.metrics.get(one.step, math.inf) for one in checkpoints}
        best = best_first(there)[: self.n]
        return [step in best and there[step] < math.inf for step in there]


def set_aside(place: Place, step: int) -> Place:
    """Moves a step to where none is looked for; where that is."""
    target = place / ASIDE / str(step)
    if isinstance(place, Remote):
        while remote.keys(target):
            target = Remote(f"{target}x")
        remote.move(place / FOLDER / str(step), target)
        return target
    target.parent.mkdir(exist_ok=True)
    while target.exists():  # the same step was damaged before
        target = target.with_name(target.name + "x")
    (place / FOLDER / str(step)).rename(target)
    return target


def fetch(place: Place, step: int, folder: Path) -> None:
    """Copies a step into the folder of another run."""
    source, target = path(place, step), folder / FOLDER / str(step)
    if isinstance(source, Remote):
        remote.fetch(source, target)
    else:
        shutil.copytree(source, target)


def path(place: Place, step: int) -> Place:
    """Where a step of a run lies."""
    return _absolute(place / FOLDER / str(step))


def _absolute(place: Place) -> Place:
    return place.resolve() if isinstance(place, Path) else place


def _is_step(name: str) -> bool:
    """Whether a folder's name is a step's, and in no other spelling than it was written in."""
    return name.isascii() and name.isdecimal() and (name == "0" or name[0] != "0")
