"""The machine's limit for a layer: its matrix products at their real shapes, and nothing else.

The one definition, in XLA and in the same run as what is measured against it. With X = H inputs, G
sums a step (H of a tanh RNN, 3H, 4H), forward and backward are

    forward    [T·B, X] × [X, G]   once
               [B, H] × [H, G]     T times, each waiting for the one before, in a `lax.scan`
    backward   [B, G] × [G, H]     T times, likewise
               [X, T·B] × [T·B, G], [H, T·B] × [T·B, G] and [T·B, G] × [G, X]   once each

There is no gate, no bias, no non-linearity, nothing is saved by the loops. A product waits for the
one before because it reads what that one wrote: the recurrent matrix has G columns and H rows, so
forward the first H of the G sums are the next h, and backward the H results are written over the
first H of the G sums. The parts wait for each other in the same way. The recurrent matrix is made
of orthogonal blocks, so that T products neither vanish into slow denormal numbers nor overflow.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.racing.problem import BLOCKS, Sizes

Array = jax.Array


def products(sizes: Sizes) -> Callable[[], Any]:
    """A function that does all of a layer's products once; its time is the limit."""
    if sizes.layers != 1:
        raise ValueError("the limit is defined for one layer")
    T, B, H = sizes.T, sizes.B, sizes.H
    rng, G = np.random.default_rng(0), BLOCKS[sizes.cell] * H
    orthogonal = [np.linalg.qr(rng.standard_normal((H, H)))[0] for _ in range(G // H)]
    W_hh = jnp.asarray(np.concatenate(orthogonal, axis=1), jnp.float32)
    W_xh, x, hs = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in ((H, G), (T * B, H), (T * B, H))
    )

    program = jax.jit(lambda *args: all_products(T, B, *args))
    return lambda: jax.block_until_ready(program(W_xh, W_hh, x, hs))


def all_products(
    T: int, B: int, W_xh: Array, W_hh: Array, x: Array, hs: Array
) -> tuple[Array, ...]:
    """The products of the definition above: x and hs [T·B, H], time before lanes."""
    H = W_hh.shape[0]
    zs = x @ W_xh
    r, _ = lax.scan(lambda r, _: (r[:, :H] @ W_hh, None), zs[:B], None, T)

    def back(r_bar: Array, _: None) -> tuple[Array, None]:
        return lax.dynamic_update_slice(r_bar, r_bar @ W_hh.T, (0, 0)), None

    r_bar, _ = lax.scan(back, r, None, T)
    z_bars = lax.dynamic_update_slice(zs, r_bar, (0, 0))
    return x.T @ z_bars, hs.T @ z_bars, z_bars @ W_xh.T
