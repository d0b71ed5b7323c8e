"""Several processes that train one run, on one machine or many: one command each.

Every process runs the same experiment on its part of the lanes; process 0 alone writes the run.
`joined` makes this process one of them. They find each other (`rendezvous`), start JAX's own
runtime, and from then on are told by the `link` when one of them dies: this process then ends with
one line. Where `joined` has not been entered, everything here is that of a process alone.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TextIO

import jax
import numpy as np

from rnn_jax import rendezvous
from rnn_jax.digest import from_host, host_copy, host_shape
from rnn_jax.errors import BadInput, Stopped
from rnn_jax.link import Link

_LINK: Link | None = None  # one a process, like JAX's runtime
_SCRATCH = ""
_FLAGS = ("--coordinator HOST:PORT", "--processes N", "--process-id I")
_GRACE = 20.0  # seconds in which a dead process is noticed, where JAX's runtime noticed it first
# What C++ says of the processes' state, which is told by one line of ours.
_NOISE = re.compile(rb"Gloo|peer ranks|coordination_service|RPC: /xla|^[\d\s:]*$")
_FATAL = b"JAX distributed service detected fatal errors"


class Place(NamedTuple):
    """Where process 0 is to be found (HOST:PORT), which this is, of how many; its devices."""

    coordinator: str
    process: int
    processes: int
    devices: list[int] | None = None


class Finished(Exception):
    """What is left to do is process 0's, and this is another one."""


