"""The ladder: every rung on one text, their order where it is known, and no run trained twice."""

import json
import math

import numpy as np
import pytest

from experiments import ladder

TOY = ["--n", "2", "--windows", "2", "--cells", "gru", "--hidden", "12", "--embed", "8"]
TOY += ["--bptt", "8", "--lanes", "4", "--steps", "30"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A text in which every letter is followed by one of two: a chain of order one."""
    draw = np.random.default_rng(0)
    at, text = 0, []
    for _ in range(6000):
        at = (2 * at + draw.integers(2)) % 8
        text.append("abcdefgh"[at])
    path = tmp_path_factory.mktemp("text") / "chain.txt"
    path.write_text("".join(text))
    return path


@pytest.fixture(scope="module")
def climbed(chain, tmp_path_factory):
    out = tmp_path_factory.mktemp("ladder") / "out"
    assert ladder.main(["--corpus", str(chain), *TOY, "--out", str(out), "--seeds", "2"]) == 0
    return out, json.loads((out / "ladder.json").read_text())


def test_the_rungs_of_a_chain_are_its_entropies(climbed):
    _, told = climbed
    nats = {rung["name"]: rung["nats"] for rung in told["rungs"]}
    assert list(nats) == ["uniform", "1-gram", "2-gram", "window 2", "gru"]
    # Nine symbols, the unknown among them; eight letters equally often; two ways to go on.
    assert nats["uniform"] == pytest.approx(math.log(9))
    assert nats["1-gram"] == pytest.approx(math.log(8), abs=0.01)
    assert nats["2-gram"] == pytest.approx(math.log(2), abs=0.01)
    assert math.log(2) - 0.01 < nats["window 2"] < nats["1-gram"]
    assert math.log(2) - 0.01 < nats["gru"] < nats["uniform"]


def test_each_rung_is_told_in_every_unit_with_its_cost(climbed):
    _, told = climbed
    for rung in told["rungs"]:
        assert rung["bits_per_byte"] == pytest.approx(rung["nats"] / math.log(2))
        assert rung["perplexity"] == pytest.approx(math.exp(rung["nats"]))
    spread = {rung["name"]: rung["deviation"] for rung in told["rungs"]}
    assert spread["2-gram"] is None and spread["gru"] > 0


def test_a_second_time_trains_nothing_again(climbed, chain):
    out, told = climbed
    rows = {path: path.stat().st_mtime_ns for path in out.glob("*/metrics.jsonl")}
    assert len(rows) == 4
    assert ladder.main(["--corpus", str(chain), *TOY, "--out", str(out), "--seeds", "2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in rows} == rows
    again = json.loads((out / "ladder.json").read_text())
    assert [r["nats"] for r in again["rungs"]] == [r["nats"] for r in told["rungs"]]
    assert (out / "ladder.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--cells", "gru", "gru"], "--cells names a rung twice"),
        (["--cells", "gruu"], "gruu"),
        (["--windows", "0"], "--context 0: must be at least 1"),
        (["--n", "0"], "--n 0: must be at least 1"),
        (["--n", "20"], "longer than the text"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(flags, line, tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("ab ba " * 3)
    out = tmp_path / "out"
    assert ladder.main(["--corpus", str(text), *TOY, *flags, "--out", str(out)]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
