"""Models that multiply in bfloat16 while what is learned stays in float32."""

from typing import Any

import jax
import jax.numpy as jnp

from rnn_jax.models.core import Model

Array = jax.Array


def in_bfloat16(model: Model) -> Model:
    """``apply(W, h, x)``, with W, h and x rounded to bfloat16 before it and its results float32.

    For accelerators, whose units multiply bfloat16 several times as fast. Weights stay float32, and
    so do their gradients, the optimizer, the outputs [T, B, ...] that the loss sees and the carry
    between chunks; within a chunk the carry is bfloat16. It has float32's range, so that no loss
    needs scaling (Kalamkar et al. 2019; with float16, Micikevicius et al. 2018, it does). On a CPU
    it is slower: the compiled loops are float32's.
    """

    def condition(W: Any, context: Any, keys: Array | None) -> Any:
        return _as(jnp.float32, model.condition(*_as(jnp.bfloat16, (W, context)), keys))

    def apply(W: Any, carry: Any, xs: Any, **steps: Any) -> tuple[Any, Array]:
        return _as(jnp.float32, model.apply(*_as(jnp.bfloat16, (W, carry, xs)), **steps))

    return Model(model.init, model.start, apply, condition if model.condition else None)


def _as(dtype: Any, tree: Any) -> Any:
    """Its real numbers as `dtype`; tokens, masks and keys as they are."""

    def cast(a: Array) -> Array:
        return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(cast, tree)
