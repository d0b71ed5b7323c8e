"""Flags to a frozen dataclass; tyro writes the help.

It could read the values as well, but takes a tenth of a second to, and its errors are boxes of many
lines; ours are one line that names the flag and the mend.
"""

import contextlib
import dataclasses
import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from experiments.cli.settings import flag, gathered
from rnn_jax.errors import BadInput

Options = TypeVar("Options")

_NAMES = {int: "an integer", float: "a number", str: "a text", types.NoneType: "None"}


class _Given(NamedTuple):
    """A flag as it was written, the field it sets, that field's type, and its values."""

    written: str
    field: str
    kind: Any
    values: list[str]

    def room(self) -> bool:
        """Whether another value may follow."""
        if get_origin(self.kind) is tuple:
            return True
        return self.kind is not bool and not self.values

    def lacks(self) -> bool:
        """Whether a value has to follow."""
        return self.kind is not bool and not self.values

    def value(self) -> Any:
        """What the field is to hold; ValueError for what is none of its type."""
        if self.kind is bool:
            if self.values:
                raise ValueError
            return self.written != _negated(self.field)
        if get_origin(self.kind) is tuple:
            each, *more = get_args(self.kind)
            if more != [...]:
                raise TypeError(f"{self.field}: a tuple may hold any number: tuple[{each}, ...]")
            return tuple(_value(each, text) for text in self.values)
        return _value(self.kind, self.values[0])


def parse(
    config_class: type[Options],
    argv: Sequence[str],
    module: str,
    about: str,
    default: Options | None = None,
) -> Options | None:
    """The dataclass that the flags describe, or None where they asked for help (on stdout).

    ``--name value`` or ``--name=value``, hyphens or underscores, ``--flag`` and ``--no-flag`` for
    a bool, several values for a tuple. ``default`` gives the values of flags that are not there;
    without it a field that has no value of its own is an argument without a flag, and is asked
    for. BadInput for anything else.
    """
    if any(token in ("-h", "--help") for token in argv):
        _help(config_class, module, about, default)
        return None
    bare = [f.name for f in dataclasses.fields(config_class) if _asked_for(f) and default is None]
    given = _merged(_read(config_class, argv, bare))
    missing = [name for name in bare if name not in {one.field for one in given}]
    if missing:
        raise BadInput(f"{missing[0].upper()} is missing (see --help)")
    values = {one.field: _checked(one) for one in given}
    options = config_class(**values) if default is None else dataclasses.replace(default, **values)
    _check_local(getattr(options, "out", ""))
    return options


def _checked(given: _Given) -> Any:
    try:
        return given.value()
    except ValueError:
        shown = " ".join([given.written, *given.values]).strip()
        expected = "no value" if given.kind is bool else _expected(given.kind)
        raise BadInput(f"{shown}: expected {expected} (see --help)") from None


def _value(kind: Any, text: str) -> Any:
    """The text as one of this type; ValueError where it is none."""
    if get_origin(kind) in (Union, types.UnionType):
        # None first: as a str "None" would be read, too.
        for one in sorted(get_args(kind), key=lambda one: one is not types.NoneType):
            with contextlib.suppress(ValueError):
                return _value(one, text)
        raise ValueError
    chosen = {types.NoneType: (None,), bool: (False, True)}.get(kind, ())
    if get_origin(kind) is Literal:
        chosen = get_args(kind)
    if chosen:
        choices = {str(choice): choice for choice in chosen}
        if text not in choices:
            raise ValueError
        return choices[text]
    if kind not in (int, float, str):
        raise TypeError(f"no flag can be of type {kind}: see the types in `_value`")
    return kind(text)


def _check_local(out: str) -> None:
    if "://" in out:
        raise BadInput(
            f"--out {out}: a run is written where files grow and are locked, in a folder of this"
            " machine; name one, and the bucket as --checkpoints where there is that flag"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like this one."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, word, other).ratio())


def _help(config_class: type, module: str, about: str, default: Any) -> None:
    import tyro

    given = {} if default is None else {"default": default}
    with contextlib.suppress(SystemExit):
        tyro.cli(
            config_class, args=["--help"], prog=f"python -m {module}", description=about, **given
        )


def _asked_for(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fields_by_flag(config_class: type) -> dict[str, str]:
    """Every flag there is, and the field that it sets."""
    kinds = get_type_hints(config_class)
    fields = {flag(f.name): f.name for f in dataclasses.fields(config_class)}
    negated = {_negated(name): name for name in fields.values() if kinds[name] is bool}
    return {**fields, **negated, **gathered(config_class, "ALIASES")}


def _negated(field: str) -> str:
    return "--no-" + flag(field).removeprefix("--")


def _read(config_class: type, argv: Sequence[str], bare: list[str]) -> list[_Given]:
    """The command line cut at its flags; ``bare`` names the fields set by what has no flag."""
    kinds, bare = get_type_hints(config_class), list(bare)
    fields = {f: name for f, name in _fields_by_flag(config_class).items() if name not in bare}
    given: list[_Given] = []
    for token in argv:
        last = given[-1] if given else None
        if last and last.room() and not token.startswith("--"):
            last.values.append(token)
        elif token.startswith("-"):
            if last:
                _check_value(last)
            written, equals, value = token.partition("=")
            name = written.replace("_", "-")
            if name not in fields:
                near = nearest(name, fields)
                raise BadInput(f"unknown flag {written}; nearest: {near} (see --help)")
            values = [value] if equals else []
            given.append(_Given(name, fields[name], kinds[fields[name]], values))
        elif bare:
            name = bare.pop(0)
            given.append(_Given("", name, kinds[name], [token]))
        else:
            raise BadInput(f"unexpected {token!r}: flags are --name value (see --help)")
    if given:
        _check_value(given[-1])
    return given


def _check_value(given: _Given) -> None:
    if given.lacks():
        hint = "" if given.kind is not str else f"; if it begins with --, {given.written}=VALUE"
        raise BadInput(
            f"{given.written}: expected {_expected(given.kind)} after it{hint} (see --help)"
        )


def _merged(given: list[_Given]) -> list[_Given]:
    """One entry a field: the last that was said, except that tuples grow."""
    merged: dict[str, _Given] = {}
    for one in given:
        before = merged.get(one.field)
        if before and get_origin(one.kind) is tuple:
            one = one._replace(values=before.values + one.values)
        merged[one.field] = one
    return list(merged.values())


def _expected(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return _expected(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(_expected, get_args(kind)))
    return _NAMES.get(kind, str(kind))
