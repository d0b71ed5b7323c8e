"""What the processes of one run tell each other: a TCP connection from each one to process 0.

JAX's runtime moves the arrays; numbers of steps, signals and a death go this way. The kernel closes
the connections of a process that dies, and answers for one that is only slow or stopped, so nobody
has to count heartbeats. A frame is a kind, a length and JSON or bytes: nothing that is received is
executed.
"""

import contextlib
import json
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

LOST = 75  # the exit status where another process is gone: try again (EX_TEMPFAIL)
_HEAD = struct.Struct(">cQ")
JSON, BYTES, END = b"J", b"B", b"E"


class Link:
    """One process's connections, `peers`: to process 0, or from all others to it.

    ended: ``(line, status)``, called once, on a thread of its own, when another process dies or
    says that it failed; it must not return.
    """

    def __init__(
        self, process: int, peers: dict[int, socket.socket], ended: Callable[[str, int], None]
    ) -> None:
        self.process = process
        self._peers, self._tell = peers, ended
        self._queues: dict[int, queue.Queue] = {peer: queue.Queue() for peer in peers}
        self._sending, self._ending = threading.Lock(), threading.Lock()
        for peer in peers:
            threading.Thread(target=self._read, args=(peer,), daemon=True).start()

    def exchange(self, value: Any) -> list[Any]:
        """Every process's value (JSON) in the order of the processes; all have to call it."""
        mine = json.dumps(value).encode()
        if self.process:
            self._send(0, JSON, mine)
            return json.loads(self._next(0))
        values = [value, *(json.loads(self._next(peer)) for peer in sorted(self._peers))]
        for peer in self._peers:
            self._send(peer, JSON, json.dumps(values).encode())
        return values

    def broadcast(self, data: bytes) -> bytes:
        """Process 0's data; all have to call it."""
        if self.process:
            return self._next(0)
        for peer in self._peers:
            self._send(peer, BYTES, data)
        return data

    def close(self) -> None:
        """Waits until every process has come here."""
        if self.process:
            self._send(0, END, b"[0, null]")
        for peer in sorted(self._peers):
            while self._queues[peer].get() is not None:
                pass
        if not self.process:
            self._end_others(0, None)

    def fail(self, line: str, status: int) -> None:
        """Tells the others why this process ends, for it to end at once."""
        self._ending.acquire()  # for good: who is ending does not say that another has ended
        self._end_others(status, f"process {self.process}: {line}")

    def _end_others(self, status: int, line: str | None) -> None:
        for peer in self._peers:
            with contextlib.suppress(OSError):
                send(self._peers[peer], END, json.dumps([status, line]).encode())

    def _send(self, peer: int, kind: bytes, data: bytes) -> None:
        # A broken connection is the reading thread's to tell.
        with contextlib.suppress(OSError), self._sending:
            send(self._peers[peer], kind, data)

    def _next(self, peer: int) -> bytes:
        data = self._queues[peer].get()
        if data is None:
            self._end(f"process {peer} is done and this one is not; give all the same flags", LOST)
        return data

    def _read(self, peer: int) -> None:
        line, status = None, LOST
        with contextlib.suppress(OSError, ValueError):
            while (frame := receive(self._peers[peer]))[0] != END:
                self._queues[peer].put(frame[1])
            status, line = json.loads(frame[1])
        if status:
            told = f"process {peer} has ended; the same commands go on from the last save"
            self._end(line or told, status)
        self._queues[peer].put(None)

    def _end(self, line: str, status: int) -> None:
        self._ending.acquire()
        if not self.process:
            self._end_others(status, line)
        self._tell(line, status)


def send(to: socket.socket, kind: bytes, data: bytes) -> None:
    """One frame; OSError where nobody takes it."""
    to.sendall(_HEAD.pack(kind, len(data)) + data)


def receive(of: socket.socket, most: int = 2**40) -> tuple[bytes, bytes]:
    """One frame; OSError where the connection ends, ValueError where it is none of ours."""
    kind, length = _HEAD.unpack(_exactly(of, _HEAD.size))
    if kind not in (JSON, BYTES, END) or length > most:
        raise ValueError("not a process of this library")
    return kind, _exactly(of, length)


def _exactly(of: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view, got = memoryview(data), 0
    while got < length:
        more = of.recv_into(view[got:])
        if not more:
            raise ConnectionResetError
        got += more
    return bytes(data)
