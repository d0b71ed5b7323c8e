"""SnAp-1, RFLO and e-prop: RTRL with no more of the influence than a unit has of its own weights.

A weight acts at once on one unit i, that of its column. Only there its influence (`rtrl`) is kept,

    P^i_t = D^i_t P^i_{t-1} + ∂F^i/∂θ^i,          θ̄^i_t = ∂L_t/∂h^i_t P^i_t

* `snap1` (Menick et al. 2021): D^i = ∂h^i_t / ∂h^i_{t-1}, all that the unit does to itself. Where
  units do not look at each other, each block of W_hh being diagonal, that is RTRL.
* `rflo` (Murray 2019; for any cell the e-prop of Bellec et al. 2020): D^i without what goes through
  W_hh: the 1 - 1/τ of a leaky unit, u of the GRU, f of the LSTM's c, 0 of the vanilla RNN. The
  error comes back by the read-out's own weights, where the papers also try random ones.

A unit may have k numbers, as the LSTM's h and c; D^i is [k, k] then. In a stack the error goes down
to lower layers within its step, and each layer's influence on its own units alone is kept. Memory
k B |θ|, time that of k + 1 steps back, whatever the length.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnn_jax.affine import against
from rnn_jax.cells import Cell, Gate
from rnn_jax.cells.core import recurrent_product
from rnn_jax.digest import named_leaves
from rnn_jax.errors import BadInput
from rnn_jax.estimators.influence import over_time, with_influence
from rnn_jax.models import Model
from rnn_jax.objective import outputs, weighted, with_gradient
from rnn_jax.tasks import Batch

Array = jax.Array


def snap1(model: Model) -> tuple[Model, Callable]:
    """The model with P in its carry, and the objective; as in `rtrl`.

    BadInput for a model that is no stack of gated cells, or where a weight acts on several units at
    once, as before a layer norm.
    """
    return _made(model, itself=True)


def rflo(model: Model) -> tuple[Model, Callable]:
    """As `snap1`."""
    return _made(model, itself=False)


def _made(model: Model, *, itself: bool) -> tuple[Model, Callable]:
    if model.changed is None:
        raise BadInput("SnAp-1 and RFLO are for a stack of cells, which this model is not")
    eligible = model.changed(partial(_eligible, itself=itself))

    def empty(layers: Any, lanes: int, N: int) -> tuple:
        P = tuple(P for _, P in eligible.start({"layers": layers}, lanes))
        return jax.tree.map(jnp.zeros_like, P)  # a carry that is given is of no weights

    return with_influence(model, empty), partial(_total, eligible)


def _total(
    eligible: Model,
    _: Model,
    loss: Callable,
    params: Any,
    carry: Any,
    batch: Batch,
    keys: Array | None,
) -> tuple[Array, tuple[Array, Any]]:
    """The summed loss with the local gradient; P goes on with the carry."""
    held = lax.stop_gradient(params)

    def step(loop: Any, steps: Batch, keys: Any) -> tuple[Any, tuple[Array, Any]]:
        one = jax.tree.map(lambda a: a[None], steps)

        def summed(params: Any) -> tuple[Array, Any]:
            new, ys = outputs(eligible, params, loop, one, keys)
            return weighted(loss(ys, one.targets), one)[0], new

        (lost, new), bars = jax.value_and_grad(summed, has_aux=True)(held)
        return new, (lost, bars)

    begin = tuple(zip(carry["carry"], carry["influence"], strict=True))
    zeros = jax.tree.map(jnp.zeros_like, params)
    end, total, weight, bars = over_time(step, begin, zeros, batch, keys)
    h, influence = zip(*end, strict=True)
    new = {"carry": h, "influence": influence}
    return with_gradient(total, params, bars), (weight, new)


def _eligible(cell: Cell, *, itself: bool) -> Cell:
    """The cell with the carry (h, P), an output's gradient reaching the weights by P alone.

    P: for each part of h the weights' tree, leaves [B, ...].
    """
    _check(cell)

    def start(w: Any, lanes: int) -> tuple[Any, tuple]:
        held = lax.stop_gradient(w)
        P = _at_once(lambda w: cell.start(w, 1), held)
        P = jax.tree.map(lambda a: jnp.broadcast_to(a, (lanes, *a.shape)), P)
        return cell.start(held, lanes), P

    def step(w: Any, carry: tuple[Any, tuple], x: Any) -> tuple[tuple[Any, tuple], Array]:
        held, (h, P) = lax.stop_gradient((w, carry))

        def lane(h: Any, x: Any) -> tuple:
            h, x = jax.tree.map(lambda a: a[None], (h, x))
            return _at_once(lambda w: cell.step(w, h, cell.read(w, x))[0], held)

        z = cell.read(held, x)  # what is below learns from it within the step
        new, y = cell.step(held, h, z)
        more = jax.vmap(lane)(h, lax.stop_gradient(x))
        D = _own(cell.gate, held, h, lax.stop_gradient(z), itself)
        P = tuple(
            jax.tree.map(lambda now, *p, d=d: now + sum(map(_times, d, p)), each, *P)
            for each, d in zip(more, zip(*D, strict=True), strict=True)
        )
        lifted = jax.tree.map(jnp.subtract, w, held)  # 0, whose derivative by w is 1
        felt = [_felt(p, lifted, y.shape[-1]) for p in P]
        y = y + cell.gate.hidden(jax.tree.unflatten(jax.tree.structure(new), felt))
        return (lax.stop_gradient(new), P), y

    return Cell(cell.init, start, lambda w, x: x, step)


def _one_of(tree: Any, k: int) -> Any:
    """Ones in leaf k, zeros in the others."""
    leaves, structure = jax.tree.flatten(tree)
    made = [jnp.full_like(a, i == k) for i, a in enumerate(leaves)]
    return jax.tree.unflatten(structure, made)


def _at_once(h: Callable[[Any], Any], w: Any) -> tuple:
    """The derivative of each part of h(w), leaves [1, H]: a unit's by its own weights, no other."""
    value, pullback = jax.vjp(h, w)
    parts = len(jax.tree.leaves(value))
    return tuple(pullback(_one_of(value, k))[0] for k in range(parts))


