"""What came of the races: lines on stderr, and the results as JSON."""

import importlib.metadata
import importlib.util
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.cli.files import save
from experiments.racing.settings import Peer, RaceSettings
from experiments.racing.turns import cores, rounded
from rnn_jax.errors import BadInput

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "equinox", "keras")
_OWN_COLUMN = ("kind", "name", "ours_ms", "peers", "ratio", "best_peer", "products_ms", "min_ms")
_UNSAID = ("axis", "at", "turns", "refused", "parts_ms", "steps_a_turn", "characters")
_BUSY = 0.5  # load beyond which times are not to be trusted


def installed(peers: Sequence[Peer]) -> tuple[Peer, ...]:
    """Those of the peers that can be imported; says which cannot."""
    there = tuple(p for p in peers if p == "scan" or importlib.util.find_spec(p) is not None)
    for peer in peers:
        if peer not in there:
            print(f'{peer} is not installed; pip install -e ".[peers]" has it', file=sys.stderr)
    return there


def load() -> float | None:
    """How many processes wanted a core in the last minute; says so where that spoils times."""
    if not hasattr(os, "getloadavg"):
        return None
    now = os.getloadavg()[0]
    if now > _BUSY:
        print(
            f"the machine is busy (load {now:.1f}): times are noisy, and PyTorch's threads, which"
            " wait for each other in a loop, lose most",
            file=sys.stderr,
        )
    return round(now, 2)


def surroundings() -> dict[str, Any]:
    """Machine, versions, revision and command; before the races, with the load that it finds."""
    from rnn_jax.run import environment

    found = environment()
    versions = {"python": found["python"]}
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is not None:
            versions[package] = importlib.metadata.version(package)
    return {
        "machine": f"{found['processor']}, {cores()} cores, {found['platform']}",
        "versions": versions,
        "git": found["git"],
        "flags": found["flags"],
        "loops": found["loops"],
        "command": ["python", "-m", "experiments.throughput", *sys.argv[1:]],
        "load": load(),
    }


def line(row: Mapping[str, Any]) -> str:
    """A row as one line of the table: times in milliseconds."""
    peers = "  ".join(f"{name} {ms:.4g}" for name, ms in row["peers"].items())
    told = [f"{row['kind']:8} {row['name']:36} ours {row['ours_ms']:<8.4g} {peers}"]
    if "ratio" in row:
        told.append(f"{row['ratio']:.2f}x {row['best_peer']}")
    if "products_ms" in row:
        told.append(f"{row['of_products']:.2f} of products {row['products_ms']:.4g}")
    more = {name: value for name, value in row.items() if name not in (*_OWN_COLUMN, *_UNSAID)}
    more.pop("of_products", None)
    told += [f"{name} {_shown(value)}" for name, value in more.items()]
    return " | ".join(told)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(
    settings: RaceSettings, results: Mapping[str, Any], pictures: Mapping[str, bytes]
) -> None:
    """The results so far, to the run's folder and to --json: a race may be ended at any time."""
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    save(settings.out, {"results.json": text, **pictures})
    if settings.json:
        try:
            Path(settings.json).write_text(text, "utf-8")
        except OSError as error:
            raise BadInput(f"--json {settings.json}: cannot write: {error.strerror}") from error


def score(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The experiment's result: how far ahead of the best peer the layers are, over all rows."""
    layers = [row["ratio"] for row in rows if row["kind"] == "layer" and "ratio" in row]
    steps = [row for row in rows if row["kind"] == "step"]
    speeds = [row["tokens_per_second"]["ours"] for row in steps]
    return {
        "metric": "best peer's time over ours, geometric mean over layers",
        "value": rounded(statistics.geometric_mean(layers)) if layers else None,
        "baseline": 1.0,
        "better": "higher",
        "rows": len(rows),
        "refused": sum(len(row.get("refused", ())) for row in rows),
        "tokens_per_second": max(speeds) if speeds else None,
    }
