"""Backpropagation through time for the slides' vanilla RNN, by hand in NumPy.

    h_t = tanh(x_t W_xh + h_{t-1} W_hh + b_h)     y_t = h_t W_hy + b_y     L = -Σ_t log p_t[k_t]

with p_t = softmax(y_t) and k_t the target; the sum is over the lanes too. They are the scalar
example's equations: what was a product with a weight is one with a matrix, and on the way back one
with its transpose. Inside, arrays over time are indexed by the slide's t: what does not exist at
t = 0 is zero there.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Weights(NamedTuple):
    """W_xh [X, H], W_hh [H, H], b_h [H], W_hy [H, V], b_y [V]; their derivatives look the same."""

    W_xh: Array
    W_hh: Array
    b_h: Array
    W_hy: Array
    b_y: Array


class States(NamedTuple):
    """h [T+1, B, H], log_p = log softmax(y) [T+1, B, V], the summed loss [nats]."""

    h: Array
    log_p: Array
    loss: float


def forward(w: Weights, xs: Array, targets: Array, h_0: Array) -> States:
    """xs [T, B, X], targets [T, B] integers, h_0 [B, H]."""
    (T, B), V = targets.shape, len(w.b_y)
    h, log_p = np.stack([h_0] * (T + 1)), np.zeros((T + 1, B, V))
    for t, x in enumerate(xs, start=1):
        h[t] = np.tanh(x @ w.W_xh + h[t - 1] @ w.W_hh + w.b_h)
        y = h[t] @ w.W_hy + w.b_y
        y = y - y.max(-1, keepdims=True)
        log_p[t] = y - np.log(np.exp(y).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p[1:], targets[..., None], -1)
    return States(h, log_p, -chosen.sum())


def backward(w: Weights, xs: Array, targets: Array, states: States) -> tuple[Weights, Array]:
    """L's derivatives by the weights, and by h_0 [B, H]."""
    T, h = len(xs), states.h
    y_bar = np.zeros_like(states.log_p)
    y_bar[1:] = np.exp(states.log_p[1:]) - np.eye(len(w.b_y))[targets]
    h_bar, z_bar = np.zeros_like(h), np.zeros((T + 2, *h.shape[1:]))  # z̄_{T+1} = 0
    for t in range(T, 0, -1):
        h_bar[t] = y_bar[t] @ w.W_hy.T + z_bar[t + 1] @ w.W_hh.T
        z_bar[t] = h_bar[t] * (1 - h[t] * h[t])
    h_bar[0] = z_bar[1] @ w.W_hh.T
    bars = Weights(
        W_xh=np.einsum("tbx,tbh->xh", xs, z_bar[1 : T + 1]),
        W_hh=np.einsum("tbg,tbh->gh", h, z_bar[1:]),  # the slide's Σ_t z̄(t+1) h(t), t = 0 … T
        b_h=z_bar.sum((0, 1)),
        W_hy=np.einsum("tbh,tbv->hv", h, y_bar),
        b_y=y_bar.sum((0, 1)),
    )
    return bars, h_bar[0]
