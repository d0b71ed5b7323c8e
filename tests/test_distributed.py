"""Several processes train one run: as one process with as many devices, and none waits for ever."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments import char_lm
from rnn_jax import distributed, link, rendezvous
from rnn_jax.errors import BadInput
from rnn_jax.link import LOST, Link
from rnn_jax.run import checkpoints

ROOT = Path(__file__).parents[1]
TEXT = "to be, or not to be: that is the question. " * 40
SMALL = (
    *("--cell", "tanh", "--layers", "1", "--hidden", "4", "--embed", "2", "--bptt", "5"),
    *("--average", "0.9", "--lanes", "4", "--dropout", "0.3", "--log-every", "1"),
    *("--eval-every", "1000000"),
    *("--save-every", "3", "--sample-length", "1", "--invariant"),
)
ENDLESS = ("--steps", "1000000")
START, END = 180.0, 15.0  # seconds a process may take to train, and to notice another's death


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def pair(tmp_path):
    """``flags -> two processes`` of the run in tmp_path/run, one device each; killed at the end."""
    (tmp_path / "text.txt").write_text(TEXT)
    started = []
    one_device = os.environ["XLA_FLAGS"].replace("device_count=4", "device_count=1")
    environment = {**os.environ, "XLA_FLAGS": one_device}

    def start(*flags):
        words = [sys.executable, "-m", "experiments.char_lm", *SMALL, *flags, "--distributed"]
        words += ["--corpus", str(tmp_path / "text.txt"), "--out", str(tmp_path / "run")]
        words += ["--processes", "2", "--coordinator", f"127.0.0.1:{free_port()}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = [
            subprocess.Popen([*words, "--process-id", str(i)], cwd=ROOT, env=environment, **pipes)
            for i in (0, 1)
        ]
        started.extend(both)
        return both

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_save(folder, beyond, processes):
    """Until the run has saved a step beyond this one."""
    until = time.monotonic() + START
    while max(checkpoints.steps(folder), default=-1) <= beyond:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < until
        time.sleep(0.05)


def told(process, seconds):
    """What a process that ends within so many seconds has said, as lines: stdout, stderr."""
    return tuple(text.splitlines() for text in process.communicate(timeout=seconds))


def logged(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def die_and_go_on(pair, tmp_path, capsys, victims):
    """Each victim in turn is killed in the run that goes on; one process takes it to its end."""
    run, saved = tmp_path / "run", -1
    for victim in victims:
        both = pair(*ENDLESS)
        wait_for_save(run, saved, both)
        both[victim].kill()
        out, err = told(both[1 - victim], END)
        saved = max(checkpoints.steps(run))
        assert both[1 - victim].returncode == LOST and out == []
        assert err[-1] == f"process {victim} has ended; the same commands go on from the last save"
        assert sum("process" in line for line in err) == 1 and "Traceback" not in str(err)
        assert victim == 1 or len(err) == 1, "process 1 says nothing else"
    flags = [*SMALL, "--corpus", str(tmp_path / "text.txt"), "--devices", "2"]
    flags += ["--steps", str(saved + 2)]
    for name in ("run", "alone"):
        assert char_lm.main([*flags, "--out", str(tmp_path / name)]) == 0
    resumed, straight = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert resumed["digest"] == straight["digest"] and resumed["step"] == saved + 2
    for name in ("digests.jsonl", "metrics.jsonl"):
        assert logged(run, name) == logged(tmp_path / "alone", name)
    assert not list(tmp_path.glob("run/checkpoints/*tmp*"))


def test_two_processes_are_one_with_two_devices_and_one_that_dies_ends_the_other(
    pair, tmp_path, capsys
):
    """The one that dies is process 0, with which JAX's own runtime ends as well."""
    die_and_go_on(pair, tmp_path, capsys, [0])


@pytest.mark.soak
def test_whoever_dies_the_same_commands_go_on(pair, tmp_path, capsys):
    die_and_go_on(pair, tmp_path, capsys, [1, 0, 1])


@pytest.mark.soak
def test_a_signal_to_one_process_stops_all_of_them_and_the_run_is_saved(pair, tmp_path):
    both = pair(*ENDLESS)
    wait_for_save(tmp_path / "run", -1, both)
    both[1].send_signal(signal.SIGTERM)
    for process in both:
        _, err = told(process, 30)
        assert process.returncode == 143 and err[-1].startswith("stopped at step "), err
    assert err[-1].split()[3].strip(";") == str(max(checkpoints.steps(tmp_path / "run")))


