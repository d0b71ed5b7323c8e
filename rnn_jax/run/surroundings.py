"""What the bits of a run may depend on besides its configuration, and what a change of it costs."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import xxhash

from rnn_jax import native

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("rnn_jax", "experiments")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# Of the packages, those that compute: Orbax only carries bytes.
_COMPUTING = ("jax", "jaxlib", "flax", "optax", "numpy")
# devices: how many shared the lanes; None where the bits do not depend on it.
_MACHINE = ("processor", "cores", "device_kind", "devices", "loops")
# Where programs are kept changes no bits.
_CACHE = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION_CACHE")


def environment() -> dict[str, Any]:
    """Versions, machine, devices, flags, source and revision, as JSON has them.

    Versions, source and revision as they were when this process first asked: what it has imported
    stays as it was, and each of the many runs of a sweep would wait for git.
    """
    devices = jax.devices()
    flags = {
        name: value
        for name, value in sorted(os.environ.items())
        if name == "XLA_FLAGS" or (name.startswith("JAX_") and not name.startswith(_CACHE))
    }
    return {
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "loops": native.version(),
        "flags": flags,
        "source": source(),
        "git": dict(git) if (git := _revision()) else None,
    }


@functools.cache
def source() -> str:
    """The xxh3 hash (64 bits, hex) of the project's own source files, by name and content."""
    state = xxhash.xxh3_64()
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".cc", ".h") and path.is_file():
                data = path.read_bytes()
                state.update(f"{path.relative_to(_ROOT)}\0{len(data)}\0".encode() + data)
    return state.hexdigest()


def lost(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each change between two environments that costs a guarantee.

    What either does not tell (an older version wrote it) is passed over.
    """
    pairs = [
        (name, (before.get("versions") or {}).get(name), now["versions"].get(name))
        for name in _COMPUTING
    ]
    pairs += [(name, before.get(name), now.get(name)) for name in _MACHINE]
    lines = [
        f"{name} was {old}, is {new}: same run, but no longer the same bits"
        for name, old, new in pairs
        if None not in (old, new) and old != new
    ]
    flags = before.get("flags", now["flags"])
    for name in sorted(flags.keys() | now["flags"].keys()):
        old, new = (found.get(name, "not set") for found in (flags, now["flags"]))
        if old != new:
            lines.append(f"{name} was {old}, is {new}: same run, but perhaps not the same bits")
    if before.get("source", now["source"]) != now["source"]:
        revisions = " to ".join(_short(found.get("git")) for found in (before, now))
        told = "the same bits only if no arithmetic changed"
        lines.append(f"the project's source has changed ({revisions}): {told}")
    return lines


def _short(git: Mapping[str, Any] | None) -> str:
    if not git:
        return "unknown"
    return git["revision"][:9] + ("+" if git["dirty"] else "")


@functools.cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    """The CPU's name; of a CPU device JAX says only that it is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


@functools.cache
def _revision() -> dict[str, Any] | None:
    """Git's revision, whether files differ from it, and a digest of how; None without git."""
    # Without optional locks git status only reads: asking must not touch the user's index.
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> bytes:
        command = ["git", "-C", str(_ROOT), *words]
        return subprocess.run(
            command, capture_output=True, timeout=5, check=True, env=quiet
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain")
        difference = git("diff", "HEAD", "--binary") if dirty else b""
        return {
            "revision": git("rev-parse", "HEAD").decode(),
            "dirty": bool(dirty),
            "diff": xxhash.xxh3_64_hexdigest(difference) if difference else None,
        }
    except (OSError, subprocess.SubprocessError):
        return None
