"""Is one language model better than another, or was it the text? A paired bootstrap of two runs.

    python -m experiments.compare runs/a runs/b
    python -m experiments.compare runs/char_lm runs/ngram --corpus other.txt

Both score the same text, the validation part that they share or another; whatever their symbols
are (characters, pieces, words), in bits per byte of that text, unknown words spelled out. The text
is cut into pieces where symbols of both end, and the pieces are drawn anew, with replacement,
10,000 times: how the difference scatters is how much of it is the text's. stdout has one line of
JSON: both records, the difference RUN_B - RUN_A, its 95 % interval, and p.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import tyro

from experiments import cli
from experiments.scoring.readers import Reader, open_reader, parts_of
from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which runs, on which text."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"block": "[1, inf)", "times": "[100, 1e6]", "seed": "[0, 4294967296)"},
    }

    run_a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_A")]
    """a run's folder"""
    run_b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_B")]
    """another's"""
    corpus: str = ""
    """the text to score (UTF-8, also .gz); if empty the validation part of the runs' own"""
    block: int = 500
    """bytes that a piece of the text has at least: longer than what hangs together"""
    times: int = 10_000
    """how often the pieces are drawn anew"""
    seed: int = 0
    """where the draws come from"""
    trust: bool = False
    """let a run import the module of its own cell"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)


def shared_text(options: Options, a: Reader, b: Reader) -> str:
    """What both are scored on; BadInput where their own texts are not the same."""
    if options.corpus:
        from rnn_jax.data import sources

        return sources.read((options.corpus,)).text
    mend = "name a text for both with --corpus FILE"
    if a.text is None or b.text is None or a.digest != b.digest:
        raise BadInput(f"the runs were not trained on the same text: {mend}")
    if a.text.split != "tail" or any(
        getattr(a.text, name, "") != getattr(b.text, name, "")
        for name in ("split", "valid", "test", "valid_file", "test_file")
    ):
        raise BadInput(f"the runs do not hold out the same part of their text: {mend}")
    return parts_of(a.text)[1]


def compare(options: Options) -> dict[str, Any]:
    """Both records and the bootstrap's result."""
    readers = [open_reader(r, trust=options.trust) for r in (options.run_a, options.run_b)]
    text = shared_text(options, *readers)
    import numpy as np

    from experiments.scoring import texts
    from rnn_jax import scores

    found: list[texts.Scored] = []
    for reader in readers:
        if reader.vocabulary.kind == "spaces":
            told = "reads what stands between white space, which is not the text byte for byte"
            raise BadInput(f"{reader.told} {told}: compare runs of other alphabets")
    for folder, reader in zip((options.run_a, options.run_b), readers, strict=True):
        found.append(texts.scored(reader, text, texts.rare_words(reader, folder)))
        told = " ".join(f"{name}={value:.6g}" for name, value in found[-1].record().items())
        print(f"{reader.told}: {told}", file=sys.stderr)
    a, b, sizes = texts.blocks(*found, options.block)
    if len(sizes) < 10:
        raise BadInput(f"the text has {len(sizes)} pieces, too few to draw from: a smaller --block")
    result = scores.paired_bootstrap(a, b, sizes, times=options.times, seed=options.seed)
    better = {1: "A is better by", 0: "alike:", -1: "B is better by"}[
        int(np.sign(result.difference))
    ]
    print(
        f"{better} {abs(result.difference):.4f} bits per byte "
        f"(95 %: {result.low:.4f} to {result.high:.4f}, p {result.p:.2g}, {len(sizes)} pieces)",
        file=sys.stderr,
    )
    records = {"a": found[0].record(), "b": found[1].record()}
    return {
        **{"experiment": "compare", "metric": "bits per byte, B - A"},
        **{"value": result.difference, "low": result.low, "high": result.high, "p": result.p},
        **{"pieces": len(sizes), **records},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and compare; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.compare", __doc__)
        if options is not None:
            print(cli.result_line(compare(options)), flush=True)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
