"""One form for every smoothing: ``p(w|c) = a(w|c) + gamma(c) p(w|c')``, c' = c without its oldest.

``a`` is kept for the n-grams that were seen, ``gamma`` for the contexts that were seen; a context
never seen passes everything on (gamma = 1), so that only what was seen takes room. The recursion
ends in a dense distribution over the vocabulary.
"""

from collections.abc import Sequence

import flax.struct
import jax
import numpy as np

from rnn_jax.data.text import Stream
from rnn_jax.ngrams.counts import Grams, joined, walk

Array = jax.Array | np.ndarray


class Order(flax.struct.PyTreeNode):
    """The k-grams' share of the model, k at least 2; first and token as in `counts.Grams`. int32

    a [S_k]: of each k-gram; gamma [S_{k-1}]: of each context, one for one. float32
    """

    first: Array
    token: Array
    a: Array
    gamma: Array


class Tables(flax.struct.PyTreeNode):
    """An n-gram model.

    unigram [V]: the distribution under no context. orders: longer grams, orders[k-2] the k-grams.
    unseen []: what a context never seen passes on: 1, or 0 where there is no smoothing and such a
    context has no distribution. A context cut short by a start always passes everything on.
    """

    unigram: Array
    orders: tuple[Order, ...]
    unseen: Array

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.unigram.shape[0]

    @property
    def n(self) -> int:
        """One token and the n - 1 before it."""
        return 1 + len(self.orders)


def tables(
    unigram: np.ndarray,
    longer: Sequence[Grams],
    shares: Sequence[tuple[np.ndarray, np.ndarray]],
    unseen: float = 1.0,
) -> Tables:
    """Tables in single precision from (a, gamma) for each of the longer grams.

    gamma is replaced by `unseen` for contexts after which nothing was seen.
    """
    orders = []
    for grams, (a, gamma) in zip(longer, shares, strict=True):
        gamma = np.where(np.diff(grams.first) > 0, gamma, unseen)
        places = (grams.first.astype(np.int32), grams.token.astype(np.int32))
        orders.append(Order(*places, a.astype(np.float32), gamma.astype(np.float32)))
    return Tables(unigram.astype(np.float32), tuple(orders), np.float32(unseen))


def size(model: Tables) -> int:
    """How many numbers are estimated: unigram, a and gamma; where they stand is not counted."""
    return model.unigram.size + sum(order.a.size + order.gamma.size for order in model.orders)


def log_probabilities(model: Tables, text: Stream) -> np.ndarray:
    """``log p(target | what was read of its piece)`` of every step, in nats. [N]

    In double precision, all steps at once; minus infinity where the model gives no probability.
    """
    tokens, age = joined(text)
    ends = walk(model.orders, model.vocabulary, tokens, age)
    p = model.unigram[tokens].astype(np.float64)
    for k, order in enumerate(model.orders, start=2):
        gram, context = ends[k - 1], np.roll(ends[k - 2], 1)
        a = np.where(gram >= 0, order.a[gram], 0)
        gamma = np.where(context >= 0, order.gamma[context], model.unseen)
        p = np.where(age >= k - 1, a + gamma * p, p)
    with np.errstate(divide="ignore"):
        return np.log(p[age > 0])
