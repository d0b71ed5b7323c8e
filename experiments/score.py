"""log p of the lines of a file, by a finished run or an ensemble of several.

    python -m experiments.score runs/char_lm lines.txt
    python -m experiments.score runs/char_lm lines.txt --mix runs/ngram --fit tune.txt
    python -m experiments.score runs/char_lm book.txt --stream --cache 500

Prints a line for each line: log p in nats of all its symbols and its end, the symbols, the unknown
ones among them, and the line (a tab between; --json: an object a line). Each line is read on its
own, after a line's end; with --stream the file is one text, and a line goes on from those before.
The score of the whole, in nats, perplexity and bits of the text, goes to stderr. A folder of
experiments.ngram is counted again from its text.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from experiments import cli
from experiments.scoring.readers import Reader, mixed, open_reader, with_cache
from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    from experiments.scoring.texts import Scored

_LINES = 4096  # read and scored together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which runs, which file, how they go together."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"cache": "[0, 100000]", "theta": "[0, 1000]", "share": "[0, 1]"},
    }

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the run's folder"""
    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """the text (UTF-8, also .gz)"""
    mix: tuple[str, ...] = ()
    """more runs, of the same symbols: all together are an ensemble"""
    weights: tuple[float, ...] = ()
    """how much each counts, RUN first; if none all the same"""
    fit: str = ""
    """a text whose probability the weights make highest"""
    cache: int = 0
    """keep so many hidden states of RUN and look up what followed them (neural cache); 0 is off"""
    theta: float = 0.3
    """how much likeness counts in the cache"""
    share: float = 0.1
    """of the probability that comes from the cache"""
    stream: bool = False
    """read the file as one text, not each line anew"""
    json: bool = False
    """an object a line: line, log_prob, symbols, unknown, bytes"""
    trust: bool = False
    """let a run import the module of its own cell"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)
        many = len(self.mix) + 1
        if self.weights and len(self.weights) != many:
            raise BadInput(f"--weights: {len(self.weights)} for {many} runs; give one for each")
        if self.weights and not (min(self.weights) >= 0 and 0 < sum(self.weights) < float("inf")):
            raise BadInput("--weights: must be at least 0, and not all of them 0")
        if self.fit and (self.weights or not self.mix):
            raise BadInput("--fit finds the weights of --mix: give --mix, and no --weights")


def open_all(options: Options) -> Reader:
    """The reader that the options describe; says on stderr what it is."""
    readers = [open_reader(folder, trust=options.trust) for folder in (options.run, *options.mix)]
    if options.cache:
        readers[0] = with_cache(readers[0], options.cache, options.theta, options.share)
    weights = list(options.weights)
    mixed(readers, weights)  # refuses what does not go together before anything is read
    if options.fit:
        weights = fitted(readers, read(options.fit))
        print("weights: " + " ".join(f"{w:.4f}" for w in weights), file=sys.stderr)
    reader = mixed(readers, weights)
    print(reader.told, file=sys.stderr)
    return reader


def read(path: str) -> str:
    """A text; BadInput for what is none."""
    from rnn_jax.data import sources

    return sources.read((path,)).text


def fitted(readers: Sequence[Reader], text: str) -> list[float]:
    """The ensemble's weights under which a text is most probable."""
    import numpy as np

    from experiments.scoring.texts import scored
    from rnn_jax import mixtures

    return mixtures.fitted(np.stack([-scored(r, text).nats for r in readers])).tolist()


def by_line(options: Options, reader: Reader, text: str) -> Iterator[tuple[str, "Scored"]]:
    """Each line and its score."""
    from experiments.scoring import texts
    from experiments.writing.prompts import lines

    rare = texts.rare_words(reader, options.run)
    found = lines(text)
    if not options.stream:
        for begin in range(0, len(found), _LINES):
            some = found[begin : begin + _LINES]
            yield from zip(some, texts.scored_lines(reader, some, rare), strict=True)
        return
    whole = texts.scored(reader, text, rare)
    cut = texts.line_ends(reader.vocabulary, text, found, whole.bytes)
    for line, begin, end in zip(found, [0, *cut], cut, strict=False):
        yield line, texts.Scored(*(part[begin:end] for part in whole))


def score(options: Options) -> None:
    """Print every line's score, then the whole's."""
    import numpy as np

    from experiments.scoring.texts import Scored

    text = read(options.file)
    reader = open_all(options)
    kept = []
    for line, found in by_line(options, reader, text):
        kept.append(found)
        nats, n, unknown = -float(found.nats.sum()), len(found.nats), int(found.unknown.sum())
        if options.json:
            told = {"line": line, "log_prob": nats, "symbols": n, "unknown": unknown}
            print(json.dumps(told | {"bytes": int(found.bytes.sum())}, ensure_ascii=False))
        else:
            print(f"{nats:.4f}\t{n}\t{unknown}\t{line}")
    whole: Any = Scored(*(np.concatenate(parts) for parts in zip(*kept, strict=True)))
    told = " ".join(f"{name}={value:.6g}" for name, value in whole.record().items())
    print(f"{options.file}: {told}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and score; the exit status."""
    arguments = sys.argv[1:] if argv is None else argv

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.score", __doc__)
        if options is not None:
            score(options)

    return cli.guard(action)


if __name__ == "__main__":
    sys.exit(main())
