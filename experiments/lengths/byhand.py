"""Networks set by hand: what they answer, and on which inputs that is checked."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.byhand.networks import Network


def outputs(network: "Network", xs: Any, mask: Any = None) -> "np.ndarray":
    """What a hand-set network answers at every step: xs [B, T, X] -> ys [B, T, Y]."""
    import jax
    import numpy as np

    from rnn_jax import models

    model, W = models.recurrent(models.stack(network.cell), network.out), network.weights
    apply = jax.jit(lambda xs, mask: model.apply(W, model.start(W, xs.shape[1]), xs, mask=mask)[1])
    xs, mask = (a if a is None else np.swapaxes(a, 0, 1) for a in (xs, mask))
    return np.swapaxes(np.asarray(apply(xs, mask)), 0, 1)


def every_sequence(symbols: int, longest: int) -> tuple["np.ndarray", "np.ndarray"]:
    """All sequences of 1 … longest symbols, zeros after their ends, and the mask: both [B, T]."""
    import numpy as np

    from rnn_jax.data import synthetic

    tokens, mask = [], []
    for n in range(1, longest + 1):
        part = synthetic.all_sequences(symbols, n)
        tokens.append(np.pad(part, [(0, 0), (0, longest - n)]))
        mask.append(np.tile(np.arange(longest) < n, (len(part), 1)))
    return np.concatenate(tokens), np.concatenate(mask)
