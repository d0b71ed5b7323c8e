"""A label for every frame: many to many, aligned."""

from collections.abc import Sequence

import jax

from rnn_jax.cells import build
from rnn_jax.errors import BadInput
from rnn_jax.layers import Layer, dense
from rnn_jax.models.core import Model, recurrent, stack
from rnn_jax.models.directions import bidirectional
from rnn_jax.models.sequences import anew, framed, memoryless
from rnn_jax.vision import Summary, from_module

WAYS = ("causal", "both", "frame")


def frame_model(
    shape: Sequence[int],
    classes: int,
    way: str = "causal",
    cell: str = "gru",
    hidden: int = 128,
    layers: int = 1,
    frame: int = 64,
    features: Sequence[int] = (16, 32),
    dropout: float = 0.0,
) -> Model:
    """Frames [T, B, ...] to logits [T, B, C]: a network on each frame, then recurrent layers.

    shape: of a frame: (X,), read by one dense layer with relu, or (H, W) or (H, W, C), read by
    convolutions of so many `features`; either has `frame` outputs. way: "causal" hears the frames
    up to now, "both" all of the clip, "frame" the present one alone, by two dense layers where the
    others have cells. dropout: of a frame's outputs, between layers and before the read-out.
    """
    if way not in WAYS:
        raise BadInput(f"--ways {way}: must be one of {', '.join(WAYS)}")
    if len(shape) == 1:
        eye = _relu(dense(shape[0], frame))
    else:
        eye = from_module(Summary(tuple(features), frame), tuple(shape))
    dropped = {"dropout_rate": dropout}
    if way == "frame":
        return framed(
            eye, memoryless(_both(dense(frame, hidden), dense(hidden, classes))), **dropped
        )
    if way == "causal":
        sizes = [frame] + [hidden] * (layers - 1)
        body, width = stack(*(build(cell, x, hidden) for x in sizes), **dropped), hidden
    else:
        sizes, width = [frame] + [2 * hidden] * (layers - 1), 2 * hidden
        pairs = [(build(cell, x, hidden), build(cell, x, hidden)) for x in sizes]
        body = bidirectional(*pairs, **dropped)
    return framed(eye, anew(recurrent(body, dense(width, classes), **dropped)), **dropped)


def _relu(layer: Layer) -> Layer:
    return layer._replace(apply=lambda w, x: jax.nn.relu(layer.apply(w, x)))


def _both(first: Layer, second: Layer) -> Layer:
    """``second(relu(first(x)))``; w is a pair."""

    def init(key: jax.Array) -> tuple:
        keys = jax.random.split(key)
        return first.init(keys[0]), second.init(keys[1])

    return Layer(init, lambda w, x: second.apply(w[1], jax.nn.relu(first.apply(w[0], x))))
