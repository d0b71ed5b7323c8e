"""Models: cells in layers, and a read-out.

Inside a model time is first: tokens [T, B], activations [T, B, H]. A carry has one entry a layer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

from rnn_jax.cells import Cell, build, embedded, one_hot
from rnn_jax.errors import BadInput
from rnn_jax.layers import Layer, dense, dropout
from rnn_jax.unroll import unroll
from rnn_jax.windows import perceptron, window

Array = jax.Array

_READ_OUT = 2**31  # the read-out's place among the layers, where keys are told apart


class Apply(Protocol):
    """``(W, carry, xs [T, B, ...]) -> (carry, ys [T, B, ...])``.

    mask [T, B]: this step exists; fresh [T, B] or [B]: the lane restarts before this step (the
    first step); keys [B]: one a lane, for dropout; None is a model as it is when tested.
    """

    def __call__(
        self,
        W: Any,
        carry: Any,
        xs: Any,
        *,
        mask: Array | None = None,
        fresh: Array | None = None,
        keys: Array | None = None,
    ) -> tuple[Any, Array]: ...


class Model(NamedTuple):
    """``init(key) -> W``, ``start(W, lanes) -> carry`` and `Apply`."""

    init: Callable[[Array], Any]
    start: Callable[[Any, int], Any]
    apply: Apply


def _lane_keys(keys: Array | None, layer: int) -> Array | None:
    return None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, layer))(keys)


def stack(
    *cells: Cell,
    dropout_rate: float = 0.0,
    locked: bool = False,
    residual: bool = False,
    segment: int | None = None,
    fast: bool | None = None,
) -> Model:
    """Cells on top of each other, one after another over all time; ys are the top one's outputs.

    dropout_rate: on the input of every layer but the first (Zaremba et al. 2014: not in time);
    locked: one mask for all steps, as in `layers.dropout`.
    residual: every layer but the first adds its input to its output; they need equal sizes.
    segment, fast: as in `unroll`.
    """

    def init(key: Array) -> tuple:
        return tuple(
            c.init(k) for c, k in zip(cells, jax.random.split(key, len(cells)), strict=True)
        )

    def start(W: tuple, lanes: int) -> tuple:
        return tuple(cell.start(w, lanes) for cell, w in zip(cells, W, strict=True))

    def apply(
        W: tuple,
        carry: tuple,
        xs: Any,
        *,
        mask: Array | None = None,
        fresh: Array | None = None,
        keys: Array | None = None,
    ) -> tuple[tuple, Array]:
        ends, below = [], xs
        for layer, (cell, w, h) in enumerate(zip(cells, W, carry, strict=True)):
            if layer:
                below_keys = _lane_keys(keys, layer)
                inputs = dropout(below_keys, below, dropout_rate, locked=locked)
            else:
                inputs = below
            end, ys = unroll(cell, w, inputs, h, mask=mask, fresh=fresh, segment=segment, fast=fast)
            below = ys + below if residual and layer else ys
            ends.append(end)
        return tuple(ends), below

    return Model(init, start, apply)


def recurrent(
    layers: Model, out: Layer, *, dropout_rate: float = 0.0, locked: bool = False
) -> Model:
    """``y_t = out(layers(x_t))``, with dropout before `out`; W has "layers" and "out"."""

    def init(key: Array) -> dict:
        k_layers, k_out = jax.random.split(key)
        return {"layers": layers.init(k_layers), "out": out.init(k_out)}

    def start(W: dict, lanes: int) -> Any:
        return layers.start(W["layers"], lanes)

    def apply(W: dict, carry: Any, xs: Any, *, keys: Array | None = None, **steps: Any) -> Any:
        carry, hs = layers.apply(W["layers"], carry, xs, keys=keys, **steps)
        hs = dropout(_lane_keys(keys, _READ_OUT), hs, dropout_rate, locked=locked)
        return carry, out.apply(W["out"], hs)

    return Model(init, start, apply)


def language_model(
    vocabulary: int,
    cell: str = "lstm",
    hidden: int = 128,
    layers: int = 2,
    embed: int = 0,
    dropout: float = 0.0,
    locked: bool = False,
    residual: bool = False,
    segment: int = 0,
) -> Model:
    """Tokens [T, B] to logits [T, B, V] of the next token.

    cell: a name or "module:constructor" (`cells.constructor`); embed: the size of an embedding, or
    0 for one-hot input (a lookup either way); dropout: between layers and before the read-out;
    locked: one mask for all steps; segment: as in `unroll`, 0 for none.
    """
    first = build(cell, embed or vocabulary, hidden)
    first = embedded(first, vocabulary, embed) if embed else one_hot(first, vocabulary)
    above = [build(cell, hidden, hidden) for _ in range(layers - 1)]
    dropped = {"dropout_rate": dropout, "locked": locked}
    body = stack(first, *above, **dropped, residual=residual, segment=segment or None)
    return recurrent(body, dense(hidden, vocabulary), **dropped)


def window_model(
    vocabulary: int, context: int, embed: int, hidden: int, skip: bool = False
) -> Model:
    """Tokens [T, B] to logits [T, B, V] of the next token, from the last `context` tokens alone.

    embed, hidden, skip: as in `windows.perceptron`.
    """
    out = perceptron(vocabulary, context, embed, hidden, skip)
    return recurrent(stack(window(context, padding=vocabulary)), out)


def vector_model(inputs: int, outputs: int, cell: str, hidden: int, layers: int = 1) -> Model:
    """Vectors [T, B, X] to vectors [T, B, Y]: cells in layers, an affine read-out.

    cell: as in `language_model`.
    """
    sizes = [inputs] + [hidden] * (layers - 1)
    return recurrent(stack(*(build(cell, size, hidden) for size in sizes)), dense(hidden, outputs))


BUILDERS: dict[str, Callable[..., Model]] = {
    "language_model": language_model,
    "vector_model": vector_model,
    "window_model": window_model,
}


def from_spec(spec: dict, *, trust: bool = False) -> Model:
    """The model a run's record names, ``{"builder": name, "arguments": {…}}``.

    A text with a colon ("module:constructor") runs that module's code: BadInput unless trusted.
    """
    builder, arguments = spec.get("builder"), spec.get("arguments", {})
    if builder not in BUILDERS:
        raise BadInput(f"the run's model {builder!r} is unknown here; known: {', '.join(BUILDERS)}")
    texts = [value for value in jax.tree.leaves(arguments) if isinstance(value, str)]
    if not trust and (code := next((text for text in texts if ":" in text), None)):
        raise BadInput(f"the run's cell {code} is code from outside; --trust runs it")
    return BUILDERS[builder](**arguments)
