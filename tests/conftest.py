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
