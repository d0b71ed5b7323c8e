"""The character model in PyTorch, as its users write it: training, and writing text."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from experiments.racing import charlm, pytorch
from experiments.racing.charlm import Sizes
from experiments.racing.contest import Entrant, Values
from rnn_jax.recipe import Recipe


class Model(nn.Module):
    """Embedding, layers, read-out; it starts from our weights."""

    def __init__(self, sizes: Sizes, params: Any) -> None:
        super().__init__()
        H, V = sizes.H, charlm.VOCABULARY
        self.cells = params["layers"]
        self.table, self.out = nn.Embedding(V, H), nn.Linear(H, V)
        self.layers = pytorch.layers(sizes.cell, H, H, sizes.layers)
        for k, w in enumerate(self.cells):
            pytorch.load(self.layers, k, w["cell"] if k == 0 else w)
        with torch.no_grad():
            self.table.weight.copy_(_tensor(self.cells[0]["R"]))
            self.out.weight.copy_(_tensor(params["out"]["W_hy"].T))
            self.out.bias.copy_(_tensor(params["out"]["b_y"]))

    def forward(self, tokens: torch.Tensor, carry: Any) -> tuple[torch.Tensor, Any]:
        """Tokens [T, B] to logits [T, B, V], and the carry."""
        hs, carry = self.layers(self.table(tokens), carry)
        return self.out(hs), carry

    def bars(self) -> dict[str, Any]:
        """The gradients in our layout, copied: clipping writes over PyTorch's."""
        found = [pytorch.bars(self.layers, k) for k in range(len(self.cells))]
        first = {"R": self.table.weight.grad.numpy(), "cell": found[0]}
        out = {"W_hy": self.out.weight.grad.numpy().T, "b_y": self.out.bias.grad.numpy()}
        return jax.tree.map(np.array, {"layers": (first, *found[1:]), "out": out})


def _tensor(a: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(a))


def _detached(carry: Any) -> Any:
    return tuple(c.detach() for c in carry) if isinstance(carry, tuple) else carry.detach()


def _trainer(model: Model, task: Any, mend: Callable[[], None]) -> Callable[[], torch.Tensor]:
    """A function that does the next training step; mend: after the gradients are there."""
    optimizer = torch.optim.Adam(model.parameters(), charlm.RATE)
    carry, position = None, 0

    def step() -> torch.Tensor:
        nonlocal carry, position
        batch = task.batch(position)
        inputs, targets = (torch.from_numpy(a.T) for a in (batch.inputs, batch.targets))
        optimizer.zero_grad(set_to_none=True)
        logits, carry = model(inputs, None if batch.fresh.all() else carry)
        carry = _detached(carry)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten().long())
        loss.backward()
        mend()
        nn.utils.clip_grad_norm_(model.parameters(), charlm.CLIP)
        optimizer.step()
        position += 1
        return loss.detach()

    return step


def step_entrant(recipe: Recipe, sizes: Sizes, count: int, checked: int) -> Entrant:
    """`count` training steps a run, on the recipe's data and from its first weights.

    PyTorch trains a second bias where we have one, which makes that one learn twice as fast. In
    the comparison alone it is held, so that the same is computed; the race is PyTorch as it is.
    """
    params = recipe.start().params
    raced = _trainer(Model(sizes, params), recipe.task, lambda: None)

    def values() -> Values:
        model, bars = Model(sizes, params), []

        def mend() -> None:
            bars.append(model.bars() if not bars else None)
            for name, p in model.layers.named_parameters():
                if name.startswith("bias_hh"):
                    p.grad[: 2 * sizes.H if sizes.cell == "gru" else None] = 0

        step = _trainer(model, recipe.task, mend)
        losses = [float(step()) for _ in range(checked)]
        return charlm.named(losses[0], bars[0], losses)

    def run() -> None:
        for _ in range(count):
            raced()

    return Entrant(run, values)


def sampling_entrant(params: Any, sizes: Sizes, lanes: int, length: int, checked: int) -> Entrant:
    """Writes `length` characters after one, in each of the lanes."""
    model = Model(sizes, params)

    @torch.inference_mode()
    def write(length: int, draw: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        token, carry, log_probs = torch.zeros(1, lanes, dtype=torch.long), None, []
        for _ in range(length):
            logits, carry = model(token, carry)
            p = torch.log_softmax(logits[0], -1)
            token = draw(p)[None]
            log_probs.append(p.gather(1, token[0][:, None])[:, 0])
        return torch.stack(log_probs, 1)

    def values() -> Values:
        return {"log p": write(checked, lambda p: p.argmax(-1)).numpy()}

    def run() -> torch.Tensor:
        return write(length, lambda p: torch.multinomial(p.exp(), 1)[:, 0])

    return Entrant(run, values)
