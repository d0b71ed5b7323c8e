"""The house's rules, read from the source: who imports whom, who may say what, how long it is."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

# A file imports only from floors below its own. A folder stands for all of its files, which may
# import each other. Names without a file yet keep their place.
FLOORS = (
    {"errors", "affine", "plain", "native", "ordered", "link", "descent"},
    {"tables", "urls"},
    {"rendezvous", "cells", "layers", "losses", "plots", "digest", "progress", "data", "graphs"},
    {"bptt", "scores", "initial", "vision"},
    {"unroll", "windows", "ngrams", "byhand"},
    {"tasks"},
    {"models"},
    {"objective", "diagnose", "mixtures"},
    {"train", "decode", "evaluate", "pace", "truncation"},
    {"run", "parallel", "distributed", "segments", "sparse", "drawings", "trouble", "estimators"},
    {"recipe"},
    {"fit"},
    {"together"},
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}

LIBRARY = sorted((ROOT / "rnn_jax").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))
LONGEST_FUNCTION, LONGEST_FILE = 40, 250


def show(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=show)


def imported(source: str, package: str) -> Iterator[str]:
    """Dotted names of all that a module in `package` imports, at any depth, `from` included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *([node.module] * bool(node.module))])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> set[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return set(imported(path.read_text(encoding="utf-8"), package))


def room(path: Path) -> str:
    """The name under which a file of rnn_jax stands in FLOORS; empty for rnn_jax/__init__.py."""
    first = path.relative_to(ROOT / "rnn_jax").parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def rises(name: str, imports: set[str]) -> list[str]:
    """The rooms of rnn_jax that room `name` imports and that are not below it."""
    rooms = {i.split(".")[1] for i in imports if i.startswith("rnn_jax.")}
    return sorted(r for r in rooms - {name} if FLOOR.get(r, len(FLOORS)) >= FLOOR[name])


def test_the_reader_of_imports_sees_every_form():
    source = (
        "import rnn_jax.run\nfrom rnn_jax import fit\nfrom rnn_jax.data.text import load\n"
        "def f():\n    from . import sibling\n    from .near import x\n    from ..train import y\n"
    )
    assert set(imported(source, "rnn_jax.cells")) == {
        "rnn_jax.run",
        "rnn_jax.fit",
        "rnn_jax.data.text.load",
        "rnn_jax.cells.sibling",
        "rnn_jax.cells.near.x",
        "rnn_jax.train.y",
    }


def test_an_import_upwards_or_sideways_is_seen():
    assert rises("cells", {"rnn_jax.errors.BadInput", "rnn_jax.cells.core", "jax"}) == []
    assert rises("cells", {"rnn_jax.unroll.unroll", "rnn_jax.layers", "rnn_jax.new"}) == [
        "layers",
        "new",
        "unroll",
    ]


@each(LIBRARY)
def test_a_file_imports_only_from_floors_below(path):
    if not room(path):
        assert not imports_of(path), "rnn_jax itself imports nothing, so that its errors are cheap"
        return
    assert room(path) in FLOOR, f"say in FLOORS where {show(path)} stands"
    assert rises(room(path), imports_of(path)) == []
    assert not any(name.startswith("experiments") for name in imports_of(path))


@each(LIBRARY + EXPERIMENTS)
def test_only_parallel_says_pmap_and_only_run_calls_orbax(path):
    names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
    attributes = {
        n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)
    }
    library_room = room(path) if path in LIBRARY else "experiments"
    modules = imports_of(path)
    says_pmap = "pmap" in names | attributes or any(m.endswith(".pmap") for m in modules)
    assert not says_pmap or library_room == "parallel"
    stores = any(m.startswith(("orbax", "tensorstore")) for m in modules)
    assert not stores or library_room == "run"


@each(LIBRARY)
def test_the_library_needs_no_more_than_requirements_txt(path):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    given = {Requirement(line).name.removesuffix("-checkpoint") for line in lines}
    outside = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names)
    # tensorstore is Orbax's own reader and comes with it.
    assert outside <= given | {"rnn_jax", "tensorstore"}


def lines_of_code(node):
    """Lines of a function without its docstring, which may be as long as it has to say."""
    first = node.body[0]
    said = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
    return node.end_lineno - node.lineno + 1 - said


@each(LIBRARY + EXPERIMENTS)
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    too_long = {
        node.name: lines_of_code(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, functions) and lines_of_code(node) > LONGEST_FUNCTION
    }
    assert not too_long
    assert len(source.splitlines()) <= LONGEST_FILE
    assert not re.search(r"utils?\.py$", path.name), "a helper lives beside its user, or has a name"


def test_the_command_line_and_the_errors_import_no_jax():
    heavy = "{'jax', 'flax', 'optax', 'orbax', 'datasets', 'numpy', 'matplotlib'}"
    lines = f"import sys, rnn_jax.errors, experiments.cli, experiments.sample; H = {heavy}"
    told = subprocess.run(
        [sys.executable, "-c", f"{lines}; print(sorted(H & set(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[]"
