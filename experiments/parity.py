"""Parity of a sequence of bits: the lecture's network set by hand, and networks that learn it.

    python -m experiments.parity                    about 2 minutes on two cores
    python -m experiments.parity --input 0110       another input for the table and the drawing
    python -m experiments.parity --cells gru --hidden 4 --seeds 10

Prints the slide's table and the unrolled run from binary threshold units, and counts their errors
on every input up to length 12 and on random ones of length 10,000; all are 0. Then trains cells at
lengths up to 20 and tests them at 1,000, from random weights and from the hand-set ones (as tanh
units, for a threshold has no gradient) with noise added. Beside them shallow feed-forward nets of
as many parameters read all of a sequence of fixed length at once; after as many updates they do no
better than guessing on sequences held out (ten times as many, --steps 20000 --horizon 20000, teach
them 10 bits, not 15). The JSON line's value is the share of wrong answers at all steps of the test
length, mean over seeds, of the best cell; guessing has 0.5. Expected: 0. Writes parity.json,
parity.png and unrolled.png.
"""

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import cli, lengths
from experiments.cli.files import save
from experiments.lengths import shallow
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np


GAIN = 4.0  # of the tanh units that stand for threshold units where these are trained
EVERY, LONG = 12, 10_000  # verified: every input up to the one length, random ones of the other
FILES = ("parity.json", "parity.png", "unrolled.png")
QUICK = {"cells": ("gru",), "seeds": 1, "steps": 600, "horizon": 600, "shallow": (10,)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(lengths.LengthSettings):
    """Defaults: small enough that not every cell finds it with every seed."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"input"})

    cells: tuple[str, ...] = ("tanh", "relu", "gru", "lstm")
    """the cells that learn from random weights: names, or module:constructor"""
    hidden: int = 8
    """width H of a layer"""
    input: str = "0101101011"
    """bits for the unrolled run"""
    shallow: tuple[int, ...] = (10, 15, 20)
    """lengths at which a shallow feed-forward net is tried, 4 to 20"""


def bits(text: str) -> "np.ndarray":
    """The bits of a string of zeros and ones: float32 [1, T, 1]. BadInput for any other string."""
    import numpy as np

    if not text:
        raise BadInput("--input is empty; give zeros and ones, such as 0101101011")
    if strange := [i for i, c in enumerate(text) if c not in "01"]:
        at = strange[0]
        raise BadInput(f"--input: {text[at]!r} at place {at + 1} is no bit; give zeros and ones")
    return np.array([int(c) for c in text], np.float32).reshape(1, -1, 1)


def truth_table() -> list[tuple[int, ...]]:
    """The slide's four rows: y_{t-1}, x_t, h_1, h_2, y_t."""
    import jax
    import numpy as np

    from rnn_jax.byhand import networks

    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    w = networks.parity().weights["layers"][0]
    h, y = jax.jit(networks.xor_units)(w, rows[:, 1:], rows[:, :1])
    return [tuple(map(int, row)) for row in np.hstack([rows, h, y])]


def unrolled(xs: "np.ndarray") -> dict[str, "np.ndarray"]:
    """The values of x, h1, h2 and y [T] of the slide's network on bits [1, T, 1]."""
    import jax
    import numpy as np

    from rnn_jax.byhand import networks

    network = networks.parity()
    ys = lengths.outputs(network, xs)[0]
    before = np.concatenate([np.zeros((1, 1), np.float32), ys[:-1]])
    h, _ = jax.jit(networks.xor_units)(network.weights["layers"][0], xs[0], before)
    columns = np.hstack([xs[0], np.asarray(h), ys])
    return dict(zip(("x", "h1", "h2", "y"), columns.T, strict=True))


def verify(seed: int) -> dict[str, dict[str, int]]:
    """Wrong answers of each hand-set network, and how many were asked."""
    import numpy as np

    from rnn_jax.byhand import networks
    from rnn_jax.data import synthetic

    every, mask = lengths.every_sequence(2, EVERY)
    random = synthetic.generator(seed, 2, held_out=True).integers(0, 2, (32, LONG))
    tanh = networks.smooth_parity(GAIN)
    found = {}
    for name, network in {
        "y -> h, as drawn": networks.parity(),
        "h -> h, folded": networks.folded_parity(),
        f"tanh units, gain {GAIN:g}": tanh,
    }.items():
        counts = {}
        for told, xs, there in (
            (f"the {len(every)} inputs up to length {EVERY}", every, mask),
            (f"{len(random)} random inputs of length {LONG}", random, None),
        ):
            ys = np.asarray(lengths.outputs(network, xs[..., None].astype(np.float32), there))
            answers = ys.argmax(-1) if network is tanh else ys[..., 0]
            wrong = answers != synthetic.parity(xs)
            counts[told] = int(wrong.sum() if there is None else wrong[there].sum())
        found[name] = counts
    return found


def show_by_hand(values: dict[str, "np.ndarray"], found: dict[str, dict[str, int]]) -> None:
    """The table, the unrolled run and the counts, on stderr."""
    lines = ["The slide's table\ny(t-1)  x(t)  h1  h2  y(t)"]
    lines += ["{:6}  {:4}  {:2}  {:2}  {:4}".format(*row) for row in truth_table()]
    lines.append("Unrolled in time")
    lines += [f"{name:3} {''.join(f'{v:g}' for v in row)}" for name, row in values.items()]
    for name, counts in found.items():
        lines += [f"{name}: {wrong} errors on {told}" for told, wrong in counts.items()]
    print("\n".join(lines), file=sys.stderr)


def problem() -> lengths.Problem:
    """The running parity, asked at every step as one of two classes."""
    import numpy as np

    from rnn_jax import losses
    from rnn_jax.data import synthetic

    def draw(rng: "np.random.Generator", lanes: int, length: int) -> tuple[Any, Any]:
        x = rng.integers(0, 2, (lanes, length))
        return x[..., None].astype(np.float32), synthetic.parity(x)

    return lengths.Problem(
        **{"name": "parity", "inputs": 1, "outputs": 2, "draw": draw},
        **{"loss": losses.cross_entropy, "error": lambda ys, targets: ys.argmax(-1) != targets},
        **{"measure": "share of wrong answers", "scale": "linear"},
        chance=lambda steps: np.full(len(steps), 0.5),
    )


def drawing(values: dict[str, "np.ndarray"]) -> bytes:
    """The slide's network unrolled, from what `unrolled` gives."""
    import numpy as np

    from rnn_jax.byhand import networks

    w = {name: np.asarray(a) for name, a in networks.parity().weights["layers"][0].items()}
    places = {"x": (0.6, 0.0), "h1": (0.0, 1.5), "h2": (1.2, 1.5), "y": (0.6, 3.0)}
    units = {
        name: lengths.Unit(values[name], name, at, start=0 if name == "y" else None)
        for name, at in places.items()
    }
    arrows = []
    for i, h in enumerate(("h1", "h2")):
        arrows += [
            lengths.Arrow("x", h, w["W_xh"][0, i]),
            lengths.Arrow(h, "y", w["W_hy"][i, 0]),
            lengths.Arrow("y", h, w["W_yh"][0, i], later=True),
        ]
    thresholds = zip(("h1", "h2", "y"), [*-w["b_h"], *-w["b_y"]], strict=True)
    told = ", ".join(f"{name} above {t:g}" for name, t in thresholds)
    return lengths.unrolled(units, arrows, f"Parity, unrolled in time; a unit is 1: {told}")


def check(config: Config) -> "np.ndarray":
    """The bits of --input; BadInput for whatever cannot be used."""
    xs = bits(config.input)
    for length in config.shallow:
        if not 4 <= length <= 20:
            raise BadInput(f"--shallow {length}: must be at least 4 and at most 20")
    lengths.check(config, FILES)
    return xs


def run(config: Config) -> dict[str, Any]:
    """Show the networks set by hand, train the others, write what came of it."""
    began = time.monotonic()
    xs = check(config)
    from rnn_jax.byhand import networks

    found, values, rule = verify(config.seed), unrolled(xs), problem()
    show_by_hand(values, found)
    learners = [lengths.learner(config, rule, cell) for cell in dict.fromkeys(config.cells)]
    by_hand = lengths.from_hand(config, rule, "tanh", networks.smooth_parity(GAIN).weights)
    rows = lengths.compete(config, "parity", rule, learners + by_hand)
    largest = max(row.parameters for row in rows[: len(learners)])
    flat = shallow.compete(config, "parity", rule, largest, config.shallow)
    lengths.table(config, rule, rows)
    shallow.table(flat)
    told = {
        "config": dataclasses.asdict(config),
        "errors_by_hand": found,
        "learned": lengths.record(config, rows),
        "shallow": flat,
    }
    pictures = [lengths.picture(config, rule, rows), drawing(values)]
    text = json.dumps(plain(told), indent=1) + "\n"
    save(config.out, dict(zip(FILES, [text, *pictures], strict=True)))
    return lengths.result(config, rule, rows, rows[: len(learners)], time.monotonic() - began)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
