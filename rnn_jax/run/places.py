"""Where a run keeps its steps: in its folder, or in a bucket's path that is claimed for it alone.

run.json names the path and an id of the run's own. The path has a copy of run.json, from which the
run goes on where its folder is lost, and owner.json, which says whose it is and who writes there.
"""

from __future__ import annotations

import json
import os
import platform
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from rnn_jax.errors import BadInput
from rnn_jax.run import manifest, remote
from rnn_jax.run.records import read_rows
from rnn_jax.run.remote import Place, Remote

OWNER = "owner.json"
_LARGEST = 2**16  # bytes of owner.json


def find(folder: Path) -> Place:
    """Where the steps of a folder's run lie; the folder itself where there is no run yet."""
    return of(folder, manifest.read(folder)) if (folder / manifest.NAME).exists() else folder


def of(folder: Path, told: dict[str, Any]) -> Place:
    """Where the steps of a run lie, told its run.json.

    That may be a stranger's: a path in a bucket is read only where owner.json has the run's id.
    BadInput where it has another, or cannot be reached.
    """
    if not (kept := told.get("checkpoints")):
        return folder
    place = Remote(kept["url"])
    if _owner(place).run != kept["run"]:
        told = f"{folder} keeps its checkpoints at {place}, where there are none of it"
        raise BadInput(f"{told}; put them back, or train it anew")
    return place


def check(folder: Path, found: dict[str, Any] | None, url: str) -> None:
    """BadInput unless a command may write a run's steps to ``url``; "" is the run's folder.

    found: the run's run.json, None for one to be started.
    """
    kept = (found or {}).get("checkpoints")
    if found is not None and bool(kept) != bool(url):
        mend = f"give --checkpoints {kept['url']} too" if kept else "leave --checkpoints away"
        where = f"at {kept['url']}" if kept else "in itself"
        raise BadInput(f"{folder} keeps its checkpoints {where}; {mend}, or use another --out")
    if not url:
        return
    place = Remote(url)
    remote.prepare()
    owner = _owner(place)
    remote.check_bucket(place.bucket)
    if owner.run is None:
        _check_free(folder, place, kept)
    elif not kept or owner.run != kept["run"]:
        raise BadInput(_taken(place, owner))


def _check_free(folder: Path, place: Remote, kept: dict[str, Any] | None) -> None:
    """BadInput where a path has no owner and this run cannot become it."""
    if kept and kept["url"] != place.url:
        mend = f"give --checkpoints {kept['url']}, or copy all that is there to {place}"
        raise BadInput(f"{folder} keeps its checkpoints at {kept['url']}; {mend}")
    if remote.keys(place):
        theirs = f"{place} has objects but is no run's; use another --checkpoints"
        ours = f"{place / OWNER} is lost or damaged; put it back, or use another --out"
        raise BadInput(ours if kept else theirs)
    if above := next((one for one in place.parents if _owner(one).run is not None), None):
        raise BadInput(f"{above} is another run's; use another --checkpoints, not within it")
    if kept and (rows := read_rows(folder / "digests.jsonl")):
        last = rows[-1]["step"]
        raise BadInput(
            f"{place} has lost the checkpoints of {folder}, which had saved step {last};"
            " put them back, or use another --out"
        )


def _taken(place: Remote, owner: _Owner) -> str:
    mend = f"or, where that folder is lost, copy {place / manifest.NAME} into --out"
    return f"{place} has another run's checkpoints ({owner.who}); use another --checkpoints, {mend}"


def named(asked: dict[str, Any], found: dict[str, Any] | None, url: str) -> dict[str, Any]:
    """A run.json with the place in it. The run's id is made once; its path may be another copy."""
    if not url:
        return asked
    run = found["checkpoints"]["run"] if found else uuid.uuid4().hex
    return {**asked, "checkpoints": {"url": url, "run": run}}


class Claim(NamedTuple):
    """A path that one process has taken to write to; owner.json there says the same of it."""

    place: Remote
    told: dict[str, Any]

    def check(self) -> None:
        """BadInput where another process has taken it since, or it is not reached."""
        owner = _owner(self.place, patient=True)
        if owner.run is None:
            raise BadInput(f"{self.place / OWNER} is lost or damaged; put the bucket in order")
        if owner.told != self.told:
            raise BadInput(f"{self.place} is written by another process now ({owner.who})")


def claim(folder: Path, told: dict[str, Any]) -> Claim:
    """Takes the path that run.json names; who wrote there before is told so when it next saves.

    BadInput where it is another run's, or may not be written.
    """
    place, run = Remote(told["checkpoints"]["url"]), told["checkpoints"]["run"]
    before = _owner(place)
    if before.run not in (None, run):  # since it was checked
        raise BadInput(_taken(place, before))
    ours = {
        **{"run": run, "start": uuid.uuid4().hex, "folder": str(folder.resolve())},
        **{"host": platform.node(), "process": os.getpid()},
    }
    remote.write(place, OWNER, json.dumps(ours).encode(), before.generation)
    made = Claim(place, ours)
    made.check()  # another may have been quicker; or an answer was lost, and it was written
    remote.write(place, manifest.NAME, manifest.encoded(told))
    return made


class _Owner(NamedTuple):
    """What owner.json says, and its generation; nothing of what nobody has written."""

    told: dict[str, Any]
    generation: bytes

    @property
    def run(self) -> str | None:
        return self.told.get("run")

    @property
    def who(self) -> str:
        names = ("folder", "host", "process")
        folder, host, process = (str(self.told.get(name, "unknown"))[:200] for name in names)
        return f"{folder} on {host}, process {process}"


def _owner(place: Remote, *, patient: bool = False) -> _Owner:
    try:
        found = remote.read(place, OWNER, _LARGEST, patient=patient)
        told = json.loads(found.data or b"{}")
    except (remote.TooLong, ValueError, RecursionError):
        return _Owner({}, b"")
    return _Owner(told if isinstance(told, dict) else {}, found.generation)
