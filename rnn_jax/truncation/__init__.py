"""Truncated backpropagation through time.

``Truncation(k1, k2)`` is BPTT(k2; k1) of Williams and Peng (1990): an update every k1 steps, the
gradient of each of their losses taken back through at most k2 steps. Full BPTT is k2 = all steps.

    cut = Truncation(k1=256, k2=32)
    make_step(model, loss, optimizer, total=objective(cut))     batches of widened(task, cut)
"""

from rnn_jax.truncation.cuts import Truncation, check
from rnn_jax.truncation.losses import Total, drawn, objective
from rnn_jax.truncation.window import widened

__all__ = ["Total", "Truncation", "check", "drawn", "objective", "widened"]
