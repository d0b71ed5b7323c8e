"""The tests' surroundings, set before anything imports JAX; processes they start inherit them."""

import contextlib
import gc
import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

os.environ["JAX_PLATFORMS"] = os.environ.get("RNN_JAX_TEST_PLATFORM", "cpu")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "agg"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"  # what tests compile is not for their user's runs
_FOUR_DEVICES = "--xla_force_host_platform_device_count=4"
# A toy program runs for milliseconds and compiles for seconds; so XLA does not optimise it, but for
# what tests/test_optimised.py runs. Later versions stop at the last flag, which they do not know.
_QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_QUICK += " --xla_cpu_parallel_codegen_split_count=1"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    _QUICK += " --xla_cpu_use_fusion_emitters=false"
_COMPILED = "" if os.environ.get("RNN_JAX_TEST_OPTIMISED") else _QUICK
_ASKED = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join(filter(None, [_FOUR_DEVICES, _COMPILED, _ASKED]))

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of corpora beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the corpora in ../shared/data, which are not part of the repository")
    return SHARED_DATA


@pytest.fixture
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


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind():
    """A module's programs go with it: thousands of them slow the collector and what follows."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(scope="module")
def one_compilation_of_each_program(tmp_path_factory):
    """A module's runs share their programs; compiling each anew is most of their time.

    So do the processes that they start. The largest size is what makes JAX lock the folder; to
    hold to it, JAX reads about every program before it writes one, and here none is in the way.
    """
    settings = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_compilation_cache_max_size": 1 << 30,
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name.upper(), str(value))
        patch.setattr("jax._src.lru_cache.LRUCache._evict_if_needed", lambda *_, **named: None)
        with _configured(settings):
            yield


@contextlib.contextmanager
def _configured(settings):
    import jax

    before = {name: getattr(jax.config, name) for name in settings}
    _configure(settings)
    try:
        yield
    finally:
        _configure(before)


def _configure(settings):
    """Tell JAX about its cache, which it looks at once unless it is reset."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
