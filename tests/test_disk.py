"""What happens to files: damage, a full disk, a closed door, an old format. A run is never lost."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from experiments import char_lm
from rnn_jax.digest import digest
from rnn_jax.errors import BadInput
from rnn_jax.run import checkpoints, leaves, new_manifest, start_or_resume
from rnn_jax.run import open as open_run

ASKED = new_manifest("toy", {}, [])


def state(step):
    draw = np.random.default_rng(step).random
    return {"w": draw((40, 5), np.float32), "b": draw(7, np.float32), "step": np.int32(step)}


def start(folder):
    return start_or_resume(folder, ASKED, state(0))


def save(folder, steps=(1, 2)):
    run, _ = start(folder)
    with run:
        for step in steps:
            run.save(step, state(step), metric=1.0 / step)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with sound steps 1 and 2; tests work on copies."""
    return save(tmp_path_factory.mktemp("saved") / "run")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = [(2, flip), (2, cut), (2, empty), (2, zeros), (2, Path.unlink), (1, cut)]


@pytest.mark.parametrize(("step", "damage"), DAMAGES, ids=lambda x: getattr(x, "__name__", str(x)))
def test_whatever_file_is_damaged_the_run_goes_on_in_the_right_bits(
    saved, tmp_path, capsys, step, damage
):
    """Every file of a step in turn: restored exactly, or named and the step before used."""
    files = sorted(p for p in (saved / "checkpoints" / str(step)).rglob("*") if p.is_file())
    used = {}
    for number, path in enumerate(files):
        folder = shutil.copytree(saved, tmp_path / str(number))
        damage(folder / path.relative_to(saved))
        run, restored = start(folder)
        with run:
            run.save(3, state(3), metric=0.1)
        told = capsys.readouterr().err
        used[path.name] = restored.step
        assert digest(restored.state) == digest(state(restored.step)), path
        if restored.step != 2:
            assert restored.step == step - 1 == 1, path
            assert told.startswith("warning: step 2 is damaged: ") and told.count("\n") == 1
        assert checkpoints.read(folder, 3, state(0)).step == 3
    assert len(used) > 8 and (1 in used.values()) == (step == 2)


def test_a_step_of_which_every_file_is_gone_is_passed_over(saved, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "2")
    (folder / "checkpoints" / "2").mkdir()
    run, restored = start(folder)
    run.close()
    assert restored.step == 1 and "step 2 is damaged" in capsys.readouterr().err


def mounted(folder, size):
    """A file system of so many bytes; skips where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small file system")


def test_a_full_disk_stops_with_a_line_and_leaves_the_steps_before(tmp_path):
    """A disk of 1 MB; steps of 300 kB of noise, all of them kept."""
    mounted(disk := tmp_path / "disk", 2**20)

    def noise(step):
        return {"w": np.random.default_rng(step).integers(0, 256, 300_000, np.uint8)}

    try:
        run, _ = start_or_resume(disk / "run", ASKED, noise(0), keep_last=9)
        with pytest.raises(BadInput, match="cannot write .*: No space left on device"), run:
            for step in range(1, 9):
                run.save(step, noise(step))
        there = checkpoints.steps(disk / "run")
        assert there and there == list(range(1, len(there) + 1))
        for step in there:
            read = checkpoints.read(disk / "run", step, noise(0))
            assert digest(read.state) == digest(noise(step))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def nobody():
    """As another user where run as root, whom no door is closed to."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_may_not_be_written_is_refused_and_left_alone(tmp_path, saved):
    closed = tmp_path / "closed"
    shutil.copytree(saved, closed / "run")
    for path in [closed, *closed.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    for name in ("run", "new"):
        with nobody(), pytest.raises(BadInput, match="Permission denied"):
            start(closed / name)
    for path in [closed, *closed.rglob("*")]:
        path.chmod(0o755)
    assert sorted(os.listdir(closed)) == ["run"]


def test_a_folder_deleted_while_it_is_written_is_one_line(tmp_path):
    save(tmp_path / "run", [1])
    run, _ = start(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(BadInput, match="cannot write .*No such file"):
        run.log(2, loss=1.0)
    with pytest.raises(BadInput, match="cannot write "), run:
        run.save(2, state(2))


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A run as format 1 first wrote it; the text beside it, by the path that was given then."""
    shutil.copytree(Path(__file__).parent / "data" / "old_run", tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return Path("run")


def test_a_run_of_the_first_version_opens_and_goes_on(old, capsys):
    opened = open_run(old)
    assert (opened.step, digest(opened.params)) == (6, "fbf70cf60c5ebd86cb7f47e198dded30")
    again = ["--corpus", "text.txt", "--out", "run", "--cell", "gru", "--layers", "1"]
    again += ["--hidden", "4", "--embed", "3", "--bptt", "5", "--lanes", "2", "--dropout", "0.25"]
    again += ["--valid", "0.2", "--log-every", "2", "--save-every", "3", "--sample-length", "8"]
    assert char_lm.main([*again, "--steps", "8"]) == 0
    assert checkpoints.steps(old)[-1] == 8
    assert [row["step"] for row in open_run(old).metrics] == [2, 3, 4, 6, 8]


def test_a_newer_format_is_refused_with_a_line_and_not_set_aside(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(leaves, "FORMAT", leaves.FORMAT + 1)
    folder = save(tmp_path / "run")
    monkeypatch.undo()
    for act in (start, lambda folder: checkpoints.read(folder, 2, state(0))):
        with pytest.raises(BadInput, match="has format 2, not 1; update rnn_jax"):
            act(folder)
    assert checkpoints.steps(folder) == [1, 2] and not (folder / "damaged").exists()
