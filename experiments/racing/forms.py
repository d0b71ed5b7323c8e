"""A recurrent layer in JAX, as this library and as others write it.

The weights are everywhere ours (`rnn_jax.cells`): W_xh [X, G], W_hh [H, G], b_h [G], and b_hn [H]
of the GRU; blocks r, u, n of the GRU and i, f, g, o of the LSTM.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.racing.contest import Entrant, Values
from experiments.racing.problem import Problem, named
from rnn_jax import cells, unroll

Array = jax.Array
Weights = dict[str, Any]


class Form(NamedTuple):
    """``apply(to(w), x) -> ys``, and ``back`` of a gradient in its form is one in ours.

    lanes_first: x and ys are [B, T, ...], as its users have them, else [T, B, ...].
    """

    to: Callable[[Weights], Any]
    back: Callable[[Any], Weights]
    apply: Callable[[Any, Array], Array]
    lanes_first: bool = False


def entrant(form: Form, problem: Problem) -> Entrant:
    """Loss, outputs and all gradients of the layers in this form, as one compiled program.

    The loss is the sum of squares of the outputs.
    """
    turned = (1, 0, 2) if form.lanes_first else (0, 1, 2)
    x = jnp.asarray(problem.x.transpose(turned))
    params = tuple(form.to(jax.tree.map(jnp.asarray, w)) for w in problem.weights)

    def loss(params: tuple, x: Array) -> tuple[Array, Array]:
        for p in params:
            x = form.apply(p, x)
        return (x * x).sum(), x

    program = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))

    def run() -> Any:
        return jax.block_until_ready(program(params, x))

    def values() -> Values:
        (_, ys), (bars, x_bar) = run()
        arrays = (np.asarray(a).transpose(turned) for a in (ys, x_bar))
        return named(next(arrays), [form.back(bar) for bar in bars], next(arrays))

    return Entrant(run, values)


def _same(w: Any) -> Any:
    return w


def ours(cell: str, H: int) -> Form:
    """This library's default path."""
    one = cells.build(cell, H, H)

    def apply(w: Weights, x: Array) -> Array:
        return unroll.unroll(one, w, x, one.start(w, x.shape[1]))[1]

    return Form(_same, _same, apply)


def scan(cell: str, H: int) -> Form:
    """A plain `lax.scan` and autodiff, as one writes it without a library: the textbook's cell.

    The input's product is outside the loop; what is inside is the textbook's formula.
    """
    step = {"tanh": _tanh_step, "gru": _gru_step, "lstm": _lstm_step}[cell]

    def apply(w: Weights, x: Array) -> Array:
        zs = x @ w["W_xh"] + w["b_h"][None, None]
        zero = jnp.zeros((x.shape[1], H))
        carry = (zero, zero) if cell == "lstm" else zero
        return lax.scan(lambda carry, z: step(w, carry, z), carry, zs)[1]

    return Form(_same, _same, apply)


def _tanh_step(w: Weights, h: Array, z: Array) -> tuple[Array, Array]:
    h = jnp.tanh(z + h @ w["W_hh"])
    return h, h


def _gru_step(w: Weights, h: Array, z: Array) -> tuple[Array, Array]:
    z_r, z_u, z_n = jnp.split(z, 3, axis=-1)
    r_r, r_u, r_n = jnp.split(h @ w["W_hh"], 3, axis=-1)
    reset, update = jax.nn.sigmoid(z_r + r_r), jax.nn.sigmoid(z_u + r_u)
    new = jnp.tanh(z_n + reset * (r_n + w["b_hn"][None]))
    h = (1 - update) * new + update * h
    return h, h


