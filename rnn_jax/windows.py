"""A fixed window of K tokens as a recurrent network whose memory is those tokens and no more.

The neural language model with a context of K (Bengio et al. 2003; the slide's has K = 2):

    c_t = (w_{t-K+1}, …, w_t)                           `window`, a cell: c_t is its carry
    x_t = R[w_{t-K+1}] … R[w_t]  side by side           `perceptron`, a layer that has no memory
    h_t = tanh(x_t W_xh + b_h)
    y_t = h_t W_hy + b_y  (+ x_t W_xy)

All that looks back is the shift of integers, so all that costs anything is done for all t at once;
and since no gradient goes through an integer, cutting the gradient between chunks changes nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.affine import affine, lookup
from rnn_jax.cells.core import Array, Cell
from rnn_jax.errors import BadInput
from rnn_jax.layers import Layer


def window(context: int, padding: int) -> Cell:
    """``c_t = (c_{t-1} without its oldest token, w_t)``: tokens [B] in, the windows [B, K] out.

    The carry is the window itself, int32, the oldest token first; there are no parameters. Before
    the text begins it is full of `padding`, a number that no token has.
    """
    if context < 1:
        raise BadInput(f"a window of {context} tokens sees nothing: give a context of at least 1")

    def start(w: tuple[()], lanes: int) -> Array:
        return jnp.full((lanes, context), padding, jnp.int32)

    def step(w: tuple[()], carry: Array, token: Array) -> tuple[Array, Array]:
        carry = jnp.concatenate([carry[:, 1:], token[:, None].astype(carry.dtype)], axis=1)
        return carry, carry

    return Cell(lambda key: (), start, lambda w, tokens: tokens, step)


def perceptron(vocabulary: int, context: int, embed: int, hidden: int, skip: bool = False) -> Layer:
    """``y = tanh(x W_xh + b_h) W_hy + b_y`` with x the K embeddings: windows [..., K] -> [..., V].

    R [V + 1, E] is one table for all K positions (the slide's tied weights), looked up where a
    one-hot vector would be multiplied; its last row stands for `window`'s padding, V. R is drawn
    from N(0, 1); W_xh [K E, H] and W_hy [H, V] are Glorot-uniform. skip: also from the embeddings
    straight to the softmax, ``+ x W_xy``, W_xy [K E, V] zero at first (Bengio et al. 2003).
    """

    def init(key: Array) -> dict[str, Array]:
        k_R, k_xh, k_hy = jax.random.split(key, 3)
        glorot = jax.nn.initializers.glorot_uniform()
        w = {
            "R": jax.random.normal(k_R, (vocabulary + 1, embed)),
            "W_xh": glorot(k_xh, (context * embed, hidden)),
            "b_h": jnp.zeros(hidden),
            "W_hy": glorot(k_hy, (hidden, vocabulary)),
            "b_y": jnp.zeros(vocabulary),
        }
        return w | {"W_xy": jnp.zeros((context * embed, vocabulary))} if skip else w

    def apply(w: dict[str, Array], windows: Any) -> Array:
        x = lookup(w["R"], windows)
        x = x.reshape(*windows.shape[:-1], context * embed)
        h = jnp.tanh(affine(x, w["W_xh"], w["b_h"]))
        y = affine(h, w["W_hy"], w["b_y"])
        return y + x @ w["W_xy"] if skip else y

    return Layer(init, apply)
