"""Write text with a finished run, live.

    python -m experiments.sample runs/char_lm --prompt "def "
    python -m experiments.sample runs/char_lm --interactive
    python -m experiments.sample runs/char_lm --prompts lines.txt --stop $'\\n' --json
    python -m experiments.sample runs/char_lm --beams 8 --samples 3 --length 60 --block 6

The text (prompt and continuation) goes to stdout as it is written, everything else to stderr. A
character of the prompt that the run has never seen is read as its unknown symbol, and said so; the
unknown symbol itself is never written. The same seed writes the same text.
"""

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments import cli
from experiments.scoring.readers import Reader, open_reader
from experiments.writing.prompts import asked, prompt_ids, prompts
from experiments.writing.settings import Options
from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    from experiments.writing.texts import Text


def write(options: Options) -> None:
    """Open the run, write, print."""
    from experiments.writing import texts

    reader = open_reader(options.run, options.saved_step(), trust=options.trust)
    begun = prompts(options)
    ids = [prompt_ids(prompt, reader.vocabulary) for prompt in begun]
    print(reader.told, file=sys.stderr)
    if options.interactive:
        _converse(options, reader)
        return
    several = len(begun) * options.samples > 1
    live = not (several or options.json or options.beams)
    if live:
        _show(begun[0])
    for i, found in enumerate(texts.write(reader, ids, options, _show if live else None)):
        if live:
            _show("\n")
        for j, text in enumerate(found, start=1):
            place = f"sample {j} of {len(found)}" if several else ""
            if len(begun) > 1:
                place = f"prompt {i + 1} of {len(begun)}, {place}"
            _print(options, reader, begun[i], text, place, shown=live)


def _converse(options: Options, reader: Reader) -> None:
    """A text after every line that is typed; an empty line goes on with the last one."""
    from experiments.writing import texts

    before = options.prompt
    while (line := asked()) is not None:
        begun = line or before
        try:
            ids = prompt_ids(begun, reader.vocabulary)
        except BadInput as problem:
            print(f"error: {problem}", file=sys.stderr)
            continue
        _show(line)
        show = None if options.beams or options.samples > 1 else _show
        (found,) = texts.write(reader, [ids], options, show)
        _show("\n" if show else "".join(f"{text.text}\n" for text in found))
        before = begun + found[0].text if found else begun


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _print(
    options: Options, reader: Reader, prompt: str, text: "Text", place: str, *, shown: bool
) -> None:
    """One text to stdout, unless it was shown, and what it weighs to stderr."""
    nats, n = float(text.log_probs.sum()), max(len(text.tokens), 1)
    symbols = [reader.vocabulary.symbols[token] for token in text.tokens]
    if options.json:
        told = {"prompt": prompt, "text": text.text, "symbols": symbols, "log_prob": nats}
        told |= {"score": text.score, "log_probs": text.log_probs.tolist()}
        print(json.dumps(told, ensure_ascii=False))
    elif not shown:
        print(f"--- {place}\n" * bool(place) + prompt + text.text, flush=True)
    if options.log_probs:
        for symbol, nat in zip(symbols, text.log_probs, strict=True):
            print(f"{symbol!r}\t{nat:.4f}", file=sys.stderr)
    bits, score = -nats / n / math.log(2), f", score {text.score:.3f}" * bool(options.beams)
    told = f"log p = {nats:.2f} nats, {bits:.3f} bits a symbol, {len(text.tokens)} symbols{score}"
    print(f"{place or 'sample 1'}: {told}", file=sys.stderr)


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
