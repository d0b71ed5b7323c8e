"""What a trained character model uses: units that tell things of the text, context, its carry.

    python -m experiments.units runs/char_lm                  1 minute; on the run's held-out text
    python -m experiments.units runs/char_lm --text other.py

Every unit of the carry is compared with labels of the text (in quotes, in a comment, bracket depth,
column, indentation): chosen on its first half, scored on the second, beside a linear read-out of
all units and the best unit of the same network with random weights. Then the loss with k symbols
of context, and the loss after the carry was replaced by zeros, the start, its own units shuffled or
another text's. Writes units.html (the text coloured by units), context.png and units.json; the JSON
line's value is the loss with the longest context, its baseline that with one symbol.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from experiments import cli, language
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.run import OpenedRun

FILES = ("units.json", "units.html", "context.png")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which run is looked at, over which text, and how far back."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"length": "[100, inf)", "context": "[2, inf)", "warm": "[1, inf)"},
        "seed": "[0, 4294967296)",
    }

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the run's folder, of a model of characters"""
    text: str = ""
    """a text file (UTF-8); if empty what the run held out"""
    length: int = 20_000
    """characters over which units are compared with labels"""
    context: int = 256
    """the longest context; the others are its halves"""
    warm: int = 256
    """symbols that the carry is warmed up on before it is exchanged"""
    seed: int = 0
    """of the untrained network and of the shuffling"""
    step: str = "best"
    """whose weights: best, latest, or the number of a step that was saved"""
    trust: bool = False
    """let the run import the module of its own cell"""
    out: str = ""
    """the folder to write to; if empty runs/units-RUN"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)


def read(options: Options) -> tuple["OpenedRun", "np.ndarray"]:
    """The run, and the tokens [N] of the text."""
    from rnn_jax import run

    step = int(options.step) if options.step.isdecimal() else options.step
    opened = run.open(options.run, step=step, trust=options.trust)
    if opened.vocabulary is None or opened.vocabulary.kind != "characters":
        raise BadInput(f"{options.run} is no model of characters; train one with char_lm")
    if options.text:
        try:
            written = Path(options.text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--text {options.text}: cannot be read: {error}") from error
        return opened, language.encode(written, opened.vocabulary)
    names = [field.name for field in dataclasses.fields(cli.TextSettings)]
    told = {name: opened.config[name] for name in names if name in opened.config}
    told["corpus"] = tuple(told.get("corpus", ()))
    corpus = language.read(cli.TextSettings(**told))
    if corpus.vocabulary != opened.vocabulary:
        raise BadInput(f"the text of {options.run} has changed; give another with --text")
    return opened, corpus.valid.inputs


def contexts(longest: int) -> list[int]:
    """1, 2, 4 … and the longest."""
    powers = [2**i for i in range(longest.bit_length()) if 2**i < longest]
    return [*powers, longest]


def show(found: Mapping[str, Any]) -> None:
    """What was found, on stderr."""
    lines = [f"{'label':14}  best unit                 r   ROC  R² of all  r untrained"]
    for name, told in found["labels"].items():
        if told is None:
            lines.append(f"{name:14}  the text has no such thing in both halves")
            continue
        area = "  –  " if told.area is None else f"{told.area:5.2f}"
        numbers = f"{told.r:+5.2f} {area}  {told.probe:9.2f}  {told.untrained:+11.2f}"
        lines.append(f"{name:14}  {told.name:22} {numbers}")
    lines += [f"context {k:5}  {nats:.4f} nats" for k, nats in found["context"].items()]
    for name, nats in found["exchanged"].items():
        lines.append(f"carry {name:20} {nats[0]:.4f} nats at first, {nats.mean():.4f} on average")
    print("\n".join(lines), file=sys.stderr)


def look(options: Options) -> dict[str, Any]:
    """Everything, written and told."""
    began = time.monotonic()
    out = options.out or f"runs/units-{Path(options.run).name}"
    check_folder(out, FILES)
    opened, tokens = read(options)
    import jax

    from experiments.probing import context, pages, states
    from experiments.probing.labels import labels
    from rnn_jax import plots

    part = tokens[: options.length]
    text = opened.vocabulary.decode(part)
    known = labels(text)
    model, W = opened.model, opened.params
    swapped = context.after_exchange(
        model, W, tokens, options.warm, options.context, seed=options.seed
    )
    by_context = context.by_context(model, W, tokens, contexts(options.context))
    untrained = jax.jit(model.init)(jax.random.key(options.seed))
    told, values = states.tell_all(model, W, untrained, part, known)
    found = {"labels": told, "context": by_context, "exchanged": swapped}
    show(found)
    picture = plots.png(pages.curves(by_context, swapped))
    title = f"{Path(options.run).name}, step {opened.step}"
    page = pages.page(title, text, values, known, told, picture)
    record = found | {"labels": {name: one and one._asdict() for name, one in told.items()}}
    record |= {"run": opened.manifest["config"], "step": opened.step}
    written = [json.dumps(plain(record), indent=1) + "\n", page, picture]
    save(out, dict(zip(FILES, written, strict=True)))
    return {
        **{"experiment": "units", "metric": f"nats per character, context {options.context}"},
        **{"value": by_context[options.context], "baseline": by_context[1], "better": "lower"},
        **{"seconds": round(time.monotonic() - began, 2), "step": opened.step, "out": out},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and look; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.units", __doc__)
        if options is not None:
            print(cli.result_line(look(options)), flush=True)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
