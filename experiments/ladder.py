"""The lecture's ladder on one text: counts, fixed windows, recurrent networks, side by side.

    python -m experiments.ladder --corpus book.txt                        2 to 3 minutes
    python -m experiments.ladder --corpus book.txt --alphabet words
    python -m experiments.ladder --corpus book.txt --steps 6000 --seeds 3    what is worth quoting

Every rung predicts the same held-out tokens from the same training text: uniform, n-grams by
interpolated Kneser-Ney, the neural model with a window of K tokens, the recurrent networks. The
networks are runs of experiments.neural_lm and experiments.char_lm in folders of their own, with
equal width, tokens and steps; so an interrupted ladder goes on where it stopped. Prints a table and
writes ladder.json and ladder.png. What was measured is in experiments/results/ladder.json.
"""

import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from experiments import char_lm, cli, language, neural_lm
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.text import Corpus

FILES = ("ladder.json", "ladder.png")
QUICK = {"n": 3, "windows": (2,), "cells": ("gru",), "hidden": 64, "steps": 200}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.TextSettings):
    """Which rungs, and the size and the training that the networks share."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"n": "[1, 20]", "hidden": "[1, inf)", "embed": "[1, inf)", "lr": "(0, inf)"},
        "window_lr": "(0, inf)",
        **{"bptt": "[1, inf)", "lanes": "[1, inf)", "steps": "[1, inf)", "seeds": "[1, inf)"},
        **{"dropout": "[0, 1)", "average": "[0, 1)"},
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"seeds"})

    n: int = 5
    """the longest n-gram; all shorter ones are rungs too"""
    windows: tuple[int, ...] = (2, 4, 8)
    """contexts K of the neural model with a fixed window"""
    cells: tuple[str, ...] = ("tanh", "gru", "lstm")
    """recurrent cells, each a rung"""
    hidden: int = 128
    """width H of every network's one hidden layer"""
    embed: int = 64
    """size of every network's embedding"""
    lr: float = 3e-3
    """learning rate of Adam for the recurrent networks"""
    window_lr: float = 0.01
    """learning rate of Adam for the windows, which falls to zero over --steps"""
    bptt: int = 32
    """steps T of a chunk"""
    lanes: int = 32
    """lanes B"""
    dropout: float = 0.0
    """of the recurrent networks, before the read-out"""
    average: float = 0.99
    """the recurrent networks are scored by a moving average of their weights with this decay"""
    steps: int = 4000
    """updates of every network; part of what a run is, for the windows' rate follows it"""
    seeds: int = 1
    """runs of every network, with seeds --seed, --seed + 1 …"""


class Rung(NamedTuple):
    """A model's held-out score: mean over seeds, its spread, and what it cost.

    deviation: over seeds, None for one; test: nats on the test part, None where there is none.
    """

    name: str
    nats: float
    deviation: float | None
    parameters: int
    seconds: float
    test: float | None


def counted(config: Config, corpus: "Corpus") -> Iterator[Rung]:
    """The uniform distribution, and interpolated Kneser-Ney from 1 to n."""
    from rnn_jax import ngrams

    uniform = math.log(len(corpus.vocabulary))
    yield Rung("uniform", uniform, None, 0, 0.0, corpus.test and uniform)
    for n in range(1, config.n + 1):
        began = time.monotonic()
        counts = ngrams.count(corpus.train, len(corpus.vocabulary), n)
        tables = ngrams.kneser_ney(counts, ngrams.discounts(counts))
        nats, test = (
            part and -float(ngrams.log_probabilities(tables, part).mean())
            for part in (corpus.valid, corpus.test)
        )
        seconds = time.monotonic() - began
        yield Rung(f"{n}-gram", nats, None, ngrams.size(tables), seconds, test)


