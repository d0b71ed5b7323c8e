"""Very many words: what a step costs and what is learned, by full softmax and by cheaper outputs.

    python -m experiments.vocabularies                                  half an hour on two cores
    python -m experiments.vocabularies --sizes 10000 --steps 300 --seconds 30
    python -m experiments.vocabularies --sizes 250000 --outputs full sampled --seconds 30

A one-layer LSTM on a language of V words that is made by rule: Zipf's law, and for each word eight
that follow it half of the time. Its own perplexity is known, and new words come at every step, so
that nobody fits too closely. All outputs are trained by the same Adagrad on the same batches from
equally drawn weights, touch only the rows that a step looks at (the full softmax looks at all rows
of its own table), and are scored by exact perplexity: after as many steps, and after as much time.
Prints a table and writes vocabularies.json. What was measured is in experiments/results/words.json.
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from experiments import cli
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from experiments.wordlm import large
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

FILES = ("vocabularies.json",)
QUICK = {
    **{"sizes": (2000,), "outputs": ("full", "sampled", "adaptive"), "hidden": 32},
    **{"steps": 150, "seconds": 2.0, "samples": 200},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(large.LargeSettings):
    """Defaults: three vocabularies, all outputs."""


def check(config: Config) -> None:
    """BadInput for a vocabulary too small to have classes and clusters, or a used folder."""
    for V in config.sizes:
        if V < 300:
            raise BadInput(f"--sizes {V}: must be at least 300")
        if config.samples > V:
            raise BadInput(f"--samples {config.samples}: must be at most {V}, the smallest --sizes")
    for name in ("sizes", "outputs"):
        given = getattr(config, name)
        if len(set(given)) < len(given) or not given:
            raise BadInput(f"--{name}: name at least one, and each once")
    check_folder(config.out, FILES)


def run(config: Config) -> dict[str, Any]:
    """All outputs at all sizes; the value is the last size's best perplexity in the given time."""
    check(config)
    from rnn_jax.data import synthetic

    began, rows = time.monotonic(), []
    for V in config.sizes:
        language = synthetic.zipf_language(V)
        known = math.exp(floor(config, language))
        for output in config.outputs:
            row = large.measure(config, output, language) | {"known": round(known, 1)}
            rows.append(row | against(row, rows))
            show(rows[-1])
            told = {"config": dataclasses.asdict(config), "rows": rows}
            save(config.out, {FILES[0]: json.dumps(plain(told), indent=1) + "\n"})
    last = [row for row in rows if row["vocabulary"] == config.sizes[-1]]
    best = min(last, key=lambda row: row["after_seconds"]["perplexity"])
    return {
        "metric": f"perplexity at V = {config.sizes[-1]:,} after {config.seconds:g} seconds",
        "value": best["after_seconds"]["perplexity"],
        "baseline": float(config.sizes[-1]),
        "better": "lower",
        **{"best": best["output"], "rows": rows, "seconds": round(time.monotonic() - began, 2)},
        **{"step": config.steps, "out": str(Path(config.out))},
    }


def floor(config: Config, language: Any) -> float:
    """Nats a word of the held-out text to one who knows the language."""
    words = large.held_out(config, language)
    return float(language.nats(words).mean())


def against(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times as fast a step is as the first output's, and the perplexities' ratio."""
    same = [one for one in rows if one["vocabulary"] == row["vocabulary"]]
    first = same[0] if same else row
    ratio = row["after_steps"]["perplexity"] / first["after_steps"]["perplexity"]
    return {
        "times_as_fast": round(first["step_ms"] / row["step_ms"], 2),
        "perplexity_ratio": round(ratio, 4),
    }


def show(row: dict[str, Any]) -> None:
    """A line of the table on stderr."""
    steps, seconds = row["after_steps"], row["after_seconds"]
    print(
        f"V {row['vocabulary']:>7,} {row['output']:17} {row['step_ms']:9.1f} ms a step"
        f" ({row['times_as_fast']:6.1f}x) {row['bytes'] / 2**20:7.0f} MiB; perplexity"
        f" {steps['perplexity']:9.1f} after {steps['step']} steps ({row['perplexity_ratio']:.3f}x),"
        f" {seconds['perplexity']:9.1f} after {seconds['seconds']:.0f} s ({seconds['step']} steps);"
        f" known {row['known']:.1f}",
        file=sys.stderr,
        flush=True,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
