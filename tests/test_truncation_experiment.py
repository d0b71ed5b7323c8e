"""The truncation laboratory at toy size: its data, its grid, what it refuses."""

import json
import math
import types

import numpy as np
import pytest

from experiments import cutting, truncation
from experiments.cutting.measure import whole
from experiments.cutting.problems import problem
from experiments.cutting.report import mean_and_half_width, mean_curve, record, saturates
from experiments.cutting.sweep import Entry, Trained, chunked
from rnn_jax import fit
from rnn_jax.data import synthetic
from rnn_jax.errors import BadInput
from rnn_jax.tasks import Batch, Task
from rnn_jax.truncation import Truncation

TOY = "--lag 3 --every 4 --symbols 3 --k1 8 --lengths 4 8 --hidden 4 --lanes 2 --steps 4"
TOY += " --seeds 1 --samples 2 --eval-every 2 --log-every 2"


def test_the_sum_of_the_two_marked_numbers_is_asked():
    xs, answers = synthetic.adding(synthetic.generator(1, 2), 50, 11)
    numbers, marks = xs[..., 0], xs[..., 1]
    assert xs.shape == (50, 11, 2) and xs.dtype == np.float32
    assert (marks[:, :5].sum(1) == 1).all() and (marks[:, 5:].sum(1) == 1).all()
    for row, mark, answer in zip(numbers, marks, answers, strict=True):
        assert answer == pytest.approx(
            sum(n for n, m in zip(row, mark, strict=True) if m), abs=1e-6
        )


def test_the_symbols_are_asked_again_after_the_cue():
    tokens, answers = synthetic.copying(synthetic.generator(1, 2), 5, 4, 3, 6)
    assert tokens.shape == answers.shape == (5, 12)
    for told, asked in zip(tokens, answers, strict=True):
        assert list(told[3:]) == [0] * 5 + [5] + [0] * 3 and set(told[:3]) <= {1, 2, 3, 4}
        assert list(asked) == [0] * 9 + list(told[:3])
        # From the last symbol to the cue, and from a symbol to its answer.
        assert list(told).index(5) - 2 == 6 and 12 - 3 == 6 + 3


@pytest.mark.parametrize(("length", "every"), [(4, 1), (4, 3), (10, 5)])
def test_the_answer_is_the_input_lag_steps_before_across_chunks(length, every):
    lag, lanes = 7, 6
    chunks = [synthetic.recall(3, p, lanes, length, 5, lag, every) for p in range(5)]
    tokens, answers, asked = (np.concatenate(part, axis=1) for part in zip(*chunks, strict=True))
    assert (answers[:, lag:] == tokens[:, :-lag]).all() and not answers[:, :lag].any()
    assert (asked == (answers > 0)).all()
    for lane in tokens:
        assert set(np.diff(np.flatnonzero(lane))) == {every}
    again = synthetic.recall(3, 2, lanes, length, 5, lag, every)
    assert (again[0] == chunks[2][0]).all()
    other = synthetic.recall(3, 2, lanes, length, 5, lag, every, held_out=True)
    assert (other[0] != chunks[2][0]).any()


@pytest.mark.parametrize("k1", [1, 8, 160])
def test_recall_is_scored_on_answers_however_short_an_update_is(k1):
    config = truncation.Config(k1=k1, lengths=(k1,), lag=40, every=48)
    batches = problem(config).task(3).valid()
    asked = sum(batch.weights.sum(1) for batch in batches)
    assert batches[0].fresh.all() and (asked >= 3).all()


def test_a_task_in_shorter_chunks_has_the_same_steps_in_order():
    def batch(position):
        steps = np.arange(12).reshape(2, 6) + 100 * position
        return Batch(steps, steps, fresh=np.full(2, position == 0))

    task = chunked(Task(batch, lambda: (), None, 2, 7, 12), 2, 6)
    parts = [task.batch(p) for p in range(6)]
    assert (np.concatenate([p.inputs for p in parts[3:]], 1) == batch(1).inputs).all()
    assert [part.fresh.any() for part in parts] == [True] + [False] * 5
    assert (task.chunks, task.tokens) == (21, 4)


