"""Ablations: named changes of an experiment's settings times seeds, compared pair by pair.

    python -m experiments.ablate cells --base corpus=book.txt steps=600
    python -m experiments.ablate char_lm --vary cell=lstm,gru bptt=10,50 --seeds 5
    python -m experiments.ablate char_lm --vary dropout=0,0.3 --dry-run
    python -m experiments.ablate my_module:ABLATION --shard 1/4 --out runs/mine

NAME is one of experiments/sweep/named.py, an `experiments.sweep.Ablation` of a module of yours, or
an experiment whose fields --vary names. Every variant and seed is a run of its own below --out. The
same command again goes on where it was stopped, also by force; what is finished is not run again; a
trial that fails is named and the others go on (exit status 1). Writes trials.csv, table.csv,
table.txt, ablation.json and, as PNG and PDF, values and curves. The JSON line has the best mean;
its baseline is the first variant's.

For small models give --jobs as many processes as there are cores: each trial keeps its bits and its
resume. Seeds side by side in one program (`rnn_jax.together`) are not offered here, for on two
cores that is slower, but for models of 8 units with one lane.
"""

import dataclasses
import hashlib
import importlib
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from experiments import cli
from experiments.cli.files import save
from experiments.sweep import ABLATIONS, Ablation, Trial, estimate, grid, plan, tables, trials
from experiments.sweep.plan import module_of, read_change
from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is varied, how often, and which part of it is run here."""

    RANGES: ClassVar[Mapping[str, str]] = {
        "seeds": "[1, inf)",
        "seed": "[0, 4294967296)",
        "jobs": "[0, inf)",
    }

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """an ablation, module:ABLATION, or an experiment"""
    vary: tuple[str, ...] = ()
    """FIELD=A,B …: every combination of these is a variant, the first is the rule"""
    base: tuple[str, ...] = ()
    """FIELD=VALUE …: what all variants share"""
    seeds: int = 3
    """runs of every variant, with seeds --seed, --seed + 1 …"""
    seed: int = 0
    """the first seed"""
    quick: bool = False
    """from the experiment's own --quick"""
    shard: str = "1/1"
    """I/N: run only every N-th trial from the I-th on; the table is of all that are finished"""
    jobs: int = 0
    """trials side by side, in processes of their own; 0 is one after another in this one"""
    dry_run: bool = False
    """print the plan with estimated times and run nothing"""
    out: str = ""
    """the folder of all trials; if empty runs/ablate-NAME"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)
        found = re.fullmatch("([1-9][0-9]*)/([1-9][0-9]*)", self.shard)
        if not found or int(found[1]) > int(found[2]):
            raise BadInput(f"--shard {self.shard}: write I/N with I from 1 to N, such as 2/8")

    @property
    def part(self) -> slice:
        """Which of the trials are run here."""
        first, count = map(int, self.shard.split("/"))
        return slice(first - 1, None, count)


def chosen(options: Options) -> Ablation:
    """The ablation that the options describe; BadInput where there is none."""
    found = _named(options.name)
    module = module_of(found.experiment)
    base = dict(found.base)
    for written in options.base:
        field, values = read_change(module, written, "--base")
        if len(values) != 1:
            raise BadInput(f"--base {written}: give one value; several are for --vary")
        base[field] = values[0]
    if not options.vary:
        return found._replace(base=base)
    axes = dict(read_change(module, written, "--vary") for written in options.vary)
    if len(axes) < len(options.vary):
        raise BadInput("--vary names a field twice; write all of its values after one =")
    if found.variants:
        raise BadInput(f"{options.name} has variants of its own; --vary goes with an experiment")
    return Ablation(found.experiment, grid(**axes), base)


def _named(name: str) -> Ablation:
    if name in ABLATIONS:
        return ABLATIONS[name]
    place, colon, attribute = name.partition(":")
    if not colon:
        from experiments.__main__ import commands

        known = [command.name for command in commands() if command.is_experiment]
        if name in known:
            return Ablation(name, {})
        near = cli.nearest(name, [*ABLATIONS, *known])
        raise BadInput(f"no ablation or experiment {name}; nearest: {near}")
    try:
        found = getattr(importlib.import_module(place), attribute)
    except Exception as error:  # the module is the user's, and may fail in any way
        raise BadInput(f"{name} cannot be had: {' '.join(str(error).split())}") from error
    if not isinstance(found, Ablation):
        raise BadInput(f"{name} is no experiments.sweep.Ablation")
    return found


def show_plan(experiment: str, planned: Sequence[Trial], mine: Sequence[Trial], out: Path) -> dict:
    """The plan on stderr: what is finished, what is run here, and how long it will take."""
    done = trials.finished(out, planned, experiment)
    times = estimate.seconds(experiment, planned, done)
    names = {trial.name for trial in mine}
    width = max(len(trial.variant) for trial in planned)
    for trial in planned:
        told = "finished" if trial.name in done else estimate.duration(times[trial.name])
        where = "" if trial.name in names else "  (another shard)"
        trials.say(f"{trial.variant:{width}}  seed {trial.seed}  {told}{where}")
    left = [times[trial.name] for trial in mine if trial.name not in done]
    total = None if None in left else sum(left)
    trials.say(f"{len(left)} of {len(planned)} trials to run here: {estimate.duration(total)}")
    return {"experiment": "ablate", "trials": len(planned), "left": len(left), "seconds": total}


def conclude(
    options: Options,
    ablation: Ablation,
    planned: Sequence[Trial],
    out: Path,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The table, the files, and the result from what is finished."""
    from experiments.sweep import pictures
    from rnn_jax import plots

    done = trials.finished(out, planned, ablation.experiment)
    lines = tables.compare(planned, done)
    results = {name: record["result"] for name, record in done.items()}
    metric, better = next(
        ((r["metric"], r["better"]) for r in results.values() if r.get("metric")),
        ("value", "lower"),
    )
    table = tables.text(lines, f"{ablation.experiment}: {metric}")
    trials.say(f"\n{table}\n{len(done)} of {len(planned)} trials finished")
    digests = json.dumps({name: r.get("digest") for name, r in sorted(results.items())})
    means = {line.variant: line.value.mean for line in lines if line.value.mean is not None}
    best = (min if better == "lower" else max)(means, key=means.__getitem__) if means else None
    result = {
        **{"metric": f"{metric}, mean over seeds", "value": means.get(best), "best": best},
        **{"baseline": means.get(lines[0].variant), "better": better},
        **{"finished": len(done), "trials": len(planned), "failed": dict(failed)},
        **{"digest": hashlib.sha256(digests.encode()).hexdigest()[:32], "out": str(out)},
    }
    files = {"trials.csv": tables.trials_csv(planned, done), "table.csv": tables.table_csv(lines)}
    told = {**ablation._asdict(), "seeds": options.seeds, "first_seed": options.seed}
    told |= {"lines": [line._asdict() for line in lines], "result": result}
    files |= {"table.txt": table + "\n", "ablation.json": json.dumps(told, indent=1) + "\n"}
    if done:
        drawn = {"values": pictures.values(lines, metric), "curves": pictures.curves(planned)}
        for name, figure in drawn.items():
            if figure is not None:
                files |= {f"{name}.png": plots.png(figure), f"{name}.pdf": plots.pdf(figure)}
    save(str(out), files)
    return result


