"""A user's own sequences: a vector or a picture at every frame, and its label."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnn_jax.data.files import missing
from rnn_jax.data.tables import Table, read_table
from rnn_jax.errors import BadInput


class Sequences(NamedTuple):
    """inputs: of each sequence [T, ...] float32; labels: of each [T], texts; name: their source."""

    name: str
    inputs: list[np.ndarray]
    labels: list[np.ndarray]

    def take(self, rows: np.ndarray) -> "Sequences":
        """Those sequences."""
        return Sequences(self.name, [self.inputs[i] for i in rows], [self.labels[i] for i in rows])

    def lengths(self) -> np.ndarray:
        """Frames of each [N]."""
        return np.array([len(labels) for labels in self.labels])

    def classes(self) -> list[str]:
        """The labels there are, in order."""
        return sorted(set(np.concatenate(self.labels).tolist()))

    def truth(self, known: Sequence[str]) -> list[np.ndarray]:
        """The labels' numbers, of each sequence [T]; BadInput where one is not among `known`."""
        places = {label: number for number, label in enumerate(known)}
        for row, labels in enumerate(self.labels, start=1):
            if strange := [str(label) for label in labels if label not in places]:
                told = f"{self.name}, sequence {row}: the label {strange[0]!r} is none of the"
                known_ones = f"training data's ({', '.join(known[:20])})"
                raise BadInput(f"{told} {known_ones}: mend or leave it out")
        return [np.array([places[label] for label in one], np.int32) for one in self.labels]


def read_sequences(
    entry: str, flag: str, sequence: str, label: str, columns: Sequence[str]
) -> Sequences:
    """An .npz file, or a table (`tables.read_table`) with a row for every frame, in order.

    .npz: ``features`` [N, T, ...] and ``labels`` [N, T], integers, -1 from a sequence's end on.
    Table: column `sequence` tells sequences apart, `label` is the frame's; columns: those that
    are the vector, all others if none. BadInput names the row of what is no number.
    """
    if entry.lower().endswith(".npz"):
        return _arrays(entry, flag)
    table = read_table(entry, flag)
    names = table.column((sequence,), "--sequence")
    labels = np.array([str(value) for value in table.column((label,), "--label")])
    taken = columns or [name for name in table.columns if name not in (sequence, label)]
    if not taken:
        raise BadInput(f"{entry} has no columns besides {sequence} and {label}: add the features")
    vectors = np.stack([_numbers(table, name) for name in taken], axis=1)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(str(name), []).append(row)
    places = [np.array(each) for each in rows.values()]
    return Sequences(entry, [vectors[p] for p in places], [labels[p] for p in places])


def _numbers(table: Table, name: str) -> np.ndarray:
    """A column as float32 [N]."""
    column = table.column((name,), "--columns")
    for row, value in enumerate(column, start=1):
        try:
            fits = np.isfinite(float(value))
        except (TypeError, ValueError):
            fits = False
        if not fits:
            told = f"{table.name}, row {row}: {name} is {str(value)[:40]!r}, no finite number"
            raise BadInput(f"{told}; mend it, or name the columns to read with --columns")
    return np.array([float(value) for value in column], np.float32)


def _arrays(entry: str, flag: str) -> Sequences:
    if not Path(entry).is_file():
        raise missing(entry, flag)
    try:
        with np.load(entry, allow_pickle=False) as file:
            features, labels = file["features"], file["labels"]
    except (KeyError, ValueError, OSError, EOFError) as error:
        told = " ".join(str(error).split())[:100]
        raise BadInput(
            f"{entry} needs the arrays features and labels ({told}): save both"
        ) from None
    if features.ndim < 3 or features.shape[:2] != labels.shape or labels.dtype.kind not in "iu":
        told = f"features {list(features.shape)}, labels {labels.dtype} {list(labels.shape)}"
        raise BadInput(f"{entry} has {told}: they must be [N, T, ...] and integers [N, T]")
    if not np.isfinite(features := features.astype(np.float32)).all():
        row = int(np.argwhere(~np.isfinite(features))[0][0]) + 1
        raise BadInput(f"{entry}, sequence {row} has a number that is not finite: mend it")
    lengths = np.where((labels < 0).any(1), (labels < 0).argmax(1), labels.shape[1])
    if not lengths.all():
        raise BadInput(f"{entry}, sequence {int(lengths.argmin()) + 1} is empty: leave it out")
    cut = [labels[i, :n].astype(str) for i, n in enumerate(lengths)]
    return Sequences(entry, [features[i, :n] for i, n in enumerate(lengths)], cut)
