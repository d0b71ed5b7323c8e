"""How the processes of one run find each other: all others come to process 0.

Before JAX's own runtime begins, because that one ends in an abort where a port is taken or a
process does not come, and does not hear Ctrl-C while it waits.
"""

import contextlib
import errno
import json
import socket
import sys
import time
from typing import Any

from rnn_jax.errors import BadInput
from rnn_jax.link import END, JSON, receive, send

WAIT = 300.0  # seconds in which all processes have to come
_HELLO = 2**20  # bytes of the longest frame from somebody not yet known
# A machine without power closes nothing: the kernel asks it after 3 s, then every 2 s, 3 times.
_ALIVE = {"SO_KEEPALIVE": 1, "TCP_NODELAY": 1, "TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2}
_ALIVE |= {"TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 9000}


def gather(
    address: str, processes: int, what: dict[str, Any], *, wait: float = WAIT
) -> dict[int, socket.socket]:
    """As process 0: the connections of all others, once they have come to HOST:PORT.

    what: JSON that has to be the same everywhere. BadInput where the port is taken, where not
    all come in time; a process with other flags is refused.
    """
    peers: dict[int, socket.socket] = {}
    until = time.monotonic() + wait
    with _server(address) as server, contextlib.ExitStack() as undo:
        while len(peers) < processes - 1:
            server.settimeout(max(until - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
            except TimeoutError:
                missing = sorted({*range(1, processes)} - {*peers})
                raise BadInput(
                    f"--processes {processes}: after {wait:.0f} s process {missing[0]} has not"
                    f" come to {address}; start it, or give fewer --processes"
                ) from None
            undo.callback(peer.close)
            _keep_alive(peer)
            _admit(peer, processes, what, peers)
        undo.pop_all()
    return peers


def _admit(peer: socket.socket, processes: int, what: dict[str, Any], peers: dict) -> None:
    """Takes in who says hello as one of us; one of ours with other flags is told why not."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        peer.settimeout(10.0)
        told = json.loads(receive(peer, _HELLO)[1])
        number, theirs = int(told["process"]), dict(told["what"])
        why = None
        if not 0 < number < processes or number in peers:
            why = f"--process-id {number} is taken or none of {processes}; give each its own"
        elif differ := [n for n in {**what, **theirs} if what.get(n) != theirs.get(n)]:
            n = differ[0]
            why = f"{n} is {theirs.get(n)} there and {what.get(n)} in process 0; give all the same"
        send(peer, END if why else JSON, json.dumps([2, why]).encode())
        if why is None:
            peer.settimeout(None)
            peers[number] = peer
            return
        print(f"refused a process: {why}", file=sys.stderr)
    peer.close()


def reach(
    address: str, process: int, what: dict[str, Any], *, wait: float = WAIT
) -> dict[int, socket.socket]:
    """As another process: the connection to process 0 at HOST:PORT, once it is there.

    BadInput where it does not come in time, or refuses.
    """
    host, port = split(address)
    until, problem = time.monotonic() + wait, "nobody is there"
    while time.monotonic() < until:
        with contextlib.ExitStack() as undo:
            try:
                left = max(until - time.monotonic(), 0.001)
                peer = undo.enter_context(socket.create_connection((host, port), left))
                if peer.getsockname() == peer.getpeername():  # a free port of ours, to itself
                    continue
                _introduce(peer, process, what)
            except OSError as error:
                problem = error.strerror or str(error) or problem
                time.sleep(0.2)
                continue
            except ValueError:
                told = "is something else; give a free port"
                raise BadInput(f"--coordinator {address} {told}") from None
            undo.pop_all()
            return {0: peer}
    raise BadInput(
        f"--coordinator {address}: no process 0 within {wait:.0f} s ({problem}); start it as well"
    )


def _introduce(peer: socket.socket, process: int, what: dict[str, Any]) -> None:
    """Says hello to process 0; BadInput with its reason where it refuses."""
    send(peer, JSON, json.dumps({"process": process, "what": what}).encode())
    kind, answer = receive(peer, _HELLO)
    if kind == END:
        raise BadInput(json.loads(answer)[1])
    _keep_alive(peer)
    peer.settimeout(None)


def split(address: str) -> tuple[str, int]:
    """HOST:PORT as host and port; BadInput where it is not that."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInput(f"--coordinator {address}: give HOST:PORT, as in 127.0.0.1:12345")
    return host.strip("[]"), int(port)


def is_local(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _server(address: str) -> socket.socket:
    host, port = split(address)
    try:
        if is_local(host):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, port), family=family)
        if socket.has_dualstack_ipv6():  # the name others know need not be an address of ours
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be had: {error.strerror}"
        raise BadInput(f"--coordinator {address}: the port {why}; take another") from error


def _keep_alive(peer: socket.socket) -> None:
    for name, value in _ALIVE.items():
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        if hasattr(socket, name):  # not every system has all of them
            peer.setsockopt(level, getattr(socket, name), value)
