"""From the start of a process to its first training step, beyond the import of Python and JAX.

Cold compiles everything; with the compile cache JAX finds its programs on the disk. Every round
starts one process of each; the one that only imports JAX is taken off.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.racing.settings import Job, RaceSettings
from experiments.racing.turns import median, rounded

_LONGEST = 300  # seconds for one process
_COLD = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def jobs(settings: RaceSettings) -> list[Job]:
    """The library alone and `char_lm` with its corpus and first sample, cold and with the cache."""
    return [
        Job(
            "startup",
            f"{what} {cell}, {way}",
            functools.partial(measure, what, cell, way, settings),
        )
        for cell in settings.cells_or("lstm")
        for what in ("library", "char_lm")
        for way in ("cold", "compile cache")
    ]


def measure(what: str, cell: str, way: str, settings: RaceSettings) -> dict[str, Any]:
    """The row: milliseconds to the first step, less those to the end of JAX's import.

    compile_ms: the first step less the second, which is tracing and compiling or fetching it.
    """
    start = _library if what == "library" else _char_lm
    with tempfile.TemporaryDirectory() as folder:
        environment = _COLD if way == "cold" else _cached(folder)
        start(cell, environment)  # fills the caches, the operating system's too
        rounds = [
            (_library("", _COLD), start(cell, environment))
            for _ in range(max(1, settings.turns // 6))
        ]
    beyond = [(found["first step"] - alone["import jax"]) * 1e3 for alone, found in rounds]
    imports = [alone["import jax"] * 1e3 for alone, _ in rounds]
    row = {
        **{"ours_ms": median(beyond), "peers": {}, "turns": len(rounds)},
        **{"import_ms": median(imports), "min_ms": {"ours": rounded(min(beyond))}},
    }
    return row | (_parts([found for _, found in rounds]) if what == "library" else {})


def _parts(marks: list[dict[str, float]]) -> dict[str, Any]:
    """What the time between two marks went into, and how much of the first step was compiling."""
    names = list(marks[0])
    parts = {
        name: median([(mark[name] - mark[before]) * 1e3 for mark in marks])
        for before, name in zip(names, names[1:], strict=False)
    }
    compiling = parts["first step"] - parts["second step"]
    return {"compile_ms": rounded(compiling), "parts_ms": parts}


def _cached(folder: str) -> dict[str, str]:
    return {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _library(cell: str, environment: Mapping[str, str]) -> dict[str, float]:
    """The marks of `first_step`, in seconds; of the import of JAX alone where no cell is named."""
    command = [sys.executable, "-m", "experiments.racing.first_step", repr(time.time())]
    done = subprocess.run(
        [*command, *([cell] if cell else [])],
        **{"env": {**os.environ, **environment}, "cwd": _root(), "timeout": _LONGEST},
        **{"check": True, "stdout": subprocess.PIPE, "text": True},
    )
    return json.loads(done.stdout)


def _char_lm(cell: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds until `char_lm` has logged its first step; it is ended then."""
    with tempfile.TemporaryDirectory() as folder:
        rows, began = Path(folder, "run", "metrics.jsonl"), time.monotonic()
        command = [sys.executable, "-m", "experiments.char_lm", "--cell", cell, "--log-every", "1"]
        process = subprocess.Popen(
            [*command, "--out", str(rows.parent)],
            **{"env": {**os.environ, **environment}, "cwd": _root()},
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
        )
        try:
            while not (rows.is_file() and b"\n" in rows.read_bytes()):
                if process.poll() is not None or time.monotonic() - began > _LONGEST:
                    raise RuntimeError("char_lm has not trained a step; start it to see why")
                time.sleep(0.002)
            return {"first step": time.monotonic() - began}
        finally:
            process.kill()
            process.wait()


def _root() -> Path:
    return Path(__file__).parents[2]
