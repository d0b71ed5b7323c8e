"""What a trained model uses: labels by hand, scores by brute force, models of known memory."""

import json
from itertools import product

import jax
import numpy as np
import pytest
from weights import drawn

from experiments import char_lm, units
from experiments.probing import context, pages, states
from experiments.probing.labels import labels


def marks(text, name):
    return "".join(f"{int(v)}" for v in labels(text)[name])


def test_labels_say_what_holds_after_each_character():
    text = 'a = "x(" # ("\n b([\n\n)“q”\n'
    assert marks(text, "in quotes") == "0000111000000000000001100"
    assert marks(text, "in a comment") == "0000000001111000000000000"
    assert marks(text, "bracket depth") == "0000000000000000122000000"
    assert [int(v) for v in labels("ab\n  c d")["column"]] == [1, 2, 0, 1, 2, 3, 4, 5]
    assert [int(v) for v in labels("ab\n  c d")["indentation"]] == [0, 0, 0, 1, 2, 2, 2, 2]
    long = 'x"""y\n"z\n"""w'
    assert marks(long, "in quotes") == "0101111111100"


def test_a_planted_unit_is_found_and_a_lucky_one_is_not_believed():
    rng = np.random.default_rng(0)
    label = (rng.random(400) < 0.3).astype(float)
    values = rng.normal(size=(400, 7))
    values[:, 4] -= 2 * label
    values[:200, 2] = label[:200]  # right on the first half alone
    names = [f"unit {i}" for i in range(7)]
    assert states.tell(values, names, label).unit == 2
    assert abs(states.tell(values, names, label).r) < 0.3
    values[200:, 2] = -label[200:]  # and now the wrong way round on the second
    assert states.tell(values, names, label).area == 0
    found = states.tell(np.delete(values, 2, axis=1), names, label)
    assert found.name == "unit 3" and found.r < -0.5 and found.area > 0.8 and 0.3 < found.probe < 1
    assert states.tell(values, names, np.zeros(400)) is None


def test_scores_equal_brute_force():
    rng = np.random.default_rng(1)
    values, truth = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a, b in product(values[truth], values[~truth])]
    assert states.roc(values, truth) == pytest.approx(np.mean(pairs))
    both = rng.normal(size=(40, 2))
    both[:, 1] = 3
    assert states.correlations(both, values)[0] == pytest.approx(
        np.corrcoef(both[:, 0], values)[0, 1]
    )
    assert states.correlations(both, values)[1] == 0


def test_a_model_that_sees_three_symbols_gains_nothing_from_more():
    from rnn_jax import models
    from rnn_jax.losses import cross_entropy

    model = models.window_model(5, 3, 4, 6)
    tokens = np.random.default_rng(2).integers(0, 5, 300).astype(np.int32)
    W = drawn(model.init)
    found = context.by_context(model, W, tokens, [1, 2, 3, 4, 9], count=11)
    assert found[3] == found[4] == found[9] and len({found[k] for k in (1, 2, 3)}) == 3
    # The same symbols are asked of every context: of the longest, one by one.
    asked = context.windows(tokens, 11, 9, 1)

    @jax.jit
    def last(W):
        _, ys = model.apply(W, model.start(W, 11), asked[:-1])
        return cross_entropy(ys[-1], asked[-1]).mean()

    assert found[9] == pytest.approx(float(last(W)), rel=1e-5)
    swapped = context.after_exchange(model, W, tokens, 7, 6, count=11)
    own = swapped.pop("its own (warm)")
    assert own.shape == (6,)
    for name, other in swapped.items():
        np.testing.assert_array_equal(other[2:], own[2:], err_msg=name)
        # Three symbols may stay where they are when they are shuffled.
        assert (other[:2] != own[:2]).any() or "shuffled" in name, name


def test_units_are_those_of_the_carry():
    from rnn_jax import models

    model = models.language_model(5, "lstm", 3, 2, 4)
    W, tokens = drawn(model.init), np.array([1, 4, 0, 2], np.int32)
    values, names = states.features(model, W, tokens)
    carry, _ = jax.jit(model.apply)(W, model.start(W, 1), tokens[:, None])
    assert values.shape == (4, 12) and names[10] == "carry[1][1] unit 1"
    assert values[-1, 10] == pytest.approx(np.asarray(carry[1][1])[0, 1], rel=1e-5)


def test_the_text_is_shown_whole_and_as_text():
    text, values = "<b> & c", np.array([-9.0, 0, 0, 0, 0, 0, 9])
    shown = pages.coloured(text, values, np.array([0, 0, 0, 1, 1, 0, 0]))
    assert "&lt;" in shown and "<b>" not in shown and "&amp;" in shown
    assert '<span class="v0">&lt;</span>' in shown and '<span class="v8">c</span>' in shown
    assert '<span class="v4 true"> &amp;</span>' in shown


@pytest.mark.slow
def test_a_run_is_looked_at_and_left_as_it_is(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text('to be ("or not") to be # that\n  is the [question]\n' * 150)
    flags = "--layers 1 --hidden 8 --embed 4 --bptt 5 --lanes 4 --steps 3 --sample-length 5"
    run = tmp_path / "run"
    assert char_lm.main(["--corpus", str(text), "--out", str(run), *flags.split()]) == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    capsys.readouterr()
    argv = [str(run), "--length", "600", "--context", "6", "--warm", "5"]
    assert units.main([*argv, "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["experiment"] == "units" and "bracket depth" in captured.err
    told = json.loads((tmp_path / "out" / "units.json").read_text())
    assert list(told["context"]) == ["1", "2", "4", "6"]
    assert told["labels"]["in quotes"]["name"].startswith("carry[0]")
    assert "<pre>" in (tmp_path / "out" / "units.html").read_text()
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    short = tmp_path / "short.txt"
    short.write_text("to be")
    for more, mend in (
        (["--text", str(short)], "longer"),
        (["--text", str(tmp_path / "none")], "cannot be read"),
        (["--context", "1"], "--context"),
        (["--step", "7"], "no step 7"),
    ):
        assert units.main([*argv, *more, "--out", str(tmp_path / "no")]) == 2
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and mend in errors[0] and captured.out == ""
    assert not (tmp_path / "no").exists()
