"""Stacks against their layers one by one, tokens against the vectors they stand for."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import cells
from rnn_jax.errors import BadInput
from rnn_jax.models import from_spec, language_model, stack
from rnn_jax.unroll import unroll

T, B, X, H, V = 2, 3, 5, 7, 11
MODULES = [
    f"rnn_jax.models.{name}"
    for name in "core directions conditioned sequences attention translator captions words".split()
]


@pytest.mark.parametrize("residual", [False, True])
def test_stack_is_its_layers_one_after_another(residual):
    first, second = cells.gru(X, H), cells.lstm(H, H)
    model = stack(first, second, residual=residual)
    W = drawn(model.init)
    start = drawn(lambda _: model.start(W, B), seed=1)
    xs = np.random.default_rng(2).normal(size=(T, B, X)).astype(np.float32)
    (end_1, end_2), ys = jax.jit(model.apply)(W, start, xs)

    @jax.jit
    def by_layer(W, start, xs):
        carry_1, below = unroll(first, W[0], xs, start[0])
        carry_2, above = unroll(second, W[1], below, start[1])
        return above + below if residual else above, carry_1, carry_2[1]

    for got, expected in zip((ys, end_1, end_2[1]), by_layer(W, start, xs), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("tokens", [(T, B), (T, V)], ids=["few tokens", "small table"])
def test_embedded_cell_is_the_cell_on_rows_of_the_table(tokens):
    cell = cells.gru(X, H)
    reader = cells.embedded(cell, V, X)
    w = drawn(reader.init)
    read = np.random.default_rng(1).integers(0, V, tokens)
    start = np.zeros((tokens[1], H), np.float32)

    def loss(w, xs, cell):
        _, ys = unroll(cell, w, xs, start)
        return jnp.sum(jnp.sin(ys))

    @jax.jit
    def both(w):
        by_rows = jax.value_and_grad(lambda R, w: loss(w, R[read], cell), argnums=(0, 1))
        of_tokens = jax.value_and_grad(lambda w: loss(w, read, reader))
        return of_tokens(w), by_rows(w["R"], w["cell"])

    (got, bars), (want, (R_bar, w_bar)) = both(w)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(bars), jax.tree.leaves((R_bar, w_bar)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_one_hot_changes_only_how_loud_the_first_input_is(key):
    cell = cells.vanilla(V, H)
    plain, loud = cell.init(key), cells.one_hot(cell, V).init(key)
    np.testing.assert_allclose(loud.pop("W_xh"), plain.pop("W_xh") * V**0.5, rtol=1e-6)
    assert jax.tree.all(jax.tree.map(np.array_equal, loud, plain))


SPECS = {
    "sentence_model": {"vocabulary": V, "classes": 2, "layers": 2, "word_dropout": 0.5},
    "translator": {"source": V, "target": V, "layers": 2, "embed": X},
    "caption_model": {"shape": (4, 4), "vocabulary": V, "layers": 2, "features": (2,)},
    "frame_model": {"shape": (X,), "classes": 2, "way": "both", "layers": 2},
    "word_model": {"vocabulary": V, "layers": 2, "embed_dropout": 0.5},
}


@pytest.mark.parametrize("name", SPECS)
def test_no_two_dropouts_of_a_model_share_a_key(name, monkeypatch):
    """Places are followed instead of keys: ("lanes", place, …); nothing is computed."""
    drawn = []

    def dropout(keys, x, rate, **_):
        drawn.append(keys)
        return x

    for module in map(importlib.import_module, MODULES):
        for used, stand_in in [("lane_keys", lambda keys, place: (*keys, place)),
                               ("dropout", dropout), ("drop", dropout),
                               ("draw_key", lambda keys: None)]:  # fmt: skip
            if hasattr(module, used):
                monkeypatch.setattr(module, used, stand_in)
    model = from_spec({"builder": name, "arguments": {**SPECS[name], "hidden": 2, "dropout": 0.5}})
    tokens, frames = np.zeros((T, B), np.int32), np.zeros((T, B, X), np.float32)
    xs = jax.device_put(frames if name == "frame_model" else tokens)
    context = jax.device_put({"tokens": tokens.T, "mask": np.ones((B, T), bool)})

    def run(W):
        carry = model.start(W, B)
        if model.condition is not None:
            given = context if name == "translator" else jnp.zeros((B, 4, 4))
            carry = model.condition(W, given, ("lanes",))
        return model.apply(W, carry, xs, keys=("lanes",))[1]

    jax.eval_shape(lambda key: run(model.init(key)), jax.random.key(0))
    assert len(set(drawn)) == len(drawn) > 2


def test_a_model_comes_back_from_its_spec(key):
    arguments = {"vocabulary": V, "cell": "tanh", "hidden": H, "layers": 1, "embed": X}
    spec = {"builder": "language_model", "arguments": arguments}
    W = language_model(**arguments).init(key)
    again = from_spec(spec).init(key)
    assert jax.tree.all(jax.tree.map(np.array_equal, W, again))


def test_a_spec_that_would_run_foreign_code_is_refused():
    spec = {"builder": "language_model", "arguments": {"vocabulary": V, "cell": "os:system"}}
    with pytest.raises(BadInput, match="--trust"):
        from_spec(spec)
    with pytest.raises(BadInput, match="unknown"):
        from_spec({"builder": "os.system", "arguments": {}})