def _own(gate: Gate, w: Any, h: Any, z: Array, itself: bool) -> list[list[Array]]:
    """D[k][k'] [B, H]: what a unit's part k before the step does to its part k' after it."""
    r, W = recurrent_product(gate, w, gate.hidden(h)), gate.matrix(w)
    H, G = W.shape
    loops = jnp.einsum("ugu->gu", W.reshape(H, -1, H)).reshape(G) * itself

    def forward(h: Any, r: Array) -> Any:
        return gate.forward(gate.vectors(w), h, z, r)[0]

    def by(k: int) -> list[Array]:
        h_dot = _one_of(h, k)
        r_dot = jnp.tile(gate.hidden(h_dot), G // H) * against(loops, r)
        return jax.tree.leaves(jax.jvp(forward, (h, r), (h_dot, r_dot))[1])

    return [by(k) for k in range(len(jax.tree.leaves(h)))]


def _times(d: Array, p: Array) -> Array:
    """Each unit's d [B, H] times its columns of p [B, ..., g H]."""
    d = jnp.tile(d, p.shape[-1] // d.shape[-1])
    return d.reshape(d.shape[0], *[1] * (p.ndim - 2), d.shape[1]) * p


def _felt(P: Any, w: Any, H: int) -> Array:
    """``Σ_θ P θ`` of each unit's own weights: [B, H]."""

    def one(p: Array, w: Array) -> Array:
        return (p * w[None]).reshape(len(p), -1, H).sum(1)

    return sum(jax.tree.leaves(jax.tree.map(one, P, w)))


@lru_cache(maxsize=16)
def _check(cell: Cell) -> None:
    """BadInput where a unit has other weights than those of its columns, seen by trying one."""
    if cell.gate is None:
        raise BadInput(
            "this cell has no gate (rnn_jax.cells.Gate), so no SnAp-1 and no RFLO: use rtrl"
        )
    key, lanes = jax.random.key(0), 8  # of ReLU units some are awake
    w, carry = jax.eval_shape(lambda: (w := cell.init(key), cell.start(w, lanes)))
    H = jax.eval_shape(cell.gate.matrix, w).shape[0]
    if "W_xh" not in w or any(a.shape != (lanes, H) for a in jax.tree.leaves(carry)):
        raise BadInput(
            "SnAp-1 and RFLO need a cell with W_xh and a carry of [B, H] alone: use rtrl"
        )

    noise = np.random.default_rng(0)

    def drawn(a: Any, scale: float = 1.0) -> np.ndarray:  # sums over rows are about 1 or scale
        rows = a.shape[0] if a.shape else 1
        return (scale * noise.normal(size=a.shape) / rows**0.5).astype(a.dtype)

    def first(off: Any, h: Any, x: Array) -> Array:
        # What the cell draws may have to be positive, or may be zeros that would hide coupling.
        w = jax.tree.map(jnp.add, cell.init(key), off)
        new = cell.step(w, h, cell.read(w, x))[0]
        return sum(a[:, 0].sum() for a in jax.tree.leaves(new))

    x = jax.ShapeDtypeStruct((lanes, w["W_xh"].shape[0]), w["W_xh"].dtype)
    off = jax.tree.map(partial(drawn, scale=0.1), w)
    bars = jax.jit(jax.grad(first))(off, *jax.tree.map(drawn, (carry, x)))
    for name, bar in named_leaves(bars).items():
        # 0 of a unit that is not looked at times its own infinite derivative is NaN, no coupling.
        bar = np.nan_to_num(bar, nan=0.0, posinf=0.0, neginf=0.0)
        if bar.shape[-1] % H or bar.reshape(-1, H)[:, 1:].any():
            told = "acts on several units at once, so the cell has no SnAp-1 and no RFLO: use rtrl"
            raise BadInput(f"this cell's {name} {told}")
