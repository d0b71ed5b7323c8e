"""Ctrl-C, SIGTERM, SIGUSR1: the first asks the loop to save and stop, the second ends at once.

A command that was stopped exits with 128 + the signal's number: 130 after Ctrl-C, 143 after SIGTERM
and 138 after SIGUSR1, by which a scheduler tells in time that it wants the machine back (SLURM:
``--signal=USR1@60``, with ``B:`` where a shell script starts the command and passes it on).
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Signals:
    """``with Signals() as signals``: ``signals.stop`` is the first signal's number, or None.

    The second signal meets the system's own handling, so a step that hangs can still be ended.
    Handlers found on entry come back on exit. Outside the main thread, where Python allows no
    handlers, nothing is caught and ``stop`` stays None.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._caught) for number in CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: the handler had not been set from Python and cannot be put back as it was.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _caught(self, number: int, _: FrameType | None) -> None:
        if self.stop is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.stop = number
        name = signal.Signals(number).name
        # os.write: print() may be what the signal has interrupted, and cannot be entered twice.
        os.write(2, f"\n{name}: saving, then stopping; again to stop at once\n".encode())
