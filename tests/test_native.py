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


@functools.cache
def example(name: str, T: int, B: int, H: int) -> tuple[Any, Any, Any, Any]:
    cell, noise = MAKERS[name](X, H), np.random.default_rng(T + B + H)
    w = jax.eval_shape(cell.init, jax.random.key(0))
    w, carry = jax.tree.map(
        lambda a: (noise.normal(size=a.shape) / H**0.5).astype(a.dtype),
        (w, jax.eval_shape(lambda w: cell.start(w, B), w)),
    )
    return cell, w, noise.normal(size=(T, B, X)).astype(np.float32), carry


@functools.cache
def objective(cell: Any, *, fast: bool, reverse: bool = False) -> Any:
    """A loss in which every output and the last carry count differently, and its gradients."""

    def loss(w: Any, xs: Any, carry: Any, phases: Any, **steps: Any) -> Any:
        final, ys = unroll(cell, w, xs, carry, fast=fast, reverse=reverse, **steps)
        ends = sum(jnp.cos(a).mean() for a in jax.tree.leaves(final))
        return jnp.sin(3 * ys + phases).mean() + ends

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))


def phases(T: int) -> Any:
    return np.arange(T, dtype=np.float32)[:, None, None]


def uses_native(function: Any, *args: Any, **steps: Any) -> bool:
    return "ffi_call" in str(jax.make_jaxpr(functools.partial(function, **steps))(*args))


def outputs(cell: Any, **options: Any) -> Any:
    return jax.jit(functools.partial(unroll, cell, **options))


@functools.cache
def loop(name: str) -> Any:
    """The compiled loop itself, without b_hh: of W_hh, carry and zs, all that `forward` makes."""
    forward = functools.partial(native.forward, name, False)
    return jax.jit(lambda W, carry, zs: forward(W, jnp.zeros(W.shape[1]), carry, zs))


CASES = [(shape, False) for shape in ((1, 1, 16), (7, 13, 48), (4, 9, 64), (3, 50, 128))]
CASES += [((4, 9, 64), True)]  # and (7, 13, 48), with holes
CASES += [pytest.param(s, True, marks=pytest.mark.slow) for s in ((1, 1, 16), (3, 50, 128))]


@pytest.mark.parametrize(("shape", "reverse"), CASES, ids=str)
@pytest.mark.parametrize("name", MAKERS)
def test_loss_and_gradients_are_those_of_autodiff_in_double_precision(name, shape, reverse):
    agrees_with_autodiff(name, shape, reverse)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_that_do_not_exist_are_passed_by_also_in_the_middle(name, reverse):
    """A lane without any step, a whole one, and holes anywhere in the others."""
    mask = np.random.default_rng(5).random((7, 13)) < 0.6
    mask[:, 2], mask[:, 3] = False, True
    assert not mask[0].all() and not mask[-1].all()
    agrees_with_autodiff(name, (7, 13, 48), reverse, mask=mask)


