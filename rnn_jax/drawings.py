"""The lecture's drawings of recurrent networks, as data; their graphs, read off the model itself.

One to many, many to one, many to many and sequence to sequence differ in which steps read an input,
at which the loss looks, and where a second network takes over: that is a `Plan`. `graph` runs the
model by it step by step and traces what depends on what; `paths` tries that graph on the model as
it is trained, over all time at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnn_jax import graphs, losses, models, tasks, train
from rnn_jax.cells import Cell
from rnn_jax.layers import Layer, dense

Array = jax.Array

_NUDGES = 32  # changes of an input that are tried on every loss


class Plan(NamedTuple):
    """What makes one drawing, step by step from t = 1.

    reads: whether a step is given an input x_t, else zeros; looks: the weight of its loss, as in
    `tasks.Batch`; turn: after this many steps a second network goes on from the first one's last
    state; chunk: after every so many steps the gradient is cut; 0 is never, for both; feeds: every
    step but the first is given the output before it, y_{t-1}, so that X = V.
    """

    title: str
    reads: tuple[bool, ...]
    looks: tuple[float, ...]
    turn: int = 0
    chunk: int = 0
    feeds: bool = False

    def network(self, t: int) -> int:
        """Which of the networks makes step t, from 1 on."""
        return 2 if self.turn and t > self.turn else 1

    def edges(self) -> list[int]:
        """The steps after which the gradient is cut."""
        return list(range(self.chunk, len(self.reads), self.chunk)) if self.chunk else []


def plans(T: int, chunk: int) -> dict[str, Plan]:
    """The lecture's drawings, T steps long (the two halves of the last but one each)."""
    every, none, ones, zeros = (True,) * T, (False,) * T, (1.0,) * T, (0.0,) * T
    both = "Sequence to sequence: many to one, then one to many"
    return {
        "one_to_one": Plan("One to one", (True,), (1.0,)),
        "one_to_many": Plan("One to many", (True, *none[1:]), ones, feeds=True),
        "many_to_one": Plan("Many to one", every, (*zeros[1:], 1.0)),
        "many_to_many": Plan("Many to many", every, ones),
        "sequence_to_sequence": Plan(both, every + none, zeros + ones, turn=T),
        "truncated": Plan("Truncated backpropagation through time", every, ones, chunk=chunk),
    }


class Example(NamedTuple):
    """Something to run a plan on.

    cells: from below; out: the read-out; weights: one tree a network; xs [T, B, X], zeros where no
    input is read; targets [T, B] integers.
    """

    cells: tuple[Cell, ...]
    out: Layer
    weights: tuple[Any, ...]
    xs: np.ndarray
    targets: np.ndarray

    def model(self, t: int | None = None) -> models.Model:
        """The cells in a stack under the read-out; with t, marked as what they are at step t."""
        cells, out = self.cells, self.out
        if t is not None:
            cells = [_marked(cell, f"h{layer}_{t}") for layer, cell in enumerate(cells, start=1)]
            out = out._replace(apply=lambda w, h: graphs.mark(self.out.apply(w, h), f"y_{t}"))
        return models.recurrent(models.stack(*cells), out)


def example(plan: Plan, cells: Sequence[Cell], sizes: tuple[int, int, int], seed: int) -> Example:
    """Random weights, inputs and targets, in two lanes; sizes are X, H and V.

    In float64, and to be used under ``jax.enable_x64(True)``: in float32 a derivative over many
    steps may vanish by rounding.
    """
    X, H, V = sizes
    random, shape = np.random.default_rng(seed), (len(plan.reads), 2)
    xs = random.normal(size=(*shape, X)) * np.array(plan.reads)[:, None, None]
    targets = random.integers(0, V, shape)
    bare = Example(tuple(cells), dense(H, V), (), xs, targets)
    trees = [jax.eval_shape(bare.model().init, jax.random.key(0))] * (2 if plan.turn else 1)

    def weight(a: jax.ShapeDtypeStruct) -> np.ndarray:
        return random.normal(scale=H**-0.5, size=a.shape)

    return bare._replace(weights=tuple(jax.tree.map(weight, tree) for tree in trees))


