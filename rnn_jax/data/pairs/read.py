"""Pairs from files: two that are aligned by line, or a translation's catalogue."""

from __future__ import annotations

import gettext
from collections.abc import Iterable, Sequence

from rnn_jax.data.extras import folders
from rnn_jax.data.pairs.core import Pair
from rnn_jax.data.tables import read_lines, read_table
from rnn_jax.errors import BadInput

_PACK = "jupyterlab_language_pack_fr_FR"


def aligned(source: str, target: str, flag: str) -> list[Pair]:
    """Line n of one file with line n of the other, UTF-8, also .gz.

    BadInput where a file cannot be read, or they have different numbers of lines; flag: with which
    they were given.
    """
    ours, theirs = (read_lines(name, flag) for name in (source, target))
    if len(ours) != len(theirs):
        raise BadInput(
            f"{source} has {len(ours)} lines and {target} has {len(theirs)}: line n of one has to "
            "be line n of the other; give files that are aligned"
        )
    if not ours:
        raise BadInput(f"{source} and {target} are empty: give {flag} a sentence a line")
    return list(map(Pair, ours, theirs))


def columns(entry: str, source: str, target: str, flag: str) -> list[Pair]:
    """Two columns of a table or a data set of the hub; BadInput lists the columns that it has."""
    table = read_table(entry, flag)
    ours = table.column([source], "--source")
    theirs = table.column([target], "--target")
    for name, values in ((source, ours), (target, theirs)):
        row = next((i for i, value in enumerate(values, 1) if not isinstance(value, str)), None)
        if row:
            raise BadInput(f"{entry}, row {row}: column {name!r} is no text: choose another")
    return list(map(Pair, ours, theirs))


def french() -> list[Pair]:
    """English and French, the words on the screen of JupyterLab; no pair twice.

    BadInput where the package is not installed. It is found without being imported.
    """
    found = folders(_PACK)
    if not found:
        raise BadInput(
            "--data french is in a package: pip install jupyterlab-language-pack-fr-FR, or give "
            "two files"
        )
    pairs: dict[tuple[str, str], Pair] = {}
    for folder in found:
        for path in sorted(folder.rglob("*.mo")):
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog
            for english, translated in catalogue.items():
                if isinstance(english, str) and english and translated.strip():
                    words = english.rpartition("\4")[2]  # what stands before it is its context
                    pair = Pair(" ".join(words.split()), " ".join(translated.split()))
                    pairs[pair[:2]] = pair
    return list(pairs.values())


def checked(
    pairs: Sequence[Pair],
    sizes: Iterable[tuple[int, int]],
    longest: int,
    name: str,
    *,
    skip: bool = False,
) -> list[Pair]:
    """The pairs that can be learned from; sizes: symbols of source and target of each.

    BadInput for the first that is empty or longer than `longest`, with its line; with `skip` they
    are left out, and it is BadInput only where none is left.
    """
    kept = []
    for row, (pair, both) in enumerate(zip(pairs, sizes, strict=True), start=1):
        if 0 < min(both) and max(both) <= longest:
            kept.append(pair)
            continue
        if not skip:
            empty = min(both) == 0
            side = ("source", "target")[both.index(0 if empty else max(both))]
            told = "is empty: fill it" if empty else f"has {max(both)} symbols: --longest allows it"
            raise BadInput(
                f"{name}, line {row}: the {side} {told}, or leave such pairs out: --skip"
            )
    if not kept:
        raise BadInput(f"{name}: --longest {longest} leaves none of {len(pairs)} pairs: raise it")
    return kept
