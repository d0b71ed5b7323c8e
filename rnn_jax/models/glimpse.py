"""The recurrent attention model: an image is read by a few glimpses, each placed by the last state.

Mnih et al. 2014, "Recurrent models of visual attention"; several digits one after another as in
Ba et al. 2015. Where to look next is drawn at random and learned by REINFORCE, all else by
backpropagation.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rnn_jax.cells import Cell, build
from rnn_jax.layers import dense
from rnn_jax.losses import cross_entropy
from rnn_jax.models.banks import boxes, look
from rnn_jax.models.core import Model, lane_keys
from rnn_jax.unroll import unroll

Array = jax.Array

Policy = Literal["learned", "random", "centre"]
_PLACE, _SEEN = 64, 128  # units for where a glimpse is, and for what is in it
_DRAWS = 1  # where the places' noise is among a lane's keys


class Looks(NamedTuple):
    """Of each glimpse: logits [..., V] after it, its place [..., 2] as (y, x) with the image from
    -1 to 1, the log density [...] with which the place was drawn (up to a constant), and the
    reward [...] that was expected before.
    """

    logits: Array
    place: Array
    log_p: Array
    expected: Array


class Gaze(NamedTuple):
    """What goes from glimpse to glimpse: the image, the core's state, and its output."""

    image: Array
    state: Any
    output: Array


def retina(image: Array, place: Array, window: int, scales: int) -> Array:
    """`scales` squares around place [B, 2], each seen as window x window: [B, scales, N, N].

    The first is window pixels wide, each further one twice as wide as the one before, its pixels
    means over squares of 2, 4, … pixels. (y, x) = (-1, -1) is the middle of the first pixel.
    """
    sides = image.shape[1:]
    y, x = ((place[:, i] + 1) * (side - 1) / 2 for i, side in enumerate(sides))
    seen = [
        look(boxes(y, window, 2**i, sides[0]), image, boxes(x, window, 2**i, sides[1]))
        for i in range(scales)
    ]
    return jnp.stack(seen, axis=1)


def glimpse_model(
    classes: int,
    *,
    window: int = 8,
    scales: int = 1,
    hidden: int = 256,
    cell: str = "relu",
    policy: Policy = "learned",
    spread: float = 0.1,
) -> Model:
    """Images (the context, [B, H, W]) to `Looks` [T, B]; inputs [T, B] only count the glimpses.

    ``g_t = relu(W_s s_t + W_p p_t)`` from what is seen and where; ``h_t = cell(h_{t-1}, g_t)``;
    ``p_{t+1} ~ N(tanh(W h_t + b), spread^2)``. policy "random": places drawn evenly over the
    image; "centre": always its middle. With no keys a learned gaze goes to the means, a random one
    is drawn from a fixed key.
    """
    core = _seeing(build(cell, hidden, hidden), classes, hidden, (window, scales, policy, spread))

    def start(W: Any, lanes: int) -> Array:
        return jnp.zeros((lanes, 1))  # nothing goes from batch to batch

    def condition(W: Any, context: Array, keys: Array | None) -> Gaze:
        lanes = context.shape[0]
        state = build(cell, hidden, hidden).start(W["core"], lanes)
        return Gaze(context, state, jnp.zeros((lanes, hidden), context.dtype))

    def apply(
        W: Any, carry: Gaze, xs: Array, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Gaze, Looks]:
        noise = _noise(keys, *xs.shape[:2], still=policy != "random")
        return unroll(core, W, noise, carry, **steps)

    return Model(core.init, start, apply, condition)


def _noise(keys: Array | None, T: int, lanes: int, *, still: bool) -> Array:
    """Standard normal [T, B, 2] by each lane's key; without keys zeros, or always the same."""
    if keys is None and still:
        return jnp.zeros((T, lanes, 2))
    if keys is None:
        keys = jax.random.split(jax.random.key(0), lanes)
    return jax.vmap(lambda key: jax.random.normal(key, (T, 2)), out_axes=1)(lane_keys(keys, _DRAWS))


