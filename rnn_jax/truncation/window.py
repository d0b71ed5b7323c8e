"""Batches that hold the steps before their own as well."""

import jax
import numpy as np

from rnn_jax.tasks import Batch, Task
from rnn_jax.truncation.cuts import Truncation


def widened(task: Task, cut: Truncation) -> Task:
    """The task whose batches hold the `before` steps ahead of the k1 new ones, unweighted.

    task: of chunks of k1 steps. What lies before the data's first step is masked.
    """
    if not cut.before:
        return task
    more = -(-cut.before // cut.k1)

    def batch(position: int) -> Batch:
        parts = [_whole(task.batch(max(p, 0)), p >= 0) for p in range(position - more, position)]
        parts = [part._replace(weights=np.zeros_like(part.weights)) for part in parts]
        parts.append(_whole(task.batch(position), True))
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)
        return jax.tree.map(lambda a: a[:, -(cut.before + cut.k1) :], joined)

    return task._replace(batch=batch)


def _whole(batch: Batch, there: bool) -> Batch:
    """The batch with mask, weights and fresh said for each step."""
    shape = jax.tree.leaves(batch.inputs)[0].shape[:2]
    mask = np.ones(shape, bool) if batch.mask is None else np.asarray(batch.mask)
    weights = mask.astype(np.float32) if batch.weights is None else np.asarray(batch.weights)
    fresh = np.zeros(shape, bool)
    if batch.fresh is not None:
        at = (slice(None), 0) if np.ndim(batch.fresh) == 1 else slice(None)
        fresh[at] = batch.fresh
    return batch._replace(mask=mask & there, weights=weights * there, fresh=fresh & there)
