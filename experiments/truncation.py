"""What cutting the gradient costs: a task and a cell, a grid of lengths, rates and seeds.

    python -m experiments.truncation                         recall at lag 40, 3 to 5 minutes
    python -m experiments.truncation --steps 100 --seeds 1   where its cliff will be, beforehand
    python -m experiments.truncation --cell lstm --forget-bias 3 --steps 2000
    python -m experiments.truncation --task balance --k1 480 --lengths 1 10 --lanes 1
        --estimators rtrl uoro artbp --lr 0.001
    python -m experiments.truncation --task text --corpus book.txt --k1 256
        --lengths 1 4 16 64 256 --common --lr 0.003 --rates 0.3 1 3

An update every k1 steps; each length k2 of --lengths is how far back its gradient goes, all with
the same updates, lanes and data (`rnn_jax.truncation` draws it). --common sets k1 = k2 beside
them, with as many tokens and so more updates; --estimators other roads to the gradient
(`rnn_jax.estimators`). Each is swept over --rates and shown at its best. For every one: the final
score with its 95 % confidence, time and memory of an update, and the gradient's bias and variance
against full BPTT on the same data, for each block of weights, before training (early) and where
the longest length ends (late); and what share it sees of what the inputs tell of the answers
(`rnn_jax.estimators.dependence`), next to nothing where the answer lies further back than k2.
Writes truncation.json and truncation.png; each run has a folder of its own. Expected of the first
command: k2 of 80 and more make under 1 % errors, 10 and 20 about 86 % where guessing makes 87.5 %;
at 40 some seeds learn from what the state brings over the edge.
What was measured is in experiments/results/truncation.json.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from experiments import cli, cutting
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

FILES = ("truncation.json", "truncation.png")
QUICK = {
    **{"lag": 8, "every": 10, "symbols": 4, "k1": 32, "lengths": (8, 32), "hidden": 16},
    **{"steps": 300, "seeds": 1, "samples": 8},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.TextSettings, cli.Settings):
    """Defaults: the cliff at a dependency of known length."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"hidden": "[1, inf)", "layers": "[1, inf)", "lanes": "[1, inf)", "k1": "[1, inf)"},
        **{"seeds": "[1, inf)", "burn": "[0, inf)", "mean_length": "[1, inf)"},
        **{"grain": "[1, inf)", "lag": "[1, inf)", "every": "[1, inf)", "symbols": "[2, inf)"},
        **{"samples": "[2, inf)", "memory": "[1, inf)"},
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        ("lengths", "rates", "seeds", "estimators", "common", "samples", "memory")
    )

    task: Literal["recall", "copy", "adding", "balance", "parity", "text"] = "recall"
    """what is learned; copy, adding and parity are sequences of k1 steps"""
    cell: str = "gru"
    """the recurrent cell: a name, or module:constructor"""
    layers: int = 1
    """recurrent layers, one on another"""
    hidden: int = 32
    """width H of a layer"""
    forget_bias: float = 0.0
    """where an LSTM's forget gates begin"""
    lanes: int = 16
    """lanes B, sequences side by side"""
    k1: int = 160
    """steps between two updates"""
    lengths: tuple[int, ...] = (10, 20, 40, 80, 160)
    """the steps k2 that a gradient goes back through; each divides k1 or is a multiple of it"""
    common: bool = False
    """also k1 = k2 at each of the lengths, with the same tokens"""
    estimators: tuple[Literal["full", "rtrl", "uoro", "artbp", "snap1", "rflo"], ...] = ()
    """other roads to the gradient, each a row"""
    edge: Literal["carry", "zero", "burn-in"] = "carry"
    """what crosses a cut: the state, nothing, or a state made anew from --burn steps"""
    burn: int = 0
    """steps before a cut that make the state (--edge burn-in)"""
    mean_length: int = 16
    """steps between the random cuts of artbp, in the mean"""
    grain: int = 1
    """steps between the places where artbp may cut"""
    lag: int = 40
    """recall: the answer is the input so many steps before"""
    every: int = 48
    """recall: steps between two symbols"""
    symbols: int = 8
    """recall, copy: how many symbols there are"""
    rates: tuple[float, ...] = (1.0,)
    """learning rates tried, as multiples of --lr"""
    seeds: int = 5
    """how often each is trained, by the seeds --seed, --seed + 1, ..."""
    samples: int = 32
    """batches from which the gradient's bias and variance are measured"""
    memory: int = 4096
    """MiB that an estimator may keep of the past"""
    steps: int = 600
    """updates of k1 steps in a run"""
    lr: float = 0.01
    """learning rate of Adam (balance: of plain descent)"""
    log_every: int = 40
    """updates between two rows of metrics (with k1 = k2 as many more as there are more updates)"""
    eval_every: int = 40
    """updates between two scores, likewise"""
    save_every: int = 400
    """updates between two checkpoints, likewise"""
    max_skipped: int = 0
    """updates in a row that may be skipped because a number is not finite; 0 is no limit, for what
    diverges is a result too"""


