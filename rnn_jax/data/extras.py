"""Packages that only some settings need, imported when they are used."""

import importlib
from types import ModuleType

from rnn_jax.errors import BadInput


def extra(module: str, setting: str, install: str) -> ModuleType:
    """The module; BadInput that names the setting and what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise BadInput(f"{setting} needs the package {module}: pip install {install}") from None
