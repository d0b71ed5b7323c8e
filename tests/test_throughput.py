"""The races: who may take part, whose turn it is, what is measured, what comes out."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from experiments import throughput
from experiments.racing import charlm, forms, layers, limit, pictures, report, steps, training
from experiments.racing.contest import Entrant, contest, difference
from experiments.racing.devices import DEVICES
from experiments.racing.problem import BLOCKS, Sizes, draw
from experiments.racing.turns import order, race

SMALL = charlm.Sizes("gru", 2, 16, 5, 3)


def read(capsys) -> tuple[dict, str]:
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1, "stdout is one line of JSON"
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize("count", range(1, 8))
def test_everybody_is_at_every_place_and_after_every_other_equally_often(count):
    turns = [order(count, turn) for turn in range(count * (1 + count % 2))]
    assert all(sorted(turn) == list(range(count)) for turn in turns)
    for place in range(count):
        assert len({tuple([t[place] for t in turns].count(i) for i in range(count))}) == 1
    after = [pair for turn in turns for pair in zip(turn, turn[1:], strict=False)]
    often = {after.count((a, b)) for a in range(count) for b in range(count) if a != b}
    assert len(often) <= 1 and 0 not in often


def test_a_race_takes_turns_after_warming_up_and_measures_what_calls_take(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def runner(name, seconds):
        def run():
            calls.append(name)
            clock[0] += seconds

        return run

    times = race({"quick": runner("quick", 0.004), "slow": runner("slow", 1.0)}, 4)
    assert times["quick"] == pytest.approx([4.0] * 4) and times["slow"] == pytest.approx([1e3] * 4)
    warm, turns = calls[:6], calls[6:]
    assert sorted(warm) == ["quick"] * 3 + ["slow"] * 3
    # One call that is not measured, then 20 ms of them, and never the same neighbour twice.
    a, b = ["quick"] * 6, ["slow"] * 2
    assert turns == a + b + b + a + a + b + b + a


def test_a_race_ends_when_its_seconds_are_over_but_has_two_turns():
    times = race({"a": lambda: None, "b": lambda: None}, 100, seconds=0.0)
    assert {len(each) for each in times.values()} == {2}


def scaled(outputs: float, gradients: float) -> forms.Form:
    """Our layer with other outputs, or with the outputs and other gradients."""
    ours = forms.ours("tanh", 16)

    def apply(w, x):
        ys = ours.apply(w, x)
        return outputs * (gradients * ys + (1 - gradients) * jax.lax.stop_gradient(ys))

    return ours._replace(apply=apply)


def test_who_computes_something_else_may_not_race(capsys):
    problem = draw(Sizes("tanh", 4, 3, 16), 0)

    def make(form):
        return lambda: forms.entrant(form, problem)

    def broken():
        raise ImportError("no such thing")

    rivals = {
        "scan": make(forms.scan("tanh", 16)),
        "outputs": make(scaled(1.001, 1.0)),
        "gradients": make(scaled(1.0, 0.999)),
        "nan": make(scaled(math.nan, 1.0)),
        "broken": broken,
        "has no such cell": lambda: None,
    }
    row = contest(forms.entrant(forms.ours("tanh", 16), problem), rivals, 2, 1.0)
    assert row["peers"].keys() == {"scan"} and row["best_peer"] == "scan"
    assert row["refused"].keys() == {"outputs", "gradients", "nan", "broken"}
    assert row["refused"]["outputs"].startswith("outputs differs by 1.0e-03")
    assert row["refused"]["gradients"].startswith("gradient of x differs")
    assert "no such thing" in row["refused"]["broken"]
    assert capsys.readouterr().err.count("may not race") == 4


def test_a_difference_is_told_by_name_shape_or_size():
    a = {"y": np.array([1.0, -2.0])}
    assert difference(a, {"y": a["y"] * (1 + 1e-5)}) is None
    assert "y differs by" in difference(a, {"y": a["y"] * (1 + 1e-3)})
    assert "y is (1, 2), not (2,)" in difference(a, {"y": a["y"][None]})
    assert "has z, not y" in difference(a, {"z": a["y"]})


@pytest.mark.parametrize("cell", BLOCKS)
def test_the_limit_is_the_products_one_after_another_and_nothing_else(cell):
    T, B, H, rng = 3, 2, 4, np.random.default_rng(0)
    G = BLOCKS[cell] * H
    W_xh, W_hh, x, hs = (rng.standard_normal(s) for s in ((H, G), (H, G), (T * B, H), (T * B, H)))
    zs = x @ W_xh
    r = zs[:B]
    for _ in range(T):
        r = r[:, :H] @ W_hh
    r_bar = r.copy()
    for _ in range(T):
        r_bar[:, :H] = r_bar @ W_hh.T
    zs[:B] = r_bar
    args = [np.float32(a) for a in (W_xh, W_hh, x, hs)]
    found = jax.jit(limit.all_products, static_argnums=(0, 1))(T, B, *args)
    for a, b in zip(found, (x.T @ zs, hs.T @ zs, zs @ W_xh.T), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * abs(b).max())
    assert [a.shape for a in limit.products(Sizes(cell, T, B, H))()] == [(H, G), (H, G), (T * B, H)]


def test_layers_race_and_the_results_say_so_everywhere(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "QUICK", ((5, 3, 16),))
    flags = ["--quick", "--only", "layer", "--cells", "tanh", "lstm", "--peers", "scan"]
    out, file = tmp_path / "run", tmp_path / "results.json"
    assert throughput.main([*flags, "--turns", "3", "--out", str(out), "--json", str(file)]) == 0
    told, err = read(capsys)
    results = json.loads(file.read_text())
    assert json.loads((out / "results.json").read_text()) == results
    assert results["versions"]["jax"] == jax.__version__ and "cores" in results["machine"]
    names = ["tanh T=5 B=3 H=16", "lstm T=5 B=3 H=16"]
    assert [row["name"] for row in results["rows"]] == names
    for row in results["rows"]:
        assert row["kind"] == "layer" and row["peers"].keys() == {"scan"}
        assert row["ratio"] == pytest.approx(row["peers"]["scan"] / row["ours_ms"], rel=1e-3)
        assert row["of_products"] == pytest.approx(row["ours_ms"] / row["products_ms"], rel=1e-3)
        assert row["min_ms"].keys() == {"ours", "scan", "products"}
        assert 0 < row["min_ms"]["ours"] <= row["ours_ms"] and row["name"] in err
    mean = math.prod(row["ratio"] for row in results["rows"]) ** 0.5
    assert told["experiment"] == "throughput" and told["better"] == "higher"
    assert told["value"] == pytest.approx(mean, rel=1e-3) and told["baseline"] == 1.0
    assert told["refused"] == 0 and told["out"] == str(out)
    assert (out / "ratios.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "growth.png").exists()


@pytest.mark.slow
def test_the_other_kinds_have_their_own_figures(capsys, tmp_path):
    flags = ["--quick", "--only", "step", "sampling", "growth", "seeds"]
    small = ["--rows", "1x64 T=16", "1x64 1 lane", "along T: tanh T=50 ", "memory: tanh 1x64 T=200"]
    flags += [*small, "--peers", "scan", "--cells", "tanh", "--turns", "2", "--out", str(tmp_path)]
    assert throughput.main(flags) == 0
    told, _ = read(capsys)
    results = json.loads((tmp_path / "results.json").read_text())
    rows = {(row["kind"], row["name"]): row for row in results["rows"]}
    step = rows["step", "tanh 1x64 T=16 B=8"]
    assert step["tokens_per_second"]["ours"] == pytest.approx(128e3 / step["ours_ms"], rel=0.01)
    assert told["tokens_per_second"] == step["tokens_per_second"]["ours"] and told["value"] is None
    sampled = rows["sampling", "tanh 1x64 1 lane"]
    assert sampled["characters_per_second"]["ours"] == pytest.approx(1e3 / sampled["ours_ms"], 0.01)
    assert rows["growth", "along T: tanh T=50 B=16 H=128"]["peers"].keys() == {"scan"}
    memory = rows["growth", "memory: tanh 1x64 T=200 B=8"]
    assert 0 < memory["mebibytes"]["segments"] < memory["mebibytes"]["whole"]
    assert memory["segment"] == 14 and memory["segments_ms"] > 0
    seeds = rows["seeds", "8 seeds tanh 1x64 T=16 B=8"]
    assert seeds["times_one"] == pytest.approx(seeds["ours_ms"] / seeds["one_ms"], rel=1e-3)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def trained():
    """A recipe and its compiled steps."""
    recipe = charlm.recipe(SMALL._replace(cell="tanh", layers=1), 0)
    return recipe, training.compiled(recipe)


def test_training_goes_on_from_step_to_step_on_the_data_that_fit_would_fetch(trained):
    recipe, compiled = trained
    whole = training.trainer(recipe, compiled).advance(6).loss
    parts = training.trainer(recipe, compiled)
    assert np.array_equal(np.concatenate([parts.advance(2).loss, parts.advance(4).loss]), whole)
    a, b = (recipe.task.batch(position) for position in (0, 1))
    assert np.array_equal(a.targets[:, :-1], a.inputs[:, 1:])
    assert np.array_equal(a.targets[:, -1], b.inputs[:, 0])
    assert a.fresh.all() and not b.fresh.any()


@pytest.mark.parametrize("cell", BLOCKS)
def test_pytorchs_layers_compute_ours(cell):
    pytest.importorskip("torch")
    problem = draw(Sizes(cell, 4, 3, 16, layers=2), 0)
    ours = forms.entrant(forms.ours(cell, 16), problem)
    theirs = layers.peers(problem, ["torch"])["torch"]()
    assert difference(ours.values(), theirs.values()) is None
    assert len(theirs.values()) == 2 + 2 * (4 if cell == "gru" else 3)


@pytest.mark.slow
@pytest.mark.parametrize("cell", BLOCKS)
def test_pytorch_trains_and_writes_as_we_do(cell, monkeypatch):
    pytest.importorskip("torch")
    from experiments.racing import sampling

    sizes, rivals = SMALL._replace(cell=cell), {}

    def agree(ours: Entrant, peers, *_, **__):
        rivals.update(ours=ours.values(), torch=peers["torch"]().values())
        return {"ours_ms": 1.0, "peers": {}}

    settings = throughput.Config(peers=("torch",))
    for kind in (steps, sampling):
        monkeypatch.setattr(kind, "contest", agree)
        kind.measure(sizes, settings)
        assert difference(rivals["ours"], rivals["torch"]) is None


def test_another_learning_rate_would_be_noticed(trained):
    recipe, compiled = trained
    quicker = optax.chain(optax.clip_by_global_norm(charlm.CLIP), optax.adam(1.1 * charlm.RATE))
    other = recipe._replace(optimizer=quicker)
    found = [
        charlm.named(0.0, {}, training.trainer(of, by).advance(16).loss)
        for of, by in ((recipe, compiled), (other, training.compiled(other)))
    ]
    assert "losses of training differs" in difference(*found)


def test_peers_that_are_not_there_are_passed_over_aloud(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert report.installed(("torch", "keras", "scan")) == ("scan",)
    assert capsys.readouterr().err.count("is not installed; pip install") == 2


def test_a_lost_race_is_drawn_as_well():
    row = {"kind": "step", "name": "x", "ratio": 0.5, "best_peer": "torch"}
    assert pictures.drawn([row]).keys() == {"ratios.png"} and not pictures.drawn([])


BAD = {
    "only": (["--only", "layers"], "layer, step, sampling"),
    "cells": (["--cells", "rnn"], "tanh, gru, lstm"),
    "peers": (["--peers", "tensorflow"], "torch, flax"),
    "rows": (["--only", "layer", "--rows", "T=26"], "T=25"),
    "turns": (["--turns", "1"], "--turns"),
    "folder": (["--json", "no/such/folder/a.json"], "folder does not exist"),
    "a folder": (["--json", "."], "name a file"),
    "flag": (["--turn", "3"], "--turns"),
    "seed": (["--seed", "-1"], "--seed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_mend_and_writes_nothing(case, capsys, tmp_path):
    flags, mend = BAD[case]
    assert throughput.main(["--peers", "scan", *flags, "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("error: ") and mend in captured.err
    assert not (tmp_path / "run").exists()


def test_an_out_that_is_something_else_is_refused_before_anything_is_measured(capsys, tmp_path):
    path = Path(tmp_path, "file")
    path.write_text("mine")
    for out, mend in ((path, "is a file"), (tmp_path, "has other files (file)")):
        assert throughput.main(["--quick", "--peers", "scan", "--out", str(out)]) == 2
        assert mend in capsys.readouterr().err
    assert path.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.quick
def test_quick_races_everybody_who_is_installed_in_under_a_minute(capsys, tmp_path):
    with jax.numpy_rank_promotion("allow"):  # as users have it: Keras counts on it
        assert throughput.main(["--quick", "--out", str(tmp_path)]) == 0
    told, _ = read(capsys)
    assert told["seconds"] < 60 and told["refused"] == 0 and told["value"] > told["baseline"]


@pytest.mark.quick
def test_every_number_of_devices_trains_alike_and_each_has_its_time(capsys, tmp_path):
    flags = ["--quick", "--only", "devices", "--cells", "tanh", "--turns", "2"]
    assert throughput.main([*flags, "--out", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert row["name"] == "devices tanh 1x64 T=16 B=8"
    each = [f"{how}, {told}" for how in ("pmap", "invariant") for told in DEVICES]
    assert [*row["devices_ms"]] == ["jit", *each]
    assert min(row["devices_ms"].values()) > 0


@pytest.mark.quick
def test_start_up_is_what_comes_after_the_import_of_jax(capsys, tmp_path):
    flags = ["--quick", "--only", "startup", "--rows", "library", "--turns", "2"]
    assert throughput.main([*flags, "--out", str(tmp_path)]) == 0
    cold, warm = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert (cold["name"], warm["name"]) == ("library lstm, cold", "library lstm, compile cache")
    assert 0 < warm["compile_ms"] < cold["compile_ms"] < cold["ours_ms"]
    assert cold["import_ms"] > cold["parts_ms"]["second step"] > 0
