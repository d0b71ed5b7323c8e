"""What is saved comes back to the bit, and what is damaged is never used."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_jax.digest import digest, leaf_digests
from rnn_jax.errors import BadInput
from rnn_jax.run import checkpoints, new_manifest, start_or_resume
from rnn_jax.run.checkpoints import Damaged


class State(flax.struct.PyTreeNode):
    step: jax.Array
    params: Any
    opt_state: Any
    carry: Any
    skipped: jax.Array


begin_adam = jax.jit(
    optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3), optax.identity()).init
)


def make_state(step: int = 0) -> State:
    """A state with all that is awkward: tuples, None, bfloat16, no elements, -0 and NaN."""
    noise, float32 = np.random.default_rng(step), np.float32
    layer = {"W_xh": noise.normal(size=(3, 5)), "b": np.array([-0.0, np.nan, 1e-42])}
    layer = jax.tree.map(float32, layer)
    params = {"cell": (layer, {"W_hh": noise.normal(size=(64, 64)).astype(jnp.bfloat16)})}
    carry = ((noise.normal(size=(2, 7)).astype(float32), np.zeros((2, 0), float32)), None)
    state = State(np.int32(step), params, begin_adam(params), carry, np.int32(0))
    return jax.device_put(state)


TWO = digest(make_state(2))
ASKED = new_manifest("toy", {"hidden": 7}, ["hidden"])


def save_run(folder, metrics, **keep):
    run, _ = start_or_resume(folder, ASKED, make_state(), **keep)
    with run:
        for step, metric in metrics.items():
            run.log(step, loss=1.0 / step)
            run.save(step, make_state(step), metric=metric, extra={"best": metric})
    return folder


def resume(folder):
    run, restored = start_or_resume(folder, ASKED, jax.eval_shape(make_state))
    run.close()
    return restored


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with sound steps 1 and 2; tests work on copies."""
    return save_run(tmp_path_factory.mktemp("saved") / "run", {1: 3.0, 2: 2.0})


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def files_of(folder, step=2):
    return sorted(
        path for path in (folder / "checkpoints" / str(step)).rglob("*") if path.is_file()
    )


def size(path):
    return path.stat().st_size if path.is_file() else 0


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_state_comes_back_bit_for_bit_in_the_same_structure(folder):
    restored, state = resume(folder), make_state(2)
    assert (restored.step, restored.metric, restored.extra) == (2, 2.0, {"best": 2.0})
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    for new, old in zip(jax.tree.leaves(restored.state), jax.tree.leaves(state), strict=True):
        assert isinstance(new, jax.Array) and not new.committed
        assert (new.dtype, new.shape, new.weak_type) == (old.dtype, old.shape, False)
        assert np.asarray(new).tobytes() == np.asarray(old).tobytes()
    assert digest(restored.state) == digest(state)


def test_a_saved_state_is_the_one_at_the_call_though_its_buffers_are_given_away(tmp_path):
    step = jax.jit(lambda x: x * 2, donate_argnums=0)
    state = {"w": jnp.arange(100_000.0)}
    run, _ = start_or_resume(tmp_path / "run", ASKED, state)
    with run:
        run.save(1, state)
        for _ in range(10):
            state = jax.tree.map(step, state)
    restored = checkpoints.read(tmp_path / "run", 1, state)
    np.testing.assert_array_equal(restored.state["w"], np.arange(100_000.0))


def test_keys_come_back_as_keys(tmp_path):
    state = {"key": jax.random.split(jax.random.key(5), 3), "n": jnp.int32(1)}
    run, _ = start_or_resume(tmp_path / "run", ASKED, state)
    with run:
        run.save(1, state)
    back = checkpoints.read(tmp_path / "run", 1, jax.eval_shape(lambda: state)).state
    np.testing.assert_array_equal(
        jax.random.uniform(back["key"][1]), jax.random.uniform(state["key"][1])
    )


def test_parameters_are_read_without_knowing_the_optimizer(folder):
    shapes = jax.eval_shape(lambda: {"params": make_state().params})
    restored = checkpoints.read(folder, 2, shapes, part=True)
    assert digest(restored.state) == digest({"params": make_state(2).params})


@pytest.mark.parametrize("name", ["arrays", "record/metadata", "_CHECKPOINT_METADATA"])
def test_a_run_with_a_damaged_newest_step_goes_on_from_the_one_before(folder, capsys, name):
    path = folder / "checkpoints" / "2" / name
    flip(max(path.rglob("*"), key=size) if path.is_dir() else path)
    restored = resume(folder)
    told = capsys.readouterr().err
    if restored.step == 1:
        assert digest(restored.state) == digest(make_state(1))
        assert told.startswith("warning: step 2 is damaged: ") and told.count("\n") == 1
        assert (folder / "damaged" / "2").is_dir() and checkpoints.steps(folder) == [1]
    else:  # Orbax can do without its own metadata
        assert name == "_CHECKPOINT_METADATA" and digest(restored.state) == TWO


