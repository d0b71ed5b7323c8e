"""What is claimed to the bit holds in programs compiled as users compile them.

The other tests compile without optimisation, see conftest.py: these claims are where fused and
vectorised sums could differ.
"""

import os
import subprocess
import sys
from pathlib import Path

CLAIMS = (
    "test_train.py::test_two_halves_are_the_whole_to_the_bit_at_char_lms_shapes",
    "test_native.py::test_any_cut_in_time_is_the_whole_to_the_bit",
    "test_native.py::test_a_lane_s_bits_depend_on_no_other_lane",
    "test_invariant.py::test_a_run_is_the_same_on_four_devices_to_the_bit",
    "test_experiments.py::test_a_run_killed_and_started_again_ends_in_the_same_bits",
    "test_unroll.py::test_bptt_by_hand_equals_autodiff",
)


def test_claims_to_the_bit_hold_in_optimised_programs():
    tests = [str(Path(__file__).parent / claim) for claim in CLAIMS]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests],
        env={**os.environ, "RNN_JAX_TEST_OPTIMISATION": "3", "XLA_FLAGS": ""},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0 and "passed" in result.stdout, result.stdout + result.stderr
