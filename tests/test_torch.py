"""Our layers against PyTorch's on its own weights, from a file `make_torch_fixture.py` made."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnn_jax import cells
from rnn_jax.models import stack

T, B, X, H = 4, 3, 5, 7
FILE = Path(__file__).parent / "data" / "torch_cells.npz"
CELLS = {
    "tanh": [cells.vanilla(X, H)],
    "relu": [cells.vanilla(X, H, phi="relu")],
    "gru": [cells.gru(X, H)],
    "lstm": [cells.lstm(X, H)],
    "lstm_stack": [cells.lstm(X, H), cells.lstm(H, H)],
}


def load(name: str) -> dict[str, np.ndarray]:
    """What the file holds of one of its layers."""
    with np.load(FILE) as file:
        return {
            path.removeprefix(f"{name}/"): file[path]
            for path in file
            if path.startswith(f"{name}/")
        }


def weights(name: str, at: dict[str, np.ndarray], kind: str = "") -> tuple:
    """PyTorch's parameters, or with "bar/" their gradients, as ours: one w a layer.

    Its weights are [out, in], ours [in, out]. It adds two biases where we add one, which is their
    sum and has the gradient of either; only the GRU's candidate keeps b_hh apart.
    """

    def layer(k: int) -> dict[str, np.ndarray]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        W_ih, W_hh, b_ih, b_hh = (at[f"{kind}{what}_l{k}"] for what in names)
        b_h = b_ih if kind else b_ih + b_hh
        if name != "gru":
            return {"W_xh": W_ih.T, "W_hh": W_hh.T, "b_h": b_h}
        b_h = np.concatenate([b_h[: 2 * H], b_ih[2 * H :]])
        return {"W_xh": W_ih.T, "W_hh": W_hh.T, "b_h": b_h, "b_hn": b_hh[2 * H :]}

    return tuple(layer(k) for k in range(len(CELLS[name])))


def carry(at: dict[str, np.ndarray], h: str, c: str) -> tuple:
    """PyTorch's h [L, B, H], and c where it has one, as ours: one carry a layer."""
    return tuple(zip(at[h], at[c], strict=True)) if c in at else tuple(at[h])


def close(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5), a, b)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "general"])
@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients_are_pytorchs(name: str, fast: bool) -> None:
    at, model = load(name), stack(*CELLS[name], fast=fast)
    assert at["x"].shape == (T, B, X) and at["y"].shape == (T, B, H)

    @jax.jit
    def run(inputs: tuple, bars: tuple) -> tuple:
        results, pullback = jax.vjp(model.apply, *inputs)
        return results, pullback(bars)

    inputs = weights(name, at), carry(at, "h0", "c0"), at["x"]
    bars = carry(at, "bar/hn", "bar/cn"), at["bar/y"]
    results, gradients = run(inputs, bars)
    close(results, (carry(at, "hn", "cn"), at["y"]))
    starts = carry(at, "bar/h0", "bar/c0")
    close(gradients, (weights(name, at, "bar/"), starts, at["bar/x"]))


@pytest.mark.parametrize("name", CELLS)
def test_only_the_gru_candidate_tells_pytorchs_two_biases_apart(name: str) -> None:
    at = load(name)
    for k in range(len(CELLS[name])):
        off = np.abs(at[f"bar/bias_ih_l{k}"] - at[f"bar/bias_hh_l{k}"]).reshape(-1, H).max(1)
        assert (off > 1e-5).tolist() == [name == "gru" and block == 2 for block in range(len(off))]
