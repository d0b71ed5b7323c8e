"""The word model in PyTorch, as its users write it: the peer of Zaremba's recipe.

It begins from the same weights, reads the same batches with a carry that goes on, takes the same
steps of SGD at the same rates, and is scored on the same held-out words. PyTorch has a second bias
where there is one in the paper's formula; it is held at zero.
"""

import math
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.racing import pytorch
from experiments.wordlm.recipe import rate
from experiments.wordlm.settings import WordSettings
from rnn_jax.data.text import Corpus
from rnn_jax.recipe import Recipe
from rnn_jax.tasks import Batch


class Model(nn.Module):
    """Embedding, LSTM layers with dropout on each input, read-out."""

    def __init__(self, config: WordSettings, params: Any) -> None:
        super().__init__()
        H, V = config.hidden, config.vocabulary
        self.table, self.out = nn.Embedding(V, config.embed or H), nn.Linear(H, V)
        self.layers = pytorch.layers("lstm", config.embed or H, H, config.layers)
        self.layers.dropout = config.dropout
        self.heard, self.said = nn.Dropout(config.embed_dropout), nn.Dropout(config.dropout)
        for k, w in enumerate(params["layers"]):
            pytorch.load(self.layers, k, w)
            getattr(self.layers, f"bias_hh_l{k}").requires_grad_(False)
        with torch.no_grad():
            self.table.weight.copy_(_tensor(params["R"]))
            self.out.weight.copy_(_tensor(params["out"]["W_vh"]))
            self.out.bias.copy_(_tensor(params["out"]["b_y"]))

    def forward(self, words: torch.Tensor, carry: Any) -> tuple[torch.Tensor, Any]:
        """Words [T, B] to logits [T, B, V], and the carry."""
        hs, carry = self.layers(self.heard(self.table(words)), carry)
        return self.out(self.said(hs)), carry


def _tensor(a: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(a))


def train(config: WordSettings, recipe: Recipe, corpus: Corpus) -> dict[str, Any]:
    """Train for --steps, score every --eval-every; the result as `word_lm` has it."""
    torch.manual_seed(config.seed)
    model = Model(config, recipe.start().params)
    at = rate(config, recipe.task.chunks)
    began, spent, found, carry = time.monotonic(), 0.0, [], None
    for step in range(config.steps):
        before = time.monotonic()
        carry = _step(config, model, recipe.task.batch(step), carry, float(at(step)))
        spent += time.monotonic() - before
        if (step + 1) % config.eval_every == 0 or step + 1 == config.steps:
            found.append(_score(model, recipe.task.valid()))
            print(f"step {step + 1}: validation {found[-1]:.4f} nats a word", file=sys.stderr)
    return {
        **{"metric": "validation nats per word", "value": min(found), "last": found[-1]},
        **{"better": "lower", "perplexity": math.exp(min(found))},
        **{"validation": found, "unknown_rate": corpus.unknown_rate["valid"]},
        **{"seconds": round(time.monotonic() - began, 2), "step": config.steps},
        "tokens_per_second": recipe.task.tokens * config.steps / spent,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def _step(config: WordSettings, model: Model, batch: Batch, carry: Any, rate: float) -> Any:
    """One update of plain SGD, its gradient cut as --clip says; the carry for the next chunk."""
    model.train()
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(a.T)) for a in batch[:2])
    logits, carry = model(inputs, None if batch.fresh.all() else carry)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten().long())
    (loss * config.bptt if config.summed else loss).backward()
    if config.clip:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= rate * p.grad
                p.grad = None
    return tuple(c.detach() for c in carry)


@torch.inference_mode()
def _score(model: Model, batches: Any) -> float:
    """Mean nats over the held-out words, the carry going on from batch to batch.

    Of a text in one piece a lane begins once and is filled up at its end, where nothing is asked;
    so there is no mask to look at.
    """
    model.eval()
    carry, total, weight = None, 0.0, 0.0
    for batch in batches:
        logits, carry = model(torch.from_numpy(np.ascontiguousarray(batch.inputs.T)), carry)
        targets = torch.from_numpy(np.ascontiguousarray(batch.targets.T)).long()
        each = nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none"
        )
        weights = torch.from_numpy(np.ascontiguousarray(batch.weights.T)).flatten()
        total, weight = total + float((each * weights).sum()), weight + float(weights.sum())
    return total / weight
