"""How long the trials that are left will take: by those that are finished, else by a short try."""

import contextlib
import dataclasses
import io
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sweep.plan import Trial, module_of
from experiments.sweep.trials import say

_TRIED = 24  # steps; the first are mostly compiling


def seconds(
    experiment: str, trials: Sequence[Trial], done: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    """{trial's name: seconds}, 0 for the finished ones, None where nothing is known.

    A variant's finished seeds tell; one that has none is tried for a few steps in a folder that is
    thrown away. An experiment without steps cannot be tried.
    """
    known: dict[str, float | None] = {}
    for trial in trials:
        times = [
            done[t.name]["seconds"] for t in trials if t.variant == trial.variant and t.name in done
        ]
        if trial.variant not in known:
            known[trial.variant] = statistics.mean(times) if times else _tried(experiment, trial)
    return {t.name: 0.0 if t.name in done else known[t.variant] for t in trials}


def _tried(experiment: str, trial: Trial) -> float | None:
    """A short run's whole time, and so much a step for the others; evaluations are not counted."""
    steps = getattr(trial.config, "steps", None)
    if steps is None:
        return None
    say(f"timing {min(steps, _TRIED)} steps of {trial.variant}")
    with tempfile.TemporaryDirectory() as folder:
        short = {"steps": min(steps, _TRIED), "out": f"{folder}/run"}
        config = dataclasses.replace(trial.config, **short)
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            result = module_of(experiment).run(config)
    each = result.get("seconds_per_step")
    return None if each is None else result["seconds"] + max(0, steps - _TRIED) * each


def duration(value: float | None) -> str:
    """Such as 3 h 5 min, 12 min, 40 s."""
    if value is None:
        return "unknown"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return (
        f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    )