def agrees_with_autodiff(
    name: str, shape: tuple[int, int, int], reverse: bool, **steps: Any
) -> None:
    cell, *args = example(name, *shape)
    args.append(phases(shape[0]))
    fast = objective(cell, fast=True, reverse=reverse)
    assert uses_native(fast, *args, **steps)
    # The other way goes forward and with a mask, whatever is asked, so that it is compiled once for
    # a shape: what is read from the end, turned round, is read from the beginning.
    turn = slice(None, None, -1 if reverse else 1)
    mask = steps.get("mask", np.ones(shape[:2], bool))
    with jax.enable_x64(True):
        w, xs, carry, at = jax.tree.map(np.float64, args)
        slow = objective(cell, fast=False)(w, xs[turn], carry, at[turn], mask=mask[turn])
        loss, (w_bar, xs_bar, carry_bar) = jax.tree.map(np.asarray, slow)

    def close(a: Any, b: Any) -> None:
        assert np.abs(a - b).max() <= 5e-6 * max(np.abs(b).max(), 1e-3)

    got = jax.tree.map(np.asarray, fast(*args, **steps))
    jax.tree.map(close, got, (loss, (w_bar, xs_bar[turn], carry_bar)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_lane_s_bits_depend_on_no_other_lane(name):
    """One lane alone, in any place among others, and with another thread's lanes beside it."""
    cell, w, xs, carry = example(name, 5, 64, 128)
    zs = np.asarray(jax.jit(cell.read)(w, xs))
    whole = jax.tree.map(np.asarray, loop(name)(w["W_hh"], carry, zs))
    for lanes in (slice(0, 1), slice(30, 35), slice(1, 64), slice(63, 64)):
        part = jax.tree.map(lambda a, lanes=lanes: a[lanes], carry)
        got = loop(name)(w["W_hh"], part, zs[:, lanes])
        same = jax.tree.map(lambda a, c, at=lanes: np.array_equal(a, c[:, at]), got, whole)
        assert all(jax.tree.leaves(same))


@pytest.mark.parametrize("cut", [1, pytest.param(4, marks=pytest.mark.slow), 8])
@pytest.mark.parametrize("name", MAKERS)
def test_any_cut_in_time_is_the_whole_to_the_bit(name, cut):
    cell, w, xs, carry = example(name, 9, 6, 32)
    zs, run = np.asarray(jax.jit(cell.read)(w, xs)), functools.partial(loop(name), w["W_hh"])
    whole, _ = run(carry, zs)
    first, _ = jax.tree.map(np.asarray, run(carry, zs[:cut]))
    second, _ = run(jax.tree.map(lambda a: a[-1], first), zs[cut:])
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), first, second)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, joined, whole)))


@pytest.mark.parametrize("name", MAKERS)
def test_models_side_by_side_are_the_models_one_by_one(name):
    cell, *one = example(name, 4, 3, 16)
    scaled = [(*jax.tree.map(lambda a, s=s: np.float32(s) * a, one), phases(4)) for s in (1, 2, 3)]
    many = jax.tree.map(lambda *a: np.stack(a), *scaled)
    run = objective(cell, fast=True)
    side_by_side = jax.jit(jax.vmap(run))
    assert uses_native(side_by_side, *many)
    got = jax.tree.map(np.asarray, side_by_side(*many))
    for i, args in enumerate(scaled):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=0, atol=1e-6),
            got,
            run(*args),
        )


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_not_a_number_stays_so_and_in_its_lane(name):
    cell, w, xs, carry = example(name, 4, 7, 32)
    run, others = outputs(cell), np.arange(7) != 3
    clean = np.asarray(run(w, xs, carry)[1])
    for bad in (np.nan, np.inf):
        broken = xs.copy()
        broken[1, 3, 2] = bad
        ys = np.asarray(run(w, broken, carry)[1])
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
    both_ways, args = objective(cell, fast=True), (w, xs, carry, phases(4))
    assert uses_native(both_ways, *args)
    assert not uses_native(both_ways, *args, fresh=np.ones((4, 3), bool))
    assert not uses_native(outputs(cell, fast=False), w, xs, carry)
    odd, *its = example(name, 4, 3, 20)
    assert not uses_native(outputs(odd), *its)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (w, xs, carry))
    assert not uses_native(outputs(cell), *half)


def test_another_platform_gets_the_scan():
    cell, *args = example("lstm", 4, 3, 16)
    args.append(phases(4))
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
    assert not bptt.native.available() and not uses_native(outputs(cell), *args)
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


def test_it_is_compiled_once(anew, capfd, tmp_path):
    """Of a source that takes no time; what the other tests call was made of the real one."""
    empty = "".join(f'extern "C" void {name}() {{}}\n' for name in library._NAMES)
    (tmp_path / library._SOURCES[0]).write_text(empty)
    anew.setattr(library, "_HERE", tmp_path)
    assert library.available() and "compiling" in capfd.readouterr().err
    library.available.cache_clear()
    anew.setattr(subprocess, "run", only_asks_for_the_version)
    assert library.available() and capfd.readouterr().err == ""


def only_asks_for_the_version(command: list[str], **_: Any) -> Any:
    assert command[1:] == ["--version"]
    return REAL_RUN(command, **_)


REAL_RUN = subprocess.run
