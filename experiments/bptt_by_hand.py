"""Backpropagation through time by hand: the slides' scalar network, every bar quantity in a table.

    python -m experiments.bptt_by_hand                              a few seconds
    python -m experiments.bptt_by_hand --length 8 --activation logistic --chunk 3
    python -m experiments.bptt_by_hand --u 0.5 --v 2 --w -1

z(t) = u x(t) + w h(t-1), h(t) = φ(z(t)), r(t) = v h(t), y(t) = φ(r(t)), with the loss
L = Σ_t (y(t) - target(t))² / 2. The gradient is found four times: by the slide's equations, by
jax.grad, by general backpropagation over the slide's unrolled graph (drawn with its values and bars
in unrolled.svg and .png, up to 10 steps), and by the same over the graph that JAX traces; then that
of a vector RNN, by hand and through the library's own model. The second part stops the gradient
after every --chunk steps (jax.grad meets a stop_gradient there), and takes ū and w̄ apart: which
terms of their double sums remain, and which are dropped.

The result is the largest difference from jax.grad in float64, of every way and parameter; beside
it, as baseline, that of jax.grad in float32. Expected: below 1e-12, and about 1e-7.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments import cli
from experiments.cli.files import check, save
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.byhand import scalar

QUICK = {"length": 3}

WEIGHTS = ("u", "v", "w")
FILES = ("tables.txt", "terms.png", "unrolled.svg", "unrolled.png")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.CommonSettings):
    """Nothing is trained: one gradient is taken. Inputs, targets and weights come from the seed."""

    RANGES: ClassVar[Mapping[str, str]] = {"length": "[1, 100]", "chunk": "[0, inf)"}

    length: int = 5
    """steps T"""
    activation: Literal["tanh", "logistic", "identity"] = "tanh"
    """φ"""
    chunk: int = 2
    """steps after which the gradient stops in the second part; 0 leaves that part out"""
    u: float | None = None
    """the weight from x to z; if None drawn by the seed"""
    v: float | None = None
    """the weight from h to r; if None drawn by the seed"""
    w: float | None = None
    """the weight from h to the next z; if None drawn by the seed"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in WEIGHTS:
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise BadInput(f"--{name} {value}: must be a finite number")


def example(config: Config) -> tuple["scalar.Network", list[float], list[float]]:
    """The network, x(1) … x(T) and the targets, which φ can reach."""
    import numpy as np

    from rnn_jax.byhand import scalar

    random = np.random.default_rng(config.seed)
    sizes = random.uniform(0.5, 1.5, 4) * random.choice([-1, 1], 4)  # none too small to be seen
    drawn = dict(zip((*WEIGHTS, "h_0"), sizes.tolist(), strict=True))
    drawn |= {name: getattr(config, name) for name in WEIGHTS if getattr(config, name) is not None}
    network = scalar.Network(**drawn, phi=config.activation)
    low = 0.1 if config.activation == "logistic" else -0.9
    xs, targets = random.normal(size=config.length), random.uniform(low, 0.9, config.length)
    return network, xs.tolist(), targets.tolist()


def loss_in_jax(
    network: "scalar.Network", xs: Sequence[float], targets: Sequence[float], chunk: int
) -> Callable[..., Any]:
    """``(u, v, w) -> L`` by JAX alone; at a chunk's edge h is a constant to the gradient."""
    import jax

    phi = {"tanh": jax.numpy.tanh, "logistic": jax.nn.sigmoid, "identity": lambda a: a}
    phi = phi[network.phi]

    def loss(u: Any, v: Any, w: Any) -> Any:
        h, total = network.h_0, 0.0
        for t, (x, target) in enumerate(zip(xs, targets, strict=True)):
            h = jax.lax.stop_gradient(h) if chunk and t and t % chunk == 0 else h
            h = phi(u * x + w * h)
            total += (phi(v * h) - target) ** 2 / 2
        return total

    return loss


def gradients(
    network: "scalar.Network", xs: list[float], targets: list[float], chunk: int
) -> dict[str, tuple[float, ...]]:
    """(ū, v̄, w̄) by every way there is; jax.grad also in float32."""
    import jax

    from rnn_jax.byhand import backprop, scalar

    loss, weights = loss_in_jax(network, xs, targets, chunk), network[:3]
    bars = scalar.backward(network, scalar.forward(network, xs, targets), chunk=chunk)
    found = {"by hand": (bars.u, bars.v, bars.w)}
    with jax.enable_x64(True):
        found["jax.grad"] = tuple(map(float, jax.jit(jax.grad(loss, (0, 1, 2)))(*weights)))
        traced = backprop.from_function(loss, *weights)
    for name, graph in (
        ("slide's graph", backprop.unrolled(network, xs, targets, chunk)),
        ("jaxpr's graph", traced),
    ):
        u, v, w, *_ = backprop.backward(graph, backprop.forward(graph))
        found[name] = (u, v, w)
    with jax.enable_x64(False):
        found["in float32"] = tuple(map(float, jax.jit(jax.grad(loss, (0, 1, 2)))(*weights)))
    return found


