"""What run.json says of the surroundings, and what a resume says of their change."""

import json
import re

import numpy as np
import pytest

from rnn_jax.digest import digest, leaf_digests
from rnn_jax.run import environment, new_manifest, start_or_resume
from rnn_jax.run.surroundings import lost

STATE = {"w": np.zeros(3, np.float32)}
HERE = environment()


def changed(name, value):
    return {**HERE, name: value}


def test_the_surroundings_have_all_that_bits_may_depend_on(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "somewhere")
    told = environment()
    assert {"versions", "python", "platform", "processor", "cores", "device_kind"} < set(told)
    assert {"device_count", "loops", "flags", "source", "git"} < set(told)
    assert told == json.loads(json.dumps(told))
    assert told["flags"] == HERE["flags"], "where programs are kept changes no bits"
    assert re.fullmatch("[0-9a-f]{16}", told["source"])


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (
            changed("versions", {**HERE["versions"], "jax": "0.4.0"}),
            f"jax was 0.4.0, is {HERE['versions']['jax']}: same run, but no longer the same bits",
        ),
        (changed("cores", 64), f"cores was 64, is {HERE['cores']}: same run, but no longer"),
        (changed("processor", "Z80"), "processor was Z80, is "),
        (changed("device_kind", "NVIDIA H200"), "device_kind was NVIDIA H200, is "),
        (changed("loops", "compiled 0"), "loops was compiled 0, is "),
        ({**HERE, "devices": 2}, None),
        (
            changed("flags", {**HERE["flags"], "JAX_ENABLE_X64": "1"}),
            "JAX_ENABLE_X64 was 1, is not set: same run, but perhaps not the same bits",
        ),
        (changed("source", "0"), "the project's source has changed ("),
        (changed("versions", {**HERE["versions"], "orbax-checkpoint": "0"}), None),
        (changed("git", None), None),
        (changed("python", "3.99"), None),
        ({name: HERE[name] for name in ("versions", "cores")}, None),
    ],
)
def test_a_change_that_costs_the_bits_is_one_line_and_no_other_is(before, line):
    lines = lost(before, HERE)
    assert len(lines) == (line is not None)
    assert not lines or lines[0].startswith(line)


def test_a_resume_says_what_is_lost_and_keeps_both_records(tmp_path, capsys):
    told = new_manifest("toy", {}, [])
    start_or_resume(tmp_path / "run", {**told, "cores": 77}, STATE)[0].close()
    capsys.readouterr()
    start_or_resume(tmp_path / "run", told, STATE)[0].close()
    err = capsys.readouterr().err
    assert f"note: cores was 77, is {HERE['cores']}: same run, but no longer the same bits" in err
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert found["cores"] == 77 and found["resumed"][0]["changed"]["cores"] == HERE["cores"]


def test_another_number_of_devices_costs_the_bits_unless_they_depend_on_none():
    for before, now, lines in ((1, 2, 1), (2, 2, 0), (None, None, 0)):
        told = lost({**HERE, "devices": before}, {**HERE, "devices": now})
        assert len(told) == lines
    assert lost({**HERE, "devices": 1}, {**HERE, "devices": 2})[0] == (
        "devices was 1, is 2: same run, but no longer the same bits"
    )


def test_each_save_leaves_its_digests_behind(tmp_path):
    run, _ = start_or_resume(tmp_path / "run", new_manifest("toy", {}, []), STATE)
    with run:
        for step in (1, 2, 3, 4):
            run.save(step, {"w": np.full(3, step, np.float32)})
    text = (tmp_path / "run" / "digests.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    for row, step in zip(rows, (1, 2, 3, 4), strict=True):
        state = {"w": np.full(3, step, np.float32)}
        assert row == {"step": step, "digest": digest(state), "leaves": leaf_digests(state)}
