"""Shallow feed-forward nets beside the recurrent ones: a sequence of fixed length, all at once."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.lengths.entrants import Entrant, Problem, entrant, train_all
from experiments.lengths.report import errors
from experiments.lengths.settings import LengthSettings

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

_TESTED = 4096  # sequences, at most


class Split(NamedTuple):
    """Bits [N, 1, n], each sequence one step of n inputs, and their parities [N, 1]."""

    xs: "np.ndarray"
    targets: "np.ndarray"


def splits(length: int) -> tuple[Split, Split]:
    """Every sequence of n bits, split at random: three quarters to train on, the rest held out.

    The split is one and the same for all seeds.
    """
    import numpy as np

    from rnn_jax.data import synthetic

    shuffled = synthetic.all_sequences(2, length)
    synthetic.generator(0, 0, held_out=True).shuffle(shuffled)
    parity = synthetic.parity(shuffled)[:, -1:]
    whole = Split(shuffled[:, None, :].astype(np.float32), parity)
    cut = len(shuffled) * 3 // 4
    return Split(*(a[:cut] for a in whole)), Split(*(a[cut:] for a in whole))


def net(config: LengthSettings, length: int, hidden: int) -> Entrant:
    """``y = tanh(x W_xh + b_h) W_hy + b_y``: one step of a tanh cell from h_0 = 0, W_hh idle."""
    import numpy as np

    from rnn_jax import losses, tasks
    from rnn_jax.data import synthetic

    (known, unknown), fresh = splits(length), np.ones(config.lanes, bool)

    def task(seed: int) -> tasks.Task:

        def batch(position: int) -> tasks.Batch:
            rng = synthetic.generator(seed, position)
            rows = rng.integers(0, len(known.xs), config.lanes)
            return tasks.Batch(known.xs[rows], known.targets[rows], fresh=fresh)

        held_out = tasks.Batch(*(a[:_TESTED] for a in unknown))
        return tasks.Task(
            *(batch, lambda: [held_out], losses.cross_entropy),
            *(config.lanes, config.horizon, config.lanes),
        )

    sizes = {"inputs": length, "outputs": 2, "cell": "tanh", "hidden": hidden, "layers": 1}
    return entrant(f"shallow-{length}", task, **sizes)


def compete(
    config: LengthSettings,
    experiment: str,
    problem: Problem,
    parameters: int,
    lengths: Sequence[int],
) -> list[dict[str, Any]]:
    """A net of at least so many parameters for each length; its errors on both parts, each seed."""
    rows = []
    for n in lengths:
        hidden = math.ceil((parameters - 2) / (n + 3))
        one = net(config, n, hidden)
        learned = [state.params for state in train_all(config, experiment, one)]
        known, unknown = (
            errors(one, problem, learned, Split(*(a[:_TESTED] for a in part)))[:, 0].tolist()
            for part in splits(n)
        )
        size = {"length": n, "hidden": hidden, "parameters": (n + 3) * hidden + 2}
        rows.append({**size, "trained_on": known, "held_out": unknown})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> None:
    """The rows on stderr, a number for each seed."""
    print("\nshallow feed-forward nets: share of wrong answers, each seed", file=sys.stderr)
    print(f"length  hidden  parameters  {'trained on':24} held out", file=sys.stderr)
    for row in rows:
        known, unknown = (
            " ".join(f"{v:7.3g}" for v in row[part]) for part in ("trained_on", "held_out")
        )
        head = f"{row['length']:6}  {row['hidden']:6}  {row['parameters']:10}"
        print(f"{head}  {known:24} {unknown}", file=sys.stderr)
