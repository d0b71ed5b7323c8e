"""Computational graphs of the lecture, read off the model's jaxpr and drawn as SVG and PNG.

    python -m experiments.graphs                                    all six drawings, 20 seconds
    python -m experiments.graphs --drawing many_to_one --cell lstm --layers 2
    python -m experiments.graphs --drawing truncated --steps-in-time 6 --chunk 3

The model is the library's own, run step by step with its states, outputs and losses marked: an
arrow is a dependence that the jaxpr has, and in `truncated` a dashed arrow is a derivative that
nothing cuts. The drawings differ in data alone: which steps read an input, at which the loss looks.

Then every path is tried on the model itself, unmarked and over all time at once: whether L_t
changes with x_s, and whether it has a derivative by x_s. The result counts where the drawing says
otherwise. Expected: 0.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from experiments import cli
from experiments.cli.files import check, save

QUICK = {"steps_in_time": 3, "chunk": 1}

INPUTS, HIDDEN, OUTPUTS = 5, 8, 5  # X, H and V; an output may be the next input


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.CommonSettings):
    """Nothing is trained: the weights are random."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"steps_in_time": "[1, 20]", "chunk": "[1, inf)", "layers": "[1, 4]"}
    }

    drawing: Literal[
        "all",
        "one_to_one",
        "one_to_many",
        "many_to_one",
        "many_to_many",
        "sequence_to_sequence",
        "truncated",
    ] = "all"
    """which graph; truncated is many_to_many with the gradient cut at the edges of chunks"""
    steps_in_time: int = 4
    """steps T; sequence_to_sequence reads so many and writes so many"""
    chunk: int = 2
    """steps of a chunk in the drawing `truncated`"""
    cell: str = "tanh"
    """the recurrent cell: a name, or module:constructor"""
    layers: int = 1
    """recurrent layers, one on another"""


def run(config: Config) -> dict[str, Any]:
    """Trace, try and draw each graph; the pictures go into the run's folder."""
    import jax  # here and not above, so that --help answers at once

    from rnn_jax import cells, drawings, graphs, plots

    plans = drawings.plans(config.steps_in_time, config.chunk)
    check(config.out, [f"{name}.{kind}" for name in plans for kind in ("svg", "png")])
    began = time.perf_counter()
    below = [INPUTS, *[HIDDEN] * (config.layers - 1)]
    made = [cells.build(config.cell, width, HIDDEN) for width in below]
    files, told, tried, wrong, parameters = {}, {}, 0, 0, 0
    for name, plan in plans.items():
        if config.drawing not in ("all", name):
            continue
        with jax.enable_x64(True):
            sizes = INPUTS, HIDDEN, OUTPUTS
            example = drawings.example(plan, made, sizes, config.seed)
            graph = drawings.graph(plan, example)
            pairs, disagree = drawings.paths(plan, example, graph)
        tried, wrong = tried + pairs, wrong + disagree
        parameters = max(parameters, sum(a.size for a in jax.tree.leaves(example.weights)))
        told[name] = {"nodes": len(graph.nodes), "edges": len(graph.edges)}
        print(f"{name}: {told[name]}, {disagree} of {pairs} paths disagree", file=sys.stderr)
        places = graphs.unrolled(graph, plan.turn)
        figure = graphs.draw(graph, places, plan.title, gradients=name == "truncated")
        files |= {f"{name}.svg": plots.svg(figure), f"{name}.png": plots.png(figure)}
    save(config.out, files)
    return {
        "metric": "paths that the drawing has and the model has not, or the other way round",
        "value": wrong,
        "better": "lower",
        "seconds": round(time.perf_counter() - began, 1),
        "parameters": parameters,
        "step": 0,
        "out": config.out,
        "tried": tried,
        "drawings": told,
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
