"""The lecture's networks whose weights are set by hand: summation, comparison, parity.

A `Network` is a cell of the library, a read-out, and weights in the layout of
``models.recurrent(models.stack(cell), out)``, so that `unroll`, a model and training take it as it
is. Vectors are rows: a matrix is [inputs, outputs]. The numbers are those of the lecture's figures.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.affine import affine
from rnn_jax.cells import PHI, Cell, vanilla
from rnn_jax.layers import Layer, dense

Array = jax.Array
threshold = PHI["threshold"].value


class Network(NamedTuple):
    """``y_t = out(h_t)`` with h_t of `cell`; weights are ``{"layers": (w,), "out": w_out}``."""

    cell: Cell
    out: Layer
    weights: dict[str, Any]


def read_out(phi: Callable[[Array], Array], hidden: int, outputs: int) -> Layer:
    """``y = phi(h W_hy + b_y)``: h [..., H] -> [..., Y]."""
    linear = dense(hidden, outputs)
    return Layer(linear.init, lambda w, h: phi(linear.apply(w, h)))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32)


def summation() -> Network:
    """``h_t = h_{t-1} + x_t, y_t = h_t``: linear units, all weights 1; x [..., 1] -> y [..., 1].

    The slide's 2, -0.5, 1, 1 gives 2, 1.5, 2.5, 3.5. Where inputs are multiples of 2^-k every sum
    below 2^(24-k) in size is exact in float32, at any length.
    """
    w = {"W_xh": _array([[1]]), "W_hh": _array([[1]])}
    out = {"W_hy": _array([[1]]), "b_y": _array([0])}
    return Network(
        vanilla(1, 1, phi="identity", bias=False), dense(1, 1), {"layers": (w,), "out": out}
    )


def comparison() -> Network:
    """``h_t = h_{t-1} + x_t1 - x_t2, y_t = σ(5 h_t)``: x [..., 2] -> y [..., 1] in (0, 1).

    Above 1/2 where the first stream has the larger sum so far; 1/2 where they are equal. The
    slide's (2, -2), (0, 3.5), (1, 2.2) gives 1.00, 0.92, 0.03.
    """
    w = {"W_xh": _array([[1], [-1]]), "W_hh": _array([[1]])}
    out = {"W_hy": _array([[5]]), "b_y": _array([0])}
    return Network(
        vanilla(2, 1, phi="identity", bias=False),
        read_out(jax.nn.sigmoid, 1, 1),
        {"layers": (w,), "out": out},
    )


def xor_units(w: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array]:
    """``h_t = [x W_xh + y_{t-1} W_yh + b_h > 0], y_t = [h_t W_hy + b_y > 0]``; h_t and y_t.

    A multilayer perceptron of threshold units for ``x XOR y``: x and y [..., 1], h [..., 2].
    """
    h = threshold(affine(x, w["W_xh"], w["b_h"]) + y @ w["W_yh"])
    return h, threshold(affine(h, w["W_hy"], w["b_y"]))


def parity() -> Network:
    """Parity as the slide draws it: the loop is y_{t-1} -> h_t; x [..., 1] in {0, 1} -> y [..., 1].

    h_1 = [x + y_{t-1} - 1.5 > 0] (and), h_2 = [x + y_{t-1} - 0.5 > 0] (or), y = [h_2 - h_1 - 0.5 >
    0], y_0 = 0. The carry is y, and the read-out hands it on.
    """
    w = {
        "W_xh": _array([[1, 1]]),
        "W_yh": _array([[1, 1]]),
        "b_h": _array([-1.5, -0.5]),
        "W_hy": _array([[-1], [1]]),
        "b_y": _array([-0.5]),
    }

    def start(w: dict[str, Array], lanes: int) -> Array:
        return jnp.zeros((lanes, 1), w["W_xh"].dtype)

    def step(w: dict[str, Array], y: Array, x: Array) -> tuple[Array, Array]:
        _, y = xor_units(w, x, y)
        return y, y

    cell = Cell(lambda key: w, start, lambda w, x: x, step)
    return Network(cell, Layer(lambda key: {}, lambda w, y: y), {"layers": (w,), "out": {}})


def folded_parity() -> Network:
    """The same in the vanilla RNN's form: ``h_t = [x W_xh + h_{t-1} W_hh + b_h > 0]``.

    ``W_hh = W_hy W_yh``, for y_{t-1} may be replaced by ``h_{t-1} W_hy = h_2 - h_1``: and implies
    or, so that difference is 0 or 1 already and needs no threshold. Equal to `parity` on every
    binary input; column vectors would have W_yh W_hy, [[-1, 1], [-1, 1]].
    """
    looped = parity().weights["layers"][0]
    w = {"W_xh": looped["W_xh"], "W_hh": looped["W_hy"] @ looped["W_yh"], "b_h": looped["b_h"]}
    out = {"W_hy": looped["W_hy"], "b_y": looped["b_y"]}
    return Network(
        vanilla(1, 2, phi="threshold"), read_out(threshold, 2, 1), {"layers": (w,), "out": out}
    )


def smooth_parity(gain: float) -> Network:
    """Parity by tanh units, which have a gradient: ``[a > 0]`` becomes ``(1 + tanh(gain a)) / 2``.

    With h = (1 + g) / 2 the folded form is ``g_t = tanh(gain (x W_xh + g_{t-1} W_hh / 2 + b_h))``:
    W_hh's columns sum to 0, so b_h stays, and g_0 = 0 means y_0 = 0. y_t are the logits of even and
    of odd [..., 2], ``∓gain (h_2 - h_1 - 1/2)``. From a gain of 2.5 on, h_2 - h_1 stays below 1/4
    at every even step and above 3/4 at every odd one, so that the network is right at any length;
    at 2 errors add up.
    """
    folded = folded_parity().weights
    w, out = folded["layers"][0], folded["out"]
    smooth = {
        "W_xh": gain * w["W_xh"],
        "W_hh": gain * w["W_hh"] / 2,
        "b_h": gain * w["b_h"],
    }
    odd = gain * out["W_hy"] / 2
    logits = {"W_hy": np.concatenate([-odd, odd], axis=1), "b_y": gain * _array([0.5, -0.5])}
    return Network(vanilla(1, 2), dense(2, 2), {"layers": (smooth,), "out": logits})