def test_confidence_and_saturation_by_hand():
    mean, half = mean_and_half_width([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.302653 / 3**0.5)
    assert math.isnan(mean_and_half_width([1.0])[1])
    means = {1: 3.0, 2: 1.0, 4: 1.05, 8: 0.95}
    rows = [
        {"k1": 8, "k2": k, "gradient": "truncated", "mean": m, "half_width": 0.1}
        for k, m in means.items()
    ]
    assert saturates(rows, 8) == 2
    assert saturates([rows[0] | {"mean": math.inf}], 8) is None
    curves = [[(2, 1.0), (4, 3.0), (6, 1e9)], [(1, 9.0), (2, 2.0), (4, None), (6, None)]]
    assert mean_curve(curves) == [(2, 1.5), (4, 3.0)]


def test_the_quickest_row_is_done_within_the_time_it_takes():
    ms = 2.65  # 3 ms / 1e3 * 1e3 < 3 ms
    rows = [{"step": s, "valid": 1 / s} for s in (1, 2, 3)]
    runs = [Trained(rows, types.SimpleNamespace(step=3))]
    entries = [Entry(name, "truncated", Truncation(8, 8), 8, 3) for name in ("quick", "slow")]
    costs = {"quick": {"ms": ms, "mib": 0}, "slow": {"ms": 1.3 * ms, "mib": 0}}
    quick, slow = record(entries, dict.fromkeys(("quick", "slow"), {0.1: runs}), costs, {}, {})
    assert (quick["at_equal_time"], slow["at_equal_time"]) == (1 / 3, 1 / 2)


def test_the_full_gradient_reaches_back_further_than_any_that_is_compared_with_it():
    config = truncation.Config(k1=8, lengths=(4, 32))
    assert whole(config, True) == Truncation(8, 40)  # the chunk's first loss through 33 steps
    assert whole(config, False) == Truncation(8, 8)


def table(folder):
    """What came of it but the timings and what follows from them."""
    rows = json.loads((folder / "truncation.json").read_text())["rows"]
    timings = ("ms", "at_equal_time", "seconds_of_equal_time")
    return [{k: v for k, v in row.items() if k not in timings} for row in rows]


@pytest.mark.slow
def test_a_grid_goes_on_where_it_was_stopped_also_within_a_run(tmp_path, monkeypatch, capsys):
    argv = [*TOY.split(), "--common"]
    assert truncation.main([*argv, "--out", str(tmp_path / "a")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["experiment"] == "truncation" and math.isfinite(result["value"])
    begun = [path.parent for path in sorted((tmp_path / "a").glob("*/run.json"))]
    assert [path.name for path in begun] == [
        *("k1=k2=4-lr=0.01-0", "k2=4-lr=0.01-0", "k2=8-lr=0.01-0"),
    ]
    rows = {row["name"]: row for row in table(tmp_path / "a")}
    assert rows["k1=k2=4"]["steps"] == 8 and rows["k2=4"]["steps"] == 4
    errors = rows["k2=4"]["gradient_error"]["early"]
    assert set(errors) >= {"all", "looks_back", "layers/0/W_hh", "out/W_hy"}
    assert set(rows["k2=4"]["dependence"]["late"]) == {"share", "error"}
    assert (tmp_path / "a" / "truncation.png").stat().st_size > 10_000

    assert truncation.main([*argv, "--steps", "2", "--out", str(tmp_path / "a")]) == 2
    assert "has 4 steps and is asked for 2: give more --steps" in capsys.readouterr().err

    real, count = fit._save, iter(range(3))  # each run saves at its steps 2 and 4

    def killed(*args):
        if next(count, None) is None:
            raise KeyboardInterrupt  # as a kill leaves it: step 4 is logged and not saved
        real(*args)

    monkeypatch.setattr(fit, "_save", killed)
    assert truncation.main([*argv, "--out", str(tmp_path / "b")]) == 130
    monkeypatch.setattr(fit, "_save", real)
    rows = (tmp_path / "b" / "k2=8-lr=0.01-0" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 4]
    done = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "b").glob("*/checkpoints/*/record")
    }
    assert len({path.parents[2] for path in done}) == 2
    assert truncation.main([*argv, "--out", str(tmp_path / "b")]) == 0
    assert table(tmp_path / "a") == table(tmp_path / "b")
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())


@pytest.mark.slow
def test_every_road_trains_on_the_same_data_in_one_grid(tmp_path):
    argv = TOY.replace("--lengths 4 8", "--lengths 4").replace("--lanes 2", "--lanes 1").split()
    argv += "--task balance --estimators full rtrl uoro --steps 2".split()
    assert truncation.main([*argv, "--out", str(tmp_path / "a")]) == 0
    rows = {row["name"]: row for row in table(tmp_path / "a")}
    assert set(rows) == {"k2=4", "full", "rtrl", "uoro"}
    # All of one chunk is a row like the others, and not what they are compared with.
    assert rows["full"]["gradient_error"]["early"]["all"]["norm_ratio"] < 0.9
    whole_one = json.loads((tmp_path / "a" / "truncation.json").read_text())["full"]
    assert whole_one["early"]["all"]["norm_ratio"] == pytest.approx(1)
    # In chunks of 8 all that can be seen is near, and near effects say the same of one parameter.
    assert rows["k2=4"]["gradient_error"]["early"]["all"]["cosine"] == pytest.approx(1)
    assert rows["k2=4"]["gradient_error"]["early"]["all"]["norm_ratio"] < 0.5
    assert not rows["k2=4"]["dependence"], "nothing is read"


