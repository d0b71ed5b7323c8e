"""The compiled loops against the scan they stand for, and against themselves in other company."""

import functools
import subprocess
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax import bptt, cells, native
from rnn_jax.native import library
from rnn_jax.unroll import unroll

MAKERS = {"tanh": cells.vanilla, "gru": cells.gru, "lstm": cells.lstm}
X = 5


@pytest.fixture(autouse=True)
def compiled():
    if not native.available():
        pytest.skip("no C++ compiler here, so there are no compiled loops to test")


def example(name: str, T: int, B: int, H: int) -> tuple[Any, Any, Any, Any]:
    cell, noise = MAKERS[name](X, H), np.random.default_rng(T + B + H)
    w = jax.eval_shape(cell.init, jax.random.key(0))
    w, carry = jax.tree.map(
        lambda a: jnp.asarray(noise.normal(size=a.shape) / H**0.5, a.dtype),
        (w, jax.eval_shape(lambda w: cell.start(w, B), w)),
    )
    return cell, w, jnp.asarray(noise.normal(size=(T, B, X)), jnp.float32), carry


def objective(cell: Any, *, fast: bool, reverse: bool = False, **steps: Any) -> Any:
    """A loss in which every output and the last carry count differently, and its gradients."""

    def loss(w: Any, xs: Any, carry: Any) -> Any:
        final, ys = unroll(cell, w, xs, carry, fast=fast, reverse=reverse, **steps)
        t = jnp.arange(ys.shape[0])[:, None, None]
        return jnp.sin(3 * ys + t).mean() + sum(jnp.cos(a).mean() for a in jax.tree.leaves(final))

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))


def uses_native(function: Any, *args: Any) -> bool:
    return "ffi_call" in str(jax.make_jaxpr(function)(*args))


@functools.cache
def outputs(name: str, reverse: bool = False) -> Any:
    cell = MAKERS[name](X, 1)
    return jax.jit(lambda w, xs, carry: unroll(cell, w, xs, carry, reverse=reverse))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("shape", [(1, 1, 16), (7, 13, 48), (4, 9, 64), (3, 50, 128)], ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_loss_and_gradients_are_those_of_autodiff_in_double_precision(name, shape, reverse):
    agrees_with_autodiff(name, shape, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_that_do_not_exist_are_passed_by_also_in_the_middle(name, reverse):
    """A lane without any step, a whole one, and holes anywhere in the others."""
    mask = np.random.default_rng(5).random((7, 13)) < 0.6
    mask[:, 2], mask[:, 3] = False, True
    assert not mask[0].all() and not mask[-1].all()
    agrees_with_autodiff(name, (7, 13, 48), reverse=reverse, mask=jnp.asarray(mask))


def agrees_with_autodiff(name: str, shape: tuple[int, int, int], **steps: Any) -> None:
    cell, *args = example(name, *shape)
    got = objective(cell, fast=True, **steps)
    assert uses_native(got, *args)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), args)
        want = jax.tree.map(np.asarray, objective(cell, fast=False, **steps)(*double))

    def close(a: Any, b: Any) -> None:
        assert np.abs(a - b).max() <= 5e-6 * max(np.abs(b).max(), 1e-3)

    jax.tree.map(close, jax.tree.map(np.asarray, got(*args)), want)


@pytest.mark.parametrize("name", MAKERS)
def test_a_lane_s_bits_depend_on_no_other_lane(name):
    """One lane alone, in any place among others, and with another thread's lanes beside it."""
    _, w, xs, carry = example(name, 5, 64, 128)
    _, whole = outputs(name)(w, xs, carry)
    for lanes in (slice(0, 1), slice(30, 35), slice(1, 64), slice(63, 64)):
        part = jax.tree.map(lambda a, lanes=lanes: a[lanes], carry)
        _, ys = outputs(name)(w, xs[:, lanes], part)
        # The input's product is XLA's and may be rounded otherwise; the loop adds nothing to that.
        np.testing.assert_allclose(ys, whole[:, lanes], rtol=0, atol=2e-6)
    b, zs = jnp.zeros(w["W_hh"].shape[1]), jnp.asarray(cells_read(name, w, xs))
    loop = jax.jit(functools.partial(native.forward, name, False))
    nexts, saved = loop(w["W_hh"], b, carry, zs)
    for lanes in (slice(0, 1), slice(30, 35), slice(1, 64), slice(63, 64)):
        part = jax.tree.map(lambda a, lanes=lanes: a[lanes], carry)
        got = loop(w["W_hh"], b, part, zs[:, lanes])
        same = jax.tree.map(
            lambda a, c, lanes=lanes: np.array_equal(a, c[:, lanes]), got, (nexts, saved)
        )
        assert all(jax.tree.leaves(same))


def cells_read(name: str, w: Any, xs: Any) -> Any:
    return MAKERS[name](X, 1).read(w, xs)


