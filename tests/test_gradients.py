"""The experiment that watches gradients: its task, what it sees, what it refuses."""

import json

import numpy as np
import pytest

from experiments import flow, gradients
from rnn_jax.errors import BadInput

TOY = ["--lag", "2", "--length", "5", "--symbols", "3", "--hidden", "4", "--lanes", "6"]
TOY += ["--seen", "3", "--steps", "4", "--eval-every", "2", "--entrants", "tanh:identity:0.5"]


def test_what_is_asked_is_what_was_read_lag_steps_before():
    config = gradients.Config(lag=3, length=8, symbols=5, lanes=4, out="x")
    task = flow.recall(config)
    batch = task.batch(7)
    for lane in range(4):
        for t in range(8):
            assert batch.weights[lane, t] == (t >= 3)
            if t >= 3:
                assert batch.targets[lane, t] == batch.inputs[lane, t - 3]
    assert (task.batch(8).inputs != batch.inputs).any() and batch.inputs.max() == 4
    assert (task.batch(7).inputs == batch.inputs).all() and task.tokens == 4 * 5


@pytest.mark.slow
def test_it_looks_before_and_while_it_trains(tmp_path, capsys):
    out = tmp_path / "run"
    assert gradients.main([*TOY, "lstm", "--out", str(out)]) == 0
    assert "lstm, clip norm" in capsys.readouterr().err
    told = json.loads((out / "gradients.json").read_text())
    assert [look["step"] for look in told["looks"]["lstm, clip norm"]] == [0, 2, 4]
    look = told["looks"]["tanh identity 0.5, clip norm"][0]
    assert look["radius"] == [0.5] and len(look["flow"]) == 5
    assert len(told["looks"]["lstm, clip norm"][0]["exponents"]) == 2 * 4
    # From tanh's slope of at most 1 and a W_hh of 0.5: no step keeps more than half.
    ratios = np.array(look["flow"][1:]) / look["flow"][:-1]
    assert (ratios <= 0.5 + 1e-4).all() and max(look["singular"]) <= 0.5 + 1e-4
    assert max(look["exponents"]) <= np.log(0.5) + 1e-4
    assert all((out / name).stat().st_size > 1000 for name in gradients.FILES[1:])


def test_every_way_of_clipping_bounds_what_it_says():
    import jax.numpy as jnp
    import optax

    bars, params = {"a": jnp.array([[3.0, 4.0]])}, {"a": jnp.array([[10.0, 0.0]])}

    def clipped(how):
        by = flow.entrants(["gru"], [how])[0]
        from experiments.flow.entrants import clipping

        optimizer = clipping(by, 1.0)
        return np.asarray(optimizer.update(bars, optimizer.init(params), params)[0]["a"])

    np.testing.assert_allclose(clipped("none"), [[3, 4]])
    np.testing.assert_allclose(clipped("norm"), [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(clipped("value"), [[1, 1]])
    assert optax.tree.norm(clipped("adaptive")) < 5


def test_an_entrant_says_its_cell_and_its_beginning():
    assert [e.name for e in flow.entrants(["relu:identity", "gru"], ["none", "value"])] == [
        *("relu identity 1, clip none", "relu identity 1, clip value"),
        *("gru, clip none", "gru, clip value"),
    ]
    for text, mend in {"gru:x": "nearest", "gru:identity:-1": "radius", "grz": "gru"}.items():
        with pytest.raises(BadInput, match=mend):
            flow.entrants([text], ["norm"])
