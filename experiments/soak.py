"""Kill a run again and again at random moments, and see that it ends in the same bits.

    python -m experiments.soak --kills 100                  some 15 minutes on two cores
    python -m experiments.soak --kills 100 --damage 0.5     half of the kills also damage a file
    python -m experiments.soak --kills 40 --devices 1 2     and each life has a number of devices

A small character model with dropout and truncated backpropagation over several epochs is trained
once without a stop, then in a second folder by processes that SIGKILL ends: while they start,
train, or save. Then the digests of the two states at every step that both saved, and every row of
metrics, are compared to the bit. The same command goes on where it stood (the journal is
soak.json in --out). Exit status 0 if all is equal, 1 if not. Figures of a long one are in
experiments/results/soak.json.
"""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from rnn_jax.errors import BadInput

_ROOT = Path(__file__).resolve().parents[1]
_WORDS = ("to", "be", "or", "not", "that", "is", "the", "question", "whether", "nobler", "mind")
_FLAGS = (
    *("--cell", "gru", "--layers", "2", "--hidden", "8", "--embed", "4", "--bptt", "5"),
    *("--lanes", "4", "--dropout", "0.3", "--log-every", "1", "--eval-every", "50"),
    *("--save-every", "5", "--sample-length", "5"),
)
_STARTING = 0.2  # share of the kills that come before a process has trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How often, and what else goes wrong."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"kills": "[0, inf)", "steps": "[10, inf)", "damage": "[0, 1]"},
        "seed": "[0, 4294967296)",
    }

    kills: int = 100
    """SIGKILLs in total, those of earlier commands included"""
    steps: int = 1500
    """steps of the run; it reads its text in 200"""
    damage: float = 0.0
    """share of the kills after which a file of the newest checkpoint is damaged"""
    devices: tuple[int, ...] = (1,)
    """numbers of devices, one drawn for each life; several ask for --invariant"""
    seed: int = 0
    """of the moments"""
    out: str = "runs/soak"
    """the folder of both runs and the journal"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)


def soak(options: Options) -> bool:
    """Kill until it has been often enough, let it finish, compare; whether all is equal."""
    out = Path(options.out)
    prepare(out)
    journal = Journal(out, options)
    finish(command(options, out / "straight", options.devices[0]), out)
    seconds = journal.told.setdefault("straight_seconds", time.monotonic() - journal.began)
    journal.write()
    while len(journal.told["kills"]) < options.kills:
        chance = random.Random(f"{options.seed}/{len(journal.told['kills'])}")
        kill = one_kill(options, out / "killed", chance, seconds)
        if kill is None:
            raise BadInput(
                f"the run was finished after {len(journal.told['kills'])} kills;"
                f" give it more --steps than {options.steps} in another --out"
            )
        journal.add(kill)
    finish(command(options, out / "killed", options.devices[-1]), out)
    return report(options, out, journal)


class Journal:
    """What has been done so far, in soak.json."""

    def __init__(self, out: Path, options: Options) -> None:
        self.path, self.began = out / "soak.json", time.monotonic()
        self.told = {"options": dataclasses.asdict(options), "kills": []}
        if self.path.exists():
            self.told = json.loads(self.path.read_text())
            names = ("steps", "damage", "devices", "seed")
            asked = json.loads(json.dumps(dataclasses.asdict(options)))
            if differ := [n for n in names if asked[n] != self.told["options"][n]]:
                raise BadInput(f"{out} is a soak with another --{differ[0]}; use another --out")

    def add(self, kill: Mapping[str, Any]) -> None:
        """One more, on the disk at once."""
        self.told["kills"].append(kill)
        self.write()
        count = len(self.told["kills"])
        print(f"kill {count}: {json.dumps(kill)}", file=sys.stderr, flush=True)

    def write(self) -> None:
        """All of it."""
        self.path.write_text(json.dumps(self.told, indent=1) + "\n")


def prepare(out: Path) -> None:
    """The folder with its text, the same at every command."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        words = random.Random(0).choices(_WORDS, k=900)
        (out / "text.txt").write_text(" ".join(words))
    except OSError as error:
        raise BadInput(f"--out {out}: cannot write {error.filename}: {error.strerror}") from error


def command(options: Options, folder: Path, devices: int) -> list[str]:
    """One life of the run in a folder."""
    several = ["--invariant"] if len(set(options.devices)) > 1 else []
    return [
        *(sys.executable, "-m", "experiments.char_lm", *_FLAGS, *several),
        *("--corpus", str(folder.parent.resolve() / "text.txt"), "--out", str(folder.resolve())),
        *("--steps", str(options.steps), "--devices", str(devices)),
    ]