def _seeing(core: Cell, classes: int, hidden: int, how: tuple[int, int, Policy, float]) -> Cell:
    """The whole of a step as a cell whose inputs are the noise and whose outputs are `Looks`."""
    window, scales, policy, spread = how
    parts = {
        **{"seen": dense(scales * window**2, _SEEN), "place": dense(2, _PLACE)},
        **{"seen_up": dense(_SEEN, hidden), "place_up": dense(_PLACE, hidden)},
        **{"classes": dense(hidden, classes), "next": dense(hidden, 2)},
        **{"reward": dense(hidden, 1), "core": core},
    }

    def init(key: Array) -> dict:
        keys = jax.random.split(key, len(parts))
        return {name: part.init(k) for (name, part), k in zip(parts.items(), keys, strict=True)}

    def layer(w: dict, name: str, x: Array) -> Array:
        return parts[name].apply(w[name], x)

    def step(w: dict, carry: Gaze, noise: Array) -> tuple[Gaze, Looks]:
        # Classes are learned through the state, where to look and what to expect on top of it.
        known = jax.lax.stop_gradient(carry.output)
        mean = jnp.tanh(layer(w, "next", known))
        place = jax.lax.stop_gradient(_place(policy, mean, noise, spread))
        log_p = -((place - mean) ** 2).sum(-1) / (2 * spread**2)
        seen = retina(carry.image, place, window, scales).reshape(*place.shape[:1], -1)
        seen = layer(w, "seen_up", jax.nn.relu(layer(w, "seen", seen)))
        where = layer(w, "place_up", jax.nn.relu(layer(w, "place", place)))
        z = core.read(w["core"], jax.nn.relu(seen + where))
        state, output = core.step(w["core"], carry.state, z)
        looks = Looks(layer(w, "classes", output), place, log_p, layer(w, "reward", known)[..., 0])
        return Gaze(carry.image, state, output), looks

    def start(w: dict, lanes: int) -> Gaze:
        raise ValueError("glimpses begin from an image: Model.condition, and no `fresh`")

    return Cell(init, start, lambda w, x: x, step)


def _place(policy: Policy, mean: Array, noise: Array, spread: float) -> Array:
    if policy == "learned":
        return mean + spread * noise
    if policy == "random":
        return jax.lax.erf(noise / 2**0.5)  # normal to uniform in -1 … 1
    return jnp.zeros_like(mean)


def last_looks(looks: Looks, targets: Array, per: int) -> tuple[Array, Array]:
    """Logits [D, B, V] after the last of each `per` glimpses, and targets [D, B] there."""
    return looks.logits[per - 1 :: per], targets[per - 1 :: per]


def reinforced(
    per: int, weight: float = 0.1, baseline: float = 1.0
) -> Callable[[Looks, Array], Array]:
    """The loss of reading one label by each `per` glimpses, ``(looks, targets) -> [T, B]``.

    At the last glimpse for a label the cross-entropy in nats; 0 at the others. Two more terms have
    gradients and value 0: REINFORCE for the `per` places,
    ``-weight sum_t log p(place_t) (R - baseline b_t)`` with R = 1 where the label is right, and
    ``sum_t (b_t - R)^2`` for what was expected, b_t. A target below 0 is no label.
    """

    def loss(looks: Looks, targets: Array) -> Array:
        logits, labels = last_looks(looks, targets, per)
        there = labels >= 0
        nats = jnp.where(there, cross_entropy(logits, jnp.maximum(labels, 0)), 0)
        reward = ((logits.argmax(-1) == labels) & there).astype(nats.dtype)[:, None]
        log_p, expected = (a.reshape(-1, per, a.shape[-1]) for a in (looks.log_p, looks.expected))
        gain = jax.lax.stop_gradient(reward - baseline * expected)
        extra = ((expected - reward) ** 2 - weight * log_p * gain).sum(1)
        each = nats + jnp.where(there, extra - jax.lax.stop_gradient(extra), 0)
        return jnp.zeros_like(looks.log_p).at[per - 1 :: per].set(each)

    return loss


def misread(per: int) -> Callable[[Looks, Array], Array]:
    """1 where the label after the last of each `per` glimpses is wrong, else 0: [T, B]."""

    def error(looks: Looks, targets: Array) -> Array:
        logits, labels = last_looks(looks, targets, per)
        wrong = ((logits.argmax(-1) != labels) & (labels >= 0)).astype(looks.log_p.dtype)
        return jnp.zeros_like(looks.log_p).at[per - 1 :: per].set(wrong)

    return error
