"""Why it is hard to learn far: gradients that vanish and explode, watched while networks learn.

    python -m experiments.gradients                       2 to 3 minutes on two cores
    python -m experiments.gradients --lag 5 --length 15   a shorter memory, which all learn
    python -m experiments.gradients --entrants tanh:spectral:1.5 --clips none norm value adaptive

Every network is asked for the symbol it read --lag steps ago. At each evaluation the gradient of
the last step's loss by the hidden state of every lag before it is taken, with the singular values
of a step's Jacobian, the spectral radius of W_hh and finite-time Lyapunov exponents. An entrant is
CELL, CELL:HOW or CELL:HOW:RADIUS, where HOW is orthogonal, identity, gaussian or spectral. Prints a
table; writes gradients.json, heat.png and spectra.png with a PDF of each. The JSON line's value is
the share of wrong answers of the best; guessing has 1 - 1 / symbols. Measured, in
experiments/results/gradients.json: 0.50 by a GRU, 0.66 by a ReLU RNN from the identity, whose
gradients reach lag 20; an LSTM and every tanh RNN stay at 0.85 to 0.87: theirs do not.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments import cli, flow
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from rnn_jax.errors import BadInput
from rnn_jax.plain import plain

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.fit import Outcome

FILES = ("gradients.json", "heat.png", "heat.pdf", "spectra.png", "spectra.pdf")
QUICK = {
    **{"entrants": ("tanh:spectral:0.5", "gru"), "lag": 4, "length": 16, "symbols": 4},
    **{"hidden": 16, "lanes": 32, "steps": 500, "eval_every": 125, "save_every": 500, "lr": 0.01},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.Settings):
    """Defaults: a memory of 20 steps, which some beginnings reach and some do not."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"symbols": "[2, 1000]", "lag": "[1, inf)", "length": "[2, inf)", "hidden": "[2, inf)"},
        **{"lanes": "[1, inf)", "seen": "[1, 128]"},
    }

    entrants: tuple[str, ...] = (
        *("tanh:spectral:0.5", "tanh:gaussian", "tanh:orthogonal", "tanh:identity"),
        *("tanh:spectral:2", "relu:identity", "gru", "lstm"),
    )
    """the networks: CELL, CELL:HOW or CELL:HOW:RADIUS"""
    clips: tuple[Literal["none", "norm", "value", "adaptive"], ...] = ("norm",)
    """ways of clipping, each for every network; --clip is the bound"""
    symbols: int = 8
    """how many there are"""
    lag: int = 20
    """how long ago the symbol was that is asked for"""
    length: int = 50
    """steps of a sequence; none of its gradient is cut"""
    hidden: int = 48
    """width H of the hidden layer"""
    lanes: int = 32
    """sequences in one update"""
    seen: int = 16
    """held-out sequences over which gradients are looked at"""
    steps: int = 3000
    """updates in total; a resumed run goes on up to here"""
    lr: float = 3e-3
    """learning rate of Adam"""
    log_every: int = 20
    """steps between two lines of metrics"""
    eval_every: int = 150
    """steps between two looks at the gradients"""
    save_every: int = 1500
    """steps between two checkpoints"""


def check(config: Config) -> list[flow.Entrant]:
    """Who learns; BadInput for whatever cannot be used."""
    if config.lag >= config.length:
        raise BadInput(f"--lag {config.lag}: must be below --length {config.length}")
    if not config.entrants or not config.clips:
        raise BadInput("--entrants and --clips: name at least one of each")
    if not config.clip and set(config.clips) != {"none"}:
        raise BadInput("--clip 0 clips nothing; give --clips none instead")
    check_folder(config.out, FILES)
    return flow.entrants(config.entrants, config.clips)


def summary(config: Config, outcome: "Outcome", looks: list[flow.Look]) -> dict[str, Any]:
    """A row of the table; kept is the gradient at the asked lag over that at lag 1."""

    def ratio(look: flow.Look) -> float | None:
        near, far = look.flow[0], look.flow[config.lag - 1]
        return None if not near or far is None else far / near

    first, last = looks[0], looks[-1]
    return {
        **{"wrong": outcome.best, "best_step": outcome.best_step},
        **{"step": int(outcome.state.step), "skipped": int(outcome.state.skipped)},
        **{"kept_at_first": ratio(first), "kept_at_last": ratio(last)},
        **{"radius_at_first": max(first.radius), "radius_at_last": max(last.radius)},
        **{"exponent_at_first": first.exponents[0], "exponent_at_last": last.exponents[0]},
    }


def table(config: Config, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """The rows on stderr."""
    width = max(len(name) for name in rows)
    head = f"{'network':{width}}  wrong  gradient kept over {config.lag} steps  radius of W_hh"
    lines = [f"\n{head}  largest exponent", f"{'':{width}}         first → last"]
    for name, row in rows.items():
        pairs = [[row[f"{what}_at_{at}"] for at in ("first", "last")] for what in _PAIRS]
        told = ["→".join("    –    " if v is None else f"{v:9.2g}" for v in pair) for pair in pairs]
        lines.append(f"{name:{width}}  {row['wrong']:5.3f}  {'   '.join(told)}")
    print("\n".join(lines), file=sys.stderr)


_PAIRS = ("kept", "radius", "exponent")


def run(config: Config) -> dict[str, Any]:
    """Train and watch every entrant, then show them side by side."""
    began = time.monotonic()
    names = check(config)
    from rnn_jax import plots
    from rnn_jax.digest import digest

    rows, seen, states = {}, {}, {}
    for entrant in names:
        outcome = flow.train(config, entrant, flow.watcher(config, entrant))
        seen[entrant.name] = flow.looks(flow.folder(config, entrant))
        states[entrant.name] = outcome.state
        rows[entrant.name] = summary(config, outcome, seen[entrant.name])
    table(config, rows)
    best = min(rows, key=lambda name: rows[name]["wrong"])
    told = {"config": dataclasses.asdict(config), "table": rows}
    told["looks"] = {name: [look._asdict() for look in those] for name, those in seen.items()}
    heat, spectra = flow.heat(config, seen), flow.spectra(seen)
    drawn = [f(figure) for figure in (heat, spectra) for f in (plots.png, plots.pdf)]
    text = json.dumps(plain(told)) + "\n"
    save(config.out, dict(zip(FILES, [text, *drawn], strict=True)))
    return {
        "metric": f"share of wrong answers at lag {config.lag}, best network",
        **{"value": rows[best]["wrong"], "baseline": 1 - 1 / config.symbols, "better": "lower"},
        **{"best": best, "seconds": round(time.monotonic() - began, 2)},
        **{"step": rows[best]["step"], "digest": digest(states), "out": config.out},
    }


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
