"""A folder of trials: what is finished, what failed, and running what is left.

OUT/trials/NAME.json   a finished trial: its configuration and what the experiment returned
OUT/runs/NAME/         the experiment's own folder, from which an interrupted trial goes on
OUT/logs/NAME.txt      what it said, where it ran in a process of its own
"""

import contextlib
import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments import cli
from experiments.cli.files import save
from experiments.sweep.plan import Trial, module_of
from rnn_jax.errors import BadInput, Stopped
from rnn_jax.plain import plain

_HOW_FAR = ("steps", "patience")  # no part of what a run is; older records lack the second


def settings(trial: Trial) -> dict[str, Any]:
    """All that a trial was told but for where it lies, as JSON would give it back."""
    told = dataclasses.asdict(trial.config)
    return json.loads(json.dumps({k: v for k, v in told.items() if k not in ("out", "quick")}))


def finished(out: Path, trials: Iterable[Trial], experiment: str) -> dict[str, dict[str, Any]]:
    """{name: record} of the trials that are done as they are asked for now.

    One that was asked for other steps or another patience is not among them: it goes on. BadInput
    where a record is of another configuration.
    """
    found = {}
    for trial in trials:
        path = out / "trials" / f"{trial.name}.json"
        if not path.is_file():
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadInput(f"{path} is damaged; remove it, and the trial runs again") from error
        ours = cli.identity(trial.config)
        theirs = {name: record["config"].get(name) for name in ours}
        if differ := [name for name in ours if ours[name] != theirs[name]]:
            told = f"{differ[0]} was {theirs[differ[0]]!r}, is {ours[differ[0]]!r}"
            raise BadInput(f"{path} is of other settings ({told}); use another --out")
        if record["experiment"] != experiment:
            raise BadInput(f"{path} is of {record['experiment']}; use another --out")
        asked = settings(trial)
        if all(record["config"].get(name, 0) == asked.get(name, 0) for name in _HOW_FAR):
            found[trial.name] = record
    return found


def record(out: Path, trial: Trial, experiment: str, result: Any, seconds: float) -> None:
    """The trial is finished: its file appears whole or not at all."""
    told = {"experiment": experiment, "variant": trial.variant, "seed": trial.seed}
    told |= {"config": settings(trial), "seconds": round(seconds, 2), "result": plain(result)}
    name = f"{trial.name}.json"
    save(str(out / "trials"), {name + ".part": json.dumps(told, indent=1) + "\n"})
    os.replace(out / "trials" / f"{name}.part", out / "trials" / name)


def run(out: Path, trial: Trial, experiment: str) -> None:
    """One trial here, to its record; what it prints goes to stderr."""
    began = time.monotonic()
    with contextlib.redirect_stdout(sys.stderr):
        result = module_of(experiment).run(trial.config)
    record(out, trial, experiment, result, time.monotonic() - began)


def attempt(name: str, action: Callable[[], None]) -> str | None:
    """Do it; why it failed, in one line, or None. A signal that stops the sweep passes."""
    try:
        action()
    except Stopped:
        raise
    except BadInput as problem:
        return str(problem)
    except Exception as error:  # a bug in one trial must not take the others with it
        traceback.print_exc()
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


def one_by_one(out: Path, trials: Sequence[Trial], experiment: str) -> dict[str, str]:
    """The trials in this process, in order; {name: why} of those that failed."""
    failed = {}
    for place, trial in enumerate(trials, start=1):
        say(f"=== {place} of {len(trials)}: {trial.variant}, seed {trial.seed}")
        if why := attempt(trial.name, lambda trial=trial: run(out, trial, experiment)):
            failed[trial.name] = why
            say(f"=== failed: {trial.variant}, seed {trial.seed}: {why}")
    return failed


def say(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)
