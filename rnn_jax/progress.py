"""Progress on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections import deque
from typing import Any

from rnn_jax.plain import shown

_WINDOW = 10.0  # seconds over which speed is measured
_REFRESH = 0.2  # seconds between two looks at the loss, for looking waits for the device
_WIDE = 100  # columns in which there is room for memory beside the bar
_LINE, _LONGEST = 5.0, 60.0  # seconds between two plain lines: at least, and at most


class Progress:
    """``with Progress(steps) as progress``: shows loss, bits, speed, the time left and memory.

    ``unit`` is what a token is called, in the plural; ``per`` is what the loss is of, one token
    unless told.
    """

    def __init__(
        self, total_steps: int, start_step: int = 0, unit: str = "characters", per: str = ""
    ) -> None:
        self.total = total_steps
        self.unit = unit
        self.per = per or unit.removesuffix("s")
        self._step = self._lined = start_step
        self._tokens = 0
        self._loss: Any = None
        # (time, step, tokens); the first entry is made by the first update, after compiling.
        self._marks: deque[tuple[float, int, int]] = deque()
        self._shown_at = -math.inf
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("", total=self.total, completed=self._step, text="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loss is not None and self._lined < self._step:
            self._show(time.monotonic())
        if self._bar:
            self._bar.stop()
            self._bar = None

    def update(self, step: int, loss: Any, tokens: int) -> None:
        """Says that ``step`` steps are done; ``tokens`` is what was read since the last update.

        ``loss`` [nats per ``per``] may be an array still being computed: it is looked at only when
        it is shown.
        """
        now = time.monotonic()
        self._step, self._tokens, self._loss = step, self._tokens + tokens, loss
        self._marks.append((now, step, self._tokens))
        while len(self._marks) > 2 and self._marks[1][0] < now - _WINDOW:
            self._marks.popleft()
        if self._due(now):
            self._show(now)

    def note(self, text: str) -> None:
        """Prints lines between those of the progress; the text stands as it is."""
        safe = shown(text, keep="\n\t")  # a model may write any character
        if not self._bar:
            encoding = sys.stderr.encoding or "utf-8"
            print(safe.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)
            return
        from rich.text import Text

        self._bar.console.print(Text(safe), soft_wrap=True)

    def _due(self, now: float) -> bool:
        if self._bar:
            return now - self._shown_at >= _REFRESH
        waited = now - self._shown_at
        far = 20 * (self._step - self._lined) >= self.total
        return waited >= _LONGEST or (waited >= _LINE and far)

    def _show(self, now: float) -> None:
        self._shown_at, self._lined = now, self._step
        text = self._text()
        if self._bar:
            self._bar.update(self._task, completed=self._step, text=text)
        else:
            print(f"step {self._step}/{self.total}  {text}", file=sys.stderr, flush=True)

    def _text(self) -> str:
        """``loss 1.532  2.210 bits/character  118k characters/s  1:12 left  512 MiB``."""
        nats = float(self._loss)
        words = [f"loss {nats:.3f}", f"{nats / math.log(2):.3f} bits/{self.per}"]
        if tokens := _speed(self._marks[0], self._marks[-1], 2):
            words.append(f"{_short(tokens)} {self.unit}/s")
        if steps := _speed(self._marks[0], self._marks[-1], 1):
            words.append(f"{_clock(max(self.total - self._step, 0) / steps)} left")
        if not self._bar or self._bar.console.width >= _WIDE:
            words.append(f"{_memory() / 2**20:.0f} MiB")
        return "  ".join(words)


def _bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True),
        expand=True,
        redirect_stdout=False,
        refresh_per_second=5,
    )


def _speed(before: tuple, after: tuple, which: int) -> float | None:
    seconds = after[0] - before[0]
    return (after[which] - before[which]) / seconds if seconds > 0 else None


def _memory() -> int:
    """The most that was in use so far, in bytes: of the first device's own memory, else of ours."""
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}  # a CPU device has none
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stats.get("peak_bytes_in_use") or most * (1 if sys.platform == "darwin" else 1024)


def _short(number: float) -> str:
    return f"{number / 1000:.0f}k" if number >= 10_000 else f"{number:.0f}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
