"""A run whose steps lie in a bucket is the run on the disk, and loses nothing to the network."""

import json
import re
import shutil
import sys
from types import SimpleNamespace

import jax
import numpy as np
import optax
import pytest
from bucket import Bucket

from rnn_jax import fit, models, run, tasks
from rnn_jax.digest import digest
from rnn_jax.errors import BadInput
from rnn_jax.run import checkpoints, listing, new_manifest, places, remote, start_or_resume
from rnn_jax.run.remote import Remote

ASKED = new_manifest("toy", {"hidden": 7, "steps": 9}, ["hidden"])
SPEC = {"builder": "language_model", "arguments": {"vocabulary": 3, "cell": "tanh", "hidden": 4}}
SPEC["arguments"]["layers"] = 1
STATE = {"w": np.arange(300, dtype="f4"), "none": np.zeros((0, 2), "f4"), "n": np.int32(0)}


@pytest.fixture(scope="module")
def served():
    """A bucket to which all is led that would ask Google; the packages read that but once."""
    once = {"max_retries": 1, "initial_delay": "10ms", "max_delay": "10ms"}
    with Bucket("lab") as bucket, pytest.MonkeyPatch.context() as patch:
        for name in ("TENSORSTORE_GCS_HTTP_URL", "STORAGE_EMULATOR_HOST"):
            patch.setenv(name, bucket.url)
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it would ask Google, by gRPC
        patch.setattr(remote, "_QUICK", once)
        patch.setattr(remote, "_PATIENT", once)
        for package in ("gcsfs", "google.cloud.storage"):
            pytest.importorskip(package, reason="needs the extra [remote]")
        yield bucket


@pytest.fixture
def bucket(served):
    served.objects.clear()
    yield served
    served.refuse = lambda method, path: 0


def state(step):
    return {**STATE, "w": STATE["w"] + step, "n": np.int32(step)}


def start(folder, url="gs://lab/a/run"):
    return start_or_resume(folder, ASKED, STATE, checkpoints=url)


def save(folder, metrics):
    held, _ = start(folder)
    with held:
        for step, metric in metrics.items():
            held.log(step, loss=1.0)
            held.save(step, state(step), metric=metric)


@pytest.fixture(scope="module")
def whole(served, tmp_path_factory):
    """A run with steps 1 and 2, the first the better: its folder, and what lies in the bucket."""
    served.objects.clear()
    folder = tmp_path_factory.mktemp("whole") / "run"
    save(folder, {1: 1.0, 2: 2.0})
    return folder, dict(served.objects)


@pytest.fixture
def saved(whole, bucket, tmp_path):
    """A copy of it."""
    bucket.objects.update(whole[1])
    return shutil.copytree(whole[0], tmp_path / "run")


def recipe():
    def batch(position):
        rng = np.random.default_rng(position + 1)
        tokens = rng.integers(3, size=(2, 4))
        return tasks.Batch(tokens, tokens, fresh=np.ones(2, bool))

    def loss(ys, targets):
        return optax.softmax_cross_entropy_with_integer_labels(ys, targets)

    task = tasks.Task(batch, lambda: [batch(-1)], loss, 2, 1, 8)
    return fit.Recipe(models.from_spec(SPEC), task, optax.adam(0.1), seed=0)


@pytest.fixture
def train():
    """``(folder, out, steps, url) -> the state's digest``."""
    same = recipe()

    def trained(folder, out, steps, url):
        config = SimpleNamespace(
            **{"steps": steps, "log_every": 1, "eval_every": 9, "save_every": 2, "devices": "1"},
            **{"invariant": False, "tensorboard": False, "max_skipped": 3, "patience": 0},
            **{"out": str(out), "checkpoints": url},
        )
        manifest = new_manifest("toy", {"steps": steps}, [], model=SPEC)
        return digest(fit.fit(folder, manifest, same, config).state)

    return trained


