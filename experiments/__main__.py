"""List the experiments: ``python -m experiments``."""

import ast
import functools
import pkgutil
import sys
from pathlib import Path
from typing import NamedTuple

import experiments
from experiments.cli import guard, nearest
from rnn_jax.errors import BadInput

NOT_STARTED = {"cli"}  # modules of this folder that are no command


class Command(NamedTuple):
    """What can be started: its name, its docstring's first line, and whether it is an experiment.

    An experiment has a ``run``; a tool (it works on finished runs) has a ``main`` alone.
    """

    name: str
    summary: str
    is_experiment: bool


@functools.cache  # to read all sources takes a tenth of a second, and a sweep asks at each trial
def commands() -> tuple[Command, ...]:
    """Every module here that says what it is, read from its source and never imported."""
    found = (_command(module.name) for module in pkgutil.iter_modules(experiments.__path__))
    return tuple(command for command in found if command is not None)


def _command(name: str) -> Command | None:
    for folder in map(Path, experiments.__path__):
        for path in (folder / f"{name}.py", folder / name / "__init__.py"):
            if path.is_file() and not name.startswith("_") and name not in NOT_STARTED:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                docstring = ast.get_docstring(tree)
                functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
                if docstring and "main" in functions:
                    return Command(name, docstring.splitlines()[0], "run" in functions)
    return None


def listing() -> str:
    """One line a command, experiments first, then the tools."""
    found = commands()
    width = max((len(command.name) for command in found), default=0)
    lines = ["experiments (python -m experiments.NAME --help):"]
    lines += [f"  {name:{width}}  {says}" for name, says, experiment in found if experiment]
    lines += ["tools:"]
    lines += [f"  {name:{width}}  {says}" for name, says, experiment in found if not experiment]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the list; a name after ``experiments`` is answered with the command that starts it."""
    arguments = sys.argv[1:] if argv is None else argv
    return guard(lambda: _answer(arguments))


def _answer(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing())
        return
    name, known = arguments[0], [command.name for command in commands()]
    if name in known:
        raise BadInput(f"start it with a dot: python -m experiments.{' '.join(arguments)}")
    raise BadInput(
        f"no experiment {name}; nearest: {nearest(name, known)} (python -m experiments lists all)"
    )


if __name__ == "__main__":
    sys.exit(main())
