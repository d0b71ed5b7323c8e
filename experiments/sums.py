"""Running sums: the lecture's two networks set by hand, and networks that learn the same.

    python -m experiments.sums                      about 2 minutes on two cores
    python -m experiments.sums --cells identity --hidden 1 --seeds 10

Summation has one linear unit and weights of 1; comparison tells which of two streams has the larger
sum so far, by a logistic output. Prints the figures' numbers, and counts the errors of both on
every short sequence over a grid and on random ones of length 10,000 against integer arithmetic;
all are 0, for float32 adds multiples of 1/2 without rounding. Then trains cells at lengths up to 20
and tests them at 1,000, from random weights and from the hand-set ones with noise added. A linear
unit sums for ever; a saturating one sums as far as it was trained. The JSON line's value is the
squared error of the sum at all steps of the test length, mean over seeds, of the best cell, beside
that of always answering 0. Expected: below 0.001, a linear cell. Writes sums.json, summation.png,
comparison.png and unrolled.png.
"""

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from experiments import cli, lengths
from experiments.cli.files import save
from rnn_jax.plain import plain

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

FIGURES = {
    "summation": ((2,), (-0.5,), (1,), (1,)),
    "comparison": ((2, -2), (0, 3.5), (1, 2.2)),
}
GRID = (-2.0, -0.5, 0.0, 0.5, 1.0)  # inputs of the check; multiples of 1/2 add up exactly
EVERY, LONG = {"summation": 6, "comparison": 4}, 10_000  # lengths of the check
FILES = ("sums.json", "summation.png", "comparison.png", "unrolled.png")
QUICK = {"cells": ("identity",), "seeds": 1, "steps": 1000, "horizon": 1000}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(lengths.LengthSettings):
    """Defaults: four units are enough, and in a linear cell each more is a mode that may grow."""

    cells: tuple[str, ...] = ("identity", "tanh", "gru", "lstm")
    """the cells that learn from random weights: names, or module:constructor"""
    hidden: int = 4
    """width H of a layer"""


def by_hand() -> dict[str, Any]:
    """The two networks of the slides."""
    from rnn_jax.byhand import networks

    return {"summation": networks.summation(), "comparison": networks.comparison()}


def figure(name: str) -> "np.ndarray":
    """What the slide's network answers to the slide's inputs [T]."""
    import numpy as np

    return lengths.outputs(by_hand()[name], np.array([FIGURES[name]], np.float32))[0, :, 0]


def right(name: str, ys: Any, halves: "np.ndarray") -> "np.ndarray":
    """Whether each answer is right: ys [B, T, 1], inputs in halves [B, T, X] integers -> [B, T].

    A sum has to be exact; a comparison has to be above, at or below 1/2 as the exact sums say.
    """
    import numpy as np

    sums = np.cumsum(halves.astype(np.int64), axis=1)
    if name == "summation":
        return 2 * ys[..., 0].astype(np.float64) == sums[..., 0]
    return np.sign(ys[..., 0] - np.float32(0.5)) == np.sign(sums[..., 0] - sums[..., 1])