def test_a_run_of_a_bucket_that_is_resumed_is_the_run_on_the_disk(bucket, tmp_path, train, capsys):
    there, here = tmp_path / "all" / "one", tmp_path / "here"
    expected = train(here, here, 6, "")
    train(there, tmp_path / "all", 3, "gs://lab/runs/")
    assert train(there, tmp_path / "all", 6, "gs://lab/runs/") == expected
    assert sorted(path.name for path in there.iterdir() if path.is_dir()) == []
    assert run.steps(there) == run.steps(here) == [4, 6]
    assert {name.split("/")[1] for name in bucket.objects} == {"one"}
    opened = run.open(there)
    assert digest(opened.params) == digest(run.open(here).params) and opened.step == 6
    assert "are read from gs://lab/runs/one" in capsys.readouterr().err
    (listed,) = listing.listing(there)
    assert (listed.state, listed.step, listed.steps, listed.why) == ("finished", 6, 6, None)
    checkpoints.fetch(places.find(there), 4, tmp_path / "copy")
    shapes = jax.eval_shape(recipe().start)
    assert checkpoints.read(tmp_path / "copy", 4, shapes).step == 4


def test_the_latest_and_the_best_are_kept(bucket, tmp_path):
    save(tmp_path / "run", {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0})
    place = Remote("gs://lab/a/run")
    assert checkpoints.best_first(checkpoints.metrics(place)) == [1, 3, 4]
    assert {name.split("/")[3] for name in bucket.objects if "checkpoints" in name} == {*"134"}


def test_a_damaged_step_is_named_set_aside_and_the_one_before_used(saved, bucket, capsys):
    for name, data in bucket.objects.items():
        if "/2/arrays/" in name and len(data) > 500:
            bucket.objects[name] = data[:400] + bytes([data[400] ^ 16]) + data[401:]
    held, restored = start(saved)
    told = capsys.readouterr().err
    assert told.startswith("warning: step 2 is damaged: ") and told.count("\n") == 1
    assert "moved to gs://lab/a/run/damaged/2, using 1" in told
    assert restored.step == 1 and digest(restored.state) == digest(state(1))
    with held:
        held.save(2, state(2))
    assert digest(start_and_close(saved).state) == digest(state(2))
    assert any("/damaged/2/" in name for name in bucket.objects)


def test_a_save_that_the_network_cuts_off_is_one_line_and_no_step(saved, bucket, capfd):
    held, _ = start(saved)
    uploads = []

    def after_some(method, path):
        uploads.append(method == "POST" and "checkpoints%2F3" in path)
        return 403 if sum(uploads) > 5 else 0

    bucket.refuse = after_some
    with pytest.raises(BadInput, match="gs://lab/a/run is not open to you"), held:
        held.save(3, state(3))
    bucket.refuse = lambda method, path: 0
    assert any("checkpoints/3/" in name for name in bucket.objects), "it was cut off within"
    assert start_and_close(saved).step == 2
    assert not any("checkpoints/3/" in name for name in bucket.objects)
    save(saved, {3: 3.0})
    assert digest(start_and_close(saved).state) == digest(state(3)) and not capfd.readouterr().err


def start_and_close(folder):
    held, restored = start(folder)
    held.close()
    return restored


