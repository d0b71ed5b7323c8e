"""Every worked example of the slides that the code has so far, with the figures' own numbers."""

import numpy as np

from experiments import hello, lengths, parity, sums
from rnn_jax.byhand import networks

# What the sampling figure prints for softmax(y_t); it rounds two entries down (.04 as .03, .06 as
# .05), hence the tolerance of 0.01.
FIGURE_P = [
    [0.03, 0.13, 0.00, 0.84],
    [0.25, 0.20, 0.05, 0.50],
    [0.11, 0.17, 0.68, 0.03],
    [0.11, 0.02, 0.08, 0.79],
]


def test_hello_prints_the_figures_hidden_states_outputs_and_probabilities():
    hs, ys, ps = hello.tables("tanh", 3, hello.figure_weights())
    printed = np.array(hello.FIGURE_H)
    printed[1, 0] = 1.0  # the one entry where the weights aim at .96, which prints as 1.0
    np.testing.assert_array_equal(np.round(np.asarray(hs), 1), np.round(printed, 1).astype("f4"))
    np.testing.assert_allclose(ys, hello.FIGURE_Y, atol=1e-5)
    np.testing.assert_allclose(ps, FIGURE_P, atol=0.0101)


def test_no_weights_without_an_output_bias_give_the_figures_outputs():
    h, y = np.array(hello.FIGURE_H), np.array(hello.FIGURE_Y)
    residual = y - h @ np.linalg.lstsq(h, y, rcond=None)[0]
    assert np.abs(residual).max() > 1


def test_the_first_sample_of_the_figure_is_drawn_not_the_most_probable():
    _, _, ps = hello.tables("tanh", 3, hello.figure_weights())
    assert hello.LETTERS[int(ps[0].argmax())] == "o"
    assert hello.TARGETS[0] == "e" and 0.125 < ps[0][1] < 0.135


def test_the_tables_are_the_slides_recurrence():
    w = hello.figure_weights()
    layer, out, h = w["layers"][0], w["out"], np.zeros(3)
    for letter, want in zip(hello.INPUTS, hello.tables("tanh", 3, w)[1], strict=True):
        x = np.eye(4)[hello.LETTERS.index(letter)]
        h = np.tanh(h @ layer["W_hh"] + x @ layer["W_xh"])
        np.testing.assert_allclose(h @ out["W_hy"] + out["b_y"], want, atol=1e-5)


def test_learned_hello_says_hello(tmp_path):
    config = hello.Config(steps=150, eval_every=150, save_every=150, out=str(tmp_path / "run"))
    result = hello.run(config)
    assert result["says"] == "hello"
    assert result["value"] < 0.05 < result["baseline"]


def test_the_summation_network_prints_the_figures_sums():
    assert sums.figure("summation").tolist() == [2, 1.5, 2.5, 3.5]


def test_the_comparison_network_prints_the_figures_probabilities():
    assert [f"{y:.2f}" for y in sums.figure("comparison")] == ["1.00", "0.92", "0.03"]


def test_the_parity_units_give_the_slides_table():
    # y(t-1), x(t), h1(t), h2(t), y(t)
    slide = [(0, 0, 0, 0, 0), (0, 1, 0, 1, 1), (1, 0, 0, 1, 1), (1, 1, 1, 1, 0)]
    assert parity.truth_table() == slide


def test_the_parity_network_gives_the_slides_parity_bits():
    values = parity.unrolled(parity.bits("0101101011"))
    assert "".join(f"{y:g}" for y in values["y"]) == "0110110010"  # the slide prints 011011 of it
    # Each parity bit is the XOR of the input and the previous parity bit.
    x, y = (values[name].astype(int) for name in ("x", "y"))
    np.testing.assert_array_equal(y, x ^ np.concatenate([[0], y[:-1]]))


def test_the_folded_parity_network_gives_the_same_bits():
    bits = parity.bits("0101101011")
    looped, folded = networks.parity(), networks.folded_parity()
    np.testing.assert_array_equal(lengths.outputs(folded, bits), lengths.outputs(looped, bits))
    # The lecture's W_hh is for vectors that are columns.
    assert folded.weights["layers"][0]["W_hh"].T.tolist() == [[-1, 1], [-1, 1]]
