"""A neural language model with a fixed window: the next symbol from the last K, no memory beyond.

    python -m experiments.neural_lm                       Python's own library, half a minute
    python -m experiments.neural_lm --corpus book.txt --context 2          the slide's window
    python -m experiments.neural_lm --corpus book.txt --alphabet words --lanes 16 --bptt 16 \\
        --steps 1500 --horizon 1500
    python -m experiments.sample runs/neural_lm --prompt "def "

One table of embeddings for all K positions (the slide's tied weights; Bengio et al. 2003), a hidden
layer, a softmax. The window is the carry of a cell, so it is trained, scored and sampled like any
recurrent network. At the end it prints which symbols' embeddings are nearest to each other and
draws them in two dimensions (embedding.png).

What windows of 2, 4 and 8 come to beside n-grams and recurrent networks of their size is in
experiments/results/ladder.json.
"""

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli, language
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import optax

    from rnn_jax.data.text import Corpus

QUICK = {"context": 4, "hidden": 128, "steps": 600, "horizon": 600, "sample_length": 200}

_LABELLED, _PRINTED, _NEAREST = 150, 20, 6  # symbols in the picture and in print, neighbours each


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language.WritingSettings):
    """Defaults: a recipe that takes half a minute to a minute and a half on two cores."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"context": "[1, inf)", "embed": "[1, inf)", "hidden": "[1, inf)"},
        **{"lanes": "[1, inf)", "bptt": "[1, inf)"},
        **{"horizon": "[0, inf)", "weight_decay": "[0, inf)"},
    }
    ALIASES: ClassVar[Mapping[str, str]] = {"--seq-len": "bptt", "--batch-size": "lanes"}

    context: int = 8
    """symbols K in the window, the last one read included; of more than 257 a lane of validation
    sees only those it has read, for it begins 256 symbols before its first score"""
    embed: int = 32
    """size E of a symbol's embedding"""
    hidden: int = 256
    """width H of the hidden layer"""
    skip: bool = False
    """connect the embeddings to the softmax also directly (Bengio et al. 2003)"""
    steps: int = 3000
    """updates in total; a resumed run goes on up to here"""
    lr: float = 0.01
    """learning rate of AdamW"""
    horizon: int = 3000
    """steps over which the learning rate falls to zero along a cosine; 0 is off"""
    weight_decay: float = 0.03
    """pulls the weights towards zero by this share, times the learning rate, at every step"""
    lanes: int = 50
    """lanes B, texts read side by side (also --batch-size)"""
    bptt: int = 50
    """steps T of a chunk, B T windows an update; no gradient is cut here (also --seq-len)"""
    log_every: int = 10
    """steps between two lines of metrics"""
    eval_every: int = 600
    """steps between two evaluations, each with a sample; the best of them is the run's value"""
    save_every: int = 600
    """steps between two checkpoints"""


def optimizer(config: Config) -> "optax.GradientTransformation":
    """Clipping, then Adam with weight decay; its rate does not see --steps, so a run can go on."""
    from rnn_jax import descent

    cosine = descent.falling(config.lr, horizon=config.horizon) if config.horizon else None
    return descent.adamw(cosine or config.lr, config.clip, "norm", config.weight_decay, biases=True)


def model_spec(config: Config, vocabulary: int) -> dict[str, Any]:
    """What `models.from_spec` builds the model from, now and when the run is opened."""
    names = ("context", "embed", "hidden", "skip")
    arguments = {"vocabulary": vocabulary} | {name: getattr(config, name) for name in names}
    return {"builder": "window_model", "arguments": arguments}


def check_context(flag: str, context: int, corpus: "Corpus") -> None:
    """BadInput for a window longer than the training part."""
    if context > (steps := len(corpus.train.inputs)):
        told = f"{flag} {context}: the training part has {steps} steps"
        raise BadInput(f"{told}: use {flag} {steps} or less, or a longer text")


def run(config: Config) -> dict[str, Any]:
    """Train, report validation loss in nats per symbol, show what the embedding has learned."""
    corpus = language.read(config)  # before JAX takes its time
    check_context("--context", config.context, corpus)
    from rnn_jax import fit, models, tasks

    spec = model_spec(config, len(corpus.vocabulary))
    recipe = fit.Recipe(
        model=models.from_spec(spec),
        task=tasks.next_token(corpus, config.lanes, config.bptt),
        optimizer=optimizer(config),
        seed=config.seed,
    )
    results = language.train("neural_lm", config, corpus, spec, recipe)
    show_embedding(config, corpus)
    return results


def show_embedding(config: Config, corpus: "Corpus") -> None:
    """The best weights' nearest neighbours on stderr, their picture in the run's folder."""
    import rnn_jax.run
    from experiments import embedding
    from experiments.cli.files import save
    from rnn_jax import plots

    opened = rnn_jax.run.open(config.out)
    table = embedding.frequent(opened.params["out"]["R"], corpus, _LABELLED)
    lines = embedding.neighbours(table, _PRINTED, _NEAREST)
    heading = "nearest embeddings of the most frequent symbols, by cosine"
    print("\n".join([heading, *lines]), file=sys.stderr)
    title = f"Embeddings of the {len(table.symbols)} most frequent {config.alphabet}"
    save(config.out, {"embedding.png": plots.png(embedding.draw(table, title))})


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
