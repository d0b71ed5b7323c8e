"""What is learned under truncation: streams and episodes cut into updates of k1 steps."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import language
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from experiments.truncation import Config
    from rnn_jax.models import Model
    from rnn_jax.tasks import Task

_VALID_LANES, _VALID_CHUNKS = 128, 3
_COPIED = 10  # symbols


class Problem(NamedTuple):
    """A task and the model for it.

    build: ``fast -> model``; spec: what `models.from_spec` builds it from, None for what no run is
    opened as; task: ``seed -> Task`` in chunks of k1 steps; chance: the score of knowing nothing;
    measure: what the score is; stream: whether chunk n + 1 goes on where chunk n stopped.
    """

    build: Callable[[Any], "Model"]
    spec: dict[str, Any] | None
    task: Callable[[int], "Task"]
    chance: float
    measure: str
    stream: bool
    data: dict[str, Any]


def problem(config: "Config") -> Problem:
    """The config's task; the text is read here, once."""
    return {
        **{"recall": _recall, "copy": _copy, "adding": _adding, "parity": _parity},
        **{"balance": _balance, "text": _text},
    }[config.task](config)


def _named(config: "Config", builder: str, **sizes: Any) -> tuple[Callable, dict[str, Any]]:
    """``fast -> model`` of the config's cell, and its spec."""
    from rnn_jax import models

    shared = {"cell": config.cell, "hidden": config.hidden, "layers": config.layers}
    spec = {"builder": builder, "arguments": sizes | shared}

    def build(fast: bool | None) -> Any:
        faster = {**spec, "arguments": {**spec["arguments"], "fast": fast}}
        return models.from_spec(faster, trust=True)

    return build, spec


def _wrong(ys: Any, targets: Any) -> Any:
    return ys.argmax(-1) != targets


def _recall(config: "Config") -> Problem:
    import numpy as np

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    sizes = (config.k1, config.symbols, config.lag, config.every)

    def chunk(seed: int, position: int, lanes: int, held_out: bool = False) -> tasks.Batch:
        tokens, answers, asked = synthetic.recall(seed, position, lanes, *sizes, held_out=held_out)
        fresh = np.full(lanes, position == 0)
        return tasks.Batch(tokens, answers, asked.astype(np.float32), fresh=fresh)

    def task(seed: int) -> tasks.Task:
        # The first chunks ask for less than those after them, those of the first lag for nothing.
        steps = config.lag + _VALID_CHUNKS * config.every
        count = max(_VALID_CHUNKS, -(-steps // config.k1))
        valid = [chunk(seed, p, _VALID_LANES, True) for p in range(count)]
        return tasks.Task(
            lambda position: chunk(seed, position, config.lanes),
            *(lambda: valid, losses.cross_entropy, config.lanes, 2**31, config.lanes * config.k1),
            error=_wrong,
        )

    build, spec = _named(config, "language_model", vocabulary=config.symbols + 1)
    chance = 1 - 1 / config.symbols
    return Problem(build, spec, task, chance, "share of wrong answers", True, {})


def _episodes(
    config: "Config", draw: Callable, loss: Callable, error: Callable | None
) -> Callable[[int], "Task"]:
    """Tasks whose batches are whole sequences of k1 steps, each begun afresh.

    BadInput where a length reaches over a sequence's start.
    """
    if (longest := max(config.lengths, default=0)) > config.k1:
        told = f"a sequence of --task {config.task} has --k1 {config.k1} steps"
        raise BadInput(f"--lengths {longest}: {told}; give none that is longer")
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data import synthetic

    def batch(seed: int, position: int, lanes: int, held_out: bool = False) -> tasks.Batch:
        rng = synthetic.generator(seed, position, held_out=held_out)
        return draw(rng, lanes)._replace(fresh=np.ones(lanes, bool))

    def task(seed: int) -> tasks.Task:
        valid = [batch(seed, 0, _VALID_LANES, True)]
        return tasks.Task(
            lambda position: batch(seed, position, config.lanes),
            *(lambda: valid, loss, config.lanes, 2**31, config.lanes * config.k1),
            error=error,
        )

    return task


def _copy(config: "Config") -> Problem:
    import math

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    lag = config.k1 - 2 * _COPIED
    if lag < 1:
        raise BadInput(f"--k1 {config.k1}: to copy {_COPIED} symbols takes {2 * _COPIED + 1} steps")

    def draw(rng: Any, lanes: int) -> tasks.Batch:
        return tasks.Batch(*synthetic.copying(rng, lanes, config.symbols, _COPIED, lag))

    build, spec = _named(config, "language_model", vocabulary=config.symbols + 2)
    chance = _COPIED * math.log(config.symbols) / config.k1
    task = _episodes(config, draw, losses.cross_entropy, None)
    return Problem(build, spec, task, chance, "nats a step", False, {})


def _adding(config: "Config") -> Problem:
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data import synthetic
    from rnn_jax.estimators import balance

    def draw(rng: Any, lanes: int) -> tasks.Batch:
        xs, answers = synthetic.adding(rng, lanes, config.k1)
        weights = np.zeros((lanes, config.k1), np.float32)
        weights[:, -1] = 1  # asked once, at the end
        targets = np.broadcast_to(answers[:, None, None], (lanes, config.k1, 1))
        return tasks.Batch(xs, np.ascontiguousarray(targets), weights)

    build, spec = _named(config, "vector_model", inputs=2, outputs=1)
    task = _episodes(config, draw, lambda ys, targets: 2 * balance.half_square(ys, targets), None)
    return Problem(build, spec, task, 1 / 6, "mean squared error", False, {})


def _parity(config: "Config") -> Problem:
    import numpy as np

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    def draw(rng: Any, lanes: int) -> tasks.Batch:
        bits = rng.integers(0, 2, (lanes, config.k1))
        return tasks.Batch(bits[..., None].astype(np.float32), synthetic.parity(bits))

    build, spec = _named(config, "vector_model", inputs=1, outputs=2)
    task = _episodes(config, draw, losses.cross_entropy, _wrong)
    return Problem(build, spec, task, 0.5, "share of wrong answers", False, {})


def _balance(config: "Config") -> Problem:
    from rnn_jax.estimators import balance

    def task(seed: int) -> "Task":
        return balance.balance_task(config.k1)

    return Problem(
        *(lambda fast: balance.balance_model(), None, task, 0.5),
        *("half the squared distance from 1", True, {}),
    )


def _text(config: "Config") -> Problem:
    corpus = language.read(config)
    from rnn_jax import scores, tasks

    if config.lanes * config.k1 > (there := len(corpus.train.inputs)):
        told = f"--lanes {config.lanes} --k1 {config.k1}: the training part has {there} steps"
        raise BadInput(f"{told}; use --k1 {max(1, there // config.lanes)}, or a longer text")
    if config.lanes * (longest := max(config.lengths, default=0)) > there:
        told = f"--lengths {longest} --lanes {config.lanes}: the training part has {there} steps"
        raise BadInput(f"{told}, {there // config.lanes} a lane; give none that is longer")
    train = tasks.next_token(corpus, config.lanes, config.k1)
    build, spec = _named(config, "language_model", vocabulary=len(corpus.vocabulary))
    chance = scores.language(0.0, corpus)["baseline"]
    return Problem(build, spec, lambda seed: train, chance, "nats", True, corpus.record)
