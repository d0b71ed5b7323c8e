"""What a run has left of its way: rows, and digests of every step that it saved; two compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.run import checkpoints, leaves, places
from rnn_jax.run.records import read_rows
from rnn_jax.run.storage import Damaged

Digests = dict[int, dict[str, str]]


class Difference(NamedTuple):
    """The first step at which two histories differ, and what of it does, the first name first.

    before: the last step before it that both have, and there they are equal; None without one.
    """

    step: int
    names: list[str]
    before: int | None


def digests(folder: Path) -> Digests:
    """{step: {path: digest}} of the states that the run saved, also those no longer kept."""
    found = {}
    for row in read_rows(folder / "digests.jsonl"):
        if isinstance(row.get("leaves"), dict):
            found[row["step"]] = row["leaves"]
    place = places.find(folder)
    for step in checkpoints.steps(place):
        if step not in found:
            try:
                found[step] = leaves.digests(leaves.read(checkpoints.path(place, step)))
            except Damaged:
                continue
    return found


def rows(folder: Path) -> dict[int, dict[str, Any]]:
    """{step: what was logged} of metrics.jsonl."""
    return {row["step"]: row for row in read_rows(folder / "metrics.jsonl")}


def first_difference(
    one: Mapping[int, dict], other: Mapping[int, dict], *, whole: bool
) -> Difference | None:
    """Where two {step: {name: value}} begin to differ among the steps that both have.

    whole: a name that only one of them has at a step is a difference too; so it is of digests, but
    not of rows, for intervals may differ.
    """
    before = None
    for step in sorted(one.keys() & other.keys()):
        a, b = one[step], other[step]
        names = [name for name in {**a, **b} if whole or (name in a and name in b)]
        if names := [name for name in names if a.get(name) != b.get(name)]:
            return Difference(step, names, before)
        before = step
    return None
