"""Trials in processes of their own, so many at a time.

    python -m experiments.sweep.processes      reads one trial as JSON from stdin, and runs it

A trial's stdin stays open while the sweep lives; when it ends, however it ends, the trial saves and
stops as at SIGTERM, so that nothing goes on training behind a sweep that was killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import cli
from experiments.sweep import trials as folder
from experiments.sweep.plan import Trial, module_of
from rnn_jax.errors import BadInput

_POLL = 0.05  # seconds


class _Running(NamedTuple):
    trial: Trial
    process: subprocess.Popen
    log: Path


def at_a_time(out: Path, trials: Sequence[Trial], experiment: str, jobs: int) -> dict[str, str]:
    """As `trials.one_by_one`, `jobs` processes side by side."""
    from rnn_jax.run import Signals

    waiting, running, failed = list(trials), [], {}
    with Signals() as signals:
        while waiting or running:
            while waiting and len(running) < jobs and signals.stop is None:
                trial = waiting.pop(0)
                folder.say(f"=== {len(trials) - len(waiting)} of {len(trials)}: {trial.name}")
                running.append(_start(out, trial, experiment))
            if signals.stop is not None:
                _end(running)
                sys.exit(128 + signals.stop)
            time.sleep(_POLL)
            for ended in [one for one in running if one.process.poll() is not None]:
                running.remove(ended)
                ended.process.stdin.close()
                if ended.process.returncode:
                    failed[ended.trial.name] = why = _reason(ended)
                    folder.say(f"=== failed: {ended.trial.name}: {why}")
    return failed


def _start(out: Path, trial: Trial, experiment: str) -> _Running:
    log = out / "logs" / f"{trial.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    told = {"out": str(out), "experiment": experiment, "trial": trial._asdict()}
    told["trial"]["config"] = folder.settings(trial) | {
        name: getattr(trial.config, name) for name in ("out", "quick")
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.sweep.processes"],
            **{"stdin": subprocess.PIPE, "stdout": file, "stderr": file},
        )
    process.stdin.write(json.dumps(told).encode() + b"\n")
    process.stdin.flush()
    return _Running(trial, process, log)


def _end(running: Sequence[_Running]) -> None:
    for one in running:
        one.process.terminate()
    for one in running:
        one.process.wait()
        one.process.stdin.close()


def _reason(ended: _Running) -> str:
    """The last line that the trial wrote, or how it ended."""
    lines = ended.log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
    how = f"exit status {ended.process.returncode}"
    return f"{last.removeprefix('error: ')} ({how}; {ended.log})"


def _stop_with_the_sweep() -> None:
    """Waits, in a thread of its own, until stdin ends."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _trial(told: dict[str, Any], experiment: str) -> Trial:
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in told.pop("config").items()}
    return Trial(**told, config=module_of(experiment).Config(**config))


def main() -> int:
    """Run the trial that stdin names; 0 when its record is written."""
    told = json.loads(_first_line())
    threading.Thread(target=_stop_with_the_sweep, daemon=True).start()

    def action() -> None:
        trial = _trial(told["trial"], told["experiment"])
        if why := folder.attempt(
            trial.name, lambda: folder.run(Path(told["out"]), trial, told["experiment"])
        ):
            raise BadInput(why)

    return cli.guard(action)


def _first_line() -> bytes:
    """Unbuffered, so that what comes later is still there for the thread."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line


if __name__ == "__main__":
    sys.exit(main())
