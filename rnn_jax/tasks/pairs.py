"""Sequence to sequence: a source to read, a target to write."""

from collections.abc import Callable, Sequence

import numpy as np

from rnn_jax.data import buckets
from rnn_jax.data.synthetic import generator
from rnn_jax.tasks.core import Batch, Task
from rnn_jax.tasks.examples import Examples

_COINS = 2**62  # where positions begin whose draws are not a batch's own


def pair_examples(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], end: int
) -> Examples:
    """Sources as context, targets written token by token: teacher forcing.

    The target's token before the first is `end`, and `end` is what comes after its last. context:
    tokens [B, T] and mask [B, T]; a lane of nothing has one source token, so that there is
    something to look at.
    """
    ended = [np.append(target, end).astype(np.int32) for target in targets]
    lengths = np.array([max(map(len, both)) for both in zip(sources, ended, strict=True)])

    def batch(rows: np.ndarray, width: int) -> Batch:
        tokens, mask = buckets.pad(sources, rows, width)
        mask[:, 0] = True
        asked, there = buckets.pad(ended, rows, width)
        first = np.full((len(rows), 1), end, np.int32)
        inputs = np.concatenate([first, asked[:, :-1]], axis=1)
        context = {"tokens": tokens, "mask": mask}
        return Batch(inputs, asked, there.astype(np.float32), context=context)

    return Examples(lengths, batch)


def feeding_back(task: Task, share: Callable[[int], float], seed: int) -> Task:
    """The task with some inputs to be what the model has written itself, for `models.feeding`.

    share: position -> how many of them, each by its own coin; never a sequence's first.
    """

    def batch(position: int) -> Batch:
        given = task.batch(position)
        coins = generator(seed, _COINS + position).random(given.inputs.shape)
        return given._replace(inputs=own(given.inputs, coins < share(position)))

    return task._replace(batch=batch)


def free_running(task: Task) -> Task:
    """The task whose held-out sequences read what the model has written, from their first on."""

    def valid() -> list[Batch]:
        every = (batch.inputs for batch in task.valid())
        fed = (own(tokens, np.ones(tokens.shape, bool)) for tokens in every)
        return [
            batch._replace(inputs=inputs) for batch, inputs in zip(task.valid(), fed, strict=True)
        ]

    return task._replace(valid=valid)


def own(tokens: np.ndarray, where: np.ndarray) -> dict[str, np.ndarray]:
    """What `models.feeding` reads, [B, T] both; the first token is always given."""
    where = where.copy()
    where[:, 0] = False
    return {"tokens": tokens, "own": where}


def curriculum(
    task: Task,
    train: Examples,
    levels: np.ndarray,
    every: int,
    seed: int,
    *,
    mixed: float = 0.2,
) -> Task:
    """The task with easy examples first: a further level opens after so many batches.

    levels [N], from 1 up. A lane draws from the levels that are open, or with probability `mixed`
    from all (Zaremba and Sutskever's combined strategy); once all are open, from all.
    """
    order = np.argsort(levels, kind="stable")
    width = int(train.lengths.max())

    def batch(position: int) -> Batch:
        rng = generator(seed, position)
        opened = np.searchsorted(levels[order], 1 + position // every, side="right")
        anywhere = rng.random(task.lanes) < mixed
        room = np.where(anywhere, len(order), max(int(opened), 1))
        return train.batch(order[(rng.random(task.lanes) * room).astype(int)], width)

    return task._replace(batch=batch)
