"""What the experiments that train a language model share: the text, the samples, the run."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.data.text import Corpus, Vocabulary
    from rnn_jax.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class WritingSettings(cli.TextSettings, cli.Settings):
    """What every model that learns to write can be told besides; goes beside any of the others."""

    RANGES: ClassVar[Mapping[str, str]] = {"sample_length": "[1, inf)"}
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"prompt", "sample_length"})

    prompt: str = "\n"
    """what the samples go on from"""
    sample_length: int = 400
    """symbols in each sample"""


def read(config: cli.TextSettings) -> "Corpus":
    """The text, split and numbered; one line about it on stderr."""
    from rnn_jax.data import sources, text

    source = sources.read(config.corpus, config.alphabet, config.column)
    parts = (config.split, config.valid, config.test)
    corpus = text.load(source, config.alphabet, *parts, config.pieces, config.segmenter)
    print(corpus.describe(), file=sys.stderr)
    return corpus


def encode(written: str, vocabulary: "Vocabulary") -> "np.ndarray":
    """The tokens of what was written on the command line; says on stderr what is not known."""
    if unseen := vocabulary.unseen(written):
        print(f"note: not in the training text, read as unknown: {unseen!r}", file=sys.stderr)
    return vocabulary.encode(written)


def train(
    name: str, config: WritingSettings, corpus: "Corpus", spec: dict[str, Any], recipe: "Recipe"
) -> dict[str, Any]:
    """Train in the folder ``config.out``; the experiment's result, by the best of all evaluations.

    name: the experiment's; spec: what `models.from_spec` built the recipe's model from.
    """
    from rnn_jax import distributed, fit, models, scores
    from rnn_jax.run import new_manifest

    manifest = new_manifest(
        *(name, dataclasses.asdict(config), list(cli.identity(config))),
        model=spec,
        vocabulary=corpus.vocabulary.to_json(),
        data=corpus.record,
    )
    folder, show = (
        Path(config.out),
        writer(config, models.from_spec(spec, trust=True), corpus.vocabulary),
    )
    unit = f"{scores.ONE[corpus.vocabulary.kind]}s"
    outcome = fit.fit(folder, manifest, recipe, config, show, unit=unit)
    distributed.finish()
    return {
        **scores.language(outcome.best, corpus),
        "last": outcome.last,
        **test_score(recipe, corpus, folder),
        **fit.result(outcome, folder),
    }


def writer(
    config: WritingSettings, model: Any, vocabulary: "Vocabulary"
) -> Callable[[int, Any], tuple]:
    """``(step, weights) -> (header, text)``: every stage from the same prompt and the same key."""
    import jax
    import numpy as np

    from rnn_jax import decode

    if not config.prompt:
        raise BadInput("--prompt is empty; give at least one character")
    prompt = encode(config.prompt, vocabulary)[None]

    def show(step: int, weights: Any) -> tuple[str, str]:
        tokens, _ = decode.generate(
            *(model, weights, prompt, jax.random.key(config.seed), config.sample_length),
            forbid=vocabulary.unknown,
        )
        stage = "at first" if step == 0 else f"after {step} steps"
        return stage, config.prompt + vocabulary.decode(np.asarray(tokens)[0])

    return show


def test_score(recipe: "Recipe", corpus: "Corpus", folder: Path) -> dict[str, float]:
    """Nats per symbol of the test part by the best weights, where there is a test part."""
    if corpus.test is None:
        return {}
    from rnn_jax import evaluate, run, tasks

    task = recipe.task._replace(valid=tasks.held_out(corpus.test))
    score = evaluate.make_evaluate(recipe.model, task)
    return {"test": score(run.open(folder, trust=True).params).loss}