@pytest.mark.parametrize("name", MAKERS)
def test_any_cut_in_time_is_the_whole_to_the_bit(name):
    _, w, xs, carry = example(name, 9, 6, 32)
    b, zs = jnp.zeros(w["W_hh"].shape[1]), cells_read(name, w, xs)
    loop = jax.jit(functools.partial(native.forward, name, False))
    whole, _ = loop(w["W_hh"], b, carry, zs)
    for cut in (1, 4, 8):
        first, _ = loop(w["W_hh"], b, carry, zs[:cut])
        second, _ = loop(w["W_hh"], b, jax.tree.map(lambda a: a[-1], first), zs[cut:])
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), first, second)
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, joined, whole)))


@pytest.mark.parametrize("name", MAKERS)
def test_models_side_by_side_are_the_models_one_by_one(name):
    examples = [example(name, 4, 3, 16)] * 2 + [example(name, 4, 3, 16)]
    cell = examples[0][0]
    scaled = [jax.tree.map(lambda a, s=s: s * a, e[1:]) for s, e in enumerate(examples, 1)]
    many = jax.tree.map(lambda *a: jnp.stack(a), *scaled)
    run = objective(cell, fast=True)
    got = jax.jit(jax.vmap(run))(*many)
    assert uses_native(jax.vmap(run), *many)
    for i, args in enumerate(scaled):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=0, atol=1e-6),
            got,
            run(*args),
        )


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_not_a_number_stays_so_and_in_its_lane(name):
    for bad in (np.nan, np.inf):
        _, w, xs, carry = example(name, 4, 7, 32)
        _, clean = outputs(name)(w, xs, carry)
        _, ys = outputs(name)(w, xs.at[1, 3, 2].set(bad), carry)
        others = np.arange(7) != 3
        np.testing.assert_array_equal(ys[:, others], clean[:, others])
        if np.isnan(bad):
            assert np.isnan(ys[1:, 3]).all() and np.isfinite(ys[0]).all()


def test_tanh_is_tanh_to_a_few_units_in_the_last_place():
    """Through a tanh RNN without memory: z is what tanh is taken of."""
    x = np.concatenate([np.geomspace(1e-30, 20, 8000), [0, np.inf]]).astype(np.float32)
    x = np.concatenate([-x, x])
    z = jnp.asarray(np.resize(x, (1, 8, -(-x.size // 8 // 16) * 16)))
    H = z.shape[-1]
    got, _ = native.forward("tanh", False, jnp.zeros((H, H)), jnp.zeros(H), jnp.zeros((8, H)), z)
    want = np.tanh(np.asarray(z, np.float64))
    units = np.abs(np.asarray(got) - want) / np.spacing(np.abs(want).astype(np.float32))
    assert units.max() <= 8 and np.abs(np.asarray(got)).max() == 1


@pytest.mark.parametrize("name", MAKERS)
def test_what_the_loops_cannot_do_goes_the_other_way(name):
    cell, w, xs, carry = example(name, 4, 3, 16)
    assert uses_native(objective(cell, fast=True), w, xs, carry)
    mask = jnp.ones((4, 3), bool)
    assert not uses_native(objective(cell, fast=True, fresh=mask), w, xs, carry)
    assert not uses_native(objective(cell, fast=False), w, xs, carry)
    odd, *args = example(name, 4, 3, 20)
    assert not uses_native(objective(odd, fast=True), *args)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (w, xs, carry))
    assert not uses_native(objective(cell, fast=True), *half)


def test_another_platform_gets_the_scan():
    cell, *args = example("lstm", 4, 3, 16)
    exported = jax.export.export(objective(cell, fast=True), platforms=["cuda"])(*args)
    assert "rnn_jax_lstm" not in exported.mlir_module()


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """`library.available` as in a new process with an empty cache, nothing registered twice."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda *_, **__: None)
    library.available.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    library.available.cache_clear()
    assert library.available()


def test_it_can_be_turned_off_and_needs_no_compiler(anew, capfd):
    anew.setenv("RNN_JAX_NATIVE", "0")
    assert not library.available()
    library.available.cache_clear()
    anew.delenv("RNN_JAX_NATIVE")
    anew.setenv("CXX", "no-such-compiler")
    assert not library.available()
    cell, *args = example("gru", 4, 3, 16)
    assert not bptt.native.available() and not uses_native(objective(cell, fast=True), *args)
    assert capfd.readouterr().err == ""


def test_a_compiler_that_fails_is_one_line(anew, capfd, tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no luck" >&2\nexit 1\n')
    compiler.chmod(0o755)
    anew.setenv("CXX", str(compiler))
    assert not library.available()
    *_, last = capfd.readouterr().err.strip().splitlines()
    assert last == "note: loops are not compiled, the slower ones serve: no luck"
    assert not list((tmp_path / "rnn_jax").iterdir())


def test_it_is_compiled_once(anew, capfd):
    anew.setattr(library, "_FLAGS", (*library._FLAGS, "-O0"))  # half the time
    assert library.available() and "compiling" in capfd.readouterr().err
    library.available.cache_clear()
    anew.setattr(subprocess, "run", only_asks_for_the_version)
    assert library.available() and capfd.readouterr().err == ""


def only_asks_for_the_version(command: list[str], **_: Any) -> Any:
    assert command[1:] == ["--version"]
    return REAL_RUN(command, **_)


REAL_RUN = subprocess.run
