"""The text of a word model: one to be cut, or a file for each part."""

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from experiments.wordlm.settings import WordSettings
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.text import Corpus


def read(config: WordSettings) -> "Corpus":
    """The text, split and numbered; one line about it on stderr."""
    from rnn_jax.data import text

    parts, record = texts(config)
    if config.alphabet == "words" and (many := parts[0].count("<unk>")):
        told = f"note: {many:,} <unk> train, each read as three words that are easily foreseen"
        print(f"{told}; --alphabet spaces reads them as the unknown word", file=sys.stderr)
    corpus = text.load_words(
        *(parts, record, config.vocabulary, config.alphabet), sentences=config.sentences
    )
    print(corpus.describe(), file=sys.stderr)
    return corpus


def texts(config: WordSettings) -> tuple[tuple[str, str, str | None], dict[str, Any]]:
    """The training, validation and (or None) test text, and what the manifest says of them."""
    from rnn_jax.data import sources
    from rnn_jax.data.text.parts import tail

    if config.test_file and not config.valid_file:
        raise BadInput("--test-file goes with --valid-file; give both, or neither")
    source = sources.read(config.corpus, "words", config.column)
    if not config.valid_file:
        return tail(source.text, config.valid, config.test), source.record() | {"split": "tail"}
    given = [(name,) for name in (config.valid_file, config.test_file) if name]
    every = [source, *(sources.read(name, "words") for name in given)]
    whole = dataclasses.replace(
        source,
        text="\n".join(one.text for one in every),
        files=tuple(file for one in every for file in one.files),
    )
    texts = [*(one.text for one in every), None]
    return tuple(texts[:3]), whole.record() | {"split": "a file each"}
