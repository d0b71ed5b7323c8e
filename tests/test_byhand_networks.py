"""The networks set by hand are right on every input that was tried, and what is learned is told."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import lengths, parity, sums
from experiments.lengths import entrants, shallow
from rnn_jax import plots
from rnn_jax import run as runs
from rnn_jax.byhand import networks
from rnn_jax.data import synthetic
from rnn_jax.models import recurrent, stack

TOY = (
    *("--seeds", "1", "--hidden", "3", "--lanes", "5", "--train-length", "6"),
    *("--test-length", "30", "--steps", "20", "--horizon", "20"),
)


@pytest.fixture(scope="module")
def every():
    """All binary inputs up to length 12 as vectors [8190, 12, 1], their mask, their parities."""
    tokens, mask = lengths.every_sequence(2, 12)
    assert mask.sum(1).min() == 1 and len(np.unique(np.where(mask, tokens, 2), axis=0)) == 8190
    odd = np.array([[bin(x).count("1") % 2] for x in range(2)])  # of 0 and of 1
    truth = np.bitwise_xor.accumulate(odd[tokens][..., 0], axis=1)
    return tokens[..., None].astype(np.float32), mask, truth


@pytest.fixture(scope="module")
def long():
    """Random bits [7, 10000, 1] and their parities, by XOR."""
    bits = np.random.default_rng(4).integers(0, 2, (7, 10_000))
    return bits[..., None].astype(np.float32), np.bitwise_xor.accumulate(bits, axis=1)


def test_the_hand_set_parity_network_is_right_on_all_inputs_up_to_12(every):
    xs, mask, truth = every
    ys = lengths.outputs(networks.parity(), xs, mask)[..., 0]
    np.testing.assert_array_equal(ys[mask], truth[mask])


def test_the_folded_elman_form_equals_the_loop_from_y_on_all_inputs_up_to_12(every):
    xs, mask, _ = every
    looped, folded = networks.parity(), networks.folded_parity()
    np.testing.assert_array_equal(
        lengths.outputs(folded, xs, mask), lengths.outputs(looped, xs, mask)
    )


def test_both_parity_networks_are_right_on_random_inputs_of_length_10000(long):
    xs, truth = long
    for network in (networks.parity(), networks.folded_parity()):
        np.testing.assert_array_equal(lengths.outputs(network, xs)[..., 0], truth)


def test_the_folded_matrix_is_the_product_of_the_loops_two():
    looped, folded = (f().weights["layers"][0] for f in (networks.parity, networks.folded_parity))
    np.testing.assert_array_equal(folded["W_hh"], looped["W_hy"] @ looped["W_yh"])
    # The lecture's, whose vectors are columns.
    np.testing.assert_array_equal(folded["W_hh"].T, [[-1, 1], [-1, 1]])
    np.testing.assert_array_equal(folded["b_h"], [-1.5, -0.5])


def reach(gain):
    """All values h_2 - h_1 can have at even and at odd steps, as two intervals, by iteration."""

    def step(x, interval):
        y = np.linspace(*interval, 101)
        return (np.tanh(gain * (x + y - 0.5)) - np.tanh(gain * (x + y - 1.5))) / 2

    def hull(interval, *more):
        found = np.concatenate([interval, *more])
        return found.min(), found.max()

    even = (0.0, 0.0)
    odd = hull(step(1, even))
    for _ in range(100):
        even = hull(even, step(0, even), step(1, odd))
        odd = hull(odd, step(1, even), step(0, odd))
    return even, odd


@pytest.mark.parametrize("gain", [2.5, 4.0])
def test_smooth_parity_keeps_even_below_a_quarter_and_odd_above_three(gain, long):
    even, odd = reach(gain)
    assert even[1] < 0.25 and odd[0] > 0.75
    xs, truth = long
    logits = lengths.outputs(networks.smooth_parity(gain), xs)
    np.testing.assert_array_equal(logits.argmax(-1), truth)
    y = logits[..., 1] / gain + 0.5  # h_2 - h_1
    np.testing.assert_allclose(logits[..., 0], -logits[..., 1], atol=1e-5)
    assert y[truth == 0].max() < even[1] + 1e-5 and y[truth == 1].min() > odd[0] - 1e-5


def test_at_a_gain_of_2_the_smooth_network_errs_at_length(long):
    xs, truth = long
    assert (lengths.outputs(networks.smooth_parity(2.0), xs).argmax(-1) != truth).mean() > 0.01


def test_summation_is_exact_on_multiples_of_a_half_and_close_on_reals():
    rng = np.random.default_rng(1)
    halves = rng.integers(-20, 20, (3, 10_000, 1))
    ys = lengths.outputs(networks.summation(), (halves / 2).astype(np.float32))
    np.testing.assert_array_equal(2 * ys.astype(np.float64), np.cumsum(halves, axis=1))
    reals = rng.normal(size=(3, 10_000, 1)).astype(np.float32)
    ys = lengths.outputs(networks.summation(), reals)
    np.testing.assert_allclose(ys, np.cumsum(reals, axis=1, dtype=np.float64), atol=5e-3)


def test_comparison_tells_the_larger_sum_and_says_a_half_when_they_are_equal():
    halves = np.random.default_rng(2).integers(-4, 5, (5, 10_000, 2))
    ys = lengths.outputs(networks.comparison(), (halves / 2).astype(np.float32))[..., 0]
    difference = np.cumsum(halves[..., 0] - halves[..., 1], axis=1)
    np.testing.assert_array_equal(ys > 0.5, difference > 0)
    np.testing.assert_array_equal(ys == 0.5, difference == 0)
    assert (difference == 0).any()


@pytest.mark.parametrize("name", ["summation", "comparison"])
def test_the_check_of_the_sums_counts_errors(name, monkeypatch):
    monkeypatch.setattr(sums, "LONG", 500)
    network = sums.by_hand()[name]
    assert set(sums.verify(name, 0).values()) == {0}
    w = {**network.weights["layers"][0], "W_hh": jnp.array([[0.5]])}
    wrong = network._replace(weights={**network.weights, "layers": (w,)})
    monkeypatch.setattr(sums, "by_hand", lambda: {name: wrong})
    assert all(count > 100 for count in sums.verify(name, 0).values())


def test_the_check_of_parity_counts_errors(monkeypatch):
    monkeypatch.setattr(parity, "LONG", 500)
    found = parity.verify(0)
    assert len(found) == 3 and {n for counts in found.values() for n in counts.values()} == {0}
    network = networks.parity()
    w = {**network.weights["layers"][0], "W_yh": jnp.zeros((1, 2))}  # remembers nothing
    forgetful = network._replace(weights={**network.weights, "layers": (w,)})
    monkeypatch.setattr(networks, "parity", lambda: forgetful)
    wrong = parity.verify(0)
    assert all(n > 1000 for counts in wrong.values() for n in counts.values())


def test_the_summations_rounding_is_that_of_single_precision():
    assert 1e-5 < sums.rounding(0) < 5e-3


def test_a_batch_has_lengths_from_one_to_the_longest():
    config = parity.Config(lanes=200, train_length=6)
    task = entrants.sequences(parity.problem(), config, 0)
    mask = np.asarray(task.batch(0).mask)
    assert mask.shape == (200, 6) and set(mask.sum(1)) == {1, 2, 3, 4, 5, 6}


def test_noise_is_what_it_is_said_to_be():
    rule, weights = parity.problem(), networks.smooth_parity(4.0).weights

    def off(noise, seed):
        start = lengths.from_hand(parity.Config(noise=noise), rule, "tanh", weights)[0].start(seed)
        pairs = zip(jax.tree.leaves(start), jax.tree.leaves(weights), strict=True)
        return np.concatenate([np.ravel(np.asarray(a) - np.asarray(b)) for a, b in pairs])

    drawn = np.concatenate([off(2.0, seed) for seed in range(30)])
    assert drawn.std() == pytest.approx(2, rel=0.1) and abs(drawn.mean()) < 0.3
    assert not off(0.0, 0).any()


def test_each_circle_of_the_unrolled_drawing_has_its_units_value(monkeypatch):
    figures = []
    monkeypatch.setattr(plots, "png", figures.append)
    values = {"a": np.arange(1.0, 16.0), "b": -np.arange(15.0) / 2}
    units = {
        "a": lengths.Unit(values["a"], "a", (0.6, 0.0)),
        "b": lengths.Unit(values["b"], "b", (0.6, 1.5), start=7),
    }
    lengths.unrolled(units, [lengths.Arrow("a", "b", 1)], "Two units")
    (axes,) = figures[0].axes
    assert axes.get_title() == "Two units; the first 12 of 15 steps"
    at = {tuple(np.round(t.get_position(), 6)): t.get_text() for t in axes.texts}
    for t in range(1, 13):
        assert at[round(2.0 * t + 0.6, 6), 0.0] == f"{values['a'][t - 1]:g}"
        assert at[round(2.0 * t + 0.6, 6), 1.5].replace("−", "-") == f"{values['b'][t - 1]:g}"
    assert at[0.6, 1.5] == "7" and (0.6, 0.0) not in at


def test_hand_set_weights_fit_the_models_that_go_on_training_them():
    config = parity.Config()
    for rule, cell, weights in (
        (parity.problem(), "tanh", networks.smooth_parity(3.0).weights),
        (sums.summation(), "identity", sums.weights("summation")),
        (sums.comparison(), "identity", sums.weights("comparison")),
    ):
        model, error = lengths.from_hand(config, rule, cell, weights)[0].model, rule.error
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        assert jax.tree.map(np.shape, weights) == jax.tree.map(lambda a: a.shape, shapes)
        xs, targets = rule.draw(np.random.default_rng(0), 3, 50)

        @jax.jit
        def errors(weights, xs, targets, model=model, error=error):
            return error(model.apply(weights, model.start(weights, 3), xs)[1], targets)

        assert np.max(errors(weights, xs.swapaxes(0, 1), targets.swapaxes(0, 1))) < 1e-9


def test_the_looped_cell_takes_the_general_path_and_the_folded_one_the_fast():
    assert networks.parity().cell.gate is None and networks.folded_parity().cell.gate is not None
    network = networks.folded_parity()
    model = recurrent(stack(network.cell, fast=True), network.out)
    xs = np.ones((3, 2, 1), np.float32)
    ys = jax.jit(lambda w: model.apply(w, model.start(w, 2), xs)[1])(network.weights)
    np.testing.assert_array_equal(np.asarray(ys)[:, 1, 0], [1, 0, 1])


def test_a_batch_is_a_pure_function_of_seed_and_position():
    def draw(*where, **which):
        return synthetic.generator(*where, **which).integers(0, 2**30, 8).tolist()

    ours = [draw(0, 0), draw(0, 1), draw(1, 0), draw(0, 0, held_out=True), draw(2**32 - 1, 2**40)]
    assert draw(0, 1) == ours[1] and len({tuple(one) for one in ours}) == len(ours)


def test_lengths_are_even_from_one_to_the_longest():
    mask = synthetic.lengths(synthetic.generator(3, 0), 6000, 5)
    assert not (np.diff(mask.astype(int), axis=1) > 0).any(), "a sequence is a prefix"
    counts = np.bincount(mask.sum(1), minlength=6)
    assert counts[0] == 0 and (abs(counts[1:] - 1200) < 150).all()


def test_a_shallow_nets_held_out_sequences_are_not_among_the_ones_it_trains_on():
    known, unknown = shallow.splits(6)
    seen, unseen = ({tuple(x[0]) for x in part.xs} for part in (known, unknown))
    assert len(seen) == 48 and len(unseen) == 16 and not seen & unseen
    for part in (known, unknown):
        np.testing.assert_array_equal(part.targets[:, 0], part.xs.sum((1, 2)) % 2)


def run(main, capsys, out, *flags):
    assert main([*TOY, "--out", str(out), *flags]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    return json.loads(captured.out), captured.err


@pytest.mark.slow
def test_parity_goes_on_being_right_when_trained_from_the_hand_set_weights(capsys, tmp_path):
    flags = ("--cells", "tanh", "--noise", "0", "--shallow", "4", "--input", "0110")
    result, told = run(parity.main, capsys, tmp_path / "a", *flags)
    assert "y   0100" in told and " 0 errors on the 8190 inputs up to length 12" in told
    assert result["baseline"] == 0.5 and result["best"] == "parity-tanh" and 0 < result["value"] < 1
    found = json.loads((tmp_path / "a" / "parity.json").read_text())
    tanh, hand, random = found["learned"]
    assert tanh["mean_to_step"]["30"] == [result["value"]]
    for part in (hand, hand["untrained"]):
        assert part["mean_to_step"] == {"6": [0.0], "30": [0.0]} and part["at_last_step"] == [0.0]
    assert random["parameters"] == hand["parameters"] == 14 and random["at_last_step"] != [0.0]
    assert found["shallow"][0]["parameters"] >= tanh["parameters"]
    opened = runs.open(tmp_path / "a" / "parity-tanh-0")
    assert sum(a.size for a in jax.tree.leaves(opened.params)) == tanh["parameters"]
    xs = np.ones((4, 2, 1), np.float32)
    _, ys = opened.model.apply(opened.params, opened.model.start(opened.params, 2), xs)
    assert ys.shape == (4, 2, 2) and opened.vocabulary is None
    for name in parity.FILES[1:]:
        assert (tmp_path / "a" / name).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_sums_learns_prints_the_figures_and_trains_nothing_twice(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(lengths, "from_hand", lambda *given: [])  # as in parity, and slow
    flags = ("--cells", "identity", "--hidden", "1", "--lr", "0.03")
    longer = ("--steps", "300", "--horizon", "300")
    result, told = run(sums.main, capsys, tmp_path / "s", *flags, *longer)
    assert "-> 2.00, 1.50, 2.50, 3.50" in told and "-> 1.00, 0.92, 0.03" in told
    assert result["baseline"] == pytest.approx(31 / 6) and result["step"] == 300
    assert result["value"] < 0.1 * result["baseline"] and result["comparison"]["value"] < 0.25
    assert {p.name for p in (tmp_path / "s").iterdir() if p.is_file()} == {*sums.FILES}
    again, told_again = run(sums.main, capsys, tmp_path / "s", *flags, *longer)
    assert (told.count("validation"), told_again.count("validation")) == (2, 0)
    assert (again["digest"], again["value"]) == (result["digest"], result["value"])
    monkeypatch.setattr(sums, "verify", lambda *given: {})
    monkeypatch.setattr(sums, "rounding", lambda seed: 0.0)
    before, fewer = (tmp_path / "s" / "sums.json").read_bytes(), ("--steps", "200", *longer[2:])
    assert sums.main([*TOY, "--out", str(tmp_path / "s"), *flags, *fewer]) == 2
    assert "has 300 steps and is asked for 200: give more" in capsys.readouterr().err
    assert (tmp_path / "s" / "sums.json").read_bytes() == before


BAD = {
    "not binary": (["--input", "0102"], "'2' at place 4"),
    "empty input": (["--input", ""], "--input is empty"),
    "train length": (["--train-length", "0"], "--train-length 0: must be at least 1"),
    "test length": (["--test-length", "0"], "--test-length 0: must be at least 1"),
    "cell": (["--cells", "gru", "grv"], "grv"),
    "shallow": (["--shallow", "3"], "--shallow 3: must be at least 4 and at most 20"),
    "noise": (["--noise", "-1"], "--noise -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_names_the_mend_and_writes_nothing(case, capsys, tmp_path):
    flags, mend = BAD[case]
    assert parity.main(["--out", str(tmp_path / "run"), *flags]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert mend in captured.err and captured.out == "" and not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_refused(capsys, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"x")
    for main in (parity.main, sums.main):
        assert main([*TOY, "--out", str(tmp_path)]) == 2
        assert "cat.png" in capsys.readouterr().err
        assert main([*TOY, "--out", str(tmp_path / "cat.png")]) == 2
        assert "is a file" in capsys.readouterr().err
