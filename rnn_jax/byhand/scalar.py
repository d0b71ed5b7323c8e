"""The slides' BPTT example, everything scalar, every bar quantity by the slide's own equations.

    z(t) = u x(t) + w h(t-1)     h(t) = φ(z(t))     r(t) = v h(t)     y(t) = φ(r(t))

with the loss ``L = Σ_t a(t) ½ (y(t) - target(t))²``, where a(t) says how much it looks at step t.
A bar is a derivative: z̄(t) is L's by z(t). Lists are indexed by the slide's t, from 0 to T+1; what
does not exist (z(0), y(0), …) is NaN. Python's floats alone, so float64.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Phi(NamedTuple):
    """φ, and its slope φ' as the slide writes it: a function of φ's argument."""

    value: Callable[[float], float]
    slope: Callable[[float], float]


def _logistic(a: float) -> float:
    return (1 + math.tanh(a / 2)) / 2  # 1 / (1 + e^-a), which overflows far below zero


PHI = {
    "tanh": Phi(math.tanh, lambda a: 1 - math.tanh(a) * math.tanh(a)),
    "logistic": Phi(_logistic, lambda a: _logistic(a) * _logistic(-a)),
    "identity": Phi(lambda a: a, lambda a: 1.0),
}


class Network(NamedTuple):
    """The three weights, shared by all steps; φ's name in PHI; h(0)."""

    u: float
    v: float
    w: float
    phi: str = "tanh"
    h_0: float = 0.0


class States(NamedTuple):
    """What the forward pass computes at each t; loss[t] is step t's part before it is weighted."""

    x: list[float]
    target: list[float]
    z: list[float]
    h: list[float]
    r: list[float]
    y: list[float]
    loss: list[float]


class Bars(NamedTuple):
    """L's derivatives by every activation, each a list over t, and by the three weights."""

    y: list[float]
    r: list[float]
    h: list[float]
    z: list[float]
    u: float
    v: float
    w: float


class Terms(NamedTuple):
    """``ū = Σ_s Σ_t u[s][t]``: what the use of u at step t gets from the loss at step s; so for w.

    Lists of lists whose index 0 is step 1; where t > s they are zero. v has no such table, for its
    terms stay within a step.
    """

    u: list[list[float]]
    w: list[list[float]]


def forward(network: Network, xs: Sequence[float], targets: Sequence[float]) -> States:
    """The slide's four equations for t = 1 … T, with T = len(xs) = len(targets)."""
    if len(xs) != len(targets):
        raise ValueError(f"{len(xs)} inputs and {len(targets)} targets; there is one a step")
    u, v, w = network.u, network.v, network.w
    phi = PHI[network.phi].value
    T = len(xs)
    x, target = [math.nan, *xs], [math.nan, *targets]
    z, r, y, loss = ([math.nan] * (T + 1) for _ in range(4))
    h = [network.h_0] + [math.nan] * T
    for t in range(1, T + 1):
        z[t] = u * x[t] + w * h[t - 1]
        h[t] = phi(z[t])
        r[t] = v * h[t]
        y[t] = phi(r[t])
        loss[t] = (y[t] - target[t]) * (y[t] - target[t]) / 2
    return States(x, target, z, h, r, y, loss)


def backward(
    network: Network, states: States, *, looks: Sequence[float] | None = None, chunk: int = 0
) -> Bars:
    """The slide's bars for t = T … 1, then its three sums over time.

    looks: a(1) … a(T); None is 1 at every step. chunk: the gradient stops at the edge after every
    chunk-th step, where nothing of z̄(t+1) w arrives in h̄(t); 0 is the whole sequence.
    """
    v, w = network.v, network.w
    slope = PHI[network.phi].slope
    T = len(states.x) - 1
    a = [math.nan, *(looks or [1.0] * T)]
    y, r, h, z = ([math.nan] * (T + 2) for _ in range(4))
    L_bar = 1.0
    z[T + 1] = 0.0
    for t in range(T, 0, -1):
        y[t] = L_bar * a[t] * (states.y[t] - states.target[t])
        r[t] = y[t] * slope(states.r[t])
        h[t] = r[t] * v + (0.0 if is_edge(t, chunk) else z[t + 1] * w)
        z[t] = h[t] * slope(states.z[t])
    h[0] = z[1] * w
    u_bar = sum(z[t] * states.x[t] for t in range(1, T + 1))
    v_bar = sum(r[t] * states.h[t] for t in range(1, T + 1))
    w_bar = sum(z[t + 1] * states.h[t] for t in range(0, T + 1))
    return Bars(y, r, h, z, u_bar, v_bar, w_bar)


def is_edge(t: int, chunk: int) -> bool:
    """Whether a chunk ends with step t, so that the gradient does not come back from t+1 to t."""
    return chunk > 0 and t % chunk == 0


def terms(network: Network, states: States, chunk: int = 0) -> Terms:
    """The sums for ū and w̄ taken apart by the step s whose loss they come from."""
    T = len(states.x) - 1
    u, w = [], []
    for s in range(1, T + 1):
        looks = [float(t == s) for t in range(1, T + 1)]
        z = backward(network, states, looks=looks, chunk=chunk).z
        u.append([z[t] * states.x[t] for t in range(1, T + 1)])
        w.append([z[t] * states.h[t - 1] for t in range(1, T + 1)])
    return Terms(u, w)
