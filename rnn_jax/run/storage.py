"""What Orbax reads and writes of a step, and what goes wrong with it in words of ours."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import operator
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

# Orbax logs, with a traceback, what it raises as well; here each failure becomes one line.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in Path(record.pathname).parts)

_LARGEST = 2**26  # bytes of JSON: a record of some 400,000 leaves


class Damaged(Exception):
    """A step that cannot be trusted; the message names the leaf or the file."""


def alone() -> ocp.options.MultiprocessingOptions:
    """For Orbax: no other process takes part, for only one of them writes and reads a run."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"run{process}"
    )


def read_json(path: Path, item: str) -> Any:
    """A JSON item of the step at `path`; Damaged where it cannot be read."""
    file = path / item / "metadata"
    if not file.is_file():
        raise Damaged(f"{item} is missing")
    if file.stat().st_size > _LARGEST:
        raise Damaged(f"{item} has more than {_LARGEST} bytes")
    with _reading(item):
        return json.loads(file.read_bytes())


def read_arrays(path: Path, host: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """The arrays of the item ``arrays`` that `host` names, of its shapes and dtypes.

    Nothing is allocated before it is known that they fit into this machine's memory and that the
    files say the same shapes. Damaged where they do not, or cannot be read. Read by TensorStore,
    as Orbax would, but leaf by leaf: of several that fail together Orbax names one.
    """
    asked = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in host.values())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if asked > memory:
        raise Damaged(f"arrays of {asked:,} bytes do not fit into {memory:,} bytes of memory")
    if not (path / "arrays").is_dir():
        raise Damaged("arrays is missing")
    return {
        # Arrays without elements are not stored.
        name: _read(path, name, leaf) if math.prod(leaf.shape) else np.zeros(leaf.shape, leaf.dtype)
        for name, leaf in host.items()
    }


def _read(path: Path, name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    base = {"driver": "file", "path": f"{path / 'arrays'}/"}
    place = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    with _reading(name):
        stored = tensorstore.open({"driver": "zarr", "kvstore": place}, open=True, read=True)
        stored = stored.result()
        chunk = stored.chunk_layout.read_chunk.shape or ()  # None of a scalar
    # A reader allocates whole chunks.
    if stored.shape != leaf.shape or any(map(operator.gt, chunk, leaf.shape)):
        raise Damaged(f"{name} has another shape in its file than in the record")
    with _reading(name):
        return np.asarray(stored.read().result())


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Whatever a reader trips over becomes Damaged: bad bytes raise anything."""
    try:
        yield
    except Exception as error:
        raise Damaged(f"{name} cannot be read ({reason(error)})") from error


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """TensorStore tells the system's errors in a text; raises them as OSError again."""
    try:
        yield
    except Exception as error:
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise


def reason(error: BaseException) -> str:
    """The first line of the innermost error: what is wrapped around it says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or repr(error)).splitlines()[0][:200]
