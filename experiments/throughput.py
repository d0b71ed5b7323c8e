"""Race this library against PyTorch, Flax, Equinox, Keras and a plain scan, on the machine at hand.

    pip install -e ".[peers]" && python -m experiments.throughput      all there is, under an hour
    python -m experiments.throughput --quick                       small sizes, under a minute
    python -m experiments.throughput --only layer --cells lstm --rows T=25

Everybody takes turns in one warm process, and nobody races who does not compute the same outputs
and gradients on the same weights. Layers are also held against the machine's own limit, the time of
their matrix products in the same run. Peers that are not installed are passed over. Besides: whole
training steps, sampling, growth with every size and of memory, start-up, many seeds in one program,
devices. Times are medians in milliseconds; a ratio above 1 means that this library is ahead.
"""

import dataclasses
import sys
import time
from typing import Any

from experiments import cli
from experiments.cli.files import check
from experiments.racing.settings import Job, RaceSettings, chosen

FILES = ("results.json", "ratios.png", "growth.png")
# --quick starts no other process and compiles no seeds side by side: each would take too much of
# its minute.
QUICK = {"turns": 5, "only": ("layer", "step", "sampling", "growth")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RaceSettings):
    """Defaults: every row there is."""


def jobs(config: Config) -> list[Job]:
    """All rows of the kinds that were asked for, in the order of --only's help."""
    from experiments.racing import devices, growth, layers, sampling, seeds, startup, steps

    kinds = {
        **{"layer": layers, "step": steps, "sampling": sampling, "growth": growth},
        **{"startup": startup, "seeds": seeds, "devices": devices},
    }
    every = [
        job for kind, made in kinds.items() if kind in config.only for job in made.jobs(config)
    ]
    return chosen(every, config)


def run(config: Config) -> dict[str, Any]:
    """Measure row after row; results.json and the pictures are in the run's folder."""
    from experiments.racing import pictures, report

    began = time.monotonic()
    config = dataclasses.replace(config, peers=report.installed(config.peers))
    asked = jobs(config)
    check(config.out, FILES)
    results = {**report.surroundings(), "config": cli.identity(config), "rows": []}
    report.write(config, results, {})  # what cannot be written is better known now
    for job in asked:
        row = {"kind": job.kind, "name": job.name, **job.measure()}
        results["rows"].append(row)
        print(report.line(row), file=sys.stderr, flush=True)
        report.write(config, results, {})
    report.write(config, results, pictures.drawn(results["rows"]))
    seconds = round(time.monotonic() - began, 2)
    return {**report.score(results["rows"]), "seconds": seconds, "out": config.out}


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