REFUSED = {  # the answer to what, the folder that asks and its URL, part of the line
    "no answer": (503, "b/lab", "run", "gs://lab/a/run", "does not answer; check the network"),
    "no leave": (401, "b/lab", "new", "gs://lab/new", "is not open to you; sign in"),
    "no leave to write": (403, "upload", "new", "gs://lab/new", "is not open to you; sign in"),
    "no bucket": (404, "b/gone", "new", "gs://gone/new", "gs://gone does not exist; make it"),
    "arrays not read": (503, "arrays", "run", "gs://lab/a/run", "does not answer"),
    "another's path": (0, "", "new", "gs://lab/a/run", "another run's checkpoints"),
    "objects there": (0, "", "new", "gs://lab/a", "has objects but is no run's"),
    "within another's": (
        0,
        "",
        "new",
        "gs://lab/a/run/checkpoints/b",
        "gs://lab/a/run is another run's",
    ),
    "no longer said": (0, "", "run", "", "give --checkpoints gs://lab/a/run too"),
    "another path": (0, "", "run", "gs://lab/c", "give --checkpoints gs://lab/a/run, or copy"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_line_and_nothing_is_written(saved, bucket, case):
    status, part, name, url, line = REFUSED[case]
    before = dict(bucket.objects), sorted(saved.iterdir())
    bucket.refuse = lambda method, path: status if part in path and status else 0
    with pytest.raises(BadInput, match=re.escape(line)):
        start(saved.with_name(name), url)
    after = dict(bucket.objects), sorted(saved.iterdir())
    assert ours(before[0]) == ours(after[0]) and before[1] == after[1]
    new = saved.with_name("new")
    assert not new.exists() or {path.name for path in new.iterdir()} == {".lock"}


def ours(objects):
    return {name: data for name, data in objects.items() if not name.endswith(".json")}


def test_who_is_overtaken_is_told_at_the_next_save(saved, bucket, tmp_path):
    held, _ = start(saved)
    shutil.copytree(saved, tmp_path / "copy")
    start_and_close(tmp_path / "copy")
    with held, pytest.raises(BadInput, match="written by another process now .*copy on"):
        held.save(3, state(3))
    assert run.steps(saved) == [1, 2]


def test_a_run_goes_on_though_its_folder_is_lost_or_its_bucket_is_another(saved, bucket, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.json").write_bytes(bucket.objects["a/run/run.json"])
    assert start_and_close(tmp_path / "new").step == 2
    for name in [name for name in bucket.objects if name.startswith("a/run/")]:
        bucket.objects[f"b{name[5:]}"] = bucket.objects.pop(name)
    held, restored = start(tmp_path / "new", "gs://lab/b")
    held.close()
    assert restored.step == 2 and run.steps(tmp_path / "new") == [1, 2]
    with pytest.raises(BadInput, match="has lost the checkpoints of .*, which had saved step 2"):
        start(saved)


def test_a_killed_start_is_started_again(bucket, tmp_path, monkeypatch):
    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(places.remote, "write", killed)
        patch.setattr("pathlib.Path.unlink", lambda self: None)
        start(tmp_path / "run")
    assert (tmp_path / "run" / "run.json").exists() and not bucket.objects
    save(tmp_path / "run", {1: 1.0})
    assert run.steps(tmp_path / "run") == [1]


def test_a_listing_without_network_says_what_the_folder_knows(saved, bucket):
    bucket.refuse = lambda method, path: 503
    (listed,) = listing.listing(saved)
    assert (listed.state, listed.step) == ("stopped", 2) and "does not answer" in listed.why


STRANGE = (
    *("s3://lab/a/run", "file:///etc", "/etc", "gs://lab", "gs://lab/..", "gs://lab/a/../b", ""),
    *("gs://LAB/a", "gs://lab/a b", "gs://lab/a?b", "gs://lab//a", "gs://lab/*", None, 7, []),
)


@pytest.mark.parametrize("url", STRANGE)
def test_a_strangers_run_names_a_path_in_a_bucket_or_is_refused(tmp_path, url):
    told = {**ASKED, "checkpoints": {"url": url, "run": "x"}}
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match=r"is damaged \(checkpoints\)"):
        run.steps(tmp_path)


def test_a_strangers_run_reads_nothing_of_another_run(saved, bucket, tmp_path):
    told = {**ASKED, "checkpoints": {"url": "gs://lab/a/run", "run": "x"}}
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match="where there are none of it"):
        run.steps(tmp_path)
    bucket.put("a/run/checkpoints/2/../../out", b"")
    with pytest.raises(BadInput, match="is no file of a checkpoint"):
        checkpoints.fetch(places.find(saved), 2, tmp_path / "copy")
    bucket.put("a/run/checkpoints/2/record/metadata", b" " * (2**26 + 1))
    with pytest.raises(checkpoints.Damaged, match="has more than"):
        checkpoints.read(places.find(saved), 2, STATE)
    bucket.put("a/run/owner.json", b"[" * 70_000)
    with pytest.raises(BadInput, match="where there are none of it"):
        run.steps(saved)


def test_without_the_packages_it_is_one_line_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    remote.prepare.cache_clear()
    with pytest.raises(BadInput, match="needs .*: pip install gcsfs google-cloud-storage"):
        start(tmp_path / "run")
    assert not (tmp_path / "run").exists()
