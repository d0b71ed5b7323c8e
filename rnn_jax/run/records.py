"""The files of a run that grow: metrics.jsonl (a row a step) and samples.txt (blocks of text)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.plain import plain


class Sample(NamedTuple):
    """A text the model wrote at a step, under a header of one line."""

    step: int
    header: str
    text: str


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces a file in one move: a reader, or a crash, meets the old one or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def row_line(row: dict[str, Any]) -> str:
    """One row of metrics.jsonl; numbers in full precision."""
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl by their steps, each step once.

    What no run has written, and a line that a crash left half written, is passed over.
    """
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_row(row):
            rows.setdefault(row["step"], row)
    return [rows[step] for step in sorted(rows)]


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return False
    numbers = [row.get(name) for name in ("loss", "gradient_norm", "valid", "error")]
    return all(isinstance(number, int | float | None) for number in numbers)


def keep_rows(path: Path, last: int) -> list[dict[str, Any]]:
    """Drops the rows of steps after ``last``, and half a row; returns the rows that stay."""
    rows = [row for row in read_rows(path) if row["step"] <= last]
    _rewrite(path, "".join(map(row_line, rows)).encode())
    return rows


# The length in the header says where a block ends, so a text may hold anything, headers too.
_HEADER = re.compile(rb"--- step (\d{1,18}), (\d{1,18}) bytes: ([^\n]*)\n")
_GAP = b"\n\n"


def sample_block(sample: Sample) -> bytes:
    """One block of samples.txt: ``--- step 500, 312 bytes: header``, the text, an empty line."""
    text = sample.text.encode("utf-8", "replace")
    header = " ".join(sample.header.split())
    return f"--- step {sample.step}, {len(text)} bytes: {header}\n".encode() + text + _GAP


def read_samples(path: Path) -> list[Sample]:
    """The samples of samples.txt; a block that a crash left half written is passed over."""
    data, at, samples = path.read_bytes() if path.exists() else b"", 0, []
    while found := _HEADER.match(data, at):
        end = found.end() + int(found[2])
        if data[end : end + len(_GAP)] != _GAP:
            break
        header, text = found[3], data[found.end() : end]
        samples.append(Sample(int(found[1]), *(t.decode(errors="replace") for t in (header, text))))
        at = end + len(_GAP)
    return samples


def keep_samples(path: Path, last: int) -> None:
    """Drops the samples of steps after ``last``, and half a block."""
    kept = [sample for sample in read_samples(path) if sample.step <= last]
    _rewrite(path, b"".join(map(sample_block, kept)))


def _rewrite(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() != data:
        write_atomically(path, data)
