"""run.json: what a run is, on what it ran, and whether a command asks for the same run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rnn_jax.errors import BadInput
from rnn_jax.run import strangers
from rnn_jax.run.records import write_atomically
from rnn_jax.run.surroundings import environment

NAME = "run.json"
FORMAT = 1
_LARGEST = 2**28  # bytes of run.json: its vocabulary may be of words
# Fields of the identity that older runs do not name, and what they were made with.
_LATER = {
    "invariant": False,
    "memory": 0,
    "half": False,
    "pieces": 4096,
    "segmenter": "",
    "optimizer": "adam",
}
_NEEDED = ("experiment", "config", "identity", "model", "vocabulary", "data")


def new_manifest(
    experiment: str,
    config: dict[str, Any],
    identity: Sequence[str],
    *,
    model: dict[str, Any] | None = None,
    vocabulary: Any = None,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What run.json says: the arguments as JSON has them, the environment and the time.

    ``identity`` names the fields of ``config`` that make two runs two; ``model`` is the spec
    from which ``models.from_spec`` builds it; ``data["digest"]``, if there, is part of the
    identity as well.
    """
    told = {
        "format": FORMAT,
        "experiment": experiment,
        "config": config,
        "identity": list(identity),
        "model": model,
        "vocabulary": vocabulary,
        "data": data or {},
        **environment(),
        "command": sys.argv,
        "created": now(),
    }
    return json.loads(json.dumps(told, default=str))


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(folder: Path) -> dict[str, Any]:
    """run.json of a folder. BadInput if there is none or it cannot be read."""
    path = folder / NAME
    if not path.is_file():
        what = "is not a run (it has no run.json)" if folder.exists() else "does not exist"
        raise BadInput(f"{folder} {what}; name the folder that --out made")
    strangers.check_files(folder)
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} has more than {_LARGEST} bytes; name another run")
        found = json.loads(path.read_bytes())
        if (other := found["format"]) != FORMAT:
            raise BadInput(f"{path} has format {repr(other)[:20]}, not {FORMAT}; update rnn_jax")
        _ = [found[name] for name in _NEEDED]
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{path} is damaged; restore it, or use another --out") from error
    strangers.check_manifest(path, found)
    return found


def write(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes run.json in one move."""
    write_atomically(folder / NAME, encoded(manifest))


def encoded(manifest: dict[str, Any]) -> bytes:
    """run.json's bytes."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogatepass")


def check_same(folder: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """BadInput unless both are one run: experiment, identity fields of the config, data."""
    if found["experiment"] != asked["experiment"]:
        raise BadInput(
            f"{folder} is a run of {found['experiment'][:50]!r}, not of {asked['experiment']!r};"
            " use another --out"
        )
    names = dict.fromkeys([*found["identity"], *asked["identity"]])
    differing = [
        f"{name}: {_shown(found, name)} in the run, {_shown(asked, name)} asked"
        for name in names
        if _shown(found, name) != _shown(asked, name)
    ]
    if differing:
        raise BadInput(
            f"{folder} is a run of another configuration: {'; '.join(differing)};"
            f" use another --out, or --init {folder} to start from its weights"
        )
    before, after = (one["data"].get("digest") for one in (found, asked))
    if before and after and before != after:
        raise BadInput(
            f"the text has changed since {folder} began (digest {repr(before)[:50]} then,"
            f" {after!r} now); put the text back, or use another --out"
        )


def _shown(manifest: dict[str, Any], name: str) -> str:
    config = _LATER | manifest["config"]
    return json.dumps(config[name], ensure_ascii=False) if name in config else "absent"


def changes(found: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What of the configuration and the environment is new: {name: new value}."""
    told = {
        f"config.{name}": value
        for name, value in asked["config"].items()
        if value != found["config"].get(name)
    }
    skipped = {"config", "created", "resumed", "identity", "command"}
    return told | {
        name: value
        for name, value in asked.items()
        if name not in skipped and value != found.get(name)
    }
