"""Train a run anew, from its beginning or from a checkpoint, and compare every bit it recorded.

    python -m experiments.replay runs/char_lm                      up to the last step it saved
    python -m experiments.replay runs/char_lm --to-step 600
    python -m experiments.replay runs/char_lm --to-step 2400 --from-step 1800

The run's own configuration is trained in a temporary folder, and the digests of all leaves are
compared at every step that both saved. Says what of the surroundings has changed, then equal, or
the first step and the first leaf that differ. Exit status 0 for equal, 1 for different; the run
itself is only read. The text has to be where it was when the run began.
"""

import contextlib
import dataclasses
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import cli
from rnn_jax.errors import BadInput
from rnn_jax.plain import shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which run, and which part of it."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the run's folder"""
    to_step: int | None = None
    """the step to stop at, one of those saved; if None the last of them"""
    from_step: int | None = None
    """the checkpoint to start from, one that is kept; if None step 0"""
    trust: bool = False
    """let the run import the module of its own cell"""


def replay(options: Options) -> bool:
    """Compare, and print what came of it; whether all is equal."""
    from rnn_jax.run import history, manifest

    folder = Path(options.run)
    told = manifest.read(folder)
    recorded = history.digests(folder)
    last = target(options, recorded)
    module, config = experiment(told, trust=options.trust)
    with tempfile.TemporaryDirectory(prefix="replay-") as place:
        again = Path(place, "run")
        prepare(folder, told, again, options.from_step)
        # How far it went is known, however it was that it ended there.
        until = {"steps": last, "patience": 0, "checkpoints": ""}
        with contextlib.redirect_stdout(sys.stderr):
            module.run(dataclasses.replace(config, out=str(again), **until))
        found = history.digests(again)
    first = options.from_step or 0
    compared = sorted(step for step in found.keys() & recorded.keys() if first < step <= last)
    difference = history.first_difference(
        *({step: digests[step] for step in compared} for digests in (recorded, found)), whole=True
    )
    print(shown(sentence(first, compared, difference)), file=sys.stderr)
    row = difference and {"step": difference.step, "leaf": difference.names[0]}
    result = {"run": options.run, "from": first, "to": last, "compared": compared}
    print(json.dumps({"tool": "replay", **result, "equal": not difference, "differs": row}))
    return difference is None


def target(options: Options, recorded: Mapping[int, Any]) -> int:
    """The step to go to; BadInput where its digests, or the checkpoint to start from, are none."""
    from rnn_jax import run

    if not recorded:
        raise BadInput(f"{options.run} has saved no step yet; train it further")
    last = max(recorded) if options.to_step is None else options.to_step
    if last not in recorded:
        near = ", ".join(map(str, sorted(sorted(recorded, key=lambda s: abs(s - last))[:5])))
        raise BadInput(f"--to-step {last}: the run recorded no digests there; it did at {near}")
    if options.from_step is not None:
        kept = [step for step in run.steps(Path(options.run)) if step < last]
        if options.from_step not in kept:
            these = ", ".join(map(str, kept)) or "none"
            raise BadInput(f"--from-step {options.from_step}: kept before {last}: {these}")
    return last


def experiment(told: Mapping[str, Any], *, trust: bool) -> tuple[Any, Any]:
    """The module that made a run, and the run's Config. BadInput where there is none.

    What a stranger's run.json names is looked up among the experiments, never imported by name.
    """
    from experiments.__main__ import commands

    known = [command.name for command in commands() if command.is_experiment]
    if told["experiment"] not in known:
        raise BadInput(f"no experiment {told['experiment']!r} here; known: {', '.join(known)}")
    module = importlib.import_module(f"experiments.{told['experiment']}")
    names = {field.name for field in dataclasses.fields(module.Config)}
    if strange := sorted(told["config"].keys() - names):
        raise BadInput(
            f"the run's configuration has {strange[0]}, which {told['experiment']} cannot be told:"
            " another version made it, or it is one of several runs of one command"
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in told["config"].items()}
    if not trust and (code := foreign_code(values)):
        raise BadInput(f"the run's cell {code} is code from outside; --trust runs it")
    try:
        return module, module.Config(**values)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"the run's configuration cannot be used ({error})") from error


def foreign_code(values: Mapping[str, Any]) -> str | None:
    """The first cell that is given as module:constructor."""
    for name in [name for name in values if "cell" in name]:
        given = values[name] or ()
        for cell in given if isinstance(given, tuple) else (given,):
            if ":" in str(cell):
                return str(cell)
    return None


def prepare(run: Path, told: dict[str, Any], again: Path, from_step: int | None) -> None:
    """A folder that the run's command would go on in: its run.json, and one checkpoint or none."""
    from rnn_jax.run import checkpoints, manifest, places

    again.mkdir()
    manifest.write(again, {**told, "checkpoints": None})
    if from_step is not None:
        checkpoints.fetch(places.of(run, told), from_step, again)


def sentence(first: int, compared: Sequence[int], difference: Any) -> str:
    """What came of it, in a line."""
    if difference is None:
        return f"equal: all leaves at {len(compared)} steps from {first} to {compared[-1]}"
    more = len(difference.names) - 1
    others = f" and {more} more leaves" if more else ""
    upto = (
        "from the start" if difference.before is None else f"equal up to step {difference.before}"
    )
    return f"different: step {difference.step}, {difference.names[0]}{others}; {upto}"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and replay; the exit status."""
    arguments, equal = sys.argv[1:] if argv is None else argv, [True]

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.replay", __doc__)
        if options is not None:
            equal[0] = replay(options)

    return cli.guard(action) or int(not equal[0])


if __name__ == "__main__":
    sys.exit(main())