def check(config: Config) -> None:
    """BadInput for what cannot be a grid, or not in this folder; before any text is read."""
    check_folder(config.out, FILES)
    from rnn_jax import cells

    for rate in config.rates:
        if not 0 < rate < float("inf"):
            raise BadInput(f"--rates {rate}: must be above 0; they are multiples of --lr")
    if config.forget_bias and config.cell != "lstm":
        raise BadInput(f"--forget-bias goes with --cell lstm, not {config.cell}")
    cutting.entries(config)
    if config.task != "balance":
        cells.build(config.cell, 1, config.hidden)
    elif config.lanes != 1:
        raise BadInput(
            f"--task balance has one lane that draws nothing: --lanes 1, not {config.lanes}"
        )


def check_memory(config: Config, problem: cutting.Problem, entries: list[cutting.Entry]) -> None:
    """BadInput where an estimator keeps more than --memory, or the cell cannot carry it."""
    import jax

    for entry in entries:
        if (mib := cutting.needed(config, problem, entry)) > config.memory:
            raise BadInput(
                f"--estimators {entry.road} needs {mib} MiB for its influence, --memory is"
                f" {config.memory}; fewer --hidden or --lanes, or uoro"
            )
        model = cutting.road(problem, entry).model
        params = jax.eval_shape(model.init, jax.random.key(0))
        jax.eval_shape(lambda W, m=model: m.start(W, config.lanes), params)


def sweep(
    config: Config, problem: cutting.Problem, entries: list[cutting.Entry]
) -> dict[str, cutting.Runs]:
    """Every entry at every rate with every seed."""
    seeds = range(config.seed, config.seed + config.seeds)
    return {
        entry.name: {
            rate: [cutting.train(config, problem, entry, rate, seed) for seed in seeds]
            for rate in cutting.rates(config)
        }
        for entry in entries
    }


def weights(
    config: Config, problem: cutting.Problem, entries: list[cutting.Entry], trained: Any
) -> dict[str, Any]:
    """The first weights, and the last of the longest length at its best rate."""
    fixed = [entry for entry in entries if entry.chunk == config.k1]
    longest = max(fixed, key=lambda entry: (entry.road == "truncated", entry.cut.k2))
    runs = trained[longest.name]
    late = runs[cutting.best_rate(runs)][0].state.params
    return {"early": cutting.start(config, problem, config.seed), "late": late}


def run(config: Config) -> dict[str, Any]:
    """Train the grid, measure its gradients, write what came of it."""
    check(config)
    began = time.monotonic()
    problem, entries = cutting.problem(config), cutting.entries(config)
    check_memory(config, problem, entries)
    trained = sweep(config, problem, entries)
    costs = cutting.costs(config, problem, entries)
    looked = (config, problem, entries, weights(config, problem, entries, trained))
    biases, seen = cutting.biases(*looked), cutting.seen(*looked)
    rows = cutting.record(entries, trained, costs, biases, seen)
    cutting.table(problem, rows)
    saturates = cutting.saturates(rows, config.k1)
    told = {
        **{"config": dataclasses.asdict(config), "data": problem.data},
        **{"measure": problem.measure, "chance": problem.chance, "saturates": saturates},
        **{"rows": rows, "full": {when: each[cutting.WHOLE] for when, each in biases.items()}},
    }
    network = "" if config.task == "balance" else f"{config.cell}, {config.hidden} units, "
    title = f"{config.task}, {network}{config.seeds} seed{'s' * (config.seeds > 1)}"
    drawn = cutting.picture(problem, rows, config.k1, config.lanes, title)
    text = json.dumps(plain(told), indent=1) + "\n"
    save(config.out, dict(zip(FILES, (text, drawn), strict=True)))
    return result(config, problem, rows, trained, time.monotonic() - began)


def result(
    config: Config, problem: cutting.Problem, rows: list[dict], trained: Any, seconds: float
) -> dict[str, Any]:
    """The best row's score; the digest is of all that was learned."""
    import jax

    from rnn_jax.digest import digest

    best = min(rows, key=lambda row: row["mean"])
    states = {
        f"{name} {rate:g}": [one.state for one in each]
        for name, runs in trained.items()
        for rate, each in runs.items()
    }
    state = trained[best["name"]][best["lr"]][0].state
    return {
        **{"metric": f"{problem.measure}, mean over seeds, best row", "value": best["mean"]},
        **{"baseline": problem.chance, "better": "lower", "best": best["name"]},
        **{"saturates": cutting.saturates(rows, config.k1), "seconds": round(seconds, 2)},
        "parameters": sum(a.size for a in jax.tree.leaves(state.params)),
        **{"step": int(state.step), "digest": digest(states), "out": config.out},
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
