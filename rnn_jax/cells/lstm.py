"""Long short-term memory."""

from typing import Any

import jax.numpy as jnp

from rnn_jax.affine import against
from rnn_jax.cells.core import (
    Array,
    Carry,
    Cell,
    Gate,
    Params,
    gated,
    initial,
    matrix_hh,
    read_affine,
    zero_hidden,
)


def _lstm_squash(a: Array) -> Array:
    """σ on the blocks i, f, o and tanh on g, as one tanh: ``σ(a) = (1 + tanh(a / 2)) / 2``."""
    hidden = a.shape[-1] // 4
    is_g = (jnp.arange(4 * hidden) // hidden) == 2
    scale = against(jnp.where(is_g, 1.0, 0.5).astype(a.dtype), a)
    shift = against(jnp.where(is_g, 0.0, 0.5).astype(a.dtype), a)
    return jnp.tanh(a * scale) * scale + shift


def _lstm_forward(p: tuple[()], carry: Carry, z: Array, r: Array) -> tuple[Carry, Any]:
    _, c = carry
    gates = _lstm_squash(z + r)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = f * c + i * g
    tanh_c = jnp.tanh(c)
    return (o * tanh_c, c), (gates, tanh_c)


def _lstm_factors(p: tuple[()], prev: Carry, next: Carry, saved: Any) -> tuple[Array, ...]:
    gates, tanh_c = saved
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    to_gates = [g * i * (1 - i), prev[1] * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)]
    return f, o * (1 - tanh_c * tanh_c), jnp.concatenate(to_gates, axis=-1)


def _lstm_back(factors: tuple[Array, ...], carry_bar: Carry) -> tuple[Carry, Array, Array]:
    f, h_to_c, to_gates = factors
    h_bar, c_bar = carry_bar
    c_bar = c_bar + h_bar * h_to_c
    a_bar = jnp.concatenate([c_bar, c_bar, c_bar, h_bar], axis=-1) * to_gates
    return (jnp.zeros_like(h_bar), c_bar * f), a_bar, a_bar


def _first(carry: Carry) -> Array:
    return carry[0]


_LSTM = Gate(
    _lstm_forward,
    matrix_hh,
    hidden=_first,
    factors=_lstm_factors,
    back=_lstm_back,
    native="lstm",
)


def lstm(inputs: int, hidden: int, *, forget_bias: float = 0.0) -> Cell:
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with Gers et al.'s forget gate):

    ``i, f, o = σ(x W_x· + h W_h· + b_·)``, ``g = tanh(x W_xg + h W_hg + b_g)``,
    ``c_t = f * c_{t-1} + i * g``, ``h_t = o * tanh(c_t)``; the carry is (h, c).

    Parameters: W_xh [X, 4H], W_hh [H, 4H], b_h [4H], blocks in the order i, f, g, o (PyTorch's).
    forget_bias is where f's part of b_h starts, set by `init` alone. Jozefowicz et al. 2015 advise
    1 for long dependencies; from 0 text is learned faster, and fitted too closely sooner
    (experiments/results/char_lm.json: char-rnn's recipe).
    """

    def init(key: Array) -> Params:
        w = initial(key, inputs, hidden, 4)
        return w | {"b_h": w["b_h"].at[hidden : 2 * hidden].set(forget_bias)}

    def start(w: Params, lanes: int) -> Carry:
        return zero_hidden(w, lanes), zero_hidden(w, lanes)

    return gated(init, start, read_affine, _LSTM)
