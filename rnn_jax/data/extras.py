"""Packages that only some settings need: imported when used, their data read without importing."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from rnn_jax.errors import BadInput


def extra(module: str, setting: str, install: str) -> ModuleType:
    """The module; BadInput that names the setting and what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise BadInput(f"{setting} needs the package {module}: pip install {install}") from None


def folders(package: str) -> list[Path] | None:
    """Where an installed package lies; None where it is not installed. It is not imported."""
    found = importlib.util.find_spec(package)
    return [Path(folder) for folder in found.submodule_search_locations or ()] if found else None


def packaged(package: str, inside: str) -> Path | None:
    """A file of an installed package, which may need others and is never imported."""
    paths = [folder / inside for folder in folders(package) or ()]
    return next((path for path in paths if path.is_file()), None)