def verify(name: str, seed: int) -> dict[str, int]:
    """Wrong answers of a hand-set network, and on how many sequences."""
    import numpy as np

    from rnn_jax.data import synthetic

    network, longest = by_hand()[name], EVERY[name]
    streams, grid = len(FIGURES[name][0]), (2 * np.array(GRID)).astype(np.int32)
    tokens, mask = lengths.every_sequence(len(grid) ** streams, longest)
    places = len(grid) ** np.arange(streams)
    every = np.where(mask[..., None], grid[tokens[..., None] // places % len(grid)], 0)
    rng = synthetic.generator(seed, 2, held_out=True)
    random = grid[rng.integers(0, len(grid), (32, LONG, streams))]
    counts = {}
    for told, halves, there in (
        (f"the {len(every)} sequences up to length {longest} over {GRID}", every, mask),
        (f"{len(random)} random ones of length {LONG}", random, np.ones(random.shape[:2], bool)),
    ):
        ys = lengths.outputs(network, (halves / 2).astype(np.float32))
        counts[told] = int((~right(name, ys, halves) & there).sum())
    return counts


def rounding(seed: int) -> float:
    """The largest error of the summation network on real numbers, N(0, 1), against float64."""
    import numpy as np

    from rnn_jax.data import synthetic

    xs = synthetic.generator(seed, 3, held_out=True).normal(size=(32, LONG, 1)).astype(np.float32)
    ys = lengths.outputs(by_hand()["summation"], xs)
    return float(np.abs(ys - synthetic.running_sum(xs)).max())


def show_by_hand(found: dict[str, dict[str, int]], off: float) -> None:
    """The figures' numbers and the counts, on stderr."""
    lines = []
    for name, inputs in FIGURES.items():
        read = ", ".join("(" + ", ".join(f"{v:g}" for v in x) + ")" for x in inputs)
        said = ", ".join(f"{float(y):.2f}" for y in figure(name))
        lines.append(f"{name}: {read} -> {said}")
        lines += [f"{name}: {wrong} errors on {told}" for told, wrong in found[name].items()]
    lines.append(f"summation: off by at most {off:.2g} in {LONG} steps on real numbers, N(0, 1)")
    print("\n".join(lines), file=sys.stderr)


def summation() -> lengths.Problem:
    """The running sum of numbers uniform in (-1, 1)."""
    import jax.numpy as jnp
    import numpy as np

    from rnn_jax.data import synthetic

    def draw(rng: "np.random.Generator", lanes: int, length: int) -> tuple[Any, Any]:
        x = rng.uniform(-1, 1, (lanes, length, 1)).astype(np.float32)
        return x, synthetic.running_sum(x).astype(np.float32)

    def error(ys: Any, targets: Any) -> Any:
        return jnp.square(ys - targets)[..., 0]

    return lengths.Problem(
        **{"name": "summation", "inputs": 1, "outputs": 1, "draw": draw, "error": error},
        # In nats: minus the logarithm of a Gaussian of variance 1, but for its constant.
        loss=lambda ys, targets: error(ys, targets) / 2,
        **{"measure": "squared error", "scale": "log"},
        chance=lambda steps: steps / 3,  # t times the variance of an input
    )


def comparison() -> lengths.Problem:
    """Which of two streams of numbers uniform in (-1, 1) has the larger sum so far."""
    import numpy as np

    from rnn_jax import losses
    from rnn_jax.data import synthetic

    def draw(rng: "np.random.Generator", lanes: int, length: int) -> tuple[Any, Any]:
        x = rng.uniform(-1, 1, (lanes, length, 2)).astype(np.float32)
        sums = synthetic.running_sum(x)
        return x, (sums[..., 0] > sums[..., 1]).astype(np.int32)

    return lengths.Problem(
        **{"name": "comparison", "inputs": 2, "outputs": 2, "draw": draw},
        **{"loss": losses.cross_entropy, "error": lambda ys, targets: ys.argmax(-1) != targets},
        **{"measure": "share of wrong answers", "scale": "linear"},
        chance=lambda steps: np.full(len(steps), 0.5),
    )


def weights(name: str) -> Any:
    """A hand-set network's weights for the library's linear cell, which has a bias, and logits."""
    import numpy as np

    given = by_hand()[name].weights
    w, out = given["layers"][0], given["out"]
    if name == "comparison":  # σ(a) is the softmax of (0, a)
        out = {key: np.concatenate([0 * a, a], axis=-1) for key, a in out.items()}
    return {"layers": ({**w, "b_h": np.zeros(1, np.float32)},), "out": out}


def drawing() -> bytes:
    """The summation network unrolled on the figure's inputs."""
    import numpy as np

    xs, sums = np.array(FIGURES["summation"])[:, 0], figure("summation")
    units = {
        "x": lengths.Unit(xs, "x", (0.6, 0.0)),
        "h": lengths.Unit(sums, "h", (0.6, 1.5), start=0),
        "y": lengths.Unit(sums, "y", (0.6, 3.0)),
    }
    arrows = [lengths.Arrow("x", "h", 1), lengths.Arrow("h", "h", 1, later=True)]
    arrows.append(lengths.Arrow("h", "y", 1))
    return lengths.unrolled(units, arrows, "Summation, unrolled in time; linear units")


def run(config: Config) -> dict[str, Any]:
    """Show the networks set by hand, train the others, write what came of it."""
    began = time.monotonic()
    lengths.check(config, FILES)
    found = {name: verify(name, config.seed) for name in FIGURES}
    show_by_hand(found, rounding(config.seed))
    results, learned, pictures = {}, {}, {}
    for rule in (summation(), comparison()):
        learners = [lengths.learner(config, rule, cell) for cell in dict.fromkeys(config.cells)]
        others = lengths.from_hand(config, rule, "identity", weights(rule.name))
        rows = lengths.compete(config, "sums", rule, learners + others)
        lengths.table(config, rule, rows)
        learned[rule.name] = lengths.record(config, rows)
        pictures[f"{rule.name}.png"] = lengths.picture(config, rule, rows)
        contest = rows[: len(learners)]
        results[rule.name] = lengths.result(config, rule, rows, contest, time.monotonic() - began)
    told = {"config": dataclasses.asdict(config), "errors_by_hand": found, "learned": learned}
    pictures["unrolled.png"] = drawing()
    save(config.out, {"sums.json": json.dumps(plain(told), indent=1) + "\n", **pictures})
    last = results["comparison"]
    return {
        **results["summation"],
        **{"comparison": {name: last[name] for name in ("metric", "value", "baseline", "best")}},
        **{"seconds": last["seconds"]},
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
