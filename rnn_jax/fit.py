"""The loop: start or resume, step, evaluate, show, log, save."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rnn_jax import distributed, ordered, parallel, trouble
from rnn_jax.digest import digest
from rnn_jax.errors import Stopped
from rnn_jax.evaluate import Evaluation, best, best_step, make_evaluate, ranks, stale
from rnn_jax.pace import Intervals, Pace, batches, room
from rnn_jax.progress import Progress
from rnn_jax.recipe import Recipe
from rnn_jax.run import Run, Signals, start_or_resume
from rnn_jax.train import Metrics, TrainState


class Outcome(NamedTuple):
    """Where a run stands: its best and last evaluation, and its cost in seconds.

    best, last: the task's error where it has one, else the validation loss [nats]; seconds: of all
    commands up to the last save; tokens_per_second and seconds_per_step: of this one, without the
    first dispatch of each shape and evaluations, None where there was no other; best_step: where
    the best was first seen, None before an evaluation; early: whether it has lost its patience.
    """

    state: TrainState
    best: float
    last: float
    seconds: float
    tokens_per_second: float | None
    seconds_per_step: float | None = None
    best_step: int | None = None
    early: bool = False


def weights(state: TrainState) -> Any:
    """What is evaluated and written with: the average where one is kept, else the parameters."""
    return parallel.on_one_device(state.params if state.average == () else state.average)


class _Outside(NamedTuple):
    """Where a run's news go, and where its end may come from."""

    run: Run
    progress: Progress
    signals: Signals
    spikes: trouble.Spikes
    show: Callable[[int, Any], tuple[str, str]] | None


def fit(
    folder: Path,
    manifest: dict[str, Any],
    recipe: Recipe,
    config: Intervals,
    show: Callable[[int, Any], tuple[str, str]] | None = None,
    *,
    unit: str = "characters",
    per: str = "",
) -> Outcome:
    """Train up to ``config.steps`` from where `folder` stands, or until patience is lost.

    manifest: of `run.new_manifest`; show: ``(step, weights) -> (header, text)``, called before the
    first step and after every evaluation; unit: what the task's tokens are; per: what one loss is
    of, a token unless told. BadInput before anything is written, also where the run has gone
    further, or where more than ``config.max_skipped`` updates in a row are skipped; Stopped after a
    signal, once the state is saved.
    """
    pace = Pace()
    lanes, invariant = recipe.task.lanes, config.invariant
    devices, note = parallel.choose(config.devices, lanes, invariant=invariant)
    distributed.check_same({"the text": manifest["data"].get("digest"), "--devices": devices})
    manifest = {**manifest, "weights": "average" if recipe.average else "params"}
    manifest["shards"] = ordered.shards(lanes) if invariant else None
    manifest["devices"] = None if invariant else devices * jax.process_count()
    board = config.tensorboard and distributed.first()
    shapes = jax.eval_shape(recipe.start)
    places = {"tensorboard": board, "checkpoints": _checkpoints(folder, config)}
    run, restored = start_or_resume(folder, manifest, shapes, steps=config.steps, **places)
    state = distributed.from_first(restored.state if restored else recipe.start())
    state = parallel.placed(state, devices, invariant=invariant)
    if restored:
        pace.began -= restored.extra.get("seconds", 0.0)
    progress = Progress(config.steps, int(state.step), unit, per)
    with run, Signals() as signals, progress:
        if note:
            progress.note(note)
        outside = _Outside(run, progress, signals, trouble.Spikes(run.rows), show)
        state, stop = _loop(recipe, config, devices, state, pace, outside)
        run.curves(unit=progress.per)
    if stop is not None:
        raise Stopped(stop, int(state.step))
    early = int(state.step) < config.steps
    if early:
        progress.note(_why(run, config, int(state.step)))
    return _outcome(run, pace, state, recipe.task.tokens, early)


def _outcome(run: Run, pace: Pace, state: TrainState, tokens: int, early: bool) -> Outcome:
    last = (ranks(run.rows) or [None])[-1]
    last = math.nan if last is None else last
    speed = tokens * pace.steps / pace.seconds if pace.steps else None
    each = pace.seconds / pace.steps if pace.steps else None
    seconds = time.monotonic() - pace.began
    at = best_step(run.rows)
    return Outcome(state, best(run.rows), last, seconds, speed, each, at, early)


def _checkpoints(folder: Path, config: Intervals) -> str:
    """Where this process saves, "" for the run's folder; a command's several runs have one each."""
    if not (config.checkpoints and distributed.first()):
        return ""
    if not (config.out and folder.is_relative_to(config.out)):
        return config.checkpoints
    return "/".join([config.checkpoints.rstrip("/"), *folder.relative_to(config.out).parts])


