"""A character-level language model that learns to write: source code, books, anything in a file.

    python -m experiments.char_lm                             Python's own library, 3 minutes
    python -m experiments.char_lm --corpus book.txt           any UTF-8 text
    python -m experiments.sample runs/char_lm --prompt "def "

Predicts the next character with teacher forcing, trained by truncated backpropagation through
time; writes a sample at every evaluation, so that one can watch it learn. What was measured, with
commands and seeds, is in experiments/results/char_lm.json.
"""

import dataclasses
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments import cli, language
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import optax

    from rnn_jax import fit
    from rnn_jax.data.text import Vocabulary

QUICK = {
    "cell": "gru",
    "layers": 1,
    "hidden": 96,
    "bptt": 32,
    "lanes": 16,
    "steps": 600,
    "eval_every": 300,
    "save_every": 300,
    "sample_length": 200,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language.WritingSettings, cli.LanguageSettings):
    """Defaults: a recipe that writes plausible code after 2 to 4 minutes on two cores."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"embed": "[0, inf)", "segment": "[0, inf)", "lr_decay": "(0, 1]"},
        **{"weight_decay": "[0, inf)", "weight_drop": "[0, 1)", "memory": "[0, inf)"},
        **{"decay_after": "[1, inf)", "horizon": "[0, inf)", "average": "[0, 1)"},
    }

    steps: int = 2400
    """updates in total; a resumed run goes on up to here"""
    lr: float = 3e-3
    """learning rate"""
    layers: int = 2
    """recurrent layers, one on another"""
    hidden: int = 128
    """width H of each layer"""
    bptt: int = 50
    """steps T of a chunk, where the gradient is cut (also --seq-len)"""
    lanes: int = 50
    """lanes B, texts read side by side (also --batch-size)"""
    log_every: int = 10
    """steps between two lines of metrics"""
    eval_every: int = 600
    """steps between two evaluations, each with a sample; the best of them is the run's value"""
    save_every: int = 600
    """steps between two checkpoints"""
    embed: int = 128
    """size of an embedding of the characters; 0 reads them one-hot (a lookup in W_xh)"""
    segment: int = 0
    """keep only every so many-th carry for the backward pass and recompute the rest; 0 keeps all"""
    memory: int = 0
    """MiB that a gradient may take: picks --segment, and says what it costs; 0 is off"""
    locked: bool = False
    """drop a unit for a whole chunk or not at all (variational dropout)"""
    weight_drop: float = 0.0
    """share of the entries of each W_hh that are dropped, anew at each update"""
    residual: bool = False
    """add each layer's input to its output, but for the first"""
    optimizer: Literal["adam", "muon", "rmsprop"] = "adam"
    """muon makes the singular values of each matrix's step about equal; rmsprop is char-rnn's:
    smoothing 0.95, and 1e-8 added to the root, not under it"""
    clip_by: Literal["norm", "value"] = "norm"
    """what --clip bounds: the norm of the gradient of the mean loss, or each of its entries"""
    weight_decay: float = 0.0
    """share of the weights, times the learning rate, that Adam takes off at each step (AdamW)"""
    lr_decay: float = 1.0
    """factor on the learning rate after each epoch from --decay-after on"""
    decay_after: int = 10
    """epochs at the full learning rate"""
    horizon: int = 0
    """steps over which the learning rate falls to zero along a cosine; 0 is off"""
    half: bool = False
    """train in bfloat16, for accelerators; weights, their averages and evaluations are float32"""
    average: float = 0.99
    """evaluate and keep a moving average of the weights with this decay; 0 is off"""
    init: str = ""
    """a run to take the first weights from; the vocabulary must be the same"""


def optimizer(config: Config, epoch_steps: int) -> "optax.GradientTransformation":
    """Clipping, then Adam, Muon or char-rnn's RMSProp; no schedule sees --steps."""
    from rnn_jax import descent

    decay = {"factor": config.lr_decay, "after": config.decay_after, "epoch": epoch_steps}
    rate = descent.falling(config.lr, **decay, horizon=config.horizon)
    if config.optimizer == "adam":
        return descent.adamw(rate, config.clip, config.clip_by, config.weight_decay)
    if config.weight_decay:
        raise BadInput("--weight-decay goes with --optimizer adam; the others have none here")
    rule = {"muon": descent.muon, "rmsprop": descent.rmsprop}[config.optimizer]
    return rule(rate, config.clip, config.clip_by)


def starting_weights(config: Config, vocabulary: "Vocabulary") -> Any:
    """The weights of --init for a run that begins, or None.

    BadInput where they are of another vocabulary or another shape.
    """
    from rnn_jax import run

    if not config.init or run.steps(Path(config.out)):
        return None  # a run that has been saved goes on from its own
    opened = run.open(config.init, trust=":" in config.cell)
    if opened.vocabulary != vocabulary:
        raise BadInput(f"--init {config.init} has another vocabulary; give it the same text")
    names = ("cell", "layers", "hidden", "embed", "residual")
    if differ := [n for n in names if opened.config.get(n) != getattr(config, n)]:
        told = ", ".join(f"{n}: {opened.config.get(n)} there" for n in differ)
        raise BadInput(f"--init {config.init} has another shape ({told}); use the same flags")
    return opened.params


def model_spec(config: Config, vocabulary: int) -> dict[str, Any]:
    """What `models.from_spec` builds the model from, now and when the run is opened."""
    names = ("cell", "hidden", "layers", "embed", "dropout", "locked", "residual")
    arguments = {"vocabulary": vocabulary} | {name: getattr(config, name) for name in names}
    return {"builder": "language_model", "arguments": arguments}


def segment(config: Config, recipe: "fit.Recipe") -> int:
    """--segment, or what --memory leads to."""
    from rnn_jax import segments

    if config.locked and config.dropout and (config.segment or config.memory):
        raise BadInput("--locked is one mask for a chunk, but segments draw anew; leave one out")
    if not config.memory:
        return config.segment
    if config.segment:
        raise BadInput("--memory picks the segment; leave out --segment")
    plan = segments.plan(
        *(recipe.trained, recipe.task.loss, recipe.task.lanes, recipe.task.batch(0)),
        config.memory * 2**20,
        noisy=config.dropout > 0,
    )
    print(f"memory: {plan.describe()}", file=sys.stderr)
    return plan.segment


def run(config: Config) -> dict[str, Any]:
    """Train, and report validation loss in nats per character; best of all evaluations."""
    corpus = language.read(config)  # before JAX takes its time
    from rnn_jax import fit, layers, models, tasks

    task = tasks.next_token(corpus, config.lanes, config.bptt)
    spec = model_spec(config, len(corpus.vocabulary))
    recipe = fit.Recipe(
        model=models.from_spec(spec, trust=True),
        task=task,
        optimizer=optimizer(config, task.chunks),
        seed=config.seed,
        average=config.average,
        half=config.half,
        params=starting_weights(config, corpus.vocabulary),
        noise=partial(layers.weight_drop, rate=config.weight_drop) if config.weight_drop else None,
    )
    recipe = recipe._replace(segment=segment(config, recipe))
    return language.train("char_lm", config, corpus, spec, recipe)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
