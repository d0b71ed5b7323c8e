"""The compiled loops as functions of arrays: one call for all steps of a cell, forward or backward.

Everything is float32. T steps, B lanes, H units a multiple of 16, G = gates times H; a carry is h
[B, H], of the LSTM (h, c). Under `jax.vmap` models lie side by side in one call.
"""

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def _call(
    name: str, results: list[Array], aliases: dict[int, int], reverse: bool, *args: Array
) -> Any:
    """Results: arrays of their shapes; aliases: argument to the result over it."""
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in results]
    call = jax.ffi.ffi_call(
        f"rnn_jax_{name}", shapes, vmap_method="broadcast_all", input_output_aliases=aliases
    )
    return call(*args, reverse=reverse)


def forward(
    cell: str,
    reverse: bool,
    W: Array,
    b: Array,
    carry: Any,
    zs: Array,
    mask: Array | None = None,
) -> tuple[Any, Any]:
    """All carries [T, B, H] and what the backward pass wants: ``h_t = gate(h_{t-1}, z_t, r_t)``.

    cell: "tanh", "gru" or "lstm"; W [H, G], b [G]; zs [T, B, G]; mask [T, B]: a step that does not
    exist copies the carry, and nothing is saved of it (what lies there is not to be read). Saved
    are, as the cells' own gates save them, nothing of tanh, (gates [T, B, G], the candidate's
    product [T, B, H]) of the GRU and (gates, tanh(c) [T, B, H]) of the LSTM.
    """
    of_units, steps = zs[..., : W.shape[0]], (zs, *_bytes(mask))
    if cell == "tanh":
        (hs,) = _call("tanh_forward", [of_units], {3: 0}, reverse, W, b, carry, *steps)
        return hs, ()
    if cell == "gru":
        results = [of_units, zs, of_units]
        hs, *saved = _call("gru_forward", results, {3: 1}, reverse, W, b, carry, *steps)
        return hs, tuple(saved)
    results = [of_units, of_units, zs, of_units]
    hs, cs, *saved = _call("lstm_forward", results, {4: 2}, reverse, W, b, *carry, *steps)
    return (hs, cs), tuple(saved)


def backward(
    cell: str,
    reverse: bool,
    W: Array,
    carry: Any,
    nexts: Any,
    saved: Any,
    ys_bar: Array,
    final_bar: Any,
    mask: Array | None = None,
) -> tuple[Any, Array, Array]:
    """The bars of the first carry, of zs and of the rs: the loop of BPTT.

    carry, nexts, saved: of `forward`; ys_bar [T, B, H]: of the hidden outputs; final_bar: of the
    last carry; mask: of `forward`. Where a step does not exist its bars are 0.
    """
    missing = _bytes(mask)
    if cell == "tanh":
        args = (W, ys_bar, final_bar, nexts, carry, *missing)
        carry_bar, z_bars = _call("tanh_backward", [carry, nexts], {2: 0}, reverse, *args)
        return carry_bar, z_bars, z_bars
    gates, extra = saved
    if cell == "gru":
        args = (W, ys_bar, final_bar, nexts, carry, extra, gates, *missing)
        results, aliases = [carry, gates, gates], {2: 0, 6: 1}
        return tuple(_call("gru_backward", results, aliases, reverse, *args))
    (h0, c0), (hs, cs) = carry, nexts
    args = (W, ys_bar, *final_bar, hs, h0, cs, c0, extra, gates, *missing)
    h_bar, c_bar, z_bars = _call(
        "lstm_backward", [h0, c0, gates], {2: 0, 3: 1, 9: 2}, reverse, *args
    )
    return (h_bar, c_bar), z_bars, z_bars


def _bytes(mask: Array | None) -> tuple[Array, ...]:
    return () if mask is None else (mask.astype(jnp.uint8),)


def fits(W: Array, *rest: Any) -> bool:
    """Whether the loops can take these arrays: float32, and units in whole vectors."""
    return W.shape[0] % 16 == 0 and all(a.dtype == jnp.float32 for a in jax.tree.leaves((W, rest)))
