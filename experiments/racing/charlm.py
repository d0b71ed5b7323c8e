"""The character model that is trained: its sizes, its text, its recipe."""

from typing import Any, NamedTuple

import numpy as np
import optax

from rnn_jax import losses, models, tasks
from rnn_jax.digest import named_leaves
from rnn_jax.recipe import Recipe

VOCABULARY, RATE, CLIP = 65, 2e-3, 1.0
_CHUNKS = 100


class Sizes(NamedTuple):
    """`layers` layers of H units on an embedding of size H; chunks of T steps, B lanes."""

    cell: str
    layers: int
    H: int
    T: int
    B: int

    def __str__(self) -> str:
        return f"{self.cell} {self.layers}x{self.H} T={self.T} B={self.B}"


def text(sizes: Sizes, seed: int) -> np.ndarray:
    """Characters [B, 100 T + 1] at random: nothing here depends on what they are."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, VOCABULARY, (sizes.B, _CHUNKS * sizes.T + 1), np.int32)


def task(sizes: Sizes, seed: int) -> tasks.Task:
    """The text, chunk after chunk, as `tasks.next_token` would cut it."""
    T, characters = sizes.T, text(sizes, seed)

    def batch(position: int) -> tasks.Batch:
        at = position % _CHUNKS * T
        inputs, targets = characters[:, at : at + T], characters[:, at + 1 : at + T + 1]
        return tasks.Batch(inputs, targets, fresh=np.full(sizes.B, at == 0))

    return tasks.Task(batch, list, losses.cross_entropy, sizes.B, _CHUNKS, sizes.B * T)


def recipe(sizes: Sizes, seed: int) -> Recipe:
    """Clipping by norm, then Adam."""
    model = models.language_model(VOCABULARY, sizes.cell, sizes.H, sizes.layers, sizes.H)
    optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(RATE))
    return Recipe(model, task(sizes, seed), optimizer, seed)


def named(loss: Any, bars: Any, losses: Any) -> dict[str, np.ndarray]:
    """What is compared: the first loss, its gradient by all weights, and the losses of training."""
    found = {"loss": loss, "losses of training": losses}
    found |= {f"gradient of {name}": a for name, a in named_leaves(bars).items()}
    return {name: np.asarray(a) for name, a in found.items()}
