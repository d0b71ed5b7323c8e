"""Builds the compiled loops when they are first wanted, and keeps them for the next process.

They are compiled for the very CPU, by the compiler that is found (``$CXX``, else c++, g++ or
clang++), against the headers that came with this JAX; so it happens here and not when the package
is installed, whose wheel may go to another machine. The file lies in the user's cache folder under
a digest of all of that. ``RNN_JAX_NATIVE=0`` turns them off.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax

_HERE = Path(__file__).parent
_SOURCES = ("kernels.cc", "loops.h", "gates.h", "vectors.h")
_FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w"),
    # Vectors as wide as the CPU has; neither changes what NaN or infinity do.
    *("-fno-math-errno", "-fno-trapping-math"),
)
_NAMES = [f"{cell}_{way}" for cell in ("tanh", "gru", "lstm") for way in ("forward", "backward")]
_SECONDS = 300  # a compiler that takes longer has got stuck


@functools.cache
def available() -> bool:
    """Whether the compiled loops can be called; the first time, builds and registers them.

    Where that fails, one line on stderr says why, and the answer is no.
    """
    if os.environ.get("RNN_JAX_NATIVE", "1") == "0" or jax.default_backend() != "cpu":
        return False
    compiler = _compiler()
    if compiler is None:
        return False
    try:
        library = ctypes.CDLL(str(_built(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        first = (told.strip() or "no reason given").splitlines()[0]
        print(f"note: loops are not compiled, the slower ones serve: {first}", file=sys.stderr)
        return False
    for name in _NAMES:
        handler = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(f"rnn_jax_{name}", handler, platform="cpu")
    return True


def version() -> str:
    """What does the loops: "scan", or "compiled" and a digest of all that decides the code."""
    compiler = _compiler()
    return f"compiled {_digest(compiler)}" if compiler and available() else "scan"


def _compiler() -> str | None:
    asked = os.environ.get("CXX")
    return next(
        filter(None, map(shutil.which, [asked] if asked else ["c++", "g++", "clang++"])), None
    )


def _built(compiler: str) -> Path:
    """The shared library, compiled unless it is in the cache already."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rnn_jax")
    path = cache / f"loops-{_digest(compiler)}.so"
    if path.is_file():
        return path
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    print("note: compiling the loops over time for this CPU, once", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = Path(scratch, path.name)
        include = ["-isystem", jax.ffi.include_dir()]
        command = [compiler, *_FLAGS, *include, str(_HERE / _SOURCES[0]), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        os.replace(made, path)  # whole or not at all, however many processes build it
    return path


@functools.cache  # every run's record names it
def _digest(compiler: str) -> str:
    """Of all that decides what comes out of the compiler."""
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, text=True, timeout=_SECONDS
    )
    told = [version.stdout, *_FLAGS, jax.__version__, platform.machine(), _cpu()]
    told += [(_HERE / name).read_text(encoding="utf-8") for name in _SOURCES]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:16]


def _cpu() -> str:
    """What this CPU can do, as Linux says it; elsewhere its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
