"""Race whole training steps of the character model against PyTorch, side by side in one run.

    pip install -e ".[peers]" && python -m experiments.throughput

Every step is the same work for both: embedding, layers, softmax, backward pass, clipping, Adam, on
the same shapes, with the carry going from chunk to chunk. The two take turns, so that a machine
whose speed drifts slows both; medians and minima are printed, and ratios are theirs over ours
(above 1 we are faster). Ours include fetching every batch; PyTorch's read one that is in memory.
Without PyTorch our own times are printed alone.
"""

import dataclasses
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from rnn_jax.errors import BadInput

VOCABULARY, STEPS = 65, 4  # steps in one turn; more than one, as training does


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is raced, and for how long."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"layers": "[1, inf)", "hidden": "[1, inf)", "bptt": "[1, inf)", "lanes": "[1, inf)"},
        "turns": "[1, inf)",
    }

    quick: bool = False
    """five turns each"""
    cells: tuple[str, ...] = ("tanh", "gru", "lstm")
    """which cells; PyTorch has these three"""
    layers: int = 2
    """recurrent layers"""
    hidden: int = 128
    """width H, of the embedding too"""
    bptt: int = 50
    """steps T of a chunk"""
    lanes: int = 50
    """lanes B"""
    turns: int = 30
    """measurements of each"""
    json: str = ""
    """a file for the results"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)
        for cell in self.cells:
            if cell not in ("tanh", "gru", "lstm"):
                raise BadInput(f"--cells {cell}: there are tanh, gru and lstm to race")
        if self.json and not Path(self.json).absolute().parent.is_dir():
            raise BadInput(f"--json {self.json}: its folder does not exist; make it first")


def ours(cell: str, options: Options) -> Callable[[], float]:
    """A function that trains STEPS steps and returns milliseconds a step."""
    import jax
    import numpy as np
    import optax

    from rnn_jax import fit, losses, models, parallel, tasks, train

    B, T = options.lanes, options.bptt
    text = np.random.default_rng(0).integers(0, VOCABULARY, (B, 100 * T + 1), np.int32)

    def batch(position: int) -> tasks.Batch:
        at = position % 100 * T
        return tasks.Batch(text[:, at : at + T], text[:, at + 1 : at + T + 1])

    task = tasks.Task(batch, list, losses.cross_entropy, B, 100, B * T)
    model = models.language_model(VOCABULARY, cell, options.hidden, options.layers, options.hidden)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))
    recipe = fit.Recipe(model, task, optimizer, 0)
    advance, state = parallel.data_parallel(recipe.steps(), 1), recipe.start()

    def turn() -> float:
        nonlocal state
        began, step = time.perf_counter(), int(state.step)
        data = train.batches(task, step, STEPS, STEPS)
        state, metrics = advance(state, data, np.int32(STEPS), recipe.key())
        jax.block_until_ready(metrics)
        return (time.perf_counter() - began) / STEPS * 1e3

    return turn


def pytorch(cell: str, options: Options) -> Callable[[], float] | None:
    """The same for PyTorch's own layer; None where PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    from torch import nn

    kind = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    H = options.hidden
    table, out = nn.Embedding(VOCABULARY, H), nn.Linear(H, VOCABULARY)
    layers = kind(H, H, options.layers)
    parameters = [*table.parameters(), *layers.parameters(), *out.parameters()]
    optimizer, carry = torch.optim.Adam(parameters, 2e-3), None
    tokens = torch.randint(0, VOCABULARY, (options.bptt, options.lanes))

    def step() -> None:
        nonlocal carry
        optimizer.zero_grad()
        hs, carry = layers(table(tokens), carry)
        carry = tuple(c.detach() for c in carry) if cell == "lstm" else carry.detach()
        loss = nn.functional.cross_entropy(out(hs).flatten(0, 1), tokens.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    def turn() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        return (time.perf_counter() - began) / STEPS * 1e3

    return turn


def race(runners: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Every runner's milliseconds a step, the runners taking turns, after two to warm up."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(turns + 2):
        for name, runner in runners.items():
            measured = runner()
            if turn >= 2:
                times[name].append(measured)
    return times


def row(cell: str, options: Options) -> dict[str, Any]:
    """One cell's race, printed and as a row of the results."""
    peer = pytorch(cell, options)
    runners = {"ours": ours(cell, options)} | ({"torch": peer} if peer else {})
    times = race(runners, 5 if options.quick else options.turns)
    median = {name: round(statistics.median(each), 3) for name, each in times.items()}
    best = {name: round(min(each), 3) for name, each in times.items()}
    shape = f"{options.layers}x{options.hidden} T={options.bptt} B={options.lanes}"
    ratio = round(median["torch"] / median["ours"], 3) if peer else None
    told = f"{ratio:.2f}x" if ratio else "no PyTorch"
    print(f"{cell:5} {shape}  median {median} ms  min {best} ms  {told}", file=sys.stderr)
    return {
        **{"kind": "step", "name": f"{cell} {shape}", "ours_ms": median.pop("ours")},
        **{"peers": median, "min_ms": best, "ratio": ratio},
    }


def compare(options: Options) -> None:
    """All races; the results to stdout as one line, and to the file that was asked for."""
    import jax

    versions = {"python": platform.python_version(), "jax": jax.__version__}
    if "torch" in sys.modules or pytorch("tanh", options):
        versions["torch"] = sys.modules["torch"].__version__
    rows = [row(cell, options) for cell in options.cells]
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    results = {"machine": machine, "versions": versions, "rows": rows}
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results))


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and race; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.throughput", __doc__, Options())
        if options is not None:
            compare(options)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
