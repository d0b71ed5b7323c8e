"""Losses that look at the target and at a sample of other words, the same for all of a step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.affine import against
from rnn_jax.losses.output import Output, full, scores, shared_scores
from rnn_jax.losses.sampling import Sampler, systematic
from rnn_jax.tables import distinct

Array = jax.Array


def sampled_softmax(
    vocabulary: int, size: int, weights: np.ndarray, samples: int, scale: float = 0.05
) -> Output:
    """``log(e^{y_t} + Σ_{j in S, j ≠ t} e^{y_j} / π_j) - y_t``, S a sample of words.

    The sum under the logarithm is the softmax's own on average over samples; with all words in S
    it is the full softmax (Bengio and Senécal 2008; Blanc and Rendle 2018). weights [V]: what π is
    proportional to (`sampling.log_uniform`, `sampling.by_frequency`). w as of `output.full`.
    """

    def combined(target: Array, others: Array, at_target: Array, at_others: Array) -> Array:
        every = jnp.concatenate([target[:, None], others - against(at_others, others)], axis=1)
        return jax.nn.logsumexp(every, axis=1) - target

    return _by_sample(vocabulary, size, systematic(weights, samples), scale, combined, once=True)


def noise_contrastive(
    vocabulary: int, size: int, weights: np.ndarray, samples: int, scale: float = 0.05
) -> Output:
    """``-log σ(y_t - log π_t) - Σ_{j in S} log σ(log π_j - y_j)``: is it text or noise?

    Its least is where ``y = log p``, normalised by itself (Gutmann and Hyvärinen 2010; Mnih and Teh
    2012, who share the noise among the words of a batch as here), so b_y starts at ``-log V``. The
    target is noise too where it is drawn: left out there, its y would come to ``log(p / (1 - p))``.
    weights, samples: as in `sampled_softmax`; w as of `output.full`.
    """

    def combined(target: Array, others: Array, at_target: Array, at_others: Array) -> Array:
        noise = jax.nn.softplus(others - against(at_others, others)).sum(-1)
        return jax.nn.softplus(at_target - target) + noise

    sampler = systematic(weights, samples)
    output = _by_sample(vocabulary, size, sampler, scale, combined, once=False)

    def init(key: Array) -> Any:
        w = output.init(key)
        return w | {"b_y": w["b_y"] - np.log(vocabulary)}

    return output._replace(init=init)


def _by_sample(
    vocabulary: int,
    size: int,
    sampler: Sampler,
    scale: float,
    combined: Callable[..., Array],
    *,
    once: bool,
) -> Output:
    """A loss of the target's score [N] and those of the sample [N, S], and the log π of both.

    once: a target that is in the sample too is scored -inf there, so that it is counted once.
    """
    log_inclusion = jnp.asarray(np.log(sampler.inclusion))

    def loss(w: Any, h: Array, targets: Array, key: Array) -> Array:
        sample = sampler.draw(key)
        others = shared_scores(w, h, sample)
        if once:
            hit = jnp.expand_dims(sample, 0) == jnp.expand_dims(targets, 1)
            others = jnp.where(hit, -jnp.inf, others)
        at = log_inclusion[targets], log_inclusion[sample]
        return combined(scores(w, h, targets), others, *at)

    def needed(targets: Array, key: Array) -> Mapping[str, Array]:
        wanted = jnp.concatenate([targets.ravel(), sampler.draw(key)])
        rows = distinct(wanted, vocabulary, min(vocabulary, len(wanted)))
        return {"W_vh": rows, "b_y": rows}

    return full(vocabulary, size, scale)._replace(loss=loss, needed=needed)
