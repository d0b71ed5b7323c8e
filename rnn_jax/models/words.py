"""Word models: an embedding, layers, and an output over many words that may be approximate."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax.cells import build
from rnn_jax.errors import BadInput
from rnn_jax.layers import Layer, spelled
from rnn_jax.layers import dropout as drop
from rnn_jax.losses import Asked, Output, named
from rnn_jax.models.core import Model, lane_keys, stack
from rnn_jax.tables import distinct, take
from rnn_jax.tasks import Batch

Array = jax.Array

_EMBEDDING, _READ_OUT, _DRAW = 2**31, 2**31 + 1, 2**31 + 2  # places where keys are told apart


class WordNetwork(NamedTuple):
    """One set of weights, seen from two sides.

    model: words [T, B] to exact log-probabilities [T, B, V]; trained: to `Asked`, what `output` is
    trained by; needed: ``(batch, keys [B]) -> {path of a leaf: row numbers [K]}``, all that a
    training step looks at of the tables (`sparse.make_step`).
    """

    model: Model
    trained: Model
    output: Output
    needed: Callable[[Batch, Array], Mapping[tuple[str, ...], Array]]


class _Sizes(NamedTuple):
    vocabulary: int
    hidden: int
    embed: int
    tied: bool


def word_model(**arguments: Any) -> Model:
    """The `model` of `word_network`, which has the arguments."""
    return word_network(**arguments).model


def word_network(
    vocabulary: int,
    cell: str = "lstm",
    hidden: int = 200,
    layers: int = 2,
    embed: int = 0,
    dropout: float = 0.0,
    embed_dropout: float = 0.0,
    locked: bool = False,
    tied: bool = False,
    loss: str = "full",
    init_scale: float = 0.0,
    samples: int = 0,
    counts: np.ndarray | None = None,
    letters: bool = False,
) -> WordNetwork:
    """``x = R[w]``, layers, ``p(next word | h)``; W has R [V, E], "layers" and "out".

    embed: E, H if 0; dropout: between layers and before the output; embed_dropout: of x; locked:
    one mask for all steps. tied: the output's W_vh is R (Press and Wolf 2017; Inan et al. 2017),
    read by ``h P`` where E is not H. loss, samples, counts: as in `losses.named`. init_scale: draw
    every weight from ±this, biases too (Zaremba et al. 2014); 0 takes each layer's own. letters:
    words come as their letters [T, B, L] and x is made from these (`layers.spelled`), so that a
    word outside the V has a vector too; R is what makes it.
    """
    sizes = _Sizes(vocabulary, hidden, embed or hidden, tied)
    if tied and letters:
        raise BadInput("a tied output needs a table of words: words made of letters have none")
    if tied and loss not in named.TABLED:
        raise BadInput(f"--tied needs a row for each word: use --loss {', '.join(named.TABLED)}")
    read = sizes.embed if tied else hidden
    output = named.build(loss, vocabulary, read, samples=samples, counts=counts)
    cells = [build(cell, sizes.embed if i == 0 else hidden, hidden) for i in range(layers)]
    body = stack(*cells, dropout_rate=dropout, locked=locked)
    made = spelled(sizes.embed) if letters else Layer(_table(sizes), take)

    init = _initial(sizes, made, body, output, init_scale)
    trained = _trained(init, sizes, made, body, (embed_dropout, dropout, locked))

    def apply(W: dict, carry: Any, xs: Array, **steps: Any) -> tuple[Any, Array]:
        carry, asked = trained.apply(W, carry, xs, **steps)
        return carry, output.log_probs(asked.w, asked.h)

    return WordNetwork(trained._replace(apply=apply), trained, output, _needed(sizes, output))


def draw_key(keys: Array | None) -> Array | None:
    """The key of what is drawn once for all lanes, from the lanes' keys [B]."""
    return None if keys is None else jax.random.fold_in(keys[0], _DRAW)


def _trained(
    init: Callable, sizes: _Sizes, made: Layer, body: Model, rates: tuple[float, float, bool]
) -> Model:
    """Words to `Asked`: made into vectors, through the layers, with dropout before and after."""
    before, after, locked = rates

    def start(W: dict, lanes: int) -> Any:
        return body.start(W["layers"], lanes)

    def apply(
        W: dict, carry: Any, xs: Array, *, keys: Array | None = None, **steps: Any
    ) -> tuple[Any, Asked]:
        x = drop(lane_keys(keys, _EMBEDDING), made.apply(W["R"], xs), before, locked=locked)
        carry, h = body.apply(W["layers"], carry, x, keys=keys, **steps)
        h = drop(lane_keys(keys, _READ_OUT), h, after, locked=locked)
        w = W["out"] | {"W_vh": W["R"]} if sizes.tied else W["out"]
        return carry, Asked(h @ W["P"] if "P" in W else h, w, draw_key(keys))

    return Model(init, start, apply)


def _table(sizes: _Sizes) -> Callable[[Array], Array]:
    scale, shape = 1 / sizes.embed**0.5, (sizes.vocabulary, sizes.embed)
    return lambda key: jax.random.uniform(key, shape, minval=-scale, maxval=scale)


def _initial(
    sizes: _Sizes, made: Layer, body: Model, output: Output, init_scale: float
) -> Callable[[Array], dict]:
    def init(key: Array) -> dict:
        k_R, k_body, k_out, k_P, k_all = jax.random.split(key, 5)
        W = {"R": made.init(k_R), "layers": body.init(k_body), "out": output.init(k_out)}
        if sizes.tied:
            del W["out"]["W_vh"]
            if sizes.embed != sizes.hidden:
                glorot = jax.nn.initializers.glorot_uniform()
                W["P"] = glorot(k_P, (sizes.hidden, sizes.embed))
        return _uniform(k_all, W, init_scale) if init_scale else W

    return init


def _uniform(key: Array, W: Any, scale: float) -> Any:
    """Weights of the same shapes, each number from ±scale."""
    leaves, tree = jax.tree.flatten(W)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.uniform(k, a.shape, a.dtype, -scale, scale)
        for k, a in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, drawn)


def _needed(sizes: _Sizes, output: Output) -> Callable:
    def needed(batch: Batch, keys: Array) -> dict[tuple[str, ...], Array]:
        outs = dict(output.needed(batch.targets, draw_key(keys)) if output.needed else {})
        read = batch.inputs.ravel()
        found = {}
        if sizes.tied and "W_vh" in outs:
            read = jnp.concatenate([read, outs.pop("W_vh")])
        if not sizes.tied or len(read) > batch.inputs.size:
            room = min(sizes.vocabulary, len(read))
            found["R",] = distinct(read, sizes.vocabulary, room)
        return found | {("out", leaf): numbers for leaf, numbers in outs.items()}

    return needed
