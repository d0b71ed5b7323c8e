"""Muon: what it steps along, how far, and what it leaves to Adam; runs by it."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import toy

from experiments import captioning, char_lm
from experiments.standalone import training
from rnn_jax import descent

RATE = 0.01


def first_step(params, gradient):
    rule = descent.muon(RATE, 0.0)
    return jax.jit(lambda p, g: rule.update(g, rule.init(p), p)[0])(params, gradient)


@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_muon_steps_down_a_matrix_with_about_equal_singular_values_and_adams_length(shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    gradient[:, 0] *= 30  # far from equal
    step = np.asarray(first_step({"W_hh": gradient}, {"W_hh": gradient})["W_hh"])
    values = np.linalg.svd(step, compute_uv=False)
    assert values.max() < 2 * values.min(), "five iterations, which come near alone"
    u, _, v = np.linalg.svd(gradient, full_matrices=False)
    along = -(step * (u @ v)).sum() / np.linalg.norm(step) / np.linalg.norm(u @ v)
    assert along > 0.97
    assert 0.7 < np.sqrt(np.mean(step**2)) / (0.2 * RATE) < 1.3


def test_rows_that_are_looked_up_and_vectors_are_left_to_adam():
    """Its first step looks ahead, Dozat 2016: of a constant size, against the gradient's sign."""
    rng = np.random.default_rng(0)
    shapes = {"R": (7, 4), "P": (3, 4), "b_h": (4,)}
    gradient = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    step = first_step(gradient, gradient)
    for name, g in gradient.items():
        ahead = 1 + 0.9 * (1 - 0.9) / (1 - 0.9**2)
        np.testing.assert_allclose(step[name], -RATE * ahead * np.sign(g), rtol=1e-5)


def test_a_run_by_muon_goes_on_to_the_same_bits(capsys, tmp_path):
    (tmp_path / "text.txt").write_text(toy.TEXT)
    given = (*toy.FLAGS, "--corpus", str(tmp_path / "text.txt"))

    def trained(folder, steps, rule="muon"):
        own = ("--optimizer", rule, "--steps", steps, "--out", str(tmp_path / folder))
        assert char_lm.main([*given, *own]) == 0
        return json.loads(capsys.readouterr().out)

    straight = trained("straight", "4")
    assert trained("cut", "2")["step"] == 2
    assert trained("cut", "4")["digest"] == straight["digest"]
    assert trained("adam", "4", "adam")["digest"] != straight["digest"]


def test_the_rule_of_a_standalone_experiment_is_the_one_asked_for():
    """Equal numbers are one object."""
    config = captioning.Config(lr=0.01, clip=2.0, horizon=7)
    assert training.optimizer(config) is descent.muon(descent.falling(0.01, horizon=7), 2.0)
    config = dataclasses.replace(config, optimizer="adam")
    assert training.optimizer(config) is descent.adam(0.01, 2.0, 7)
