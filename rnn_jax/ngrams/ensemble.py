"""An ensemble of n-gram models with different n, its weights fitted on held-out text by EM.

    p_k(w|c) = mu_k count(c w) / count(c *) + (1 - mu_k) p_{k-1}(w|c'),   p_0 = 1 / V

Unrolled, that is a mixture of the relative frequencies of all orders with weights
``lambda_k = mu_k Π_{j>k} (1 - mu_j)``. Where a context was never seen the orders that need it are
left out and the other weights are divided by their sum, which is the same recursion begun lower
down. (Jelinek & Mercer 1980)
"""

from typing import NamedTuple

import numpy as np

from rnn_jax.data.text import Stream
from rnn_jax.errors import BadInput
from rnn_jax.ngrams.counts import Counts, joined, walk
from rnn_jax.ngrams.smoothing import relative
from rnn_jax.ngrams.tables import Tables, tables

_ITERATIONS, _GAIN = 200, 1e-7  # EM ends after so many, or when it gains less [nats per token]


class Fit(NamedTuple):
    """mu_1 … mu_n, and the held-out text's mean log-likelihood before every step of EM [nats]."""

    mu: np.ndarray
    likelihoods: list[float]

    def weights(self) -> np.ndarray:
        """lambda_0 … lambda_n, of a context of which all is seen; they sum to 1."""
        rest = np.append(np.cumprod((1 - self.mu)[::-1])[::-1], 1.0)
        return np.append(1.0, self.mu) * rest


def ensemble(counts: Counts, mu: np.ndarray) -> Tables:
    """The interpolated model with these mu_1 … mu_n."""
    V = counts.vocabulary
    unigram = mu[0] * counts.tokens / counts.tokens.sum() + (1 - mu[0]) / V
    shares = []
    for grams, own in zip(counts.longer, mu[1:], strict=True):
        share, total = relative(grams, grams.count)
        shares.append((own * share, np.full(len(total), 1 - own)))
    return tables(unigram, counts.longer, shares)


def reserved(text: Stream, share: float) -> tuple[Stream, Stream]:
    """A text without its last steps, that share of it, and these: to count, and to fit weights on.

    BadInput where one of them is empty.
    """
    cut = round(len(text.targets) * (1 - share))
    parts = [Stream(*(a[at] for a in text)) for at in (slice(cut), slice(cut, None))]
    if not all(len(part.targets) for part in parts):
        raise BadInput(f"a text of {len(text.targets)} steps is too short to fit weights on a part")
    return parts[0], parts[1]


def fit_ensemble(counts: Counts, held_out: Stream) -> Fit:
    """EM from equal weights: no step lowers the likelihood of the held-out text.

    To that text one token is added that no order has seen, in a context that all have: so no mu
    reaches 1, and nothing gets probability 0.
    """
    p, depth = components(counts, held_out)
    p = np.vstack([p, np.eye(1, counts.n + 1) / counts.vocabulary])
    depth = np.append(depth, counts.n)
    mu, likelihoods = 1 / np.arange(2.0, counts.n + 2), []
    for _ in range(_ITERATIONS):
        better, likelihood = em_step(mu, p, depth)
        likelihoods.append(likelihood)
        if len(likelihoods) > 1 and likelihood - likelihoods[-2] < _GAIN:
            break
        mu = better
    return Fit(mu, likelihoods)


def components(counts: Counts, text: Stream) -> tuple[np.ndarray, np.ndarray]:
    """``count(c w) / count(c *)`` of each target in orders 0 … n [N, n + 1], 0 where not seen; and
    the highest order whose context was seen [N].
    """
    tokens, age = joined(text)
    ends = walk(counts.longer, counts.vocabulary, tokens, age)
    p = [np.full(len(tokens), 1 / counts.vocabulary), counts.tokens[tokens] / counts.tokens.sum()]
    depth = np.ones(len(tokens), np.int64)
    for k, grams in enumerate(counts.longer, start=2):
        share, total = relative(grams, grams.count)
        context = np.roll(ends[k - 2], 1)
        depth[(age >= k - 1) & (context >= 0) & (total[context] > 0)] = k
        p.append(np.where(ends[k - 1] >= 0, share[ends[k - 1]], 0))
    asked = age > 0
    return np.stack(p, axis=1)[asked], depth[asked]


def em_step(mu: np.ndarray, p: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, float]:
    """One step of EM on `components`: better mu, and the mean log-likelihood of the given ones.

    A token goes down from the highest order whose context was seen, stops at order k with
    probability mu_k, and is drawn there. Expected stops at k over expected arrivals at k are the
    new mu_k; where nothing arrives it stays.
    """
    joint, going = np.zeros_like(p), np.ones(len(p))
    for k in range(len(mu), 0, -1):
        here = depth >= k
        joint[:, k] = np.where(here, going * mu[k - 1], 0) * p[:, k]
        going = np.where(here, going * (1 - mu[k - 1]), going)
    joint[:, 0] = going * p[:, 0]
    likelihood = joint.sum(axis=1)
    stops = joint / likelihood[:, None]
    arrivals = np.cumsum(stops, axis=1)
    new = [
        stops[:, k].sum() / arrived if (arrived := arrivals[depth >= k, k].sum()) else mu[k - 1]
        for k in range(1, len(mu) + 1)
    ]
    return np.array(new), float(np.log(likelihood).mean())
