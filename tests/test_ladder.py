"""The ladder: every rung on one text, their order where it is known, and no run trained twice."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import char_lm, ladder, language

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
def climbed(chain, tmp_path_factory, no_pixels):
    """Two seeds of every network; pictures are drawn, but not turned into pixels."""
    out = tmp_path_factory.mktemp("ladder") / "out"
    with no_pixels():
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
    assert all(rung["seconds"] > 0 for rung in told["rungs"][1:])
    V, H, E = 9, 12, 8
    sizes = {rung["name"]: rung["parameters"] for rung in told["rungs"]}
    # Eight letters, each followed by two; nine contexts, the unknown among them.
    assert sizes["2-gram"] == V + 8 * 2 + V
    assert sizes["gru"] == V * E + (E + H) * 3 * H + 4 * H + (H + 1) * V


def test_a_windows_rate_falls_over_all_its_steps(climbed):
    out, _ = climbed
    config = json.loads((out / "window-2-1" / "run.json").read_text())["config"]
    assert (config["horizon"], config["lr"], config["seed"]) == (30, 0.01, 1)


def test_counts_are_scored_on_what_they_have_not_seen(tmp_path):
    """Training alternates; validation does not, the test does again."""
    path = tmp_path / "turns.txt"
    path.write_text("ab" * 400 + "aabb" * 25 + "ab" * 50)
    config = ladder.Config(corpus=(str(path),), test=0.1, n=2)
    uniform, _, pairs = ladder.counted(config, language.read(config))
    assert uniform.nats == uniform.test == math.log(3)
    assert pairs.nats > 1 and pairs.test < 0.1


def runs(**told):
    """An experiment whose run of seed s says these values, each a function of s."""
    return SimpleNamespace(run=lambda config: {name: f(config.seed) for name, f in told.items()})


def test_a_rung_is_the_mean_of_its_seeds(tmp_path):
    config = ladder.Config(out=str(tmp_path), steps=7, seed=3, seeds=3)
    values = {"value": lambda s: (s - 2) ** 2, "seconds": float, "test": lambda s: 10 * s}
    told = runs(**values, parameters=lambda s: 41, step=lambda s: 7)
    rung = ladder.trained(config, "gru", told, char_lm.Config())
    assert rung == ladder.Rung("gru", 14 / 3, math.sqrt(49 / 3), 41, 4.0, 40)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--steps", "10"], "steps: 30 in"),
        (["--windows", "3"], "windows: [2] in"),
        (["--valid", "0.2"], "valid: 0.1 in"),
    ],
)
def test_another_ladder_in_the_same_folder_is_refused(flags, line, climbed, chain, capsys):
    out, _ = climbed
    before = (out / "ladder.json").read_bytes()
    assert ladder.main(["--corpus", str(chain), *TOY, *flags, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {line}") and captured.err.count("\n") == 1
    assert "use another --out" in captured.err
    assert (out / "ladder.json").read_bytes() == before


def test_the_readmes_perplexities_are_the_recorded_ones():
    root = Path(__file__).parents[1]
    recorded = json.loads((root / "experiments/results/ladder.json").read_text())["runs"]
    lines = (root / "README.md").read_text().split("| text | 1-, 2-,")[1].splitlines()[2:5]
    for run, line in zip(recorded, lines, strict=True):
        given = re.findall(r"\d+\.\d+", line)
        values = [math.exp(rung["nats"]) for rung in run["rungs"][1:]]
        assert len(given) == len(values) == 11
        for text, value in zip(given, values, strict=True):
            places = len(text.split(".")[1])
            assert float(text) == pytest.approx(value, abs=0.51 * 10**-places)


@pytest.mark.quick
def test_quick_networks_learn_more_than_how_often_a_symbol_comes(tmp_path):
    assert ladder.main(["--quick", "--out", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out" / "ladder.json").read_text())
    nats = {rung["name"]: rung["nats"] for rung in told["rungs"]}
    assert max(nats["gru"], nats["window 2"]) < 0.9 * nats["1-gram"]


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
        (["--cells", ""], "no cell ''"),
        (["--windows", "0"], "--windows 0: must be at least 1"),
        (["--windows", "99", "--lanes", "1"], "--windows 99: the training part has 15 steps"),
        (["--lanes", "9"], "--lanes 9 --bptt 8 needs 72 steps"),
        (["--n", "0"], "--n 0: must be at least 1"),
        (["--n", "20", "--lanes", "1"], "longer than the text"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(flags, line, tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("ab ba " * 3)
    out = tmp_path / "out"
    assert ladder.main(["--corpus", str(text), *TOY, *flags, "--out", str(out)]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
