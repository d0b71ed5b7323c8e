"""What the folders of runs hold, read without weights and without running any code of theirs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.errors import BadInput

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST = 2**24  # bytes of a picture or a text that is shown
_ENVIRONMENT = ("python", "platform", "processor", "cores", "device_kind", "device_count", "source")


class Read(NamedTuple):
    """One run: what it is, its rows, and what it wrote (step, header, text)."""

    name: str
    folder: Path
    manifest: Mapping[str, Any]
    rows: list[dict[str, Any]]
    samples: list[tuple[int, str, str]]


class Beside(NamedTuple):
    """A picture (PNG) or a text that lies in a folder; label: the folder and the file's name."""

    label: str
    data: bytes


def folders(given: Iterable[str]) -> list[Path]:
    """Every run in the folders, or below one that is none itself; BadInput for nothing."""
    found: dict[Path, None] = {}
    for name in given:
        path = Path(name)
        if not path.is_dir():
            raise BadInput(f"{path} is no folder; name what --out made")
        own = (path / "run.json").is_file()
        runs = [path] if own else sorted(p.parent for p in path.rglob("run.json"))
        if not runs and not _shown(path):
            raise BadInput(f"{path} has no run, table or picture; name what --out made")
        found |= dict.fromkeys(runs)
    return list(found)


def read(paths: Sequence[Path]) -> list[Read]:
    """The runs; a name is the folder's, with as much of the path as tells them apart."""
    from rnn_jax.run import manifest, records

    names = _names(paths)
    return [
        Read(
            *(name, path, manifest.read(path), records.read_rows(path / "metrics.jsonl")),
            [tuple(sample) for sample in records.read_samples(path / "samples.txt")],
        )
        for name, path in zip(names, paths, strict=True)
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    parts = [path.resolve().parts for path in paths]
    longest = max(map(len, parts), default=1)
    for count in range(1, longest + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _shown(path: Path) -> list[Path]:
    """Pictures and tables directly in a folder, but the curves that the page draws itself."""
    files = [*path.glob("*.png"), *path.glob("table.txt")]
    return sorted(f for f in files if f.name != "curves.png" or not (path / "run.json").exists())


def beside(given: Iterable[str], runs: Sequence[Path]) -> list[Beside]:
    """What lies in the folders that were named and in those of the runs."""
    found = []
    for folder in dict.fromkeys([*map(Path, given), *runs]):
        for path in _shown(folder):
            data = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
            if data and (path.suffix == ".txt" or data.startswith(_PNG)):
                found.append(Beside(f"{folder.name}/{path.name}", data))
    return found


def differing(columns: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The names of what is not the same in all of them, and of what is."""
    names = dict.fromkeys(name for column in columns for name in column)
    told = {n: {json.dumps(c.get(n), sort_keys=True, default=str) for c in columns} for n in names}
    return [n for n in names if len(told[n]) > 1], [n for n in names if len(told[n]) == 1]


def config(run: Read) -> dict[str, Any]:
    """What it was told, but for where it lies."""
    return {name: value for name, value in run.manifest["config"].items() if name != "out"}


def environment(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """On what it ran, flat."""
    git = manifest.get("git") or {}
    told = {name: manifest.get(name) for name in _ENVIRONMENT}
    told |= {f"version of {name}": v for name, v in manifest.get("versions", {}).items()}
    told |= {f"flag {name}": value for name, value in manifest.get("flags", {}).items()}
    told |= {f"data {name}": value for name, value in (manifest.get("data") or {}).items()}
    revision = git.get("revision")
    return told | {
        "revision": revision and revision[:12] + " with changes" * bool(git.get("dirty")),
        "command": " ".join(map(str, manifest.get("command", []))),
        "created": manifest.get("created"),
    }


def outcome(run: Read) -> dict[str, Any]:
    """What its rows come to."""
    losses = [row["loss"] for row in run.rows if row.get("loss") is not None]
    valid = [(row["valid"], row["step"]) for row in run.rows if row.get("valid") is not None]
    errors = [row["error"] for row in run.rows if row.get("error") is not None]
    best = min(valid, default=(None, None))
    return {
        **{"steps logged": run.rows[-1]["step"] if run.rows else 0},
        **{"best validation loss": best[0], "at step": best[1]},
        **{"last validation loss": valid[-1][0] if valid else None},
        **({"least error": min(errors)} if errors else {}),
        **{"last training loss": losses[-1] if losses else None},
    }