def both_ends(first, other):
    """What process 0 and process 1 make of one another: results, or the problems they raise."""
    found = [None, None]

    def act(i, what):
        try:
            found[i] = what()
        except Exception as problem:
            found[i] = problem

    threads = [threading.Thread(target=act, args=pair) for pair in ((0, first), (1, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return found


def closed(found):
    for peers in found:
        for peer in peers.values() if isinstance(peers, dict) else ():
            peer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_processes_find_each_other_whoever_comes_first(host):
    address = f"{host}:{free_port()}"

    def late():
        time.sleep(0.3)
        return rendezvous.gather(address, 2, {"seed": 1}, wait=10)

    found = both_ends(late, lambda: rendezvous.reach(address, 1, {"seed": 1}, wait=10))
    rendezvous.send(found[0][1], link.JSON, b"7")
    assert rendezvous.receive(found[1][0]) == (link.JSON, b"7")
    closed(found)


@pytest.mark.parametrize(
    ("process", "what", "line"),
    [
        (1, {"seed": 2}, "seed is 2 there and 1 in process 0; give all the same"),
        (1, {"seed": 1, "lr": 3}, "lr is 3 there and None in process 0"),
        (2, {"seed": 1}, "--process-id 2 is taken or none of 2"),
        (0, {"seed": 1}, "--process-id 0 is taken or none of 2"),
    ],
)
def test_a_process_with_other_flags_is_refused_and_process_0_waits_on(process, what, line, capsys):
    address = f"127.0.0.1:{free_port()}"
    found = both_ends(
        lambda: rendezvous.gather(address, 2, {"seed": 1}, wait=0.3),
        lambda: rendezvous.reach(address, process, what, wait=10),
    )
    assert line in str(found[1]) and isinstance(found[1], BadInput)
    assert "process 1 has not come" in str(found[0]) and isinstance(found[0], BadInput)
    assert f"refused a process: {line}" in capsys.readouterr().err


def test_what_is_no_process_of_ours_is_ignored():
    """Nonsense on the port, a connection that closes, a frame too long; then the real one."""
    address = f"127.0.0.1:{(port := free_port())}"

    def strangers():
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"", b"J" + b"\xff" * 8, b"J" + bytes(8)):
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    with socket.create_connection(("127.0.0.1", port), 1) as stranger:
                        stranger.sendall(data)
                    break
        return rendezvous.reach(address, 1, {}, wait=10)

    found = both_ends(lambda: rendezvous.gather(address, 2, {}, wait=15), strangers)
    closed(found)
    assert [list(peers) for peers in found] == [[1], [0]]


def test_a_port_in_use_and_a_process_0_that_never_comes_are_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BadInput, match="the port is in use; take another"):
            rendezvous.gather(address, 2, {}, wait=1)
    with pytest.raises(BadInput, match="no process 0 within 0 s .* start it as well"):
        rendezvous.reach(f"127.0.0.1:{free_port()}", 1, {}, wait=0.3)


@pytest.fixture
def linked():
    """Two ends of a link, and what each was told of the other's end."""
    ours, theirs = socket.socketpair()
    ended = {0: [], 1: []}
    links = [
        Link(process, {1 - process: end}, lambda *told, i=process: ended[i].append(told))
        for process, end in ((0, ours), (1, theirs))
    ]
    yield links, (ours, theirs), ended
    ours.close()
    theirs.close()


def until_told(told):
    until = time.monotonic() + 10
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    return told


def test_all_processes_get_all_values_in_order_and_process_0s_bytes(linked):
    (zero, one), _, ended = linked
    assert both_ends(lambda: zero.exchange("a"), lambda: one.exchange(["b", None])) == [
        *(["a", ["b", None]],) * 2
    ]
    data = bytes(range(256)) * 5000
    assert both_ends(lambda: zero.broadcast(data), lambda: one.broadcast(b"")) == [data, data]
    both_ends(zero.close, one.close)
    assert ended == {0: [], 1: []}, "who closes in order is not missed"


@pytest.mark.parametrize("dead", [0, 1])
def test_a_connection_that_breaks_is_told_once(linked, dead):
    _, ends, ended = linked
    ends[dead].shutdown(socket.SHUT_RDWR)
    ((line, status),) = until_told(ended[1 - dead])
    assert status == LOST and line.startswith(f"process {dead} has ended; ")


def test_who_fails_says_why_and_the_other_ends_with_that(linked):
    (_, one), _, ended = linked
    one.fail("--lanes 3 is wrong", 2)
    assert until_told(ended[0]) == [("process 1: --lanes 3 is wrong", 2)]
    assert ended[1] == []


def test_a_place_is_given_or_found_and_never_guessed(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM", "OMPI", "JAX_COORDINATOR")):
            monkeypatch.delenv(name)
    given = distributed.place("10.0.0.1:1234", 2, 3)
    assert given == ("10.0.0.1:1234", 2, 3, None)
    with pytest.raises(BadInput, match="--coordinator HOST:PORT --processes N --process-id I"):
        distributed.place("", None, None)
    for address in ("nowhere", "host:", ":80", "host:99999", "host:x"):
        with pytest.raises(BadInput, match="give HOST:PORT"):
            distributed.place(address, 0, 2)
    for process, processes in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(BadInput, match="--process-id"):
            distributed.place("127.0.0.1:80", process, processes)


def test_slurm_says_the_place(monkeypatch):
    told = {"JOB_ID": "4211", "NTASKS": "8", "PROCID": "3", "LOCALID": "1"}
    told["STEP_NODELIST"] = "node[007-010]"
    for name, value in told.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    place = distributed.place("", None, None)
    assert place.coordinator.startswith("node007:") and (place.process, place.processes) == (3, 8)


def test_a_process_alone_needs_no_other():
    assert distributed.first() and distributed.exchange(7) == [7]
    distributed.finish()
    distributed.check_same({"lanes": 3})
    tree = {"w": 1.0}
    assert distributed.from_first(tree) is tree
