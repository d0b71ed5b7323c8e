"""A language model read back from a folder: a run's network, or a table counted again."""

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import cli
from experiments.wordlm import WordSettings
from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    from rnn_jax.data.text import Corpus, Vocabulary


_WRITERS = ("language_model", "window_model", "word_model")  # of all that runs are made with


class Reader(NamedTuple):
    """A model that can be asked, with its weights and its symbols.

    told: which it is, in words; text: what it was trained on, and the digest of that; None where
    the run does not say.
    """

    model: Any
    params: Any
    vocabulary: "Vocabulary"
    told: str
    text: cli.TextSettings | None = None
    digest: str | None = None


def open_reader(folder: str, step: int | str = "best", *, trust: bool = False) -> Reader:
    """What a folder holds; BadInput where that writes no text."""
    if Path(folder, "ngram.json").is_file() and not Path(folder, "run.json").exists():
        return _counted(Path(folder))
    import rnn_jax.run

    opened = rnn_jax.run.open(folder, step=step, trust=trust)
    if opened.vocabulary is None or opened.manifest["model"]["builder"] not in _WRITERS:
        raise BadInput(f"{folder} is no language model: it has no text to go on with")
    return Reader(
        *(opened.model, opened.params, opened.vocabulary),
        f"{folder}: weights of step {opened.step}",
        *(_text(opened.config), opened.manifest["data"].get("digest")),
    )


def _text(config: dict[str, Any]) -> cli.TextSettings | None:
    """The part of a configuration that says which text it was; None where it does not."""
    if "corpus" not in config:
        return None
    kind = WordSettings if "valid_file" in config else cli.TextSettings
    names = {field.name for field in dataclasses.fields(kind)}
    given = {name: value for name, value in config.items() if name in names}
    return kind(**given | {"corpus": tuple(given["corpus"])})


def _counted(folder: Path) -> Reader:
    """The n-gram model of experiments.ngram: its text is read and counted again."""
    from experiments import ngram
    from rnn_jax import models, ngrams

    try:
        saved = json.loads((folder / "ngram.json").read_bytes())
        fields = {f.name for f in dataclasses.fields(ngram.Config)}
        given = {name: value for name, value in saved["config"].items() if name in fields}
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        config, digest = ngram.Config(**given | lists), saved["data"]["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder}/ngram.json is damaged ({error}): count it anew") from None
    corpus = corpus_of(str(folder), config, digest)
    counts = ngrams.count(corpus.train, len(corpus.vocabulary), config.n)
    with contextlib.redirect_stdout(sys.stderr):
        tables = ngram.smoother(config, corpus, counts)(config.n)
    told = f"{folder}: {config.n}-gram, {config.smoothing}"
    model = models.stack(ngrams.cell(tables))
    return Reader(model, (tables,), corpus.vocabulary, told, config, digest)


def corpus_of(folder: str, text: cli.TextSettings, digest: str | None) -> "Corpus":
    """The text that a folder's model was trained on; BadInput where it has changed."""
    found = _corpus(text)
    if digest and found.record["digest"] != digest:
        raise BadInput(f"the text of {folder} has changed since: put it back, or name another")
    return found


@functools.lru_cache(maxsize=4)
def _corpus(text: cli.TextSettings) -> "Corpus":
    if isinstance(text, WordSettings):
        from experiments.wordlm.text import read
    else:
        from experiments.language import read
    return read(text)


def parts_of(text: cli.TextSettings) -> tuple[str, str, str | None]:
    """The training, the validation and (or None) the test text, as they were written."""
    from rnn_jax.data import sources
    from rnn_jax.data.text import parts

    if isinstance(text, WordSettings):
        from experiments.wordlm.text import texts

        return texts(text)[0]
    whole = sources.read(text.corpus, "characters", text.column).text
    return parts.tail(whole, text.valid, text.test)


def mixed(readers: Sequence[Reader], weights: Sequence[float]) -> Reader:
    """The ensemble of readers of the same symbols, by these weights (equal ones if none)."""
    import jax.numpy as jnp

    from rnn_jax import mixtures

    first = readers[0]
    for other in readers[1:]:
        if other.vocabulary != first.vocabulary:
            raise BadInput(
                f"{other.told} has other symbols than {first.told}: an ensemble needs models that "
                "were trained on the same text with the same --alphabet"
            )
    if len(readers) == 1:
        return first
    given = jnp.asarray(weights or [1.0] * len(readers))
    W = {"models": tuple(r.params for r in readers), "weights": given / given.sum()}
    told = " + ".join(reader.told for reader in readers)
    return first._replace(model=mixtures.mixture([r.model for r in readers]), params=W, told=told)


def with_cache(reader: Reader, size: int, theta: float, share: float) -> Reader:
    """The reader with a neural cache; BadInput where it shows no hidden states."""
    import jax.numpy as jnp

    from rnn_jax import mixtures

    if reader.model.parts is None:
        raise BadInput(f"{reader.told} has no hidden states to keep: --cache 0, or another run")
    W = {"model": reader.params, "theta": jnp.asarray(theta), "share": jnp.asarray(share)}
    told = f"{reader.told}, cache of {size}"
    return reader._replace(model=mixtures.cached(reader.model, size), params=W, told=told)
