"""The grid: which gradients, at which rates, with which seeds; each cell a run of its own."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.cutting.problems import Problem
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from experiments.truncation import Config
    from rnn_jax.estimators import Estimator
    from rnn_jax.recipe import Recipe
    from rnn_jax.tasks import Batch, Task
    from rnn_jax.truncation import Truncation

# What makes a run this run; lr and seed with them. What only some tasks look at is always said.
IDENTITY = ("task", "cell", "hidden", "layers", "lanes", "clip", "invariant", "forget_bias")
IDENTITY += ("lag", "every", "symbols", "k1")


class Entry(NamedTuple):
    """A row of the table.

    road: of `estimators.NAMES`; cut: how it cuts; chunk: steps between its updates; steps: updates.
    """

    name: str
    road: str
    cut: "Truncation"
    chunk: int
    steps: int


class Trained(NamedTuple):
    """A run that is done: its rows of metrics, its last state."""

    rows: list[dict[str, Any]]
    state: Any

    @property
    def final(self) -> float:
        """The last evaluation's score; infinite where it is no number."""
        value = self.curve()[-1][1]
        return value if value is not None and np.isfinite(value) else float("inf")

    def curve(self) -> list[tuple[int, float]]:
        """(step, score) at each evaluation."""
        return [
            (row["step"], row.get("error", row["valid"])) for row in self.rows if "valid" in row
        ]


def entries(config: "Config") -> list[Entry]:
    """All rows that the config asks for. BadInput for none, and for what cannot be cut so."""
    from rnn_jax.truncation import Truncation

    edge, found = {"edge": config.edge, "burn": config.burn}, []
    for k in dict.fromkeys(config.lengths):
        cut = Truncation(config.k1, k, **edge)
        found.append(Entry(f"k2={k}", "truncated", cut, config.k1, config.steps))
    for k in dict.fromkeys(config.lengths) if config.common else ():
        if k < config.k1:
            steps = config.steps * config.k1 // k  # the same tokens
            found.append(Entry(f"k1=k2={k}", "truncated", Truncation(k, k, **edge), k, steps))
    for road in dict.fromkeys(config.estimators):
        cut = Truncation(config.k1, config.k1)
        if road == "artbp":
            mean = {"k2": config.mean_length, "lengths": "artbp", "grain": config.grain}
            cut = Truncation(config.k1, **mean)
        found.append(Entry(road, road, cut, config.k1, config.steps))
    if not found or not config.rates:
        raise BadInput("the grid has no cell: give --lengths or --estimators, and --rates")
    return found


def rates(config: "Config") -> list[float]:
    """The learning rates that are tried."""
    return [config.lr * rate for rate in dict.fromkeys(config.rates)]


def chunked(task: "Task", chunk: int, whole: int) -> "Task":
    """The task's batches of `whole` steps as batches of `chunk`, one after another."""
    import jax

    parts = whole // chunk

    def batch(position: int) -> "Batch":
        begin = position % parts * chunk
        found = task.batch(position // parts)
        fresh = found.fresh if begin == 0 else np.zeros_like(found.fresh)
        if found.fresh.ndim == 2:
            fresh = found.fresh[:, begin : begin + chunk]
        cut = jax.tree.map(lambda a: a[:, begin : begin + chunk], found._replace(fresh=None))
        return cut._replace(fresh=fresh)

    if parts == 1:
        return task
    lasting = {"chunks": task.chunks * parts, "tokens": task.tokens // parts}
    return task._replace(batch=batch, **lasting)


def start(config: "Config", problem: Problem, seed: int) -> Any:
    """The first weights; an LSTM's forget gates begin at --forget-bias."""
    import jax

    params = jax.jit(problem.build(None).init)(jax.random.split(jax.random.key(seed))[0])
    if config.cell == "lstm" and config.task != "balance":
        for w in params["layers"]:
            H = w["W_hh"].shape[0]
            w["b_h"] = w["b_h"].at[H : 2 * H].set(config.forget_bias)
    return params


def road(problem: Problem, entry: Entry) -> "Estimator":
    """The entry's gradient."""
    from rnn_jax import estimators

    return estimators.choose(entry.road, problem.build, entry.cut)


def recipe(config: "Config", problem: Problem, entry: Entry, rate: float, seed: int) -> "Recipe":
    """The entry's training."""
    import optax

    from rnn_jax import descent, fit, truncation

    rule = optax.sgd(rate) if config.task == "balance" else descent.adam(rate, config.clip)
    chosen = road(problem, entry)
    task = truncation.widened(chunked(problem.task(seed), entry.chunk, config.k1), chosen.cut)
    return fit.Recipe(
        **{"model": chosen.model, "task": task, "optimizer": rule, "seed": seed},
        **{"params": start(config, problem, seed), "total": chosen.total},
    )


def train(config: "Config", problem: Problem, entry: Entry, rate: float, seed: int) -> Trained:
    """One run, in a folder of its own below --out; nothing is done for one that is finished."""
    from rnn_jax import fit
    from rnn_jax.run import new_manifest, records

    same = {name: getattr(config, name) for name in IDENTITY}
    same |= {"gradient": entry.road, "chunk": entry.chunk, "lr": rate, "seed": seed}
    same |= dataclasses.asdict(entry.cut)
    more = entry.steps // config.steps
    often = {
        name: more * getattr(config, name) for name in ("log_every", "eval_every", "save_every")
    }
    intervals = dataclasses.replace(config, **often, steps=entry.steps)
    whole = dataclasses.asdict(intervals) | same
    manifest = new_manifest("truncation", whole, list(same), model=problem.spec, data=problem.data)
    folder = Path(config.out, f"{entry.name}-lr={rate:g}-{seed}")
    print(f"--- {folder.name}", file=sys.stderr)
    outcome = fit.fit(
        folder, manifest, recipe(config, problem, entry, rate, seed), intervals, unit="steps"
    )
    return Trained(records.read_rows(folder / "metrics.jsonl"), outcome.state)
