"""A word-level language model: published recipes, one of our own, sentences, large vocabularies.

    python -m experiments.word_lm --corpus book.txt      3 minutes for 150,000 words
    python -m experiments.word_lm --corpus book.txt --preset zaremba-small
    python -m experiments.word_lm --corpus ptb.train.txt --valid-file ptb.valid.txt \\
        --test-file ptb.test.txt --alphabet spaces --preset zaremba-medium
    python -m experiments.word_lm --corpus lines.txt --sentences        log p(s) of each line
    python -m experiments.word_lm --corpus book.txt --dynamic 0.1       the weights go on learning

The vocabulary is the training text's N most frequent words; every other is one unknown word, whose
rate stands beside every perplexity. The carry goes on from chunk to chunk (with --sentences it
begins afresh at each); held-out text is read by 50 lanes, each warmed up on the 256 words before
its own. --framework torch trains the same recipe in PyTorch from the same first weights, and keeps
no run. What was measured is in experiments/results/words.json.
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments import cli, language
from experiments.wordlm import PRESETS, WordSettings
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.text import Corpus
    from rnn_jax.recipe import Recipe

QUICK = {
    "vocabulary": 2000,
    "hidden": 64,
    "layers": 1,
    "epochs": 0,
    "steps": 400,
    "eval_every": 400,
    "save_every": 400,
    "valid": 0.01,
    "lr": 0.01,
    "dropout": 0.1,
    "embed_dropout": 0.0,
    "weight_drop": 0.0,
}

CARRY = {
    False: "goes on from chunk to chunk; held out, 50 lanes warmed up on 256 words",
    True: "begins afresh at each sentence",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(WordSettings):
    """Defaults: variational dropout, tied weights, weight drop, averaged weights, AdamW, and a
    sample of the words to learn by."""

    framework: Literal["jax", "torch"] = "jax"
    """torch trains the same recipe in PyTorch instead, and keeps no run"""


def peer(config: Config, recipe: "Recipe", corpus: "Corpus") -> dict[str, Any]:
    """The same recipe trained in PyTorch; BadInput where it is another, or PyTorch is missing."""
    from rnn_jax.data.extras import extra

    published = (config.optimizer, config.cell, config.loss) == ("sgd", "lstm", "full")
    other = config.tied or config.locked or config.weight_drop or config.average
    if not published or other or config.sentences:
        raise BadInput("--framework torch has Zaremba's recipe alone: give --preset zaremba-small")
    if config.patience:
        raise BadInput("--patience goes with --framework jax; --framework torch keeps no run")
    extra("torch", "--framework torch", "torch")
    from experiments.racing import pytorch_words

    return pytorch_words.train(config, recipe, corpus)


def check(config: Config) -> None:
    """BadInput where --epochs would decide in silence over what was asked for in steps."""
    for name in ("steps", "eval_every", "save_every") if config.epochs else ():
        if (given := getattr(config, name)) != getattr(Config, name):
            idle = f"--{name.replace('_', '-')} {given} does nothing beside --epochs"
            raise BadInput(f"{idle} {config.epochs}; add --epochs 0")


def run(config: Config) -> dict[str, Any]:
    """Train, and report validation loss in nats per word, perplexity and what goes with it."""
    check(config)
    from experiments.wordlm import text

    corpus = text.read(config)  # before JAX takes its time
    from experiments.wordlm import recipe as recipes

    recipe = recipes.recipe(config, corpus)
    config = recipes.by_epochs(config, recipe.task.chunks)
    if config.framework == "torch":
        return peer(config, recipe, corpus)
    results = language.train("word_lm", config, corpus, recipes.model_spec(config), recipe)
    results |= more(config, corpus)
    shown = f"perplexity {results['perplexity']:.2f} ({results['unknown_rate']:.2%} unknown)"
    if "test" in results:
        results["test_perplexity"] = math.exp(results["test"])
        results["test_unknown_rate"] = rate = corpus.unknown_rate["test"]
        shown += f", of the test {results['test_perplexity']:.2f} ({rate:.2%} unknown)"
    print(f"{shown}; {results['carry']}", file=sys.stderr)
    return results


def more(config: Config, corpus: "Corpus") -> dict[str, Any]:
    """What only word models are asked: of the best weights, on validation and test."""
    import rnn_jax.run
    from experiments.cli.files import save
    from experiments.wordlm import recipe as recipes
    from experiments.wordlm import scoring

    network = recipes.network(config, corpus)
    params = rnn_jax.run.open(config.out, trust=True).params
    found: dict[str, Any] = {"carry": CARRY[config.sentences]}
    parts = {"valid": corpus.valid, "test": corpus.test}
    given = {name: part for name, part in parts.items() if part is not None}
    for name, part in given.items():
        if config.dynamic:
            nats = scoring.dynamic(network, params, part, config.dynamic, config.bptt)
            found[f"dynamic_{name}"] = nats
        if config.sentences:
            log_probs = scoring.sentences(network, params, part)
            found[f"nats_per_sentence_{name}"] = -float(log_probs.mean())
            lines = scoring.table(corpus.vocabulary, part, log_probs)
            save(str(Path(config.out)), {f"sentences_{name}.tsv": lines})
    return found


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv, presets=PRESETS)


if __name__ == "__main__":
    sys.exit(main())
