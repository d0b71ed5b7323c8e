"""The command line of every experiment: settings, flags, the run's folder, one line of JSON.

Nothing here imports JAX, so that ``--help`` and a mistyped flag are answered at once. An
experiment is a file with a docstring, a ``Config``, a ``QUICK`` (what ``--quick`` replaces) and a
``run`` that imports inside itself what needs JAX; its last lines are

    def main(argv: list[str] | None = None) -> int:
        return cli.main(__file__, Config, run, QUICK, argv)
"""

from experiments.cli.command import guard, main, result_line
from experiments.cli.flags import nearest, parse
from experiments.cli.settings import (
    CommonSettings,
    LanguageSettings,
    RecurrentSettings,
    Settings,
    TextSettings,
    check_ranges,
    folder,
    identity,
)

__all__ = [
    "CommonSettings",
    "LanguageSettings",
    "RecurrentSettings",
    "Settings",
    "TextSettings",
    "check_ranges",
    "folder",
    "guard",
    "identity",
    "main",
    "nearest",
    "parse",
    "result_line",
]
