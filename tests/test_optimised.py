"""What is claimed to the bit holds in programs that are compiled as users compile them.

The other tests' programs are not optimised, see conftest.py; where XLA fuses and vectorises sums,
such claims are harder to keep.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EIGHT = "--xla_force_host_platform_device_count=8"


@pytest.mark.slow
def test_claims_hold_in_optimised_programs():
    path = Path(__file__).with_name("test_invariant.py")
    result = subprocess.run(
        [sys.executable, *"-m pytest -q -n 0 -m".split(), "optimised and not soak", str(path)],
        env={**os.environ, "RNN_JAX_TEST_OPTIMISED": "1", "XLA_FLAGS": EIGHT},
        cwd=path.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0 and " passed" in result.stdout, result.stdout + result.stderr