def graph(plan: Plan, run: Example) -> graphs.Graph:
    """All that L depends on, named as in `graphs.layout`; what the loss does not see is absent.

    Each step is training's own `summed_loss` of a sequence of one step, with its carry, its output
    and its loss marked; the carry goes on from step to step, and where the plan feeds, the output.
    """

    def total(inputs: dict[str, Any]) -> Array:
        carry, y, total = None, jnp.zeros_like(run.xs[0]), jnp.zeros(())
        for t in range(1, len(plan.reads) + 1):
            model, w = run.model(t), _weights(inputs, plan.network(t), len(run.cells))
            if carry is None:
                start = enumerate(model.start(w, run.xs.shape[1]), start=1)
                carry = tuple(graphs.mark(h, f"h{layer}_0") for layer, h in start)
            if t - 1 in plan.edges():  # what training means by taking the carry as an argument
                carry = jax.lax.stop_gradient(carry)
            x = inputs.get(f"x_{t}", y)
            if plan.feeds:
                y = model.apply(w, carry, x[None])[1][0]
            look = jnp.full((len(x), 1), plan.looks[t - 1])
            batch = tasks.Batch(x[:, None], run.targets[t - 1][:, None], weights=look)
            part, (_, carry) = train.summed_loss(model, _marked_loss(t), w, carry, batch, None)
            total += part
        return graphs.mark(total, "L")

    return graphs.leading_to(graphs.trace(total, _named(plan, run)), "L")


def paths(plan: Plan, run: Example, graph: graphs.Graph) -> tuple[int, int]:
    """How many paths were tried on the model `at_once`, and at how many it disagrees.

    For every input x_s and every loss L_t two: the graph has a path if and only if L_t changes with
    x_s, and one along which a gradient flows if and only if dL_t/dx_s is not zero. x_s is changed
    in several ways, for a unit that jumps may not feel one.
    """
    each = at_once(plan, run)
    both = jax.jit(lambda xs: (each(xs), jax.jacrev(each)(xs)))  # one program, so the same bits
    nudges = np.random.default_rng(0).normal(scale=3, size=(_NUDGES, *run.xs.shape[1:]))
    (usual, slopes), wrong = jax.device_get(both(run.xs)), 0
    inputs = [s for s, reads in enumerate(plan.reads) if reads]
    for s in inputs:
        moved = np.repeat(run.xs[None], len(nudges), axis=0)
        moved[:, s] += nudges
        changed = sum(np.asarray(both(xs)[0]) != usual for xs in moved)
        for t in range(len(plan.looks)):
            ends, felt = (f"x_{s + 1}", f"L_{t + 1}"), (slopes[t, s] != 0).any()
            wrong += graphs.reaches(graph, *ends) != bool(changed[t])
            wrong += graphs.reaches(graph, *ends, gradient=True) != bool(felt)
    return 2 * len(inputs) * len(plan.looks), wrong


def at_once(plan: Plan, run: Example) -> Callable[[Array], Array]:
    """``xs [T, B, X] -> L_t [T]``: nothing marked, the fast backward pass, chunk after chunk.

    Where the plan feeds, step after step.
    """
    model, edges, T = run.model(), plan.edges(), len(plan.reads)
    ends = [*range(1, T + 1)] if plan.feeds else sorted({plan.turn, T, *edges} - {0})

    def each(xs: Array) -> Array:
        carry, outs = model.start(run.weights[0], xs.shape[1]), []
        for begin, end in zip([0, *ends], ends, strict=False):
            carry = jax.lax.stop_gradient(carry) if begin in edges else carry
            given = outs[-1] if plan.feeds and begin else xs[begin:end]
            carry, ys = model.apply(run.weights[plan.network(end) - 1], carry, given)
            outs.append(ys)
        each = losses.cross_entropy(jnp.concatenate(outs), run.targets)
        return each.sum(1) * jnp.asarray(plan.looks)

    return each


def _named(plan: Plan, run: Example) -> dict[str, Any]:
    """What the graph begins with: every x_t that is read, every layer's weights, the read-outs."""
    inputs = {f"x_{t}": run.xs[t - 1] for t, reads in enumerate(plan.reads, start=1) if reads}
    for n, w in enumerate(run.weights, start=1):
        inputs |= {f"W{n}.{layer}": own for layer, own in enumerate(w["layers"], start=1)}
        inputs[f"W_hy{n}"] = w["out"]
    return inputs


def _weights(inputs: dict[str, Any], network: int, layers: int) -> dict[str, Any]:
    own = tuple(inputs[f"W{network}.{layer}"] for layer in range(1, layers + 1))
    return {"layers": own, "out": inputs[f"W_hy{network}"]}


def _marked(cell: Cell, name: str) -> Cell:
    """The same cell, its new carry and its output under one name.

    It has no gate, for the general path calls the step, and there both can be marked.
    """
    return cell._replace(step=lambda *given: graphs.mark(cell.step(*given), name), gate=None)


def _marked_loss(t: int) -> Callable[[Array, Array], Array]:
    def loss(ys: Array, targets: Array) -> Array:
        return graphs.mark(losses.cross_entropy(ys, targets), f"L_{t}")

    return loss
