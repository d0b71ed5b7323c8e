"""The lecture's four-letter language model: vocabulary [h, e, l, o], training sequence "hello".

    python -m experiments.hello            a few seconds; ends with a network that says "hello"

Prints the slides' tables twice: from weights solved so that the network prints the figures' own
numbers, and from weights learned by gradient descent. At the end the learned network is given "h"
and fed its own output. Expected: 0.00 nats per character, and "hello".
"""

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.models import Model
    from rnn_jax.tasks import Task

LETTERS = "helo"
INPUTS, TARGETS = "hell", "ello"

# The training figure: h_t at each input letter. It prints tanh's 1.0 for h_2's first unit, which no
# finite weight reaches; .96 is printed 1.0 as well.
FIGURE_H = ((0.3, -0.1, 0.9), (0.96, 0.3, 0.1), (0.1, -0.5, -0.3), (-0.3, 0.9, 0.7))
# The same figure's y_t, in the order h, e, l, o.
FIGURE_Y = (
    (1.0, 2.2, -3.0, 4.1),
    (0.5, 0.3, -1.0, 1.2),
    (0.1, 0.5, 1.9, -1.1),
    (0.2, -1.5, -0.1, 2.2),
)

QUICK = {"steps": 300}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.Settings):
    """The slide's network has three hidden units."""

    RANGES: ClassVar[Mapping[str, str]] = {"hidden": "[1, inf)"}

    steps: int = 500
    """updates in total; a resumed run goes on up to here"""
    lr: float = 0.05
    """learning rate of Adam"""
    cell: str = "tanh"
    """the recurrent cell: a name, or module:constructor"""
    hidden: int = 3
    """width H of the hidden layer"""
    log_every: int = 10
    """steps between two lines of metrics"""
    eval_every: int = 100
    """steps between two evaluations"""
    save_every: int = 100
    """steps between two checkpoints"""


def figure_weights() -> dict[str, Any]:
    """Parameters of `language_model(4, "tanh", 3, 1)` under which it prints the figures' numbers.

    With a_t = artanh(h_t): ``W_xh[h] = a_1`` and ``W_xh[e] = a_2 - h_1 W_hh``; the letter l is
    read twice, so W_hh must take h_3 - h_2 to a_4 - a_3, and the smallest such matrix is taken;
    then ``W_xh[l] = a_3 - h_2 W_hh``. No W_hy alone gives the figure's y_t; one with a bias does.
    """
    import jax
    import numpy as np

    h, y = np.array(FIGURE_H), np.array(FIGURE_Y)
    a, step = np.arctanh(h), h[2] - h[1]
    W_hh = np.outer(step, a[3] - a[2]) / (step @ step)
    W_xh = np.stack([a[0], a[1] - h[0] @ W_hh, a[2] - h[1] @ W_hh, np.zeros(3)])
    out = np.linalg.solve(np.column_stack([h, np.ones(4)]), y)
    layer = {"W_xh": W_xh, "W_hh": W_hh, "b_h": np.zeros(3)}
    weights = {"layers": (layer,), "out": {"W_hy": out[:3], "b_y": out[3]}}
    return jax.tree.map(lambda a: np.asarray(a, np.float32), weights)


def tables(cell: str, hidden: int, weights: Any) -> tuple[Any, Any, Any]:
    """h_t [4, H], y_t [4, 4] and softmax(y_t) [4, 4] as the network reads "hell"."""
    import jax
    import numpy as np

    from rnn_jax import cells, layers, unroll

    letters = np.array([[LETTERS.index(c)] for c in INPUTS])
    one = cells.constructor(cell)(len(LETTERS), hidden)

    @jax.jit
    def read(weights: Any) -> tuple[Any, Any, Any]:
        w = weights["layers"][0]
        _, hs = unroll.unroll(one, w, letters, one.start(w, 1))
        ys = layers.dense(hidden, len(LETTERS)).apply(weights["out"], hs)
        return hs[:, 0], ys[:, 0], jax.nn.softmax(ys[:, 0])

    return jax.device_get(read(weights))


def show_tables(title: str, cell: str, hidden: int, weights: Any) -> None:
    """The three tables on stderr, a line for each input letter."""
    hs, ys, ps = tables(cell, hidden, weights)

    def row(values: Any, digits: int) -> str:
        return " ".join(f"{float(v):6.{digits}f}" for v in values)

    lines = [f"{title}\ninput  target  h_t | y_t (h e l o) | softmax(y_t)"]
    for i, (letter, target) in enumerate(zip(INPUTS, TARGETS, strict=True)):
        lines.append(
            f"{letter:>5}  {target:>6}  {row(hs[i], 1)} | {row(ys[i], 1)} | {row(ps[i], 2)}"
        )
    print("\n".join(lines), file=sys.stderr)


def task() -> "Task":
    """ "hell" to "ello", the same at every step, from a fresh carry."""
    import numpy as np

    from rnn_jax import losses, tasks

    inputs, targets = (
        np.array([[LETTERS.index(c) for c in s]], np.int32) for s in (INPUTS, TARGETS)
    )
    batch = tasks.Batch(inputs, targets, fresh=np.array([True]))
    return tasks.Task(lambda _: batch, lambda: [batch], losses.cross_entropy, 1, 1, len(INPUTS))


def say(model: "Model", weights: Any) -> str:
    """What the network says after "h", always the most probable letter, fed back."""
    import jax
    import numpy as np

    from rnn_jax import decode

    prompt = np.array([[LETTERS.index("h")]], np.int32)
    tokens, _ = decode.generate(model, weights, prompt, jax.random.key(0), 4, greedy=True)
    return "h" + "".join(LETTERS[t] for t in np.asarray(tokens)[0])


def run(config: Config) -> dict[str, Any]:
    """Print the figures' tables, train, print the learned tables, and say the word."""
    from rnn_jax import descent, fit, models
    from rnn_jax.data.text import Vocabulary
    from rnn_jax.run import new_manifest

    sizes = {"vocabulary": len(LETTERS), "cell": config.cell, "hidden": config.hidden, "layers": 1}
    spec = {"builder": "language_model", "arguments": sizes}
    model = models.from_spec(spec, trust=True)
    recipe = fit.Recipe(model, task(), descent.adam(config.lr, config.clip), config.seed)
    manifest = new_manifest(
        *("hello", dataclasses.asdict(config), list(cli.identity(config))),
        model=spec,
        vocabulary=Vocabulary.fixed(LETTERS).to_json(),
    )

    def show(step: int, weights: Any) -> tuple[str, str]:
        return f"after {step} steps", say(model, weights)

    show_tables("The slides' figures", "tanh", 3, figure_weights())
    folder = Path(config.out)
    outcome = fit.fit(folder, manifest, recipe, config, show)
    show_tables("Learned", config.cell, config.hidden, outcome.state.params)
    said = say(model, outcome.state.params)
    print(f'given "h", it says "{said}"', file=sys.stderr)
    return {
        "metric": "nats per character",
        "value": outcome.last,
        "baseline": math.log(len(LETTERS)),
        "better": "lower",
        "says": said,
        **fit.result(outcome, folder),
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