def _lstm_step(w: Weights, carry: Any, z: Array) -> tuple[Any, Array]:
    h, c = carry
    i, f, g, o = jnp.split(z + h @ w["W_hh"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def flax(cell: str, H: int) -> Form:
    """Flax linen's `RNN`, time first, over its fastest cell."""
    from flax import linen

    kinds = {"tanh": linen.SimpleCell, "gru": linen.GRUCell, "lstm": linen.OptimizedLSTMCell}
    module = linen.RNN(kinds[cell](H), time_major=True)
    blocks = {"tanh": [""], "gru": ["r", "z", "n"], "lstm": ["i", "f", "g", "o"]}[cell]
    biased = "h" if cell == "lstm" else "i"  # the product that has b_h

    def to(w: Weights) -> Any:
        found: dict[str, Any] = {}
        for side, name in (("i", "W_xh"), ("h", "W_hh")):
            for block, kernel in zip(blocks, jnp.split(w[name], len(blocks), 1), strict=True):
                found[side + block] = {"kernel": kernel}
        for block, bias in zip(blocks, jnp.split(w["b_h"], len(blocks)), strict=True):
            found[biased + block]["bias"] = bias
        if cell == "gru":
            found["hn"]["bias"] = w["b_hn"]
        return {"params": {"cell": found}}

    def back(bars: Any) -> Weights:
        at = bars["params"]["cell"]
        w = {
            name: np.concatenate([at[side + block]["kernel"] for block in blocks], axis=1)
            for side, name in (("i", "W_xh"), ("h", "W_hh"))
        }
        w["b_h"] = np.concatenate([at[biased + block]["bias"] for block in blocks])
        return w | {"b_hn": at["hn"]["bias"]} if cell == "gru" else w

    return Form(to, back, module.apply)


def equinox(cell: str, H: int) -> Form | None:
    """An Equinox cell in a scan over time, over lanes by `jax.vmap`; Equinox has no tanh RNN."""
    import equinox as eqx

    if cell == "tanh":
        return None
    kind = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}[cell]
    names = {"W_xh": "weight_ih", "W_hh": "weight_hh", "b_h": "bias"}
    names |= {"b_hn": "bias_n"} if cell == "gru" else {}
    empty = kind(H, H, key=jax.random.key(0))

    def to(w: Weights) -> Any:
        arrays = [w[ours].T for ours in names]  # the transpose of a vector is itself
        return eqx.tree_at(lambda c: [getattr(c, n) for n in names.values()], empty, arrays)

    def back(bars: Any) -> Weights:
        return {ours: np.asarray(getattr(bars, theirs)).T for ours, theirs in names.items()}

    def one_lane(module: Any, xs: Array) -> Array:
        def step(carry: Any, x: Array) -> tuple[Any, Array]:
            carry = module(x, carry)
            return carry, carry[0] if cell == "lstm" else carry

        zero = jnp.zeros(H)
        return lax.scan(step, (zero, zero) if cell == "lstm" else zero, xs)[1]

    return Form(to, back, jax.vmap(one_lane, (None, 1), 1))


def keras(cell: str, H: int) -> Form:
    """Keras's layer on its JAX back end, through `stateless_call`; lanes are first in Keras."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras as k

    if k.backend.backend() != "jax":
        raise RuntimeError("Keras was imported with another back end; unset KERAS_BACKEND")
    kinds = {"tanh": k.layers.SimpleRNN, "gru": k.layers.GRU, "lstm": k.layers.LSTM}
    layer = kinds[cell](H, return_sequences=True)
    layer.build((None, None, H))
    others = [variable.value for variable in layer.non_trainable_variables]

    def swapped(a: Any) -> Any:
        """The GRU's blocks from our order r, u, n to Keras's u, r, n, and from there to ours."""
        if cell != "gru":
            return a
        r, u, n = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([u, r, n], axis=-1)

    def to(w: Weights) -> Any:
        b = swapped(w["b_h"])
        if cell == "gru":
            b = jnp.stack([b, jnp.zeros_like(b).at[2 * H :].set(w["b_hn"])])
        return [swapped(w["W_xh"]), swapped(w["W_hh"]), b]

    def back(bars: Any) -> Weights:
        W_xh, W_hh, b = map(swapped, bars)
        if cell == "gru":
            return {"W_xh": W_xh, "W_hh": W_hh, "b_h": b[0], "b_hn": b[1, 2 * H :]}
        return {"W_xh": W_xh, "W_hh": W_hh, "b_h": b}

    def apply(params: Any, x: Array) -> Array:
        return layer.stateless_call(params, others, x)[0]

    return Form(to, back, apply, lanes_first=True)


FORMS = {"scan": scan, "flax": flax, "equinox": equinox, "keras": keras}
