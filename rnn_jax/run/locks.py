"""Who may write a run: the one process that holds the lock in its folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from rnn_jax.errors import BadInput

NAME = ".lock"


def take(folder: Path) -> int:
    """Takes the folder's lock; the kernel gives it back when the process ends, or closes it.

    BadInput, with the process that holds it, where another one does.
    """
    lock = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    if not _taken(lock):
        holder = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise BadInput(
            f"another process ({holder or 'unknown'}) is writing {folder};"
            " wait for it, or use another --out"
        )
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _taken(lock: int) -> bool:
    for _ in range(10):  # who asks `is_held` holds it for a moment
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock to write; asked with one that lets others ask as well."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        lock = os.open(folder / NAME, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
    return False
