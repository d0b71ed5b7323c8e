"""From counts to distributions: relative frequencies, priors, Kneser-Ney.

Each function is pure, and gives `Tables` for the n of its counts. c is a context, c' the context
without its oldest token, ``count(c *)`` the sum over all w of ``count(c w)``.
"""

import numpy as np

from rnn_jax.errors import BadInput
from rnn_jax.ngrams.counts import Counts, Grams, contexts
from rnn_jax.ngrams.tables import Tables, tables

# A discount for grams of which none came once: the estimate would be 0, and leave nothing for what
# was never seen.
_FALLBACK = 0.5


def maximum_likelihood(counts: Counts) -> Tables:
    """``p(w|c) = count(c w) / count(c *)``: the slide's table, without smoothing.

    Of a context never seen it knows nothing: there every probability is 0.
    """
    shares = []
    for grams in counts.longer:
        share, total = relative(grams, grams.count)
        shares.append((share, np.zeros_like(total)))
    return tables(counts.tokens / counts.tokens.sum(), counts.longer, shares, unseen=0.0)


def add(counts: Counts, k: float) -> Tables:
    """``p(w|c) = (count(c w) + k) / (count(c *) + k V)``: a Dirichlet prior of k for every token.

    A context never seen, or cut short by a start, has the prior's uniform distribution. BadInput
    for k not above 0, or infinite.
    """
    if not 0 < k < np.inf:
        raise BadInput(f"--add-k {k}: what is added to every count must be above 0 and finite")
    V = counts.vocabulary
    if not counts.longer:
        return tables((counts.tokens + k) / (counts.tokens.sum() + k * V), (), ())
    shares = [(np.zeros(len(g.token)), np.ones(len(g.first) - 1)) for g in counts.longer[:-1]]
    last = counts.longer[-1]
    total = summed(last, last.count)
    shares.append((last.count / (total + k * V)[contexts(last)], k * V / (total + k * V)))
    return tables(np.full(V, 1 / V), counts.longer, shares)


def kneser_ney(counts: Counts, discounts: list[float]) -> Tables:
    """``p(w|c) = (max(N(c w) - D, 0) + D N1+(c *) p(w|c')) / N(c *)``, interpolated Kneser-Ney.

    N is the count for the longest grams; for shorter ones it is in how many different contexts
    they came, N1+(* c w), the number of tokens seen before them. N1+(c *) is the number of w with
    N(c w) above 0. The unigrams are discounted as well, towards the uniform distribution.
    discounts: D for k = 1 … n, of `discounts`. Chen & Goodman 1999, section 3, equation 17 f.
    """
    numbers = continuations(counts)
    kinds = np.count_nonzero(numbers[0])
    D, N = discounts[0], numbers[0].sum()
    unigram = (np.maximum(numbers[0] - D, 0) + D * kinds / counts.vocabulary) / N
    shares = []
    for grams, number, D in zip(counts.longer, numbers[1:], discounts[1:], strict=True):
        share, total = relative(grams, np.maximum(number - D, 0), number)
        kinds = summed(grams, number > 0)
        # What came only at a start was preceded by nothing: its context passes everything on.
        shares.append((share, np.where(total > 0, D * kinds / np.maximum(total, 1), 1)))
    return tables(unigram, counts.longer, shares)


def discounts(counts: Counts) -> list[float]:
    """``D_k = n_1 / (n_1 + 2 n_2)``: n_r is how many k-grams have number r. (Ney et al. 1994)

    One half where no k-gram has number 1.
    """
    found = []
    for number in continuations(counts):
        once, twice = np.count_nonzero(number == 1), np.count_nonzero(number == 2)
        found.append(float(once / (once + 2 * twice)) if once else _FALLBACK)
    return found


def continuations(counts: Counts) -> list[np.ndarray]:
    """Kneser-Ney's numbers [S_k], k = 1 … n: how many kinds of token come before a k-gram; for the
    longest, how often it comes.
    """
    own = [counts.tokens, *(grams.count for grams in counts.longer)]
    before = [
        np.bincount(grams.shorter, minlength=len(short))
        for grams, short in zip(counts.longer, own, strict=False)
    ]
    return [*before, own[-1]]


def summed(grams: Grams, values: np.ndarray) -> np.ndarray:
    """``Σ_w value(c w)`` for each context: [S_k] -> [S_{k-1}]."""
    return np.diff(np.concatenate([[0], np.cumsum(values)])[grams.first])


def relative(
    grams: Grams, values: np.ndarray, numbers: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Each gram's value over its context's sum of numbers (or of values), 0 where that is 0.

    [S_k] and the sums [S_{k-1}]
    """
    total = summed(grams, values if numbers is None else numbers)
    return values / np.maximum(total, 1)[contexts(grams)], total