def test_one_changed_bit_of_a_leaf_is_named(folder, monkeypatch):
    read = checkpoints.read_arrays

    def changed(path, host):
        arrays = read(path, host)
        arrays["params/cell/0/W_xh"].reshape(-1).view(np.uint8)[3] ^= 1
        return arrays

    monkeypatch.setattr(checkpoints, "read_arrays", changed)
    with pytest.raises(Damaged, match="params/cell/0/W_xh differs from its digest"):
        checkpoints.read(folder, 2, make_state())


def test_a_state_of_another_shape_is_refused_with_the_leaf_named(folder):
    state = make_state()
    wider = state.replace(carry=((jnp.zeros((3, 7)), jnp.zeros((2, 0))), None))
    with pytest.raises(Damaged, match=r"carry/0/0 is float32\[2, 7\], not float32\[3, 7\]"):
        checkpoints.read(folder, 2, wider)
    with pytest.raises(Damaged, match="carry/0/0 has no place"):
        checkpoints.read(folder, 2, state.replace(carry=None))
    with pytest.raises(BadInput, match=r"no checkpoint in .* is sound .*carry/0/0"):
        start_or_resume(folder, ASKED, wider)
    assert checkpoints.steps(folder) == [1, 2]


def test_if_no_step_is_sound_the_run_stops_and_nothing_is_moved(folder):
    for step in (1, 2):
        flip(max(files_of(folder, step), key=size))
    with pytest.raises(BadInput, match=r"sound.*step 2.*step 1"):
        resume(folder)
    assert checkpoints.steps(folder) == [1, 2] and not (folder / "damaged").exists()


def test_a_run_goes_on_after_a_damaged_step_and_saves_it_again(folder):
    for _ in range(2):
        cut(max(files_of(folder), key=size))
        run, restored = start_or_resume(folder, ASKED, make_state())
        assert restored.step == 1
        with run:
            run.save(2, make_state(2), metric=2.0)
    assert sorted(path.name for path in (folder / "damaged").iterdir()) == ["2", "2x"]
    assert resume(folder).step == 2


def test_the_latest_and_the_best_are_kept(tmp_path):
    metrics = {1: 5.0, 2: 1.0, 3: 2.0, 4: float("nan"), 5: None, 6: 3.0}
    save_run(tmp_path / "run", metrics)
    assert checkpoints.steps(tmp_path / "run") == [2, 5, 6]
    run, _ = start_or_resume(tmp_path / "run", ASKED, make_state(), keep_last=1, keep_best=2)
    with run:
        run.save(7, make_state(7), metric=4.0)
    assert checkpoints.steps(tmp_path / "run") == [2, 6, 7]
    assert checkpoints.best_first(checkpoints.metrics(tmp_path / "run")) == [2, 6, 7]


def test_an_unfinished_save_is_no_step(folder):
    unfinished = folder / "checkpoints" / "3.orbax-checkpoint-tmp"
    shutil.copytree(folder / "checkpoints" / "2", unfinished)
    run, restored = start_or_resume(folder, ASKED, make_state())
    with run:
        assert restored.step == 2
        run.save(3, make_state(3), metric=1.0)
    assert resume(folder).step == 3 and not unfinished.exists()


def test_a_full_disk_is_one_line_and_leaves_the_steps_before(tmp_path):
    """In a process of its own, where no file may grow beyond a limit."""
    script = f"""
import resource
import numpy as np
from rnn_jax.errors import BadInput
from rnn_jax.run import new_manifest, start_or_resume
state = {{"w": np.random.default_rng(0).normal(size=100_000)}}
run, _ = start_or_resume({str(tmp_path / "run")!r}, new_manifest("toy", {{}}, []), state)
run.save(1, state)
run._checkpoints._manager.wait_until_finished()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    run.save(2, state)
    run.close()
except BadInput as error:
    print("LINE", error)
"""
    command, root = [sys.executable, "-c", script], Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120)
    lines = [line for line in done.stdout.splitlines() if line.startswith("LINE")]
    assert len(lines) == 1 and "cannot write" in lines[0] and not done.stderr, done.stderr[-2000:]
    assert checkpoints.steps(tmp_path / "run") == [1]


def test_a_digest_depends_on_path_dtype_shape_and_bytes_alone():
    tree = {"a": np.arange(6, dtype=np.int32), "b": (np.float32(0.0), None)}
    assert digest(tree) == digest(jax.tree.map(jnp.asarray, tree))
    assert list(leaf_digests(tree)) == ["a", "b/0"]
    others = [
        {"c": tree["a"], "b": tree["b"]},
        {**tree, "a": tree["a"].view(np.uint32)},
        {**tree, "a": tree["a"].reshape(2, 3)},
        {**tree, "b": (np.float32(-0.0), None)},
        {"a": tree["a"]},
    ]
    assert len({digest(tree), *map(digest, others)}) == 6


def test_the_digest_of_a_known_tree_stays_what_it_was():
    """Digests are compared between processes and versions: a change of the scheme must show."""
    assert digest({"a": np.arange(3, dtype=np.int32)}) == "1f0e012fbe7db60051e0ada9e5d2cfe7"


def test_two_leaves_of_one_path_are_refused():
    with pytest.raises(ValueError, match="a/b"):
        digest({"a/b": np.zeros(1), "a": {"b": np.zeros(1)}})
