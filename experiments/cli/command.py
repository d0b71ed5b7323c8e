"""From the flags to the exit status."""

import contextlib
import dataclasses
import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.cli.flags import parse
from experiments.cli.programs import keep_programs
from experiments.cli.settings import CommonSettings, folder
from rnn_jax.errors import BadInput, Stopped
from rnn_jax.plain import plain, shown

RESULT_KEYS = (
    "experiment",
    "metric",
    "value",
    "baseline",
    "better",
    "seconds",
    "tokens_per_second",
    "parameters",
    "step",
    "digest",
    "out",
)


def main(
    name: str,
    config_class: type[CommonSettings],
    run: Callable[[Any], Mapping[str, Any]],
    quick: Mapping[str, Any],
    argv: Sequence[str] | None = None,
    *,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> int:
    """Parse the flags, run, print the results as one line of JSON; the exit status.

    ``name`` is the experiment's name or its ``__file__`` (a copied file so has a name of its own).
    ``run`` gets a config whose ``out`` is filled in, and what it prints goes to stderr: stdout
    holds the results alone. presets: what --preset NAME replaces before the other flags are read,
    where the config has such a field. An exception that `guard` does not know passes: it is a bug.
    """
    name, arguments = Path(name).stem, sys.argv[1:] if argv is None else argv

    def action() -> None:
        start = config_class()
        if presets and (chosen := _preset(arguments, presets)):
            start = dataclasses.replace(start, **presets[chosen], preset=chosen)
        if [a for a in arguments if a in ("--quick", "--no-quick")][-1:] == ["--quick"]:
            start = dataclasses.replace(start, **quick, quick=True)
        about = run.__globals__["__doc__"] or name
        config = parse(config_class, arguments, f"experiments.{name}", about, start)
        if config is None:
            return
        config = dataclasses.replace(config, out=str(folder(name, config, quick)))
        with _joined(name, config) as config:
            _mention_horizon(config)
            with contextlib.redirect_stdout(sys.stderr):
                results = run(config)
            print(result_line({"experiment": name, **results}), flush=True)

    return guard(action)


def _mention_horizon(config: Any) -> None:
    """Say where a run goes on after its learning rate has come to its end."""
    horizon, steps = getattr(config, "horizon", 0), getattr(config, "steps", 0)
    if 0 < horizon < steps:
        _say(f"note: of --steps {steps} those after --horizon {horizon} learn next to nothing")


def _preset(arguments: Sequence[str], presets: Mapping[str, Any]) -> str | None:
    """The last --preset among the arguments; None for one that there is not, which parsing says."""
    asked = []
    for token, following in itertools.zip_longest(arguments, arguments[1:]):
        name, equals, value = token.partition("=")
        if name == "--preset":
            asked.append(value if equals else following)
    return asked[-1] if asked and asked[-1] in presets else None


@contextlib.contextmanager
def _joined(name: str, config: Any) -> Iterator[Any]:
    """The config to run: with --distributed as one process of several, of which the first speaks.

    The others write to a folder of their own, which is thrown away, and say nothing.
    """
    if not getattr(config, "distributed", False):
        yield config
        return
    from rnn_jax import distributed

    def report(problem: BaseException) -> int:
        def again() -> None:
            raise problem

        try:
            return guard(again)
        except Exception:
            traceback.print_exc()
            return 1

    place = distributed.place(config.coordinator, config.process_id, config.processes)
    same = {**dataclasses.asdict(config), "experiment": name}
    for own in ("out", "process_id", "coordinator"):
        del same[own]
    same = json.loads(json.dumps(same))
    with distributed.joined(place, same, report) as scratch, contextlib.ExitStack() as quiet:
        if scratch:
            nowhere = quiet.enter_context(open(os.devnull, "w"))
            quiet.enter_context(contextlib.redirect_stdout(nowhere))
            quiet.enter_context(contextlib.redirect_stderr(nowhere))
            config = dataclasses.replace(config, out=scratch)
        yield config


def guard(action: Callable[[], None]) -> int:
    """Do it; the exit status.

    0: done. 2: bad input, one line on stderr. 130: Ctrl-C. 128 + number: stopped by that signal
    after saving. 141: whoever read the output has gone (``| head``). A ``SystemExit`` passes.
    """
    keep_programs()
    try:
        action()
        sys.stdout.flush()
    except BadInput as problem:
        _say(f"error: {problem}")
        return 2
    except Stopped as stop:
        _say(str(stop))
        return 128 + stop.number
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:  # the interpreter must not meet it again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def result_line(results: Mapping[str, Any]) -> str:
    """The results as one line of JSON: the contract's keys first, null for NaN and for absence."""
    return json.dumps(plain({**dict.fromkeys(RESULT_KEYS), **results}), allow_nan=False)


def _say(line: str) -> None:
    print(shown(" ".join(line.split())), file=sys.stderr, flush=True)
