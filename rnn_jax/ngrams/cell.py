"""An n-gram model as a cell: its carry is a window, the last n - 1 tokens.

So it goes through the same `unroll`, evaluation and writing as a recurrent network. It is what the
lecture calls memoryless: nothing of the text before the window is left.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rnn_jax.cells.core import Cell, Params
from rnn_jax.ngrams.tables import Order, Tables

_NOTHING = -1  # in the window: before the start; of places: not seen


def cell(model: Tables) -> Cell:
    """Token x_t [B] to ``log p(w | x_{t-n+2} … x_t)`` [B, V] in nats.

    The carry is the window x_{t-n+2} … x_t [B, n-1], int32, -1 before the start. A step finds the
    window's contexts of all lengths by binary search, and writes each order's row over the one
    below: B V numbers, and B times the longest row of the order, at most as many, to do so.

    w is `Tables` of the same n, vocabulary and longest rows as the model given here, which is
    also what init answers, whatever the key. A row is minus infinity where there is no smoothing
    and the context was never seen.
    """
    longest = widths(model)

    def start(w: Params, lanes: int) -> Array:
        return jnp.full((lanes, len(longest)), _NOTHING, jnp.int32)

    def step(w: Params, window: Array, x: Array) -> tuple[Array, Array]:
        window = jnp.concatenate([window, x.astype(jnp.int32)[:, None]], axis=1)[:, 1:]
        return window, jnp.log(distribution(w, longest, window))

    return Cell(lambda key: model, start, lambda w, x: x, step)


def widths(model: Tables) -> tuple[int, ...]:
    """How many tokens were seen after one context at most, for each of the orders."""
    return tuple(int(np.diff(order.first).max()) for order in model.orders)


@partial(jax.jit, static_argnames="widths")
def distribution(w: Tables, widths: tuple[int, ...], window: Array) -> Array:
    """p(· | window) [B, V]: window [B, n-1] tokens, -1 before the start; widths of `widths`."""
    places = _contexts(w, widths, window)
    row = jnp.broadcast_to(w.unigram, (window.shape[0], w.vocabulary))
    for order, width, length in zip(w.orders, widths, range(1, w.n), strict=True):
        context, oldest = places[:, -length], window[:, -length]
        seen = context >= 0
        passed = jnp.where(oldest < 0, 1, jnp.where(seen, order.gamma[context], w.unseen))
        row = _added(row * passed[:, None], order, width, jnp.where(seen, context, 0), seen)
    return row


def _contexts(w: Tables, widths: tuple[int, ...], window: Array) -> Array:
    """Place of the gram from each token of the window to its end [B, n-1], -1 where not seen."""
    places, n = window, w.n
    for k, order, width in zip(range(2, n), w.orders, widths, strict=False):
        # All grams that go on so far take in their next token; those that ended stay.
        grown = _child(order, width, places[:, : n - k], window[:, k - 1 :])
        places = jnp.concatenate([grown, places[:, n - k :]], axis=1)
    return places


def _child(order: Order, width: int, context: Array, token: Array) -> Array:
    """Place of the gram (context, token), by binary search in the context's row; -1: none."""
    low, high = order.first[context], order.first[context + 1]

    def halve(_: int, edges: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = edges
        middle = (low + high) // 2
        after = order.token[middle] < token
        open_ = low < high
        return jnp.where(open_ & after, middle + 1, low), jnp.where(open_ & ~after, middle, high)

    place, _ = lax.fori_loop(0, width.bit_length(), halve, (low, high))
    found = (context >= 0) & (place < order.first[context + 1]) & (order.token[place] == token)
    return jnp.where(found, place, _NOTHING)


def _added(row: Array, order: Order, width: int, context: Array, seen: Array) -> Array:
    """row [B, V] plus a(w|c) at the tokens w that were seen after the context [B]."""
    at = order.first[context][:, None] + jnp.arange(width)[None]
    inside = seen[:, None] & (at < order.first[context + 1][:, None])
    # What is not of the row goes past the vocabulary's end, each to a place of its own.
    beyond = row.shape[1] + jnp.arange(width)[None]
    token = jnp.where(inside, order.token[at], beyond)
    lanes = jnp.arange(row.shape[0])[:, None]
    return row.at[lanes, token].add(order.a[at], mode="drop", unique_indices=True)
