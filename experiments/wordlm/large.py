"""One output over V words, trained and timed: what a row of the table of vocabularies is."""

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from experiments import cli

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.data.synthetic import Language
    from rnn_jax.recipe import Recipe
    from rnn_jax.tasks import Task

Entrant = Literal[
    *("full", "full-tied", "sampled", "sampled-tied", "sampled-frequency"),
    *("nce", "classes", "adaptive"),
]

_HELD_OUT = (20, 50)  # lanes and words of each that are scored
_CHUNKS = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class LargeSettings(cli.CommonSettings):
    """How large, by what, for how long."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"hidden": "[1, inf)", "lanes": "[1, inf)", "bptt": "[1, inf)", "steps": "[1, inf)"},
        **{"seconds": "(0, inf)", "samples": "[0, inf)", "lr": "(0, inf)", "clip": "(0, inf)"},
    }

    sizes: tuple[int, ...] = (10_000, 50_000, 250_000)
    """vocabularies V"""
    outputs: tuple[Entrant, ...] = (
        *("full", "sampled", "sampled-frequency", "nce", "classes", "adaptive"),
        *("full-tied", "sampled-tied"),
    )
    """what is trained by; of each size the first is what the others are compared with"""
    hidden: int = 64
    """width of the LSTM and of a word's embedding"""
    lanes: int = 10
    """lanes B"""
    bptt: int = 20
    """steps T of a chunk"""
    steps: int = 100
    """updates after which all are compared"""
    seconds: float = 60.0
    """time of training after which all are compared"""
    samples: int = 0
    """words that stand for all where some are drawn; 0 is a twentieth of V"""
    lr: float = 0.5
    """learning rate of Adagrad"""
    clip: float = 5.0
    """largest norm of the gradient of the loss summed over a chunk's steps"""


class Moment(NamedTuple):
    """Where a training stands: updates, seconds of training, exact perplexity."""

    step: int
    seconds: float
    perplexity: float


def task(config: LargeSettings, language: "Language") -> "Task":
    """Words of the language, new ones at every position; what is held out begins afresh."""
    import numpy as np

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    B, T = config.lanes, config.bptt

    def batch(position: int) -> tasks.Batch:
        words = language.draw(synthetic.generator(config.seed, position), B, T + 1)
        return tasks.Batch(words[:, :-1], words[:, 1:], fresh=np.ones(B, bool))

    scored = held_out(config, language)
    valid = [tasks.Batch(scored[:, :-1], scored[:, 1:], fresh=np.ones(len(scored), bool))]
    return tasks.Task(batch, lambda: valid, losses.cross_entropy, B, _CHUNKS, B * T)


def held_out(config: LargeSettings, language: "Language") -> "np.ndarray":
    """The words [B, T] that everybody is scored on."""
    from rnn_jax.data import synthetic

    return language.draw(synthetic.generator(config.seed, 0, held_out=True), *_HELD_OUT)


def recipe(config: LargeSettings, output: str, language: "Language") -> "Recipe":
    """A one-layer LSTM and the output of this name, by Adagrad on the rows a step looks at."""
    import optax

    from rnn_jax import fit, losses, models

    V, (loss, tied, _) = len(language.frequency), output.partition("-tied")
    net = models.word_network(
        **{"vocabulary": V, "hidden": config.hidden, "layers": 1, "loss": loss},
        **{"tied": bool(tied), "samples": config.samples, "counts": language.frequency * _words(V)},
    )
    clip = optax.clip_by_global_norm(config.clip)
    optimizer = optax.chain(optax.scale(config.bptt), clip, optax.adagrad(config.lr))
    asked = task(config, language)._replace(loss=losses.loss_of(net.output))
    return fit.Recipe(net.trained, asked, optimizer, config.seed, needed=net.needed)


def _words(vocabulary: int) -> float:
    """As many words of text as make the rarest one come once, so that frequencies are counts."""
    return vocabulary * (math.log(vocabulary) + 0.5772)


def measure(config: LargeSettings, output: str, language: "Language") -> dict[str, Any]:
    """The row: time of a step, memory of the program, perplexity after --steps and --seconds."""
    from rnn_jax import evaluate

    made = recipe(config, output, language)
    bytes_, trainer = _compiled(made)
    perplexity = evaluate.make_evaluate(made.model, made.task)
    began, spent, step, moments = 0.0, 0.0, 0, {}
    times: list[float] = []
    while len(moments) < 2:
        began = time.monotonic()
        trainer.advance(1)
        times.append(time.monotonic() - began)
        step, spent = step + 1, spent + times[-1]
        due = {"after_steps": step == config.steps, "after_seconds": spent >= config.seconds}
        for name in (name for name, now in due.items() if now and name not in moments):
            nats = perplexity(trainer.params()).loss
            moments[name] = Moment(step, round(spent, 2), math.exp(nats))._asdict()
    return {
        **{"output": output, "vocabulary": len(language.frequency)},
        **{"step_ms": round(1e3 * sorted(times)[len(times) // 2], 2), "bytes": bytes_, **moments},
    }


def _compiled(made: "Recipe") -> tuple[int, Any]:
    """Bytes of the compiled step (weights, moments and temporaries), and training by it."""
    import jax
    import numpy as np

    from experiments.racing import training
    from rnn_jax import pace

    steps = training.compiled(made)
    data, _ = pace.batches(made.task, 0, 1, pace.room(made.task))
    shapes = jax.eval_shape(made.start)
    program = steps.lower(shapes, data, np.int32(1), made.key()).compile()
    used = program.memory_analysis()
    bytes_ = used.temp_size_in_bytes + used.argument_size_in_bytes
    trainer = training.trainer(made, program)
    return bytes_, trainer
