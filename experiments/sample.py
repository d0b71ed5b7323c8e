"""Write text with a finished run.

    python -m experiments.sample runs/char_lm --prompt "def "

The text (prompt and continuation) goes to stdout, everything else to stderr. A character of the
prompt that the run has never seen is read as its unknown symbol, and said so; the unknown symbol
itself is never written.
"""

import dataclasses
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from experiments import cli
from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from rnn_jax.data.text import Vocabulary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which run, how it starts, how it draws."""

    RANGES: ClassVar[Mapping[str, str]] = {
        "length": "[1, inf)",
        "temperature": "(0, inf)",
        "top_k": "[0, inf)",
        "top_p": "(0, 1]",
        "samples": "[1, inf)",
        "seed": "[0, 4294967296)",
    }

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the run's folder"""
    prompt: str = ""
    """how the text begins; if empty, after a newline (after the first symbol if there is none)"""
    length: int = 500
    """symbols to write after the prompt"""
    temperature: float = 1.0
    """divides the logits: below 1 safer, above 1 wilder"""
    top_k: int = 0
    """draw among the k most probable symbols only; 0 is off"""
    top_p: float = 1.0
    """draw among the most probable symbols that make up this much of the probability; 1 is off"""
    greedy: bool = False
    """always take the most probable symbol"""
    samples: int = 1
    """texts to write, side by side"""
    seed: int = 0
    """where the draws come from"""
    step: str = "best"
    """whose weights: best, latest, or the number of a step that was saved"""
    log_probs: bool = False
    """also print every written symbol with its log-probability (nats) to stderr"""
    trust: bool = False
    """let the run import the module of its own cell"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)
        if not re.fullmatch("best|latest|[0-9]+", self.step):
            raise BadInput(f"--step {self.step}: must be best, latest or a number")
        if not self.prompt.isprintable() and re.search("[\ud800-\udfff]", self.prompt):
            raise BadInput("--prompt is no UTF-8 text: check the terminal's encoding")


def write(options: Options) -> None:
    """Open the run, write, print."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import rnn_jax.run
    from rnn_jax.decode import generate

    step = int(options.step) if options.step.isdecimal() else options.step
    opened = rnn_jax.run.open(options.run, step=step, trust=options.trust)
    if opened.vocabulary is None:
        raise BadInput(f"{options.run} is no language model: it has no vocabulary to write with")
    ids = prompt_ids(options.prompt, opened.vocabulary)
    tokens, log_probs = generate(
        opened.model,
        opened.params,
        jnp.asarray(np.tile(ids, (options.samples, 1))),
        jax.random.key(options.seed),
        options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        greedy=options.greedy,
        forbid=opened.vocabulary.unknown,
    )
    print(f"{options.run}: weights of step {opened.step}", file=sys.stderr)
    _print(options, opened.vocabulary, np.asarray(tokens), np.asarray(log_probs))


def prompt_ids(prompt: str, vocabulary: "Vocabulary") -> "np.ndarray":
    """The numbers [P] of the prompt's symbols; P is at least 1. Says what it has never seen."""
    unseen = vocabulary.unseen(prompt)
    if unseen and vocabulary.unknown is not None:
        print(f"warning: never seen, read as unknown: {unseen!r}", file=sys.stderr)
    if prompt:
        return vocabulary.encode(prompt)
    return vocabulary.encode("\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0])


def _print(
    options: Options, vocabulary: Any, tokens: "np.ndarray", log_probs: "np.ndarray"
) -> None:
    """tokens and log_probs [samples, length]: texts to stdout, probabilities to stderr."""
    for i, (row, nats) in enumerate(zip(tokens, log_probs, strict=True), start=1):
        if options.samples > 1:
            print(f"--- sample {i} of {options.samples}")
        print(options.prompt + vocabulary.decode(row), flush=True)
        if options.log_probs:
            for token, nat in zip(row, nats, strict=True):
                print(f"{vocabulary.symbols[token]!r}\t{nat:.4f}", file=sys.stderr)
        total, bits = float(nats.sum()), -float(nats.mean()) / math.log(2)
        print(f"sample {i}: log p = {total:.2f} nats, {bits:.3f} bits a symbol", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and write; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.sample", __doc__)
        if options is not None:
            write(options)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