def _loop(
    recipe: Recipe,
    config: Intervals,
    devices: int,
    state: TrainState,
    pace: Pace,
    outside: _Outside,
) -> tuple[TrainState, int | None]:
    """The state at the end, and the signal that ended it before its time; else it was patience."""
    run, progress = outside[:2]
    task, step, key, most = recipe.task, int(state.step), recipe.key(), room(recipe.task)
    steps = recipe.steps(invariant=config.invariant)
    advance = parallel.data_parallel(steps, devices, invariant=config.invariant)
    evaluate = make_evaluate(recipe.model, task)
    if step == 0:
        _show(outside, step, state)
    count, stop, early = _agreed(pace.count(step, config, most), outside, config)
    while step < config.steps and stop is None and not early:
        before = time.monotonic()
        data, count = batches(task, step, count, most, parallel.own_lanes(task.lanes))
        state, metrics = advance(state, data, np.int32(count), key)
        metrics = Metrics(*(np.asarray(each)[:count] for each in metrics))
        pace.add(count, time.monotonic() - before, data)
        step += count
        progress.update(step, metrics.loss[-1], count * task.tokens)
        due = step % config.eval_every == 0 or step == config.steps
        valid = evaluate(weights(state)) if due else None
        better = valid is not None and valid.rank < best(run.rows)
        _log(outside, config.log_every, step - count, metrics, valid)
        if valid is not None:
            progress.note(f"step {step}: {valid.describe()}")
            _show(outside, step, state)
        count, stop, early = _agreed(pace.count(step, config, most), outside, config, due)
        # The best weights are always on the disk: they are what the run is opened with.
        lost = 0 < config.max_skipped <= trouble.skipped_in_a_row(run.rows, step)
        ends = step == config.steps or stop or early or lost
        if better or step % config.save_every == 0 or ends:
            _save(run, state, valid, pace)
        if lost:
            _check_next(run, recipe, state)
    return state, stop


def _save(run: Run, state: TrainState, valid: Evaluation | None, pace: Pace) -> None:
    if distributed.first():  # all processes have the same state
        extra = {"seconds": time.monotonic() - pace.began}
        run.save(int(state.step), state, metric=valid and valid.rank, extra=extra)


def _check_next(run: Run, recipe: Recipe, state: TrainState) -> None:
    """BadInput, once its batch is saved, if the next update would be skipped as well."""
    state = parallel.on_one_device(state)

    def looking(optimizer: optax.GradientTransformation) -> Callable:
        return recipe._replace(optimizer=optimizer, average=0.0).step()

    batch = recipe.task.batch(int(state.step))
    trouble.check(looking, state, batch, recipe.key(), run.file)


def _agreed(
    count: int, outside: _Outside, config: Intervals, due: bool = True
) -> tuple[int, int | None, bool]:
    """What all do next: steps by process 0's pace, the signal that any has met, an early end.

    That is where an evaluation was due and patience is lost by process 0's rows: the other
    processes lack those of the commands before.
    """
    early = due and 0 < config.patience <= stale(outside.run.rows, config.eval_every)
    asked = distributed.exchange([count, outside.signals.stop, early])
    stop = next((signal for _, signal, _ in asked if signal is not None), None)
    return asked[0][0], stop, asked[0][2]


def _why(run: Run, config: Intervals, step: int) -> str:
    """Why it ends here, in a line."""
    end, at = f"stopped early at step {step} of {config.steps}", best_step(run.rows)
    better = "a finite one" if at is None else f"better than {best(run.rows):.4f} at step {at}"
    told = f"none of the last {stale(run.rows, config.eval_every)} evaluations was {better}"
    return f"{end}: {told}; a larger --patience goes on"


def _log(
    outside: _Outside, every: int, begin: int, metrics: Metrics, valid: Evaluation | None
) -> None:
    """A row for each step that logs, jumps or was skipped; the last also when it was evaluated."""
    spikes = []
    finite = np.isfinite(metrics.loss) & np.isfinite(metrics.gradient_norm)
    for i, (loss, norm) in enumerate(zip(metrics.loss, metrics.gradient_norm, strict=True)):
        step = begin + i + 1
        extra = valid.row() if valid is not None and i == len(finite) - 1 else {}
        if height := outside.spikes.height(float(loss)):
            extra["spike"] = height
            spikes.append(f"step {step}: loss {loss:.4g}, {height:.1f} standard deviations high")
        if step % every == 0 or extra or not finite[i]:
            outside.run.log(step, loss=float(loss), gradient_norm=float(norm), **extra)
            outside.spikes.add(float(loss))
    if spikes:  # a line a dispatch
        outside.progress.note(spikes[0] + f"; {len(spikes) - 1} more" * (len(spikes) > 1))
    if not finite.all():
        first, many = begin + 1 + int(finite.argmin()), int((~finite).sum())
        outside.progress.note(f"step {first}: gradient not finite; {many} updates skipped")


def _show(outside: _Outside, step: int, state: TrainState) -> None:
    if outside.show and distributed.first():
        header, text = outside.show(step, weights(state))
        outside.run.sample(step, header, text)
        outside.progress.note(f"--- {header}\n{text}\n---")


def result(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """The part of an experiment's result that is the same for all."""
    return {
        "seconds": round(outcome.seconds, 2),
        "tokens_per_second": outcome.tokens_per_second,
        "seconds_per_step": outcome.seconds_per_step,
        "parameters": sum(a.size for a in jax.tree.leaves(outcome.state.params)),
        "step": int(outcome.state.step),
        "stopped_early": outcome.early,
        "best_score": outcome.best,
        "best_step": outcome.best_step,
        "skipped": int(outcome.state.skipped),
        "digest": digest(outcome.state),
        "out": str(folder),
    }
