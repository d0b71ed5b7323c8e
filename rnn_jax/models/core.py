"""What a model is; cells in layers, and a read-out.

Inside a model time is first: tokens [T, B], activations [T, B, H]. A carry has one entry a layer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

from rnn_jax.cells import Cell
from rnn_jax.layers import Layer, dropout
from rnn_jax.unroll import unroll

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
    """``init(key) -> W``, ``start(W, lanes) -> carry`` and `Apply`.

    condition: ``(W, context, keys) -> carry`` for a model whose sequences each begin from something
    given, leaves [B, ...] (an image, a sentence to translate); None for one that goes on from
    chunk to chunk. The carry of `apply` is then what condition returns; what start returns only
    keeps the lanes' place in a training state. parts: the layers and the read-out of which
    `recurrent` made the model, for what looks at hidden states; else None. changed: ``change ->
    model``, the same with ``change(cell)`` for each cell, of what `stack` and `recurrent` made.
    """

    init: Callable[[Array], Any]
    start: Callable[[Any, int], Any]
    apply: Apply
    condition: Callable[[Any, Any, Array | None], Any] | None = None
    parts: tuple[Any, Layer] | None = None
    changed: Callable[[Callable[[Cell], Cell]], "Model"] | None = None


def lane_keys(keys: Array | None, layer: int) -> Array | None:
    """Each lane's key [B] for one layer, or None where there is no noise."""
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
            inputs = below
            if layer:
                inputs = dropout(lane_keys(keys, layer), below, dropout_rate, locked=locked)
            end, ys = unroll(cell, w, inputs, h, mask=mask, fresh=fresh, segment=segment, fast=fast)
            below = ys + below if residual and layer else ys
            ends.append(end)
        return tuple(ends), below

    given = {"dropout_rate": dropout_rate, "locked": locked, "residual": residual}
    given |= {"segment": segment, "fast": fast}
    return Model(init, start, apply, changed=lambda f: stack(*map(f, cells), **given))


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
        hs = dropout(lane_keys(keys, _READ_OUT), hs, dropout_rate, locked=locked)
        return carry, out.apply(W["out"], hs)

    def changed(change: Callable[[Cell], Cell]) -> Model:
        return recurrent(layers.changed(change), out, dropout_rate=dropout_rate, locked=locked)

    parts = (layers, out)
    return Model(init, start, apply, parts=parts, changed=layers.changed and changed)
