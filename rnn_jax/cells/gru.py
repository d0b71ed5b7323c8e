"""Two gated recurrent units: resetting after the product, and before it."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.cells.core import (
    Array,
    Cell,
    Gate,
    Params,
    gated,
    initial,
    matrix_hh,
    read_affine,
    zero_hidden,
)


def _gru_bias(w: Params) -> Array:
    # Only the candidate's product is multiplied by a gate after its bias, so only there does a
    # second bias differ from b_h.
    return jnp.concatenate([jnp.zeros(2 * w["b_hn"].shape[0], w["b_hn"].dtype), w["b_hn"]])


def _gru_forward(p: tuple[()], h: Array, z: Array, r: Array) -> tuple[Array, Any]:
    z_r, z_u, z_n = jnp.split(z, 3, axis=-1)
    r_r, r_u, r_n = jnp.split(r, 3, axis=-1)
    reset, update = jax.nn.sigmoid(z_r + r_r), jax.nn.sigmoid(z_u + r_u)
    candidate = jnp.tanh(z_n + reset * r_n)
    gates = jnp.concatenate([reset, update, candidate], axis=-1)
    return candidate + update * (h - candidate), (gates, r_n)


def _gru_factors(p: tuple[()], h: Array, next: Array, saved: Any) -> tuple[Array, Array, Array]:
    gates, r_n = saved
    reset, update, candidate = jnp.split(gates, 3, axis=-1)
    to_n = (1 - update) * (1 - candidate * candidate)
    to_u = (h - candidate) * update * (1 - update)
    to_r = to_n * r_n * reset * (1 - reset)
    return update, jnp.concatenate([to_r, to_u, to_n], axis=-1), reset


def _gru_back(factors: tuple[Array, ...], h_bar: Array) -> tuple[Array, Array, Array]:
    update, to_gates, reset = factors
    z_bar = jnp.concatenate([h_bar, h_bar, h_bar], axis=-1) * to_gates
    ru_bar, n_bar = jnp.split(z_bar, [2 * h_bar.shape[-1]], axis=-1)
    return h_bar * update, z_bar, jnp.concatenate([ru_bar, n_bar * reset], axis=-1)


_GRU = Gate(
    _gru_forward,
    matrix_hh,
    bias=_gru_bias,
    factors=_gru_factors,
    back=_gru_back,
    native="gru",
)


def gru(inputs: int, hidden: int) -> Cell:
    """The GRU that resets after the product, cuDNN's and PyTorch's form:

    ``r = σ(x W_xr + h W_hr + b_r)``, ``u = σ(x W_xu + h W_hu + b_u)``,
    ``n = tanh(x W_xn + b_n + r * (h W_hn + b_hn))``, ``h_t = (1 - u) * n + u * h_{t-1}``.

    Parameters: W_xh [X, 3H], W_hh [H, 3H], b_h [3H], blocks in the order r, u, n; b_hn [H].
    """

    def init(key: Array) -> Params:
        return initial(key, inputs, hidden, 3) | {"b_hn": jnp.zeros(hidden)}

    return gated(init, zero_hidden, read_affine, _GRU)


def cho_gru(inputs: int, hidden: int) -> Cell:
    """The GRU of Cho et al. 2014, which resets before the product:

    ``n = tanh(x W_xn + b_n + (r * h) W_hn)``; r, u and h_t as in `gru`. The product waits for a
    gate, so the cell takes the general path. Parameters as `gru`, without b_hn.
    """

    def init(key: Array) -> Params:
        return initial(key, inputs, hidden, 3)

    def step(w: Params, h: Array, z: Array) -> tuple[Array, Array]:
        W_ru, W_n = w["W_hh"][:, : 2 * hidden], w["W_hh"][:, 2 * hidden :]
        reset, update = jnp.split(jax.nn.sigmoid(z[..., : 2 * hidden] + h @ W_ru), 2, axis=-1)
        candidate = jnp.tanh(z[..., 2 * hidden :] + (reset * h) @ W_n)
        h = candidate + update * (h - candidate)
        return h, h

    return Cell(init, zero_hidden, read_affine, step)
