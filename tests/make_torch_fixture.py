"""What PyTorch's recurrent layers compute, for `test_torch.py`: makes tests/data/torch_cells.npz.

    python tests/make_torch_fixture.py

Needs PyTorch (``pip install torch``); the tests need only the file. The numbers are drawn by NumPy,
so every version of PyTorch makes the same file up to rounding. For each layer it holds, as
NAME/WHAT: PyTorch's own parameters, x [T, B, X], h0 and c0 [L, B, H], the outputs y [T, B, H] and
hn and cn [L, B, H]; as NAME/bar/WHAT the bars of the loss ``Σ y ȳ + Σ hn h̄n + Σ cn c̄n`` and its
gradients by parameters, x, h0 and c0.
"""

from pathlib import Path

import numpy as np
import torch

T, B, X, H = 4, 3, 5, 7
FILE = Path(__file__).parent / "data" / "torch_cells.npz"
LAYERS = {
    "tanh": lambda: torch.nn.RNN(X, H, nonlinearity="tanh"),
    "relu": lambda: torch.nn.RNN(X, H, nonlinearity="relu"),
    "gru": lambda: torch.nn.GRU(X, H),
    "lstm": lambda: torch.nn.LSTM(X, H),
    "lstm_stack": lambda: torch.nn.LSTM(X, H, num_layers=2),
}


def example(layer: torch.nn.RNNBase, noise: np.random.Generator) -> dict[str, np.ndarray]:
    """One layer with random parameters, input, start and bars: all that goes in and comes out."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(noise.normal(size=shape).astype(np.float32))

    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.5 * draw(*parameter.shape))
    gated = isinstance(layer, torch.nn.LSTM)
    starts = {name: draw(layer.num_layers, B, H) for name in ("h0", "c0")[: 1 + gated]}
    leaves = {"x": draw(T, B, X), **starts}
    for leaf in leaves.values():
        leaf.requires_grad_()
    y, final = layer(leaves["x"], tuple(starts.values()) if gated else leaves["h0"])
    outputs = {"y": y, **dict(zip(("hn", "cn"), final if gated else (final,), strict=False))}
    bars = {name: draw(*output.shape) for name, output in outputs.items()}
    sum((output * bars[name]).sum() for name, output in outputs.items()).backward()
    inputs = dict(layer.named_parameters()) | leaves
    bars |= {name: leaf.grad for name, leaf in inputs.items()}
    arrays = inputs | outputs | {f"bar/{name}": bar for name, bar in bars.items()}
    return {name: array.detach().numpy() for name, array in arrays.items()}


def main() -> None:
    """Write the file."""
    arrays = {
        f"{name}/{what}": array
        for seed, (name, make) in enumerate(LAYERS.items())
        for what, array in example(make(), np.random.default_rng(seed)).items()
    }
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE.name}: {len(arrays)} arrays, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
