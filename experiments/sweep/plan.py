"""What is to be run: an ablation, its variants and seeds, every setting checked beforehand."""

import dataclasses
import hashlib
import importlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, get_origin, get_type_hints

from experiments import cli
from experiments.cli.settings import flag
from rnn_jax.errors import BadInput

_NO_AXIS = ("seed", "out", "quick")  # the plan gives these itself
_LONGEST = 60  # characters of a variant in a file's name


class Ablation(NamedTuple):
    """Named lists of `dataclasses.replace` changes over one experiment's Config.

    variants: {name: {field: value}}, the first of which the others are compared with; base: the
    changes that all of them share.
    """

    experiment: str
    variants: Mapping[str, Mapping[str, Any]]
    base: Mapping[str, Any] = {}


class Trial(NamedTuple):
    """One variant with one seed; name: of its files; config: with its own folder as ``out``."""

    name: str
    variant: str
    seed: int
    config: Any


def grid(**axes: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Every combination of the fields' values, named such as ``cell=gru bptt=50``."""
    values = [[(field, value) for value in those] for field, those in axes.items()]
    return {
        " ".join(f"{field}={value}" for field, value in one): dict(one)
        for one in itertools.product(*values)
        if one
    }


def module_of(experiment: str) -> ModuleType:
    """The experiment's module; BadInput where there is none."""
    from experiments.__main__ import commands

    known = [command.name for command in commands() if command.is_experiment]
    if experiment not in known:
        near = cli.nearest(experiment, known)
        raise BadInput(f"no experiment {experiment}; nearest: {near} (python -m experiments)")
    return importlib.import_module(f"experiments.{experiment}")


def read_change(module: ModuleType, written: str, option: str) -> tuple[str, list[Any]]:
    """``FIELD=A,B`` as the field and its values; of a field of several values one, of all of them.

    BadInput where the field or a value is none of the experiment's.
    """
    field, equals, text = written.partition("=")
    field = field.replace("-", "_")
    if not equals:
        raise BadInput(f"{option} {written}: write FIELD=VALUE")
    _check_fields(module, [field])
    kind = get_type_hints(module.Config)[field]
    texts = text.split(",") if text else []
    if get_origin(kind) is tuple:
        return field, [_value(module, field, texts)]
    return field, [_value(module, field, [one]) for one in texts]


def _value(module: ModuleType, field: str, texts: list[str]) -> Any:
    """A field's value from the command line, as the experiment's own flag would read it."""
    kind = get_type_hints(module.Config)[field]
    if kind is bool and texts[0].lower() in ("true", "false"):
        return texts[0].lower() == "true"
    argv = [flag(field), *texts] if get_origin(kind) is tuple else [f"{flag(field)}={texts[0]}"]
    name = module.__name__
    return getattr(cli.parse(module.Config, argv, name, name, module.Config()), field)


def _check_fields(module: ModuleType, fields: Iterable[str]) -> None:
    known = [field.name for field in dataclasses.fields(module.Config)]
    experiment = module.__name__.rpartition(".")[2]
    for field in fields:
        if field not in known:
            near = cli.nearest(field, known)
            raise BadInput(f"{experiment} has no field {field}; nearest: {near}")
        if field in _NO_AXIS:
            raise BadInput(f"{field} is given by --{field} (of seeds, also --seeds), not changed")


def plan(
    ablation: Ablation, seeds: Sequence[int], out: Path, *, quick: bool = False
) -> list[Trial]:
    """A trial for every variant and seed, variants first; BadInput before anything is written.

    quick: from what the experiment's --quick replaces.
    """
    module = module_of(ablation.experiment)
    if not ablation.variants or not seeds:
        raise BadInput("the grid has no cells; name at least one variant and one seed")
    _check_fields(module, itertools.chain(ablation.base, *ablation.variants.values()))
    names, trials = _file_names(ablation.variants), []
    for variant, change in ablation.variants.items():
        config = _config(module, {**ablation.base, **change}, quick=quick)
        for seed in seeds:
            name = f"{names[variant]}-{seed}"
            own = dataclasses.replace(config, seed=seed, out=str(out / "runs" / name))
            trials.append(Trial(name, variant, seed, own))
    return trials


def _config(module: ModuleType, change: Mapping[str, Any], *, quick: bool) -> Any:
    """The defaults with a change, of which a preset comes first, as on the command line."""
    preset = getattr(module, "PRESETS", {}).get(change.get("preset"), {})
    least = {**module.QUICK, "quick": True} if quick else {}
    return dataclasses.replace(module.Config(), **{**preset, **least, **change})


def _file_names(variants: Iterable[str]) -> dict[str, str]:
    """A file's name for each; where that cannot show it whole it ends in a digest."""
    names = {}
    for variant in variants:
        safe = re.sub(r"[^a-z0-9=.+-]+", "_", variant.lower())[:_LONGEST]
        whole = safe == variant.replace(" ", "_")
        digest = hashlib.sha256(variant.encode()).hexdigest()[:8]
        names[variant] = safe if whole else f"{safe}~{digest}"
    return names