def place(coordinator: str, process: int | None, processes: int | None) -> Place:
    """This process's place: what is given, the rest as JAX finds it (SLURM, TPU pods, MPI, …).

    BadInput where something is neither given nor found.
    """
    from jax._src.clusters import ClusterEnv  # JAX itself asks it only while it starts

    given = (coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"), processes, process)
    found = (*given, None)
    if None in given:
        try:
            wait = int(rendezvous.WAIT)
            found = ClusterEnv.auto_detect_unset_distributed_params(*given, None, None, wait)
        except Exception as error:  # what it looks for in a cluster may be anything
            raise BadInput(f"--distributed: {error}; give {' '.join(_FLAGS)}") from error
    if missing := [flag for flag, value in zip(_FLAGS, found, strict=False) if value is None]:
        told = "found neither SLURM nor a TPU pod"
        raise BadInput(f"--distributed: {told}; give {' '.join(missing)}")
    coordinator, processes, process, devices = found
    return _checked(Place(coordinator, process, processes, devices and list(devices)))


def _checked(place: Place) -> Place:
    rendezvous.split(place.coordinator)
    if not 0 <= place.process < place.processes:
        raise BadInput(
            f"--process-id {place.process}: must be 0 to {place.processes - 1}"
            f" for --processes {place.processes}"
        )
    return place


@contextlib.contextmanager
def joined(
    place: Place,
    what: dict[str, Any],
    report: Callable[[BaseException], int],
    *,
    wait: float = rendezvous.WAIT,
) -> Iterator[str]:
    """This process as one of several; yields a folder for what is written beside process 0's run.

    It is thrown away; process 0 writes where it was told to, and is yielded an empty text.

    what: JSON that all processes have to agree on; report: says on stderr what is wrong and
    returns the exit status. An exception in here ends all processes, this one at once, for JAX's
    own end would wait for the others; but for `Stopped`, which all of them raise together, and
    `Finished`. Enter it before JAX is used.
    """
    global _LINK, _SCRATCH
    if place.process:
        peers = rendezvous.reach(place.coordinator, place.process, what, wait=wait)
    else:
        peers = rendezvous.gather(place.coordinator, place.processes, what, wait=wait)
    with _without_noise():
        # Where stderr goes now: whoever is not process 0 may be made to say nothing there.
        _LINK = Link(place.process, peers, partial(_end, sys.stderr))
        _SCRATCH = tempfile.mkdtemp() if place.process else ""
        stopped = None
        try:
            _start(place, _LINK)
            yield _SCRATCH
        except Stopped as stop:
            stopped = stop
        except Finished:
            pass
        except BaseException as problem:
            if isinstance(problem, jax.errors.JaxRuntimeError):
                time.sleep(_GRACE)  # the link ends this process, if it is another's death
            status = report(problem)
            _LINK.fail(str(problem) or type(problem).__name__, status)
            _exit(status)
        _LINK.close()
        jax.distributed.shutdown()
        _LINK = None
        shutil.rmtree(_SCRATCH, ignore_errors=True)
    if stopped is not None:
        raise stopped


def _start(place: Place, link: Link) -> None:
    """JAX's runtime, on a port of process 0's choice."""
    host, _ = rendezvous.split(place.coordinator)
    with socket.create_server(("", 0)) as free:
        (port, *_) = link.exchange(free.getsockname()[1])
    with contextlib.suppress(AttributeError):  # it would take SIGTERM for itself
        jax.config.update("jax_enable_preemption_service", False)
    # An abort first sleeps for SIGABRT = 6 seconds: JAX aborts when process 0 is gone, and the link
    # has to tell it before.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
    jax.distributed.initialize(
        *(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", place.processes, place.process),
        local_device_ids=place.devices,
        cluster_detection_method="deactivate",
        coordinator_bind_address=f"{host}:{port}" if rendezvous.is_local(host) else None,
    )
    counts = link.exchange(jax.local_device_count())
    if len({*counts}) > 1:
        raise BadInput(f"the processes have {counts} devices; give each as many as the others")


def _end(to: TextIO, line: str, status: int) -> None:
    print(f"{'error: ' if status == 2 else ''}{line}", file=to, flush=True)
    _exit(status)


def _exit(status: int) -> None:
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            print("\x1b[?25h", end="", file=sys.stderr)  # the progress bar had hidden the cursor
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """C++ prints past Python: on stderr, and without what it says of other processes."""
    before, kept = (sys.stdout, sys.stderr), [os.dup(1), os.dup(2)]
    for stream in before:
        stream.flush()
    sys.stdout, sys.stderr = (_reopened(fd) for fd in kept)
    read, write = os.pipe()
    os.dup2(write, 1)
    os.dup2(write, 2)
    os.close(write)
    relay = threading.Thread(target=_relay, args=(read, kept[1]), daemon=True)
    relay.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        relay.join(1.0)


def _reopened(fd: int) -> TextIO:
    return open(fd, "w", buffering=1, errors="backslashreplace", closefd=False)


def _relay(read: int, to: int) -> None:
    with open(read, "rb") as lines:
        for line in lines:
            if _FATAL in line:
                return  # and a stack after it; nothing that comes now is news
            if not _NOISE.search(line) or line == b"\n":
                os.write(to, line)


def first() -> bool:
    """Whether this is process 0, or alone."""
    return _LINK is None or _LINK.process == 0


def finish() -> None:
    """Ends, in all processes but 0, what `joined` began: call it where only 0 is wanted on."""
    if not first():
        raise Finished


def exchange(value: Any) -> list[Any]:
    """Every process's value (JSON) in their order; all have to call it."""
    return [value] if _LINK is None else _LINK.exchange(value)


def check_same(what: dict[str, Any]) -> None:
    """BadInput, in all processes, where one of them has another value of something."""
    for process, theirs in enumerate(values := exchange(what)):
        if differ := [name for name in what if theirs[name] != values[0][name]]:
            name = differ[0]
            raise BadInput(
                f"{name} is {theirs[name]} in process {process} and {values[0][name]} in process 0;"
                " give all processes the same"
            )


def from_first(tree: Any) -> Any:
    """Process 0's tree of arrays in every process, to the bit; theirs have its shapes."""
    if _LINK is None:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    data = _LINK.broadcast(b"".join(host_copy(a).tobytes() for a in leaves) if first() else b"")
    received, at = [], 0
    for leaf in leaves:
        shape = host_shape(leaf)
        size = int(np.prod(shape.shape)) * shape.dtype.itemsize
        array = np.frombuffer(data[at : at + size], shape.dtype).reshape(shape.shape)
        received.append(from_host(array, leaf))
        at += size
    return jax.tree.unflatten(structure, received)
