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

from rnn_jax.errors import BadInput
from rnn_jax.run import remote
from rnn_jax.run.remote import Place, Remote

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


def read_json(path: Place, item: str) -> Any:
    """A JSON item of the step at `path`; Damaged where it cannot be read."""
    with _reading(path, item):
        data = _bytes(path / item)
    if data is None:
        raise Damaged(f"{item} is missing")
    with _reading(path, item):
        return json.loads(data)


def _bytes(item: Place) -> bytes | None:
    """The file of an item; None where there is none. TooLong."""
    if isinstance(item, Remote):
        return remote.read(item, "metadata", _LARGEST).data
    file = item / "metadata"
    if not file.is_file():
        return None
    if file.stat().st_size > _LARGEST:
        raise remote.TooLong(f"it has more than {_LARGEST} bytes")
    return file.read_bytes()


def read_arrays(path: Place, host: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """The arrays of the item ``arrays`` that `host` names, of its shapes and dtypes.

    Nothing is allocated before it is known that they fit into this machine's memory and that the
    files say the same shapes. Damaged where they do not, or cannot be read. Read by TensorStore,
    as Orbax would, but leaf by leaf: of several that fail together Orbax names one.
    """
    asked = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in host.values())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if asked > memory:
        raise Damaged(f"arrays of {asked:,} bytes do not fit into {memory:,} bytes of memory")
    if isinstance(path, Path) and not (path / "arrays").is_dir():
        raise Damaged("arrays is missing")
    return {
        # Arrays without elements are not stored.
        name: _read(path, name, leaf) if math.prod(leaf.shape) else np.zeros(leaf.shape, leaf.dtype)
        for name, leaf in host.items()
    }


def _read(path: Place, name: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    arrays = path / "arrays"
    local = {"driver": "file", "path": f"{arrays}/"}
    base = remote.spec(arrays) if isinstance(arrays, Remote) else local
    place = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    with _reading(path, name):
        stored = tensorstore.open({"driver": "zarr", "kvstore": place}, open=True, read=True)
        stored = stored.result()
        chunk = stored.chunk_layout.read_chunk.shape or ()  # None of a scalar
    # A reader allocates whole chunks.
    if stored.shape != leaf.shape or any(map(operator.gt, chunk, leaf.shape)):
        raise Damaged(f"{name} has another shape in its file than in the record")
    with _reading(path, name):
        return np.asarray(stored.read().result())


@contextlib.contextmanager
def _reading(path: Place, name: str) -> Iterator[None]:
    """Whatever a reader trips over becomes Damaged: bad bytes raise anything.

    But for a bucket that does not answer, which is BadInput: what lies there may be sound.
    """
    try:
        with remote.one_line(path):
            yield
    except BadInput:
        raise
    except Exception as error:
        raise Damaged(f"{name} cannot be read ({reason(error)})") from error


@contextlib.contextmanager
def writing(place: Place) -> Iterator[None]:
    """What goes wrong in a bucket becomes BadInput, in one line.

    Of a disk TensorStore tells the system's errors in a text; raises them as OSError again.
    """
    try:
        with remote.one_line(place, all_errors=True):
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
