"""The tests' surroundings, set before anything imports JAX; processes they start inherit them."""

import atexit
import contextlib
import gc
import importlib.metadata
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

# What is imported stays: to look for what does not is a fifth of collecting tests. Nor does a test
# leave much; `nothing_left_behind` collects it once a module.
gc.disable()
os.environ["JAX_PLATFORMS"] = os.environ.get("RNN_JAX_TEST_PLATFORM", "cpu")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "agg"
# What tests compile anew is most of their time, so all share their programs, in a folder of their
# own. Its size makes JAX lock it for one process at a time.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="programs-of-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(1 << 30)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.03"  # to read is not quicker
_FOUR_DEVICES = "--xla_force_host_platform_device_count=4"
# A toy program runs for milliseconds and compiles for seconds; so XLA does not optimise it, but for
# what tests/test_optimised.py runs and, by options of its own, a program of tests/test_train.py.
# Later versions stop at the last flag, which they do not know.
_QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_QUICK += " --xla_cpu_parallel_codegen_split_count=1"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    _QUICK += " --xla_cpu_use_fusion_emitters=false"
_COMPILED = "" if os.environ.get("RNN_JAX_TEST_OPTIMISED") else _QUICK
_ASKED = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join(filter(None, [_FOUR_DEVICES, _COMPILED, _ASKED]))

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_finish():
    """What there is before the first test is not looked through again after each module."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of corpora beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the corpora in ../shared/data, which are not part of the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def key():
    import jax

    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def no_curves():
    """A run's last act draws its curves, which takes as long as a toy's training."""
    from rnn_jax import plots

    real = plots.curves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "curves", lambda rows, **labels: None)
        yield real


@pytest.fixture
def curves(no_curves, monkeypatch):
    """They are drawn in this test."""
    monkeypatch.setattr("rnn_jax.plots.curves", no_curves)


@pytest.fixture(scope="session", autouse=True)
def no_room_is_made_for_programs():
    """Before it writes one, JAX reads the time of every other; here none is in the way."""
    with pytest.MonkeyPatch.context() as patch:
        # A part of JAX that may go: then this saves no time, and does no harm.
        eviction = "jax._src.lru_cache.LRUCache._evict_if_needed"
        patch.setattr(eviction, lambda *_, **named: None, raising=False)
        yield


@pytest.fixture(scope="session")
def no_pixels():
    """``with no_pixels():`` pictures are drawn, but not turned into pixels, which takes longer."""

    @contextlib.contextmanager
    def drawing():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rnn_jax.plots._saved", lambda figure, kind, **how: kind.encode())
            yield

    return drawing


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind():
    """A module's programs leave the memory with it; until then there is little to collect."""
    yield
    sys.modules["jax"].clear_caches()
    gc.collect()
