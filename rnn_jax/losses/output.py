"""The last layer and its loss as one thing: ``p(word | h)`` over V words.

A full softmax scores all V words to learn from one. The approximations score few of them while
training, and which ones depends on the target; so the model gives h, and the output decides. All of
them have exact probabilities, and those alone are evaluated and written with.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from rnn_jax.affine import against
from rnn_jax.tables import take, whole

Array = jax.Array

_BLOCK = 2**24  # numbers in the scores of a block, 64 MiB


class Output(NamedTuple):
    """``p(word | h)`` with weights w; h [N, E], targets [N] integers in [0, V).

    init: ``key -> w``; loss: ``(w, h, targets, key) -> [N]``, what training minimises, an
    approximation that may draw; nats: ``(w, h, targets) -> [N]``, exactly ``-log p(target | h)``;
    log_probs: ``(w, h [..., E]) -> [..., V]``, exactly; needed: ``(targets, key) -> {leaf of w:
    numbers [K] of the rows that `loss` looks at}``, ascending and distinct (`tables.distinct`);
    leaves that are not there are looked at whole. None: all are.
    """

    init: Callable[[Array], Any]
    loss: Callable[[Any, Array, Array, Array], Array]
    nats: Callable[[Any, Array, Array], Array]
    log_probs: Callable[[Any, Array], Array]
    needed: Callable[[Array, Array], Mapping[str, Array]] | None = None


class Asked(flax.struct.PyTreeNode):
    """What a model hands to its output: h [T, B, E], weights w, the key of this step's draws.

    key: None where exact probabilities are asked for.
    """

    h: Array
    w: Any
    key: Array | None


def loss_of(output: Output) -> Callable[[Asked, Array], Array]:
    """The `Task.loss` of an output: ``(Asked, targets [T, B]) -> [T, B]``, exact without a key."""

    def loss(asked: Asked, targets: Array) -> Array:
        h, flat = asked.h.reshape(-1, asked.h.shape[-1]), targets.ravel()
        if asked.key is None:
            each = output.nats(asked.w, h, flat)
        else:
            each = output.loss(asked.w, h, flat, asked.key)
        return each.reshape(targets.shape)

    return loss


def table(vocabulary: int, size: int, scale: float) -> Callable[[Array], dict[str, Array]]:
    """init of W_vh [V, E], uniform in ±scale, and b_y [V] zero: a row for each word."""

    def init(key: Array) -> dict[str, Array]:
        W_vh = jax.random.uniform(key, (vocabulary, size), minval=-scale, maxval=scale)
        return {"W_vh": W_vh, "b_y": jnp.zeros(vocabulary)}

    return init


def scores(w: Mapping[str, Any], h: Array, words: Array) -> Array:
    """``h_n · W_vh[word_n] + b_y[word_n]``: h [N, E], a word for each, [N] -> [N]."""
    return (h * take(w["W_vh"], words)).sum(-1) + take(w["b_y"], words)


def shared_scores(w: Mapping[str, Any], h: Array, words: Array) -> Array:
    """The same for each h with each of the words [S] -> [N, S]."""
    b = take(w["b_y"], words)
    return h @ take(w["W_vh"], words).T + against(b, h)


def logits(w: Mapping[str, Any], h: Array) -> Array:
    """The scores of all words: h [..., E] -> [..., V]."""
    y = h.reshape(-1, h.shape[-1]) @ whole(w["W_vh"]).T + w["b_y"][None]
    return y.reshape(*h.shape[:-1], -1)


def full_nats(w: Mapping[str, Any], h: Array, targets: Array) -> Array:
    """``-log softmax(h W_vh^T + b_y)[target]`` [N], all at once."""
    return jax.nn.logsumexp(logits(w, h), axis=-1) - scores(w, h, targets)


def blocked(nats: Callable[..., Array], width: int) -> Callable[..., Array]:
    """`nats` block by block of N, for scores of `width` words that need not exist all at once."""
    rows = max(1, _BLOCK // width)

    def in_blocks(w: Any, h: Array, targets: Array) -> Array:
        if len(targets) <= rows:
            return nats(w, h, targets)
        blocks = -(-len(targets) // rows)
        h, targets = (
            jnp.pad(a, [(0, blocks * rows - len(a))] + [(0, 0)] * (a.ndim - 1)).reshape(
                blocks, rows, *a.shape[1:]
            )
            for a in (h, targets)
        )
        count = h.shape[0] * rows
        return lax.map(lambda part: nats(w, *part), (h, targets)).reshape(count)

    def cut(w: Any, h: Array, targets: Array) -> Array:
        return in_blocks(w, h, targets)[: len(targets)]

    return cut


def full(vocabulary: int, size: int, scale: float = 0.05) -> Output:
    """``p = softmax(h W_vh^T + b_y)``; w has W_vh [V, E] and b_y [V]."""

    def loss(w: Any, h: Array, targets: Array, key: Array) -> Array:
        return full_nats(w, h, targets)

    def log_probs(w: Any, h: Array) -> Array:
        return jax.nn.log_softmax(logits(w, h))

    exact = blocked(full_nats, vocabulary)
    return Output(table(vocabulary, size, scale), loss, exact, log_probs)