def vector_difference(seed: int) -> float:
    """The largest difference between a vector RNN's derivatives by hand and the library's own."""
    import jax
    import numpy as np

    from rnn_jax import cells, layers, losses, models, tasks, train
    from rnn_jax.byhand import vector

    T, B, X, H, V = 6, 2, 3, 4, 5
    random = np.random.default_rng(seed)
    shapes = ((X, H), (H, H), (H,), (H, V), (V,))
    w = vector.Weights(*(random.normal(size=shape) for shape in shapes))
    xs, h_0 = random.normal(size=(T, B, X)), random.normal(size=(B, H))
    targets = random.integers(0, V, (T, B))
    bars, h_0_bar = vector.backward(w, xs, targets, vector.forward(w, xs, targets, h_0))

    model = models.recurrent(models.stack(cells.vanilla(X, H)), layers.dense(H, V))
    batch = tasks.Batch(xs.swapaxes(0, 1), targets.T)

    def loss(w: vector.Weights, h_0: Any) -> Any:
        layer = {"W_xh": w.W_xh, "W_hh": w.W_hh, "b_h": w.b_h}
        params = {"layers": (layer,), "out": {"W_hy": w.W_hy, "b_y": w.b_y}}
        return train.summed_loss(model, losses.cross_entropy, params, (h_0,), batch, None)[0]

    with jax.enable_x64(True):
        theirs = jax.jit(jax.grad(loss, (0, 1)))(w, h_0)
    pairs = zip(jax.tree.leaves((bars, h_0_bar)), jax.tree.leaves(theirs), strict=True)
    return max(float(abs(a - np.asarray(b)).max()) for a, b in pairs)


def told(config: Config, network: "scalar.Network", xs: list[float], targets: list[float]) -> str:
    """Every quantity of the forward and the backward pass, step by step."""
    from rnn_jax.byhand import scalar, tables

    states = scalar.forward(network, xs, targets)
    bars = scalar.backward(network, states)
    if not all(map(math.isfinite, (bars.u, bars.v, bars.w, *states.loss[1:]))):
        raise BadInput("the network overflows; give smaller --u --v --w or fewer steps")
    weights = "  ".join(f"{name} = {getattr(network, name):.4f}" for name in WEIGHTS)
    return "\n".join(
        (
            f"φ = {network.phi}  {weights}\n\nForward",
            tables.forward_table(states),
            f"L = {sum(states.loss[1:]):.6f}\n\nBackward",
            tables.backward_table(states, bars),
        )
    )


def beside(found: Mapping[str, Sequence[float]]) -> str:
    """The three derivatives by every way, and each way's largest difference from jax.grad."""
    from rnn_jax.byhand import tables

    head = ("", "ū", "v̄", "w̄", "difference")
    lines = [
        (name, *(f"{value:.12f}" for value in bars), f"{difference(bars, found):.1e}")
        for name, bars in found.items()
    ]
    return tables.rows([head, *lines], width=18)


def difference(bars: Sequence[float], found: Mapping[str, Sequence[float]]) -> float:
    """The largest difference from jax.grad in float64."""
    return max(abs(a - b) for a, b in zip(bars, found["jax.grad"], strict=True))


def run(config: Config) -> dict[str, Any]:
    """Print the tables, compare the ways, and take the sums apart; into the run's folder too."""
    from rnn_jax.byhand import picture, scalar, tables

    check(config.out, FILES)
    began = time.perf_counter()
    problem = network, xs, targets = example(config)
    parts, files = [told(config, *problem)], picture.files(*problem)
    every = {0: gradients(*problem, 0)}
    parts.append(f"The whole sequence\n{beside(every[0])}")
    if config.chunk:
        every[config.chunk] = gradients(*problem, config.chunk)
        terms = scalar.terms(network, scalar.forward(network, xs, targets))
        parts.append(f"In chunks of {config.chunk}\n{beside(every[config.chunk])}")
        parts += [
            tables.terms_table(name, own, config.chunk)
            for name, own in zip("uw", terms, strict=True)
        ]
        files["terms.png"] = tables.terms_picture(terms, config.chunk)
    vector = vector_difference(config.seed)
    parts.append(f"A vector RNN by hand and rnn_jax's own: {vector:.1e} apart at most")
    text = "\n\n".join(parts)
    print(text, file=sys.stderr)
    save(config.out, {"tables.txt": text + "\n", **files})
    ours = [
        difference(bars, found)
        for found in every.values()
        for name, bars in found.items()
        if name != "in float32"
    ]
    return {
        "metric": "largest difference from jax.grad",
        "value": max(vector, *ours),
        "baseline": max(difference(found["in float32"], found) for found in every.values()),
        "better": "lower",
        "seconds": round(time.perf_counter() - began, 1),
        **{"parameters": len(WEIGHTS), "step": 0, "out": config.out},
        "gradient": dict(zip(WEIGHTS, every[0]["by hand"], strict=True)),
        "truncated": dict(zip(WEIGHTS, every[config.chunk]["by hand"], strict=True)),
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