def started(words: Sequence[str], out: Path) -> subprocess.Popen:
    """A process of the run; programs are compiled once, what it says goes to log.txt."""
    count = "--xla_force_host_platform_device_count=8"
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str((out / "programs").resolve()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {count}".strip(),
    }
    environment = {**os.environ, **cache}
    with (out / "log.txt").open("ab") as log:
        return subprocess.Popen(words, cwd=_ROOT, env=environment, stdout=log, stderr=log)


def finish(words: Sequence[str], out: Path) -> None:
    """A life without a kill; BadInput where it does not end well."""
    if started(words, out).wait():
        raise BadInput(f"a process failed; see {out / 'log.txt'}")


def one_kill(
    options: Options, folder: Path, chance: random.Random, seconds: float
) -> dict[str, Any] | None:
    """Starts the run, ends it at a random moment, perhaps damages a file; None if it finished."""
    devices, out = chance.choice(options.devices), folder.parent
    process = started(command(options, folder, devices), out)
    began, before = time.monotonic(), written(folder)
    starting = chance.random() < _STARTING
    if starting:
        time.sleep(chance.uniform(0, 0.5 * min(seconds, 10)))
    else:
        while written(folder) == before and process.poll() is None:
            time.sleep(0.002)
        # Twice the time that a kill may cost on average, so that the run lasts for all of them.
        time.sleep(chance.uniform(0, min(1.0, 1.2 * seconds / max(options.kills, 1))))
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        return None
    training = written(folder) != before
    unfinished = list((folder / "checkpoints").glob("*.orbax-checkpoint-tmp"))
    kill = {"after": round(time.monotonic() - began, 3), "devices": devices}
    # A process that had not trained yet may have met what the one before it left unfinished.
    kill |= {"training": training, "saving": training and bool(unfinished), "steps": saved(folder)}
    if chance.random() < options.damage:
        kill["damaged"] = damage(folder, chance)
    return kill


def written(folder: Path) -> int:
    """Grows, or at least changes, when the run trains."""
    path = folder / "digests.jsonl"
    return path.stat().st_mtime_ns if path.exists() else 0


def saved(folder: Path) -> list[int]:
    """The steps in the folder."""
    found = (folder / "checkpoints").glob("*")
    return sorted(int(path.name) for path in found if path.name.isdecimal())


def damage(folder: Path, chance: random.Random) -> str | None:
    """Spoils one file of the newest step where there is one before it; says how."""
    steps = saved(folder)
    if len(steps) < 2:
        return None
    files = (folder / "checkpoints" / str(steps[-1])).rglob("*")
    path = chance.choice(sorted(p for p in files if p.is_file()))
    data, how = bytearray(path.read_bytes()), chance.choice(("cut", "flip", "zero", "empty"))
    if how == "flip" and data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    content = {"cut": data[: len(data) // 2], "flip": data, "zero": bytes(len(data)), "empty": b""}
    path.write_bytes(content[how])
    return f"{how} {path.name}"


def report(options: Options, out: Path, journal: Journal) -> bool:
    """Compares the two runs and prints what happened; whether they are equal."""
    from rnn_jax.run import history
    from rnn_jax.run.records import read_rows

    folders = out / "straight", out / "killed"
    states = [history.digests(folder) for folder in folders]
    rows = [read_rows(folder / "metrics.jsonl") for folder in folders]
    log = (out / "log.txt").read_text(errors="replace")
    kills = journal.told["kills"]
    told = {
        "options": journal.told["options"] | {"kills": len(kills)},
        "kills_while_starting": sum(not kill["training"] for kill in kills),
        "kills_while_saving": sum(kill["saving"] for kill in kills),
        "files_damaged": sum(bool(kill.get("damaged")) for kill in kills),
        "steps_named_as_damaged": log.count("is damaged: "),
        "starts_again_at_0": log.count("starting again at step 0"),
        "tracebacks": log.count("Traceback"),
        "states_compared": len(states[0].keys() & states[1].keys()),
        "states_equal": states[0] == states[1],
        "rows_equal_and_each_step_once": rows[0] == rows[1]
        and [row["step"] for row in rows[1]] == list(range(1, options.steps + 1)),
        "final_step": max(states[1]),
        "machine_seconds": round(sum(kill["after"] for kill in kills), 1),
    }
    print(json.dumps({"tool": "soak", **told}))
    equal = told["states_equal"] and told["rows_equal_and_each_step_once"]
    return equal and not told["tracebacks"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and soak; the exit status."""
    arguments, equal = sys.argv[1:] if argv is None else argv, [True]

    def action() -> None:
        options = cli.parse(Options, arguments, "experiments.soak", __doc__, Options())
        if options is not None:
            equal[0] = soak(options)

    return cli.guard(action) or int(not equal[0])


if __name__ == "__main__":
    sys.exit(main())
