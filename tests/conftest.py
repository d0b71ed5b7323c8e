"""The tests' surroundings, set before anything imports JAX; processes they start inherit them."""

import os
from pathlib import Path

import pytest

os.environ["JAX_PLATFORMS"] = os.environ.get("RNN_JAX_TEST_PLATFORM", "cpu")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "agg"
_FOUR_DEVICES = "--xla_force_host_platform_device_count=4"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FOUR_DEVICES}".strip()

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


@pytest.fixture(scope="module")
def one_compilation_of_each_program(tmp_path_factory):
    """A module's runs share their programs; compiling each anew is most of their time."""
    import jax

    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
