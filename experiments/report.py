"""Runs as one HTML page: what differs, results, curves, tables, samples, pictures, environment.

    python -m experiments.report runs/char_lm runs/char_lm-cell=gru
    python -m experiments.report runs/ablate-cells --out cells.html

A folder that holds several runs (an ablation, a ladder) gives all of them, with the tables and
pictures beside them. The page is one file: no script, nothing fetched, and it prints. Where it lies
goes to stdout.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from experiments import cli
from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which runs, and where the page goes."""

    runs: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """a run's folder, or one with several runs"""
    more: tuple[str, ...] = ()
    """further folders; they may also follow the first without the flag"""
    title: str = ""
    """of the page; if empty the folders' names"""
    out: str = "report.html"
    """the page's file"""


def arguments(argv: Sequence[str]) -> list[str]:
    """The folders after the first as --more, so that they need no flag."""
    first = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    folders, rest = list(argv[:first]), list(argv[first:])
    return [*folders[:1], *(["--more", *folders[1:]] if folders[1:] else []), *rest]


def write(options: Options) -> Path:
    """Read everything, then write the page in one move."""
    from experiments.page import html, material
    from experiments.page.curves import curves

    given = [options.runs, *options.more]
    target = Path(options.out)
    if target.is_dir():
        raise BadInput(f"--out {target} is a folder; name a file, such as report.html")
    paths = material.folders(given)
    runs = material.read(paths)
    title = options.title or ", ".join(Path(name).resolve().name for name in given)
    page = html.page(runs, material.beside(given, paths), title, curves(runs))
    part = target.with_name(target.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        raise BadInput(f"--out {target}: cannot write: {error.strerror or error}") from error
    return target


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and write; the exit status."""
    given = arguments(sys.argv[1:] if argv is None else argv)

    def action() -> None:
        options = cli.parse(Options, given, "experiments.report", __doc__)
        if options is not None:
            print(write(options))

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
