"""Find where two runs begin to differ: the first step, and the first leaf or the first number.

    python -m experiments.diverge runs/a runs/b

Compares the digests of every state that both runs saved, also of steps that are no longer kept,
and every number that both logged at a step, to the bit. Says beside it in what the two commands
and their surroundings differ. Exit status 0 for runs that are equal where they can be compared, 1
for runs that differ. Both are only read. `--log-every 1` and `--save-every 1` make it exact to the
step.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments import cli
from rnn_jax.errors import BadInput
from rnn_jax.plain import shown

if TYPE_CHECKING:
    from rnn_jax.run.history import Difference


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which two."""

    one: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """a run's folder"""
    other: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """another's"""


def diverge(options: Options) -> bool:
    """Compare, and print what came of it; whether the runs are equal."""
    from rnn_jax.run import history, manifest
    from rnn_jax.run.surroundings import lost

    folders = Path(options.one), Path(options.other)
    told = [manifest.read(folder) for folder in folders]
    states = [history.digests(folder) for folder in folders]
    rows = [history.rows(folder) for folder in folders]
    common = [sorted(a.keys() & b.keys()) for a, b in (states, rows)]
    if not any(common):
        raise BadInput(f"{options.one} and {options.other} have no step in common to compare")
    state = history.first_difference(*states, whole=True)
    row = history.first_difference(*rows, whole=False)
    for line in [*configurations(*told), *lost(*told)]:
        print(shown(f"note: {line}"), file=sys.stderr)
    print(shown(sentence("states saved", common[0], state)), file=sys.stderr)
    print(sentence("rows logged", common[1], row), file=sys.stderr)
    result = {
        "tool": "diverge",
        "runs": [options.one, options.other],
        "equal": state is None and row is None,
        "state": state and {"step": state.step, "leaf": state.names[0], "equal_at": state.before},
        "row": row and {"step": row.step, "name": row.names[0], "equal_at": row.before},
    }
    print(json.dumps(result))
    return result["equal"]


def configurations(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two records ask for different runs, a line each."""
    if one["experiment"] != other["experiment"]:  # then little of the rest can be the same
        return [f"experiment is {one['experiment']} in the one, {other['experiment']} in the other"]
    names = dict.fromkeys([*one["identity"], *other["identity"]])
    pairs = [(name, one["config"].get(name), other["config"].get(name)) for name in names]
    pairs.append(("text", one["data"].get("digest"), other["data"].get("digest")))
    return [f"{name} is {a} in the one, {b} in the other" for name, a, b in pairs if a != b]


def sentence(what: str, steps: Sequence[int], difference: "Difference | None") -> str:
    """What came of a comparison at these steps, in a line."""
    if not steps:
        return f"{what}: none in common"
    if difference is None:
        return f"{what}: equal at all {len(steps)} in common, {steps[0]} to {steps[-1]}"
    since = "the first" if difference.before is None else f"equal up to step {difference.before}"
    names = ", ".join(difference.names[:3]) + (", …" if len(difference.names) > 3 else "")
    return f"{what}: different at step {difference.step} ({since}) in {names}"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and compare; the exit status."""
    arguments, equal = sys.argv[1:] if argv is None else argv, [True]

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.diverge", __doc__)
        if options is not None:
            equal[0] = diverge(options)

    return cli.guard(action) or int(not equal[0])


if __name__ == "__main__":
    sys.exit(main())
