"""The layer that everybody computes: its sizes, its weights, its input."""

from typing import Any, NamedTuple

import numpy as np

BLOCKS = {"tanh": 1, "gru": 3, "lstm": 4}  # G = blocks times H


class Sizes(NamedTuple):
    """T steps, B lanes, H units in each of `layers` layers, and inputs of size H too."""

    cell: str
    T: int
    B: int
    H: int
    layers: int = 1

    def __str__(self) -> str:
        more = f" L={self.layers}" if self.layers > 1 else ""
        return f"{self.cell} T={self.T} B={self.B} H={self.H}{more}"


class Problem(NamedTuple):
    """weights: one of each layer, as `rnn_jax.cells` names and shapes them; x [T, B, H]."""

    sizes: Sizes
    weights: tuple[dict[str, np.ndarray], ...]
    x: np.ndarray


def draw(sizes: Sizes, seed: int) -> Problem:
    """All weights and biases from U(-1/√H, 1/√H), PyTorch's start; x from N(0, 1)."""
    rng, H = np.random.default_rng(seed), sizes.H
    G = BLOCKS[sizes.cell] * H

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32)

    def layer() -> dict[str, np.ndarray]:
        w = {"W_xh": uniform(H, G), "W_hh": uniform(H, G), "b_h": uniform(G)}
        return w | {"b_hn": uniform(H)} if sizes.cell == "gru" else w

    x = rng.standard_normal((sizes.T, sizes.B, H), np.float32)
    return Problem(sizes, tuple(layer() for _ in range(sizes.layers)), x)


def named(ys: Any, bars: Any, x_bar: Any) -> dict[str, np.ndarray]:
    """Outputs and gradients under the names that are compared; bars: one dict a layer."""
    found = {"outputs": ys, "gradient of x": x_bar}
    for k, layer in enumerate(bars):
        found |= {f"gradient of {name}, layer {k}": a for name, a in sorted(layer.items())}
    return {name: np.asarray(a) for name, a in found.items()}