def ablate(options: Options) -> dict[str, Any]:
    """Run what is left of this shard, and compare all that is finished."""
    began = time.monotonic()
    ablation = chosen(options)
    out = Path(options.out or f"runs/ablate-{options.name.replace(':', '.')}")
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; use another --out")
    seeds = range(options.seed, options.seed + options.seeds)
    planned = plan(ablation, seeds, out, quick=options.quick)
    mine = planned[options.part]
    if options.dry_run:
        return show_plan(ablation.experiment, planned, mine, out)
    done = trials.finished(out, planned, ablation.experiment)
    left = [trial for trial in mine if trial.name not in done]
    trials.say(f"{len(left)} trials to run here, {len(done)} of {len(planned)} finished")
    if options.jobs:
        from experiments.sweep.processes import at_a_time

        failed = at_a_time(out, left, ablation.experiment, options.jobs)
    else:
        failed = trials.one_by_one(out, left, ablation.experiment)
    result = conclude(options, ablation, planned, out, failed)
    return {"experiment": "ablate", **result, "seconds": round(time.monotonic() - began, 2)}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and run; the exit status, 1 where a trial failed."""
    arguments, failed = sys.argv[1:] if argv is None else argv, []

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.ablate", __doc__)
        if options is not None:
            result = ablate(options)
            failed.extend(result.get("failed", ()))
            print(cli.result_line(result), flush=True)

    status = cli.guard(action)
    return status or min(1, len(failed))


if __name__ == "__main__":
    sys.exit(main())
