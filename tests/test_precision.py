"""Training in bfloat16: what is rounded, what is not, and that it learns the same."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from weights import drawn

from experiments import char_lm
from rnn_jax.losses import cross_entropy
from rnn_jax.models import in_bfloat16, language_model
from rnn_jax.objective import summed_loss
from rnn_jax.recipe import Recipe
from rnn_jax.tasks import Batch, Task

T, B, V, H = 9, 4, 11, 24
MODELS = {cell: language_model(V, cell, H, 2, embed=7) for cell in ("tanh", "gru", "lstm")}


def batch(position):
    """The token after next can be told from the last two."""
    rng = np.random.default_rng(position)
    tokens = list(rng.integers(0, V, (2, B)))
    for _ in range(T):
        tokens.append((tokens[-1] + 2 * tokens[-2]) % V)
    tokens = np.stack(tokens, 1).astype(np.int32)
    return Batch(tokens[:, 1:-1], tokens[:, 2:], fresh=np.ones(B, bool))


def gradient(model, params):
    def total(params):
        return summed_loss(model, cross_entropy, params, model.start(params, B), batch(0), None)

    return jax.tree.map(np.asarray, jax.jit(jax.value_and_grad(total, has_aux=True))(params))


def recipe(half, cell="gru"):
    task = Task(batch, lambda: (batch(i) for i in range(1000, 1004)), cross_entropy, B, 500, B * T)
    return Recipe(MODELS[cell], task, optax.adam(0.02), seed=0, half=half)


@pytest.mark.parametrize("cell", MODELS)
def test_the_gradient_is_that_of_float32_but_for_rounding(cell):
    params = drawn(MODELS[cell].init)
    (loss, (_, carry)), bars = gradient(MODELS[cell], params)
    (near, (_, near_carry)), near_bars = gradient(in_bfloat16(MODELS[cell]), params)
    assert 0 < abs(near / loss - 1) < 0.01
    for tree in (carry, near_carry, bars, near_bars):
        assert {a.dtype for a in jax.tree.leaves(tree)} == {jnp.dtype("float32")}
    for a, b in zip(jax.tree.leaves(bars), jax.tree.leaves(near_bars), strict=True):
        # A bfloat16 has 8 bits, so that each rounding errs by 2^-9 at most.
        assert 0 < np.linalg.norm(a - b) < 0.02 * np.linalg.norm(a)


def test_every_product_is_of_bfloat16_and_all_that_is_kept_of_float32():
    half = recipe(True)
    state = jax.eval_shape(half.start)
    args = (state, batch(0), jax.eval_shape(jax.random.key, 0))
    program = str(jax.make_jaxpr(half.step())(*args))
    products = [line for line in program.splitlines() if " dot_general[" in line]
    assert products and all("bf16[" in line.partition("=")[0] for line in products)
    after = jax.eval_shape(half.step(), *args)[0]
    dtypes = {a.dtype.name for a in jax.tree.leaves((after.params, after.opt_state, after.carry))}
    assert dtypes == {"float32", "int32"}  # Adam counts its steps


@pytest.mark.slow
def test_it_learns_what_float32_learns():
    ends = []
    for half in (False, True):
        made, losses = recipe(half), []
        state, step = made.start(), jax.jit(made.step())
        for position in range(200):
            state, metrics = step(state, batch(position), made.key())
            losses.append(metrics.loss)
        ends.append(np.mean(losses[-50:]))
    assert ends[0] < 0.5 * np.log(V), "there is something to learn"
    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_it_lowers_for_gpus_and_tpus_with_such_products():
    made = recipe(True, "lstm")
    args = (jax.eval_shape(made.start), batch(0), jax.eval_shape(jax.random.key, 0))
    for platform in ("cuda", "tpu"):  # a module of both would hide one that has none
        exported = jax.export.export(jax.jit(made.step()), platforms=[platform])(*args)
        assert "tensor<24x96xbf16>" in exported.mlir_module()


def test_what_a_sequence_begins_from_is_rounded_too():
    def condition(W, context, keys):
        assert context.dtype == W["R"].dtype == jnp.bfloat16
        return jax.tree.map(lambda a: a + context.sum().astype(a.dtype), MODELS["gru"].start(W, B))

    model = in_bfloat16(MODELS["gru"]._replace(condition=condition))
    params = jax.eval_shape(MODELS["gru"].init, jax.random.key(1))
    params["R"] = jax.ShapeDtypeStruct((1,), jnp.float32)
    context = jax.ShapeDtypeStruct((B, 2), jnp.float32)
    begun = jax.eval_shape(lambda *given: model.condition(*given, None), params, context)
    assert {a.dtype.name for a in jax.tree.leaves(begun)} == {"float32"}


@pytest.mark.slow
def test_a_run_in_bfloat16_is_another_run(tmp_path, capsys):
    (tmp_path / "book.txt").write_text("to be or not to be, that is the question. " * 60)
    flags = [
        "--corpus",
        str(tmp_path / "book.txt"),
        "--out",
        str(tmp_path / "run"),
        "--cell",
        "gru",
    ]
    flags += "--layers 1 --hidden 8 --embed 3 --bptt 5 --lanes 4 --sample-length 3".split()
    assert char_lm.main([*flags, "--half", "--steps", "2"]) == 0
    assert char_lm.main([*flags, "--steps", "4"]) == 2
    assert "half" in capsys.readouterr().err
    assert char_lm.main([*flags, "--half", "--steps", "4"]) == 0
