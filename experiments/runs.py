"""List the runs below a folder: what each is, whether it still runs, its best score.

    python -m experiments.runs
    python -m experiments.runs --under runs/lab --json

A line a run, those of one experiment together, the best first: its folder, its state (running,
finished: at its last step or where --patience ended it, stopped, new: nothing saved yet, or
damaged), the step it stands at and the step it was told to go to, and the lowest error (where the
task has none, the validation loss in nats a step) with the step at which it was seen. A run that is
stopped goes on by its own command. With --json each line is an object. Runs are only read.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import cli
from rnn_jax.plain import plain, shown

if TYPE_CHECKING:
    from rnn_jax.run.listing import Listed

_HEADS = ("run", "experiment", "state", "step", "best", "at step", "written")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which ones, and how they are told."""

    under: str = "runs"
    """the folder to look through"""
    json: bool = False
    """a JSON object a line, not a table"""


def show(options: Options) -> None:
    """Print a line a run on stdout; what is damaged is explained on stderr."""
    from rnn_jax.run.listing import listing

    found = sorted(listing(Path(options.under)), key=_order)
    if options.json:
        for one in found:
            print(json.dumps(plain(one._asdict()), allow_nan=False))
    else:
        print(table(found, time.time()) if found else f"no runs below {options.under}")
    for one in found:
        if one.why:
            print(shown(f"note: {one.why}"), file=sys.stderr)


def _order(one: "Listed") -> tuple:
    return (one.experiment, one.best is None, one.best or 0.0, str(one.folder))


def table(found: Sequence["Listed"], now: float) -> str:
    """The runs under their heads; now: seconds since 1970."""
    rows = [_HEADS, *(_row(one, now) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def _row(one: "Listed", now: float) -> tuple[str, ...]:
    step = "" if one.step is None else f"{one.step}/{one.steps or '?'}"
    best = "" if one.best is None else f"{one.best:.4f}"
    at = "" if one.at is None else str(one.at)
    written = "" if one.written is None else ago(now - one.written)
    return shown(str(one.folder)), shown(one.experiment), one.state, step, best, at, written


def ago(seconds: float) -> str:
    """``3 h ago``: in the largest unit of which there is one."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and list; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.runs", __doc__, Options())
        if options is not None:
            show(options)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
