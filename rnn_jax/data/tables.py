"""Rows with named columns, from a file or a data set of the hub."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from rnn_jax.data.files import decode, read_file
from rnn_jax.data.hub import load
from rnn_jax.errors import BadInput

SEPARATED = {".csv": ",", ".tsv": "\t"}
COLUMNAR = (".parquet", ".json", ".jsonl")


class Table(NamedTuple):
    """columns: each with a value a row; of a CSV or TSV file they are texts. name: for people."""

    name: str
    columns: Mapping[str, Sequence[Any]]

    def column(self, names: Sequence[str], flag: str) -> Sequence[Any]:
        """The first of these columns that is there; BadInput lists those that are."""
        found = next((name for name in names if name in self.columns), None)
        if found is None:
            told = " or ".join(map(repr, names))
            has = ", ".join(self.columns)
            raise BadInput(f"{self.name} has no column {told}: choose {flag} from {has}")
        return self.columns[found]


def read_table(entry: str, flag: str) -> Table:
    """A file with a header (.csv, .tsv, both also .gz), .parquet, .json, .jsonl; or ``hub:NAME``.

    A TSV has no quotes (GLUE's form); hub entries are those of `hub.load`. BadInput names the file
    and the row, and `flag`, with which it was given.
    """
    suffix = Path(entry.removesuffix(".gz")).suffix.lower()
    if entry.startswith("hub:") or suffix in COLUMNAR:
        rows = load(entry, flag)
        table = Table(entry, {name: rows[name] for name in rows.column_names})
    elif suffix in SEPARATED:
        table = _separated(entry, decode(entry, read_file(entry, flag), "convert it to UTF-8"))
    else:
        ends = ", ".join((*SEPARATED, *COLUMNAR))
        raise BadInput(f"{flag} {entry}: must end in {ends}, or begin with hub:")
    if not table.columns or not len(next(iter(table.columns.values()))):
        raise BadInput(f"{entry} has no rows: give {flag} a file with a header and rows")
    return table


def _separated(name: str, text: str) -> Table:
    """The table of a CSV or TSV text, whose first line names the columns."""
    separator = SEPARATED[Path(name.removesuffix(".gz")).suffix.lower()]
    quotes = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quotes)
    try:
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise BadInput(f"{name}, line {reader.line_num}: {error}: mend the line") from None
    if len(set(header)) < len(header):
        raise BadInput(f"{name} names a column twice ({', '.join(header)}): rename one")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            fields = f"{len(row)} fields, its header {len(header)}"
            raise BadInput(f"{name}, row {number} has {fields}: mend the row")
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return Table(name, dict(zip(header, columns, strict=True)))


def read_lines(name: str, flag: str) -> list[str]:
    """The lines of a UTF-8 text file (also .gz), without their ends."""
    lines = decode(name, read_file(name, flag), "convert it to UTF-8").split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    return lines[:-1] if lines[-1] == "" else lines


def digest(*columns: Sequence[Any]) -> str:
    """xxh3_64 of all values in order: texts, numbers or arrays."""
    state = xxhash.xxh3_64()
    for column in columns:
        for value in column:
            raw = value.tobytes() if isinstance(value, np.ndarray) else str(value).encode()
            state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()
