"""How often each n-gram comes in a text: ``count(w_1 … w_k)`` for all k up to n, by sorting.

The k-grams are a trie in arrays: those that share a context (their first k-1 tokens) lie side by
side, ordered by their last token. A k-gram is known by its place among the k-grams, a 1-gram by its
token, and "none" is -1.

At a fresh start nothing was before: no n-gram reaches over it, and the first tokens of a piece have
contexts shorter than n-1, as many as there are.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from rnn_jax.data.text import Stream
from rnn_jax.errors import BadInput


class Rows(Protocol):
    """Where a context's k-grams lie, and their last tokens; see `Grams`."""

    first: np.ndarray
    token: np.ndarray


class Grams(NamedTuple):
    """The S_k distinct k-grams of a text, k at least 2.

    first [S_{k-1} + 1]: those of context i are first[i] … first[i+1] - 1. token [S_k]: the last
    token, ascending within a context. count [S_k]. shorter [S_k]: the (k-1)-gram that is left
    without the first token.
    """

    first: np.ndarray
    token: np.ndarray
    count: np.ndarray
    shorter: np.ndarray


class Counts(NamedTuple):
    """How often each token comes [V], and the longer grams: longer[k-2] are the k-grams."""

    tokens: np.ndarray
    longer: tuple[Grams, ...]

    @property
    def vocabulary(self) -> int:
        """V, seen or not."""
        return len(self.tokens)

    @property
    def n(self) -> int:
        """The length of the longest grams."""
        return 1 + len(self.longer)

    def upto(self, n: int) -> "Counts":
        """The same without what is longer than n."""
        return Counts(self.tokens, self.longer[: n - 1])

    def distinct(self) -> list[int]:
        """How many different k-grams there are, k = 1 … n."""
        return [int(np.count_nonzero(self.tokens)), *(len(grams.token) for grams in self.longer)]


def count(text: Stream, vocabulary: int, n: int) -> Counts:
    """All k-grams of a text, k = 1 … n; a piece of m steps has m + 1 tokens.

    BadInput for n below 1, an empty text, and a text without a single n-gram.
    """
    if n < 1:
        raise BadInput(f"--n {n}: an n-gram has at least 1 token")
    if not len(text.targets):
        raise BadInput("there is nothing to count in an empty text: give a longer one")
    tokens, age = joined(text)
    if (longest := int(age.max()) + 1) < n:
        raise BadInput(f"--n {n} is longer than the text, which has {longest} tokens in a piece")
    ends, shorter, longer = tokens, vocabulary, []
    for k in range(2, n + 1):
        grams, ends = _extended(ends, shorter, vocabulary, tokens, age >= k - 1)
        shorter = len(grams.token)
        longer.append(grams)
    return Counts(np.bincount(tokens, minlength=vocabulary), tuple(longer))


def joined(text: Stream) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a stream, each once, and how many of its piece stand before each. int64 [N + P]

    N steps in P pieces: the first token of a piece is only ever read, so it is added here.
    """
    fresh = np.array(text.fresh)
    fresh[:1] = True  # also where the stream goes on from something that is not there
    begin = np.flatnonzero(fresh)
    tokens = np.insert(text.targets.astype(np.int64), begin, text.inputs[begin])
    pieces = begin + np.arange(len(begin))  # where each begins among the tokens
    lengths = np.diff(np.append(pieces, len(tokens)))
    return tokens, np.arange(len(tokens)) - np.repeat(pieces, lengths)


def _extended(
    ends: np.ndarray, shorter: int, vocabulary: int, tokens: np.ndarray, whole: np.ndarray
) -> tuple[Grams, np.ndarray]:
    """The grams one longer than those that end at each token, of which there are `shorter`.

    whole [N]: the longer gram does not reach over a start. Its number is its parent's and its last
    token's in one, so that sorting the numbers makes the trie.
    """
    at = np.flatnonzero(whole)
    numbers = ends[at - 1] * vocabulary + tokens[at]
    distinct, sample, place, times = np.unique(
        numbers, return_index=True, return_inverse=True, return_counts=True
    )
    context, token = np.divmod(distinct, vocabulary)
    first = np.searchsorted(context, np.arange(shorter + 1))
    grown = np.full(len(tokens), -1)
    grown[at] = place
    return Grams(first, token, times, ends[at[sample]]), grown


def contexts(rows: Rows) -> np.ndarray:
    """The context of each k-gram [S_k], its place among the (k-1)-grams."""
    return np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))


def walk(
    longer: Sequence[Rows], vocabulary: int, tokens: np.ndarray, age: np.ndarray
) -> list[np.ndarray]:
    """The place of the k-gram that ends at each token [N], k = 1 … n; tokens and age of `joined`.

    -1 for one that is not among `longer`, or would reach over a start. The k-gram's context is the
    (k-1)-gram one token earlier.
    """
    ends = [tokens]
    for k, rows in enumerate(longer, start=2):
        before = np.roll(ends[-1], 1)
        known = contexts(rows) * vocabulary + rows.token
        wanted = before * vocabulary + tokens
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = (known[place] == wanted) & (before >= 0) & (age >= k - 1)
        ends.append(np.where(found, place, -1))
    return ends


def most_frequent(counts: Counts, length: int, many: int) -> np.ndarray:
    """The grams of that length, at least 1, that come most often. [many, length] or fewer"""
    often = counts.longer[length - 2].count if length > 1 else counts.tokens
    places = np.argsort(-often, kind="stable")[:many]
    columns = []
    for rows in reversed(counts.longer[: length - 1]):
        columns.append(rows.token[places])
        places = contexts(rows)[places]
    return np.stack([places, *reversed(columns)], axis=1)


class Coverage(NamedTuple):
    """How many n-grams a text has, how many of them the counts lack, and of how many of these
    also the context. The first token of a piece is given, and is not a 1-gram here.
    """

    grams: int
    unseen: int
    unseen_contexts: int


def coverage(counts: Counts, text: Stream) -> list[Coverage]:
    """For k = 1 … n, what of another text's k-grams was never counted."""
    tokens, age = joined(text)
    ends = walk(counts.longer, counts.vocabulary, tokens, age)
    asked = tokens[age > 0]
    table = [Coverage(len(asked), int((counts.tokens[asked] == 0).sum()), 0)]
    for k, grams in enumerate(counts.longer, start=2):
        whole = age >= k - 1
        context = np.roll(ends[k - 2], 1)[whole]
        followed = np.diff(grams.first) > 0  # nothing comes after the text's last tokens
        unseen = int((ends[k - 1][whole] < 0).sum())
        unseen_contexts = int(((context < 0) | ~followed[context]).sum())
        table.append(Coverage(int(whole.sum()), unseen, unseen_contexts))
    return table