@pytest.mark.parametrize(("flags", "most"), [([], 0), (["--max-skipped", "7"], 7)])
def test_what_diverges_ends_no_grid_unless_that_is_asked_for(
    flags, most, tmp_path, monkeypatch, capsys
):
    def refuse(folder, manifest, recipe, config, **_):
        raise BadInput(f"{config.max_skipped} in a row")

    monkeypatch.setattr(fit, "fit", refuse)
    assert truncation.main([*TOY.split(), *flags, "--out", str(tmp_path / "a")]) == 2
    assert f"error: {most} in a row" in capsys.readouterr().err


def test_the_memory_of_a_road_has_the_influence_that_goes_on_with_the_state(monkeypatch):
    monkeypatch.setattr(cutting.measure, "_TURNS", 1)
    config = truncation.Config(cell="tanh", k1=1, lengths=(), estimators=("snap1",))
    found = cutting.costs(config, problem(config), cutting.entries(config))
    weights = 9 * 32 + 32 * 32 + 32  # W_xh, W_hh, b_h
    influence = 16 * weights * 4 / 2**20
    # As it was, and as it will be.
    assert 2 * influence < found["snap1"]["mib"] < 4 * influence


def test_sequences_are_asked_where_their_task_says():
    sizes = {"k1": 24, "lanes": 3, "symbols": 4, "lengths": (8,)}
    made = {
        name: problem(truncation.Config(task=name, **sizes)).task(5).batch(2)
        for name in ("adding", "copy", "parity")
    }
    adding = made["adding"]
    assert (adding.weights.sum(1) == 1).all() and (adding.weights[:, -1] == 1).all()
    sums = (adding.inputs[..., 0] * adding.inputs[..., 1]).sum(1)
    np.testing.assert_allclose(adding.targets[:, -1, 0], sums, rtol=1e-6)
    assert (made["copy"].targets[:, -10:] == made["copy"].inputs[:, :10]).all()
    bits = made["parity"].inputs[..., 0].astype(int)
    assert (made["parity"].targets == np.bitwise_xor.accumulate(bits, axis=1)).all()
    assert all(batch.fresh.all() and batch.fresh.shape == (3,) for batch in made.values())


BAD = {
    "--lengths 3": "neither divides the other; the nearest k2 is 2",
    "--lengths 4 --edge burn-in": "--burn 0",
    "--lengths 4 --estimators artbp --grain 3": "grain that divides k1",
    "--lengths 4 --estimators rtrl --memory 1 --hidden 64": "rtrl needs 20 MiB",
    "--lengths 4 --cell gruu": "no cell 'gruu'",
    "--lengths 4 --forget-bias 3": "goes with --cell lstm, not gru",
    "--lengths 16 --task parity": "has --k1 8 steps",
    "--lengths 4 --rates 0": "--rates 0.0: must be above 0",
    "--lengths 4 --rates inf": "--rates inf: must be",
    "--lengths 4 --estimators snap1 --cell cho_gru": "cell has no gate",
    "--lengths 4 --estimators snap1 --memory 1 --hidden 200": "snap1 needs 3 MiB",
    "--task balance --lengths 4": "--lanes 1, not 2",
    "--task copy --lengths 4": "takes 21 steps",
    "--task text --corpus no-such-book.txt --lengths 4": "does not exist",
}


@pytest.mark.parametrize("flags", BAD)
def test_what_cannot_be_a_grid_is_one_line_and_nothing_is_written(flags, tmp_path, capsys):
    argv = "--lag 3 --every 4 --symbols 3 --k1 8 --hidden 4 --lanes 2 --steps 4".split()
    assert truncation.main([*argv, *flags.split(), "--out", str(tmp_path / "a")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and BAD[flags] in errors[0]
    assert not (tmp_path / "a").exists()


def test_a_chunk_longer_than_the_text_and_a_grid_of_nothing_are_refused(tmp_path, capsys):
    (tmp_path / "book.txt").write_text("to be or not to be " * 9)
    argv = ["--task", "text", "--corpus", str(tmp_path / "book.txt"), "--k1", "512"]
    assert truncation.main([*argv, "--lengths", "512", "--out", str(tmp_path / "a")]) == 2
    assert "the training part has 152 steps; use --k1 9" in capsys.readouterr().err
    argv[-1:] = ["4", "--lanes", "2", "--lengths", "76", "80"]
    assert truncation.main([*argv, "--out", str(tmp_path / "a")]) == 2
    assert "--lengths 80 --lanes 2: the training part has 152 steps, 76" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    with pytest.raises(BadInput, match="the grid has no cell"):
        truncation.check(truncation.Config(lengths=(), out=str(tmp_path / "b")))
