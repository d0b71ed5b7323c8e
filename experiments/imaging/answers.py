"""What a network makes of a batch of pictures, by a program that is compiled once."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX is imported inside the function, so that --help answers at once
    from rnn_jax.models import Model
    from rnn_jax.tasks import Batch


@lru_cache(maxsize=4)  # what is scored and what is drawn is asked by one program
def answering(model: "Model") -> "Callable[[Any, Batch], Any]":
    """``(weights, batch) -> outputs``, leaves [T, B, ...], of a model that draws nothing."""
    import jax

    from rnn_jax.objective import outputs, time_first

    @jax.jit
    def answer(W: Any, batch: "Batch") -> Any:
        return outputs(model, W, model.start(W, 1), time_first(batch), None)[1]

    return answer
