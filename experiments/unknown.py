"""Words not seen before: one unknown symbol, words made of letters, or bytes; what each costs.

    python -m experiments.unknown --corpus book.txt                     10 minutes on two cores
    python -m experiments.unknown --corpus book.txt --sizes 2000 --steps 300

For each vocabulary three networks with one LSTM layer are trained on the same text for as many
updates: "unk" reads and writes one symbol for all words outside; "letters" writes the same and
reads every word by its letters, so that a new word is like those it looks like; "bytes" reads and
writes a word outside as its bytes. They are compared in bits per byte of the held-out text and in
perplexity per word of it, in both of which an unknown word is charged for being spelled out by the
frequencies of letters; the share of unknown words stands beside. Prints a table and writes
unknown.json.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from experiments import cli
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from experiments.wordlm import rare
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

FILES = ("unknown.json",)
QUICK = {"sizes": (1000,), "hidden": 48, "steps": 150, "valid": 0.005}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.CommonSettings):
    """Defaults: two vocabularies, three ways each."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"valid": "(0, 0.5]", "hidden": "[1, inf)", "lanes": "[1, inf)", "bptt": "[1, inf)"},
        **{"steps": "[1, inf)", "lr": "(0, inf)", "dropout": "[0, 1)", "longest": "[1, inf)"},
    }

    corpus: tuple[str, ...] = ()
    """text files (UTF-8, also .gz) or hub:NAME; if none Python's own standard library"""
    valid: float = 0.1
    """last part of the text, which is scored"""
    sizes: tuple[int, ...] = (1000, 5000)
    """vocabularies: how many of the most frequent words are known"""
    ways: tuple[Literal["unk", "letters", "bytes"], ...] = rare.WAYS
    """what is done with the others"""
    hidden: int = 128
    """width of the LSTM and of what a word becomes"""
    longest: int = 14
    """bytes of a word that are read as its letters"""
    lanes: int = 20
    """lanes B"""
    bptt: int = 35
    """steps T of a chunk"""
    steps: int = 1500
    """updates of each network"""
    lr: float = 4e-3
    """learning rate of Adam, which falls to zero along a cosine"""
    dropout: float = 0.3
    """share of the activations dropped before the output"""


def run(config: Config) -> dict[str, Any]:
    """All ways at all sizes; the value is the least bits per byte."""
    for name in ("sizes", "ways"):
        if not getattr(config, name):
            raise BadInput(f"--{name} is empty; name at least one")
    check_folder(config.out, FILES)
    from rnn_jax.data import sources
    from rnn_jax.data.text.parts import tail

    began, rows = time.monotonic(), []
    source = sources.read(config.corpus, "words")
    texts = tail(source.text, config.valid, 0.0)[:2]
    shape = (config.lanes, config.bptt, config.longest)
    ways = [(V, n, rare.way(n, texts, V, *shape)) for V in config.sizes for n in config.ways]
    for V, name, way in ways:
        rows.append({"vocabulary": V, "way": name, **trained(config, way)})
        show(rows[-1])
        told = {"config": dataclasses.asdict(config), "data": source.record(), "rows": rows}
        save(config.out, {FILES[0]: json.dumps(plain(told), indent=1) + "\n"})
    best = min(rows, key=lambda row: row["bits_per_byte"])
    return {
        **{"metric": "validation bits per byte", "value": best["bits_per_byte"], "baseline": 8.0},
        **{"better": "lower", "best": f"{best['way']} of {best['vocabulary']}", "rows": rows},
        **{"step": config.steps, "parameters": best["parameters"]},
        **{"seconds": round(time.monotonic() - began, 2), "out": str(Path(config.out))},
    }


def trained(config: Config, way: rare.Way) -> dict[str, Any]:
    """What a network of this way comes to after --steps."""
    import jax
    import optax

    from experiments.racing import training
    from rnn_jax import evaluate, fit, losses

    net = way.network(config.hidden, config.dropout)
    task = way.task._replace(loss=losses.loss_of(net.output))
    rate = optax.cosine_decay_schedule(config.lr, config.steps)
    adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    recipe = fit.Recipe(net.trained, task, adam, config.seed)
    trainer = training.trainer(recipe, training.compiled(recipe))
    trainer.advance(1)
    began = time.monotonic()
    for _ in range(config.steps - 1):
        trainer.advance(1)
    seconds = time.monotonic() - began
    nats = evaluate.make_evaluate(net.trained, task)(trainer.params()).loss
    parameters = sum(a.size for a in jax.tree.leaves(trainer.params()))
    each = 1e3 * seconds / max(1, config.steps - 1)
    return {**way.scores(nats), "step_ms": round(each, 2), "parameters": parameters}


def show(row: dict[str, Any]) -> None:
    """A line of the table on stderr."""
    print(
        f"V {row['vocabulary']:>6,} {row['way']:8} {row['bits_per_byte']:.4f} bits a byte,"
        f" perplexity {row['perplexity_per_word_spelled']:8.1f} a word, all spelled out;"
        f" unknown {row['unknown_rate']:.2%}, {row['targets_per_word']:.2f} targets a word,"
        f" {row['step_ms']:.1f} ms a step, {row['parameters']:,} parameters",
        file=sys.stderr,
        flush=True,
    )


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
