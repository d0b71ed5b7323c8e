"""Flags to a frozen dataclass. tyro reads the values and writes the help; the errors are ours.

tyro's errors are boxes of many lines; ours are one line that names the flag and the mend.
"""

import contextlib
import dataclasses
import difflib
import io
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

    def arguments(self) -> list[str]:
        """The same for tyro."""
        if not self.written:
            return self.values
        if self.kind is bool:
            return [self.written, *self.values]
        if get_origin(self.kind) is tuple:
            return [flag(self.field), *self.values]
        return [f"{flag(self.field)}={self.values[0]}"]  # so a value may begin with a hyphen


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
        _tyro(config_class, ["--help"], module, about, default)
        return None
    bare = [f.name for f in dataclasses.fields(config_class) if _asked_for(f) and default is None]
    given = _merged(_read(config_class, argv, bare))
    missing = [name for name in bare if name not in {one.field for one in given}]
    if missing:
        raise BadInput(f"{missing[0].upper()} is missing (see --help)")
    given.sort(key=lambda one: bool(one.written))  # those without a flag first
    arguments = [argument for one in given for argument in one.arguments()]
    options = _tyro(config_class, arguments, module, about, default, quiet=True)
    if options is not None:
        _check_local(getattr(options, "out", ""))
        return options
    fixed = [argument for one in given if not one.written for argument in one.arguments()]
    for one in given:
        alone = one.arguments() if one.written else []
        if _tyro(config_class, [*fixed, *alone], module, about, default, quiet=True) is None:
            shown = " ".join([one.written, *one.values]).strip()
            expected = "no value" if one.kind is bool else _expected(one.kind)
            raise BadInput(f"{shown}: expected {expected} (see --help)")
    raise BadInput("these flags cannot be read together (see --help)")


def _check_local(out: str) -> None:
    if "://" in out:
        raise BadInput(
            f"--out {out}: a run is written where files grow and are locked, in a folder of this"
            " machine; name one, and the bucket as --checkpoints where there is that flag"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like this one."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, word, other).ratio())


def _tyro(
    config_class: type[Options],
    arguments: list[str],
    module: str,
    about: str,
    default: Options | None,
    *,
    quiet: bool = False,
) -> Options | None:
    """What tyro makes of the arguments; None where it printed help or could not read them."""
    import tyro

    given = {} if default is None else {"default": default}
    hush = contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext()
    try:
        with hush:  # console_outputs=False would still let a value's error through
            return tyro.cli(
                config_class,
                args=arguments,
                prog=f"python -m {module}",
                description=about,
                **given,
            )
    except SystemExit:
        return None


def _asked_for(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fields_by_flag(config_class: type) -> dict[str, str]:
    """Every flag there is, and the field that it sets."""
    kinds = get_type_hints(config_class)
    fields = {flag(f.name): f.name for f in dataclasses.fields(config_class)}
    negated = {f"--no-{f[2:]}": name for f, name in fields.items() if kinds[name] is bool}
    return {**fields, **negated, **gathered(config_class, "ALIASES")}


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
