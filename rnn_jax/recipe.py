"""What is trained and how: model, task, optimizer and seed, before any run of it."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import optax

from rnn_jax import ordered, segments, sparse
from rnn_jax.models import Model, in_bfloat16
from rnn_jax.tasks import Task
from rnn_jax.train import Metrics, TrainState, create, make_step, make_steps


class Recipe(NamedTuple):
    """What is trained and how: all that decides the bits.

    optimizer: an Optax transformation, clipping included; seed: of parameters and dropout (a model
    without dropout ignores its key); average: decay of the moving average that is evaluated and
    kept instead of the parameters, 0 for none; params: weights to start from, not ``model.init``'s;
    noise: as in `make_step`; segment: keep every so many-th carry (`segments`), 0 keeps all; total:
    another objective (`truncation`, `estimators`); needed: rows that a step looks at (`sparse`);
    half: train in bfloat16 (`models.in_bfloat16`), evaluate in float32.
    """

    model: Model
    task: Task
    optimizer: optax.GradientTransformation
    seed: int
    average: float = 0.0
    params: Any = None
    noise: Callable[[jax.Array, Any], Any] | None = None
    segment: int = 0
    total: Callable[..., Any] | None = None
    needed: sparse.Needed | None = None
    half: bool = False

    @property
    def trained(self) -> Model:
        """The model as a step computes it."""
        return _half(self.model) if self.half else self.model

    def start(self) -> TrainState:
        """The state at step 0, made by one program: there is less to compile, and it is kept."""
        begin = _begin(self.model, self.optimizer, self.task.lanes, self.average > 0)
        return begin(_two_keys(self.seed)[0], self.params)

    def step(self, *, invariant: bool = False) -> Callable[..., tuple[TrainState, Metrics]]:
        """One step, on one device or as one of several; invariant: the same bits on any number."""
        given = (self.trained, self.task.loss, self.optimizer, self.average, self.noise)
        shards = ordered.shards(self.task.lanes) if invariant else 0
        return _step(*given, shards, self.total or segments.objective(self.segment), self.needed)

    def steps(self, *, invariant: bool = False) -> Callable[..., tuple[TrainState, Metrics]]:
        """Several of them in one dispatch."""
        return _several(self.step(invariant=invariant))

    def key(self) -> jax.Array:
        """What `steps` draws dropout and noise from: an argument, so that a seed is no program."""
        return _two_keys(self.seed)[1]


# What is made twice of the same parts is one object, so that JAX traces it once for all runs of a
# process that differ in seed or data alone.
_kept = lru_cache(maxsize=16)
_several, _half = _kept(make_steps), _kept(in_bfloat16)


def _two_keys(seed: int) -> tuple[jax.Array, jax.Array]:
    """For the parameters, and for what is drawn at each step."""
    return _parted(jax.random.key(seed))


@jax.jit
def _parted(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    one, other = jax.random.split(key)
    return one, other


@_kept
def _begin(model: Model, optimizer: Any, lanes: int, average: bool) -> Callable[..., TrainState]:
    @jax.jit
    def begin(key: jax.Array, params: Any) -> TrainState:
        params = model.init(key) if params is None else params
        return create(model, optimizer, params, lanes, average)

    return begin


@_kept
def _step(*given: Any) -> Callable[..., tuple[TrainState, Metrics]]:
    *settings, shards, total, needed = given
    make = partial(sparse.make_step, needed=needed) if needed else make_step
    return make(*settings, shards=shards, total=total)