def networks(config: Config) -> Iterator[tuple[str, Any, Any]]:
    """``(rung, experiment module, its Config)`` of every network but for seed and folder."""
    shared = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(cli.TextSettings)
    }
    names = ("hidden", "embed", "lr", "bptt", "lanes", "steps")
    shared |= {name: getattr(config, name) for name in names}
    shared |= {"eval_every": max(1, config.steps // 5), "save_every": config.steps}
    for K in config.windows:
        # The windows want a higher rate that falls; the recurrent networks have their average.
        falling = shared | {"lr": config.window_lr, "horizon": config.steps}
        yield f"window {K}", neural_lm, neural_lm.Config(**falling, context=K)
    recurrent = {"layers": 1, "dropout": config.dropout, "average": config.average}
    for cell in config.cells:
        yield cell, char_lm, char_lm.Config(**shared, **recurrent, cell=cell)


def trained(config: Config, rung: str, module: Any, settings: Any) -> Rung:
    """A network's rung: as many runs as there are seeds, each in a folder of its own."""
    results = []
    for seed in range(config.seed, config.seed + config.seeds):
        folder = Path(config.out, f"{rung.replace(' ', '-').replace(':', '.')}-{seed}")
        print(f"--- {rung}, seed {seed}", file=sys.stderr)
        results.append(module.run(dataclasses.replace(settings, seed=seed, out=str(folder))))
    nats = [float(result["value"]) for result in results]
    deviation = statistics.stdev(nats) if len(nats) > 1 else None
    seconds = statistics.mean(result["seconds"] for result in results)
    tests = [result["test"] for result in results if "test" in result]
    test = statistics.mean(tests) if tests else None
    return Rung(rung, statistics.mean(nats), deviation, results[0]["parameters"], seconds, test)


def records(rungs: list[Rung], corpus: "Corpus") -> list[dict[str, Any]]:
    """Each rung with its score in every unit."""
    from rnn_jax import scores

    units = ("perplexity", "bits_per_character", "bits_per_byte")
    told = [scores.language(rung.nats, corpus) for rung in rungs]
    return [
        rung._asdict() | {unit: each[unit] for unit in units}
        for rung, each in zip(rungs, told, strict=True)
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """The table on stderr, a line a rung; the test part's nats where there is one."""
    print(
        f"\n{'rung':12} {'nats':>8} {'± s.d.':>8} {'perplexity':>11} {'bits/char':>10} "
        f"{'bits/byte':>10} {'parameters':>12} {'seconds':>8}"
        f"{'' if rows[0]['test'] is None else '  test nats'}",
        file=sys.stderr,
    )
    for row in rows:
        spread = "" if row["deviation"] is None else f"{row['deviation']:.4f}"
        bits = "" if row["bits_per_character"] is None else f"{row['bits_per_character']:.3f}"
        test = "" if row["test"] is None else f" {row['test']:10.4f}"
        print(
            f"{row['name']:12} {row['nats']:8.4f} {spread:>8} {row['perplexity']:11.2f} {bits:>10} "
            f"{row['bits_per_byte']:10.3f} {row['parameters']:12,} {row['seconds']:8.1f}"
            f"{test}",
            file=sys.stderr,
        )


def picture(rows: list[dict[str, Any]], title: str) -> bytes:
    """The rungs from top to bottom against bits per byte, as a PNG."""
    from rnn_jax import plots

    return plots.ladder([(r["name"], r["bits_per_byte"]) for r in rows], "bits per byte", title)


def check(config: Config) -> None:
    """BadInput for what cannot be climbed, or not in this folder; before the text is read."""
    for name in ("windows", "cells"):
        if len(set(getattr(config, name))) < len(getattr(config, name)):
            raise BadInput(f"--{name} names a rung twice; name each once")
    for K in config.windows:
        if K < 1:
            raise BadInput(f"--windows {K}: must be at least 1")
    check_folder(config.out, FILES)
    before, asked = Path(config.out, FILES[0]), cli.identity(config)
    if before.exists():
        try:
            there = json.loads(before.read_bytes())["config"]
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{before} is damaged; use another --out") from None
        for name, value in asked.items():
            if there.get(name) != value:
                told = f"{name}: {there.get(name)} in {before}, {value} asked"
                raise BadInput(f"{told}; use another --out")
    from rnn_jax import cells

    for cell in config.cells:
        cells.build(cell, 1, config.hidden)


def run(config: Config) -> dict[str, Any]:
    """Every rung on the same text; the best one's nats per token."""
    check(config)
    corpus = language.read(config)
    from rnn_jax import scores
    from rnn_jax.data import text

    plans = list(networks(config))  # all that would be refused is, before anything is counted
    text.lanes(corpus.train, config.lanes, config.bptt)
    for K in config.windows:
        neural_lm.check_context("--windows", K, corpus)
    began = time.monotonic()
    rungs = list(counted(config, corpus))
    begun = {"config": cli.identity(config), "data": corpus.record}
    if not Path(config.out, FILES[0]).exists():
        save(config.out, {FILES[0]: json.dumps(begun, indent=1) + "\n"})
    rungs += [trained(config, *plan) for plan in plans]
    rows = records(rungs, corpus)
    show(rows)
    best = min(rungs, key=lambda rung: rung.nats)
    result = {
        **scores.language(best.nats, corpus),
        **{"best": best.name, "seconds": round(time.monotonic() - began, 2)},
        **{"parameters": best.parameters, "step": config.steps, "digest": None},
        **({} if best.test is None else {"test": best.test}),
        "out": config.out,
    }
    told = json.dumps({**begun, "rungs": rows, "result": result}, indent=1) + "\n"
    drawn = picture(rows, corpus.record["description"])
    save(config.out, dict(zip(FILES, (told, drawn), strict=True)))
    return result


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
