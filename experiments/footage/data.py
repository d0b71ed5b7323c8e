"""The clips of the experiment: generated, or a user's sequences, as a task."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from experiments.video import Config
    from rnn_jax.data.frames import Sequences
    from rnn_jax.tasks import Batch, Task

_VALID_CLIPS = 512


class Footage(NamedTuple):
    """task; shape: of a frame; classes: their names; best_frame: the share of right answers that no
    look at single frames can exceed, where it is known; usual: that of the commonest class alone.
    """

    task: "Task"
    shape: tuple[int, ...]
    classes: list[str]
    best_frame: float | None
    usual: float
    record: dict[str, Any]


def read(config: "Config") -> Footage:
    """The clips, checked; a line about them on stderr."""
    footage = _given(config) if config.data else _generated(config)
    told = footage.record["description"]
    print(f"{told}: {len(footage.classes)} classes, frames of {footage.shape}", file=sys.stderr)
    return footage


def wrong(ys: Any, targets: Any) -> Any:
    """1 where the most probable class is not the one asked for."""
    return (ys.argmax(-1) != targets).astype(ys.dtype)


def _generated(config: "Config") -> Footage:
    """Training clips of some digits' pictures, anew for every batch; held-out ones of others."""
    from rnn_jax import tasks
    from rnn_jax.data import clips, images
    from rnn_jax.data.synthetic import generator
    from rnn_jax.losses import cross_entropy

    pictures = clips.pictures()
    known, new = images.split(pictures, len(pictures.labels) // 5, config.seed)

    def batch(position: int) -> "Batch":
        made = clips.clips(known, config.lanes, config.length, generator(config.seed, position))
        return tasks.Batch(made.frames, made.labels)

    @lru_cache(maxsize=1)
    def valid() -> list["Batch"]:
        found = []
        for number in range(1, 1 + max(1, _VALID_CLIPS // config.lanes)):
            rng = generator(config.seed, number, held_out=True)
            made = clips.clips(new, config.lanes, config.length, rng)
            found.append(tasks.Batch(made.frames, made.labels))
        return found

    best = clips.ceiling(config.length)
    return Footage(
        task=tasks.Task(
            *(batch, valid, cross_entropy, config.lanes, 1, config.lanes * config.length, wrong)
        ),
        shape=(clips.FRAME, clips.FRAME),
        classes=[*map(str, range(10)), "none"],
        best_frame=best,
        usual=clips.commonest(config.length),
        record={
            "description": f"clips of {pictures.record['source']}",
            "digest": pictures.record["digest"],
        },
    )


def _given(config: "Config") -> Footage:
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data import frames, tables
    from rnn_jax.data.labelled import check_known
    from rnn_jax.data.synthetic import generator
    from rnn_jax.losses import cross_entropy

    columns = config.sequence, config.label, config.columns
    train = frames.read_sequences(config.data, "--data", *columns)
    if config.valid_data:
        valid = frames.read_sequences(config.valid_data, "--valid-data", *columns)
    else:
        rows = generator(config.seed, 0, held_out=True).permutation(len(train.labels))
        cut = max(1, int(config.valid * len(rows)))
        if cut == len(rows):
            raise BadInput(f"{config.data} has one sequence: give another as --valid-data")
        train, valid = train.take(np.sort(rows[cut:])), train.take(np.sort(rows[:cut]))
        check_known(config.data, *(set(part.classes()) for part in (train, valid)))
    classes = train.classes()
    if len(classes) < 2:
        raise BadInput(f"{train.name} has the one class {classes}: give --data with two or more")
    shape = train.inputs[0].shape[1:]
    if (other := valid.inputs[0].shape[1:]) != shape:
        raise BadInput(f"{valid.name} has frames of {other}, the training data {shape}: mend one")
    truth = np.concatenate(valid.truth(classes))
    commonest = np.bincount(np.concatenate(train.truth(classes))).argmax()
    task = tasks.bucketed(
        *(_examples(train, classes), _examples(valid, classes), cross_entropy),
        **{"lanes": config.lanes, "seed": config.seed, "error": wrong, "most": config.buckets},
    )
    digest = tables.digest(*(column for part in (train, valid) for column in part[1:]))
    record = {"description": train.name, "digest": digest}
    return Footage(task, shape, classes, None, float((truth == commonest).mean()), record)


def _examples(sequences: "Sequences", classes: list[str]) -> Any:
    from rnn_jax import tasks
    from rnn_jax.data import buckets

    truth = sequences.truth(classes)

    def batch(rows: "np.ndarray", width: int) -> "Batch":
        inputs, mask = buckets.pad(sequences.inputs, rows, width)
        return tasks.Batch(inputs, buckets.pad(truth, rows, width)[0], mask=mask)

    return tasks.Examples(sequences.lengths(), batch)
