"""Scores of a trained word model besides its perplexity."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.data.text import Stream, Vocabulary
    from rnn_jax.models import WordNetwork

_CLIP = 1.0


def dynamic(
    network: "WordNetwork", params: Any, stream: "Stream", rate: float, chunk: int
) -> float:
    """Nats a word while the weights learn from what they have been scored on, chunk by chunk.

    One lane, SGD at this rate, the norm of the gradient cut at 1; no word is learned from before it
    has been scored (Mikolov et al. 2010; Krause et al. 2018).
    """
    import numpy as np

    from rnn_jax import tasks, train

    optimizer, step = _learner(network, rate)
    state = train.create(network.trained, optimizer, params, 1)
    total, steps = 0.0, len(stream.inputs)
    for begin in range(0, steps, chunk):
        part = [a[begin : begin + chunk] for a in stream]
        count = len(part[0])
        part = [np.pad(a, (0, chunk - count))[None] for a in part]
        mask = (np.arange(chunk) < count)[None]
        batch = tasks.Batch(*part[:2], mask=mask, fresh=part[2] | (np.arange(chunk) + begin == 0))
        state, metrics = step(state, batch)
        total += float(metrics.loss) * count
    return total / steps


@lru_cache(maxsize=4)  # validation and test are scored by one program
def _learner(network: "WordNetwork", rate: float) -> tuple[Any, Callable]:
    """The optimizer of `dynamic` and its step."""
    import jax
    import optax

    from rnn_jax import losses, train

    optimizer = optax.chain(optax.clip_by_global_norm(_CLIP), optax.sgd(rate))
    step = train.make_step(network.trained, losses.loss_of(network.output), optimizer)
    return optimizer, jax.jit(step, donate_argnums=0)


def sentences(network: "WordNetwork", params: Any, stream: "Stream") -> "np.ndarray":
    """``log p(s)`` [nats] of each sentence of a stream: the sum over its words and its end, [S]."""
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data.text import Stream

    nats = _asker(network)
    ids = (np.cumsum(stream.fresh) - 1).astype(np.int32)
    numbered = tasks.held_out(Stream(ids, ids, stream.fresh))()
    found, carry = np.zeros(int(stream.fresh.sum())), None
    for batch, of in zip(tasks.held_out(stream)(), numbered, strict=True):
        if carry is None:
            carry = network.trained.start(params, len(batch.inputs))
        carry, each = nats(params, carry, batch)
        looks = batch.weights > 0
        np.subtract.at(found, of.targets[looks], np.asarray(each, np.float64)[looks])
    return found


@lru_cache(maxsize=4)  # these too
def _asker(network: "WordNetwork") -> Callable[..., tuple[Any, Any]]:
    """``(params, carry, batch) -> (carry, nats of each word [B, T])``."""
    import jax

    from rnn_jax import losses

    loss = losses.loss_of(network.output)

    @jax.jit
    def nats(params: Any, carry: Any, batch: Any) -> tuple[Any, Any]:
        steps = {"mask": batch.mask.T, "fresh": batch.fresh.T}
        carry, asked = network.trained.apply(params, carry, batch.inputs.T, **steps)
        return carry, loss(asked, batch.targets.T).T

    return nats


def table(vocabulary: "Vocabulary", stream: "Stream", log_probs: "np.ndarray") -> str:
    """A line each: log p(s), how many words its end included, the sentence as it is read."""
    import numpy as np

    begins = [*np.flatnonzero(stream.fresh), len(stream.targets)]
    lines = ["log_p\twords\tsentence"]
    for begin, end, log_p in zip(begins[:-1], begins[1:], log_probs, strict=True):
        said = " ".join(vocabulary.decode(stream.targets[begin:end]).split())
        lines.append(f"{log_p:.4f}\t{end - begin}\t{said}")
    return "\n".join(lines) + "\n"
