"""Cells from elsewhere, and cells by name."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.core import Array, Carry, Cell, Params
from rnn_jax.cells.gru import cho_gru, gru
from rnn_jax.cells.lstm import lstm
from rnn_jax.cells.vanilla import vanilla
from rnn_jax.errors import BadInput


def from_flax(module: Any, inputs: int) -> Cell:
    """Any Flax linen cell (an `RNNCellBase`) as a Cell; it takes the general path.

    module: for instance ``flax.linen.OptimizedLSTMCell(features=7)``; inputs: X.
    """

    def init(key: Array) -> Params:
        carry = module.initialize_carry(key, (1, inputs))
        return module.init(key, carry, jnp.zeros((1, inputs)))

    def start(w: Params, lanes: int) -> Carry:
        return module.initialize_carry(jax.random.key(0), (lanes, inputs))

    def read(w: Params, x: Array) -> Array:
        # A Flax cell has its own input product and wants vectors, so a token becomes one-hot here.
        return jax.nn.one_hot(x, inputs) if jnp.issubdtype(x.dtype, jnp.integer) else x

    return Cell(init, start, read, module.apply)


CELLS: dict[str, Callable[[int, int], Cell]] = {
    "tanh": vanilla,
    "relu": functools.partial(vanilla, phi="relu"),
    "identity": functools.partial(vanilla, phi="identity"),
    "threshold": functools.partial(vanilla, phi="threshold"),
    "gru": gru,
    "cho_gru": cho_gru,
    "lstm": lstm,
}


def constructor(name: str) -> Callable[[int, int], Cell]:
    """The function ``(inputs, hidden) -> Cell`` called `name`: one of CELLS, or "module:function".

    BadInput where there is no such cell; importing "module" runs that module's code.
    """
    if name in CELLS:
        return CELLS[name]
    module, colon, function = name.partition(":")
    if not colon:
        raise BadInput(f"no cell {name!r}; use {', '.join(CELLS)} or module:constructor")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # the module is the user's, and may fail in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"cell {name!r} cannot be had: {reason}") from error
    if not callable(found):
        raise BadInput(f"cell {name!r} is no function (inputs, hidden) -> Cell")
    return found


def build(name: str, inputs: int, hidden: int) -> Cell:
    """The cell called `name` with X inputs and H hidden units; BadInput where it is none."""
    try:
        cell = constructor(name)(inputs, hidden)
    except TypeError as error:
        raise BadInput(f"cell {name!r} is not made from (inputs, hidden): {error}") from error
    if not isinstance(cell, Cell):
        raise BadInput(f"cell {name!r} made a {type(cell).__name__}, not an rnn_jax Cell")
    return cell
