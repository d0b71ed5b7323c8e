"""A run read back: configuration, model, weights, vocabulary, metrics. Writes nothing."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rnn_jax.errors import BadInput
from rnn_jax.plain import shown
from rnn_jax.run import checkpoints, manifest, places, strangers
from rnn_jax.run.records import Sample, read_rows, read_samples
from rnn_jax.run.remote import Place
from rnn_jax.run.storage import Damaged, reason


class OpenedRun(NamedTuple):
    """What ``open`` gives; ``params`` are those of ``step``, saved with ``metric``."""

    folder: Path
    manifest: dict[str, Any]
    config: dict[str, Any]
    model: Any
    params: Any
    step: int
    metric: float | None
    vocabulary: Any
    metrics: list[dict[str, Any]]
    samples: list[Sample]


def open_run(folder: str | Path, step: str | int = "best", *, trust: bool = False) -> OpenedRun:
    """Opens a run for reading: ``open("runs/a").params``.

    ``step`` is ``"best"`` (the lowest metric; the newest where none was measured), ``"latest"``
    or a number. A damaged step is named on stderr and the next one taken; a step asked for by
    number must be sound. ``trust`` allows a cell of the user's own module to be imported. Raises
    BadInput; nothing is created.
    """
    from rnn_jax.data.text import Vocabulary
    from rnn_jax.models import from_spec

    folder = Path(folder)
    told = manifest.read(folder)
    if told["model"] is None:
        raise BadInput(f"{folder} is a run without a model to open; read its metrics.jsonl")
    place = _place(folder, told)
    candidates = _candidates(folder, place, step)
    strangers.check_model(folder, told)
    try:
        model = from_spec(told["model"], trust=trust)
        shapes = jax.eval_shape(model.init, jax.random.key(0))
    except BadInput:
        raise
    except Exception as error:  # arguments that nobody has written raise anything
        raise BadInput(f"{folder}: its model cannot be built ({reason(error)})") from error
    name = told.get("weights") or "params"
    restored = _first_sound(folder, place, candidates, {name: shapes})
    vocabulary = told["vocabulary"]
    return OpenedRun(
        folder=folder,
        manifest=told,
        config=told["config"],
        model=model,
        params=restored.state[name],
        step=restored.step,
        metric=restored.metric,
        vocabulary=None if vocabulary is None else Vocabulary.from_json(vocabulary),
        metrics=read_rows(folder / "metrics.jsonl"),
        samples=read_samples(folder / "samples.txt"),
    )


def steps(folder: Path) -> list[int]:
    """The steps that a run has saved, oldest first; none where there is no run."""
    return checkpoints.steps(places.find(folder))


def _place(folder: Path, told: dict[str, Any]) -> Place:
    place = places.of(folder, told)
    if place != folder:
        print(shown(f"note: the checkpoints of {folder} are read from {place}"), file=sys.stderr)
    return place


def _candidates(folder: Path, place: Place, step: str | int) -> list[int]:
    """The steps to try, in order."""
    saved = checkpoints.steps(place)
    if not saved:
        raise BadInput(f"{folder} has no checkpoint yet; train it further")
    if step == "best":
        return checkpoints.best_first(checkpoints.metrics(place, partial(_warn, folder)))
    if step == "latest":
        return saved[::-1]
    if step not in saved:
        raise BadInput(f"{folder} has no step {step!r}; it has {', '.join(map(str, saved))}")
    return [step]


def _first_sound(
    folder: Path, place: Place, candidates: list[int], example: Any
) -> checkpoints.Restored:
    for step in candidates:
        try:
            return checkpoints.read(place, step, example, part=True)
        except Damaged as damage:
            _warn(folder, step, damage)
    told = ", ".join(map(str, checkpoints.steps(place)))
    raise BadInput(f"no sound checkpoint in {folder} (it has step {told}); train it anew")


def _warn(folder: Path, step: int, damage: Damaged) -> None:
    print(shown(f"warning: {folder} step {step} is damaged: {damage}"), file=sys.stderr)
