"""A run may come from a stranger: what is looked at before anything of it is used.

Nothing that a run's folder holds is executed: JSON, lines of text and arrays are all it has, read
without pickle, and a module is imported only where the user says ``--trust``. What is left is files
that lead elsewhere, and numbers and types that nobody has written; both are refused here.

Where run.json names a bucket's path for the checkpoints (`places.py`), opening the run reads there,
in the name of who opens it, and says so: only gs://, only where owner.json has the run's id, and as
little as a folder's files is any of it trusted. Nothing is written there unless the user's own
command names the path too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnn_jax.errors import BadInput
from rnn_jax.urls import is_url

_LARGEST = 2**31  # of a number that a model is built from
_LAYERS = 1000  # each is built one by one


def check_files(folder: Path) -> None:
    """BadInput where a run's folder holds a link, a pipe or a device: it is written through them.

    The folder itself may be a link. What cannot be listed is left to who opens it.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            try:
                mode = path.lstat().st_mode
            except OSError:
                continue  # gone meanwhile: a run that is being written clears up
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                what = "a link" if stat.S_ISLNK(mode) else "no file"
                raise BadInput(
                    f"{path} is {what}; a run holds files only: put the file itself there"
                )


def check_manifest(path: Path, told: Any) -> None:
    """BadInput unless run.json has the types that it is written with."""
    wrong = [name for name, fits in _FITS.items() if not fits(told.get(name))]
    if wrong:
        raise BadInput(f"{path} is damaged ({wrong[0]}); restore it, or use another --out")


def check_model(folder: Path, told: Mapping[str, Any]) -> None:
    """BadInput for a model that nobody would build, before it is; told: what run.json says."""
    arguments = told["model"].get("arguments", {})
    for name, size in _numbers("arguments", arguments):
        most = _LAYERS if "layers" in name else _LARGEST
        if not -most <= size <= most:
            raise BadInput(f"{folder}: its model has {str(size)[:20]} {name}; at most {most}")
    symbols = told["vocabulary"] and len(told["vocabulary"]["symbols"])
    if symbols is not None and arguments.get("vocabulary", symbols) != symbols:
        raise BadInput(f"{folder}: its vocabulary has {symbols} symbols, its model another number")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, int]]:
    """All integers in JSON, each with the name that is nearest to it."""
    if type(value) is int:
        yield name, value
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _numbers(inner, item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(name, item)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _is_spec(value: Any) -> bool:
    if not (_mapping(value) and _text(value.get("builder"))):
        return False
    return _mapping(value.get("arguments", {}))


def _is_vocabulary(value: Any) -> bool:
    symbols = value.get("symbols") if _mapping(value) else None
    if not (_text(symbols) or _texts(symbols)) or not symbols or not _text(value.get("kind")):
        return False
    if not _text(value.get("model", "")):
        return False
    unknown = value.get("unknown")
    return unknown is None or (type(unknown) is int and 0 <= unknown < len(symbols))


def _is_place(value: Any) -> bool:
    return _mapping(value) and is_url(value.get("url")) and _text(value.get("run"))


def _is_git(value: Any) -> bool:
    return _mapping(value) and _text(value.get("revision")) and isinstance(value.get("dirty"), bool)


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "experiment": _text,
    "config": _mapping,
    "checkpoints": _or_none(_is_place),
    "identity": _texts,
    "data": _mapping,
    "model": _or_none(_is_spec),
    "vocabulary": _or_none(_is_vocabulary),
    "git": _or_none(_is_git),
    "versions": _or_none(_mapping),
    "flags": _or_none(_mapping),
    "resumed": _or_none(_list),
    "weights": lambda value: value in (None, "params", "average"),
}
