"""Checkpoints of a run: the one module that calls Orbax.

A step is saved as two items that become visible together: ``arrays``, {path: array} of the
leaves, and ``record``, JSON with dtype, shape and digest of every leaf, the metric, what the
caller adds, and a seal over itself. Leaves are stored by path and put back onto the caller's
tree, so the structure (optax's NamedTuples, empty states) is the caller's to the last tuple,
nothing is tied to a device, and a part (the parameters alone) reads without the rest.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import xxhash
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, LatestN

from rnn_jax.digest import array_digest, from_host, host_copy, host_shape, named_leaves

FOLDER = "checkpoints"

# Orbax logs, with a traceback, what it raises as well; here each failure becomes one line.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in Path(record.pathname).parts)


class Damaged(Exception):
    """A step that cannot be trusted; the message names the leaf or the file."""


class Restored(NamedTuple):
    """A step read back: its number, the tree, the metric it was saved with, what was added."""

    step: int
    state: Any
    metric: float | None
    extra: dict[str, Any]


def steps(folder: Path) -> list[int]:
    """The steps a run has saved, oldest first; unfinished and foreign folders do not count."""
    found = (folder / FOLDER).iterdir() if (folder / FOLDER).is_dir() else ()
    return sorted(int(path.name) for path in found if path.name.isdecimal() and path.is_dir())


def metrics(folder: Path) -> dict[int, float]:
    """{step: metric} of the saved steps; infinity where it has none or cannot be read."""
    found = {}
    for step in steps(folder):
        try:
            found[step] = _rank(_read_record(_path(folder, step))["metric"])
        except Damaged:
            found[step] = math.inf
    return found


def best_first(metrics: dict[int, float]) -> list[int]:
    """Steps by metric, the lowest first; of equals the newest first."""
    return sorted(metrics, key=lambda step: (metrics[step], -step))


def read(folder: Path, step: int, example: Any, *, part: bool = False) -> Restored:
    """One step put onto ``example``, a tree of arrays or of ``jax.ShapeDtypeStruct``.

    With ``part`` the example may leave leaves out: ``{"params": ...}`` reads those alone. Every
    leaf is compared with its digest. The arrays lie on the default device, uncommitted. Raises
    Damaged.
    """
    path, wanted = _path(folder, step), named_leaves(example)
    record = _read_record(path)
    host = {name: host_shape(leaf) for name, leaf in wanted.items()}
    _check_shapes(record["leaves"], host, part=part)
    arrays = _read_arrays(path, host)
    for name, array in arrays.items():
        if array_digest(name, array) != record["leaves"][name]["digest"]:
            raise Damaged(f"{name} differs from its digest")
    leaves = [from_host(arrays[name], leaf) for name, leaf in wanted.items()]
    state = jax.tree.unflatten(jax.tree.structure(example), leaves)
    return Restored(step, state, record["metric"], record["extra"])


class Checkpoints:
    """Saves steps in the background and keeps the latest and the best of them.

    One save is at work at a time: a second waits for the first. Errors of the background show
    at the next save, or in ``close``.
    """

    def __init__(self, folder: Path, keep_last: int, keep_best: int) -> None:
        self._metrics = metrics(folder)
        (folder / FOLDER).mkdir(exist_ok=True)
        self._manager = ocp.CheckpointManager(
            (folder / FOLDER).resolve(),
            options=ocp.CheckpointManagerOptions(
                create=False,
                cleanup_tmp_directories=True,
                preservation_policy=AnyPreservationPolicy(
                    [LatestN(keep_last), _Best(keep_best, self._metrics)]
                ),
            ),
        )

    def save(self, step: int, state: Any, metric: float | None, extra: dict[str, Any]) -> None:
        """Saves ``state`` as ``step``; returns when it is copied, before it is on the disk.

        A step that stands is left as it is: a state is a function of its step.
        """
        if step in self._manager.all_steps():
            return
        arrays = {name: host_copy(leaf) for name, leaf in named_leaves(state).items()}
        metric = None if metric is None else float(metric)
        self._metrics[step] = _rank(metric)
        # Orbax refuses arrays without elements; there is nothing in them to keep.
        stored = {name: array for name, array in arrays.items() if array.size}
        items = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(stored),
            record=ocp.args.JsonSave(_record(arrays, metric, extra)),
        )
        with _system_errors():
            self._manager.save(step, args=items, force=True)

    def close(self) -> None:
        """Waits until all is on the disk. OSError if it would not go there."""
        with _system_errors():
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


def _path(folder: Path, step: int) -> Path:
    return (folder / FOLDER / str(step)).resolve()


def _rank(metric: float | None) -> float:
    return math.inf if metric is None or math.isnan(metric) else metric


def _record(
    arrays: dict[str, np.ndarray], metric: float | None, extra: dict[str, Any]
) -> dict[str, Any]:
    leaves = {
        name: {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "digest": array_digest(name, array),
        }
        for name, array in arrays.items()
    }
    record = json.loads(json.dumps({"leaves": leaves, "metric": metric, "extra": extra}))
    return {**record, "seal": _seal(record)}


def _seal(record: dict[str, Any]) -> str:
    told = {key: value for key, value in record.items() if key != "seal"}
    return xxhash.xxh3_128_hexdigest(json.dumps(told, sort_keys=True).encode())


def _read_record(path: Path) -> dict[str, Any]:
    record = _orbax(path, "record", ocp.args.JsonRestore())
    if not isinstance(record, dict) or record.get("seal") != _seal(record):
        raise Damaged("record differs from its seal")
    return record


def _read_arrays(path: Path, host: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """The arrays one by one: of several that fail together Orbax leaves all but one unhandled."""
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    arrays = {}
    for name, leaf in host.items():
        if not math.prod(leaf.shape):
            arrays[name] = np.zeros(leaf.shape, leaf.dtype)
            continue
        asked = ocp.args.PyTreeRestore(
            item={name: leaf}, restore_args={name: as_numpy}, partial_restore=True
        )
        arrays |= _orbax(path, "arrays", asked, name)
    return arrays


def _orbax(path: Path, item: str, asked: Any, name: str = "record") -> Any:
    """One item of a step; whatever Orbax trips over becomes Damaged."""
    if not (path / item).is_dir():
        raise Damaged(f"{item} is missing")
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            return reader.restore(path, args=ocp.args.Composite(**{item: asked}))[item]
    except Exception as error:  # bytes gone wrong raise anything from KeyError to ValueError
        raise Damaged(f"{name} cannot be read ({_reason(error)})") from error


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """TensorStore tells the system's errors in a text; raises them as OSError again."""
    try:
        yield
    except Exception as error:
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: what Orbax wraps around it says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or repr(error)).splitlines()[0][:200]


def _check_shapes(
    leaves: dict[str, Any], host: dict[str, jax.ShapeDtypeStruct], *, part: bool
) -> None:
    for name, leaf in host.items():
        if name not in leaves:
            raise Damaged(f"{name} is missing")
        saved = f"{leaves[name]['dtype']}{leaves[name]['shape']}"
        if saved != (asked := f"{leaf.dtype}{list(leaf.shape)}"):
            raise Damaged(f"{name} is {saved}, not {asked}")
    if not part and (more := leaves.keys() - host.keys()):
        raise Damaged(f"{min(more)} has no place in the state")
