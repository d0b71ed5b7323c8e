"""PyTorch's eager layers, as its users have them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.racing.contest import Entrant, Values
from experiments.racing.problem import Problem, named
from experiments.racing.turns import cores

if TYPE_CHECKING:  # PyTorch is imported inside the functions, for it may not be there
    import torch


def layers(cell: str, inputs: int, hidden: int, count: int) -> "torch.nn.RNNBase":
    """`nn.RNN`, `nn.GRU` or `nn.LSTM`, time first, on all cores."""
    import torch

    torch.set_num_threads(cores())
    kind = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell]
    return kind(inputs, hidden, count)


def load(module: "torch.nn.RNNBase", k: int, w: Mapping[str, Any]) -> None:
    """Our weights into layer k. Of its two biases the second is zero, but for the GRU's b_hn."""
    import torch

    b_hh = np.zeros_like(w["b_h"])
    if "b_hn" in w:
        b_hh[-len(w["b_hn"]) :] = w["b_hn"]
    copied = {
        **{"weight_ih": np.transpose(w["W_xh"]), "weight_hh": np.transpose(w["W_hh"])},
        **{"bias_ih": w["b_h"], "bias_hh": b_hh},
    }
    with torch.no_grad():
        for name, a in copied.items():
            getattr(module, f"{name}_l{k}").copy_(torch.from_numpy(np.array(a)))


def bars(module: "torch.nn.RNNBase", k: int) -> dict[str, np.ndarray]:
    """The gradients of layer k as ours; only the GRU's candidate tells its two biases apart."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    W_ih, W_hh, b_ih, b_hh = (getattr(module, f"{n}_l{k}").grad.numpy() for n in names)
    found = {"W_xh": W_ih.T, "W_hh": W_hh.T, "b_h": b_ih}
    return found | {"b_hn": b_hh[-module.hidden_size :]} if module.mode == "GRU" else found


def layer_entrant(problem: Problem) -> Entrant:
    """Forward and backward of the loss that is the sum of squares of the outputs."""
    import torch

    cell, _, _, H, count = problem.sizes
    module = layers(cell, H, H, count)
    for k, w in enumerate(problem.weights):
        load(module, k, w)
    x = torch.from_numpy(problem.x).requires_grad_()

    def run() -> Any:
        module.zero_grad(set_to_none=True)
        x.grad = None
        ys, _ = module(x)
        (ys * ys).sum().backward()
        return ys

    def values() -> Values:
        ys = run().detach().numpy()
        return named(ys, [bars(module, k) for k in range(count)], x.grad.numpy())

    return Entrant(run, values)
