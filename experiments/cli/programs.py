"""Compiled programs are kept for the next process: what a run waits for at its start."""

import os
import sys
import time
from pathlib import Path

# Some thousand programs: JAX reads the time of each whenever it adds one, a tenth of a millisecond.
_MOST_BYTES = 64 << 20
_LEAST_SECONDS = 0.2  # what compiles faster than that is not worth a file
_STILL_WRITING = 60  # seconds


def keep_programs() -> None:
    """Ask JAX for its compilation cache, in the user's cache folder, unless told otherwise.

    To be called before JAX is imported, for it reads its settings there; later it does nothing.
    Whoever sets ``JAX_COMPILATION_CACHE_DIR`` or ``JAX_ENABLE_COMPILATION_CACHE`` has decided.
    """
    decided = "JAX_COMPILATION_CACHE_DIR" in os.environ
    if decided or "JAX_ENABLE_COMPILATION_CACHE" in os.environ or "jax" in sys.modules:
        return
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "rnn_jax", "programs")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _drop_unfinished(folder)
    except OSError:  # a home that cannot be written to: every process compiles its own
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_MOST_BYTES))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(_LEAST_SECONDS))


def _drop_unfinished(folder: Path) -> None:
    """Remove what a process was killed while writing: its time of use is written after it."""
    for entry in folder.glob("*-cache"):
        used = entry.with_name(entry.name.removesuffix("cache") + "atime")
        if not used.exists() and time.time() - entry.stat().st_mtime > _STILL_WRITING:
            entry.unlink(missing_ok=True)
