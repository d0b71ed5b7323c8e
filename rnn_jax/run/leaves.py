"""The record of a step: what each leaf is, its digest, and a seal over the whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xxhash

from rnn_jax.digest import array_digest
from rnn_jax.errors import BadInput
from rnn_jax.run.remote import Place
from rnn_jax.run.storage import Damaged, read_json

FORMAT = 1  # of a record; one without it is of format 1 as well
_KINDS = {"leaves": dict, "metric": int | float | None, "extra": dict, "format": int}


def make(
    arrays: Mapping[str, np.ndarray], metric: float | None, extra: dict[str, Any]
) -> dict[str, Any]:
    """The record of arrays by path: format, leaves (dtype, shape, digest), metric, extra, seal."""
    leaves = {
        name: {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "digest": array_digest(name, array),
        }
        for name, array in arrays.items()
    }
    told = {"format": FORMAT, "leaves": leaves, "metric": metric, "extra": extra}
    record = json.loads(json.dumps(told))
    return {**record, "seal": seal(record)}


def seal(told: Mapping[str, Any]) -> str:
    """The xxh3 hash of a JSON object but for its own "seal"; the same in every format."""
    rest = {key: value for key, value in told.items() if key != "seal"}
    return xxhash.xxh3_128_hexdigest(json.dumps(rest, sort_keys=True).encode())


def digests(record: Mapping[str, Any]) -> dict[str, str]:
    """{path: digest} of a record."""
    return {name: leaf["digest"] for name, leaf in record["leaves"].items()}


def read(path: Place) -> dict[str, Any]:
    """The record of the step at `path`. Damaged where it is; BadInput for a newer format."""
    record = read_json(path, "record")
    if not isinstance(record, dict) or record.get("seal") != seal(record):
        raise Damaged("record differs from its seal")
    if (newer := record.get("format", FORMAT)) != FORMAT:
        raise BadInput(f"{path} has format {newer}, not {FORMAT}; update rnn_jax")
    record = {"format": FORMAT, **record}
    if not all(isinstance(record.get(name, ""), kind) for name, kind in _KINDS.items()):
        raise Damaged("record lacks what a record has")
    if not all(map(_is_leaf, record["leaves"].values())):
        raise Damaged("record has leaves that are none")
    return record


def rank(metric: float | None) -> float:
    """What steps are ordered by: no metric and NaN come last."""
    return math.inf if metric is None or math.isnan(metric) else metric


def check_shapes(
    leaves: Mapping[str, Any], host: Mapping[str, jax.ShapeDtypeStruct], *, part: bool
) -> None:
    """Damaged unless a record's leaves are those of `host`, or, with `part`, have them."""
    for name, leaf in host.items():
        if name not in leaves:
            raise Damaged(f"{name} is missing")
        saved = f"{leaves[name]['dtype']}{leaves[name]['shape']}"
        if saved != (asked := f"{leaf.dtype}{list(leaf.shape)}"):
            raise Damaged(f"{name} is {saved}, not {asked}")
    if not part and (more := leaves.keys() - host.keys()):
        raise Damaged(f"{min(more)} has no place in the state")


def _is_leaf(leaf: Any) -> bool:
    return (
        isinstance(leaf, dict)
        and isinstance(leaf.get("dtype"), str)
        and isinstance(leaf.get("shape"), list)
        and isinstance(leaf.get("digest"), str)
    )
