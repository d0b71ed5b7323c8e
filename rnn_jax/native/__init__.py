"""The loops over time as compiled code for CPUs, where a C++ compiler is at hand.

What `rnn_jax.bptt` does in a `lax.scan`, kernels.cc does in one call: a thread takes its lanes
through all steps, and the product with W_hh and the gate are one pass over registers. The same
equations and the same results up to rounding (tests/test_native.py); without a compiler, on other
devices, in other precisions, where lanes restart within a chunk and for other cells the scan goes
on doing it. See `library` for how it is built and how it is turned off.
"""

from rnn_jax.native.library import available, version
from rnn_jax.native.loops import backward, fits, forward

__all__ = ["available", "backward", "fits", "forward", "version"]
