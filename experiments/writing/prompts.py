"""How texts begin: from a flag, from a file, or as a conversation goes."""

import sys
from typing import TYPE_CHECKING

from experiments.writing.settings import Options
from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from rnn_jax.data.text import Vocabulary


def prompts(options: Options) -> list[str]:
    """--prompt, or the lines of --prompts. BadInput where the file is no UTF-8 text."""
    if not options.prompts:
        return [options.prompt]
    from rnn_jax.data import sources

    return lines(sources.read((options.prompts,)).text)


def lines(text: str) -> list[str]:
    """The lines of a text without their ends, by newlines alone; an end is no further line."""
    return text.removesuffix("\n").split("\n")


def prompt_ids(prompt: str, vocabulary: "Vocabulary") -> "np.ndarray":
    """The numbers [P] of the prompt's symbols; P is at least 1. Says what it has never seen."""
    unseen = vocabulary.unseen(prompt)
    if unseen and vocabulary.unknown is not None:
        short = unseen if len(unseen) <= 100 else unseen[:100] + "…"
        print(f"warning: never seen, read as unknown: {short!r}", file=sys.stderr)
    if prompt:
        return vocabulary.encode(prompt)
    newline = vocabulary.unknown is None and vocabulary.kind != "characters"
    newline = newline or "\n" in vocabulary.symbols
    return vocabulary.encode("\n" if newline else vocabulary.symbols[0])


def asked() -> str | None:
    """A prompt from standard input, whose sign goes to stderr on a terminal; None at its end."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise BadInput(f"standard input is no UTF-8 text ({error.reason}): convert it") from None
    return line.removesuffix("\n") if line else None
