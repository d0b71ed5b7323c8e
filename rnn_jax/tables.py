"""Tables with a row for each word, of which a step may hold only the rows that it needs."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from rnn_jax.affine import lookup

Array = jax.Array


class Rows(flax.struct.PyTreeNode):
    """Some rows of a table [V, ...]: values [K, ...] are those numbered by index [K], ascending.

    Places to spare at the end of index hold V, which is no row.
    """

    index: Array
    values: Array


def take(table: Array | Rows, numbers: Array) -> Array:
    """The rows of these numbers: table [V, ...], numbers [...] integers in [0, V) -> [..., ...].

    Of `Rows` the numbers must be among their index; nothing checks it.
    """
    if isinstance(table, Rows):
        return table.values[jnp.searchsorted(table.index, numbers)]
    return lookup(table, numbers) if table.ndim == 2 else table[numbers]


def whole(table: Any) -> Array:
    """The table [V, ...] itself; TypeError where only some of its rows are here."""
    if isinstance(table, Rows):
        raise TypeError("this needs all rows of a table of which only some are here")
    return table


def distinct(numbers: Array, size: int, room: int) -> Array:
    """The distinct numbers in ascending order, int32 [room], then `size` where there are fewer.

    numbers: [...] in [0, size); room must be enough for all of them.
    """
    return jnp.unique(numbers.ravel(), size=room, fill_value=size).astype(jnp.int32)
