"""What a trained network says of sentences, and which words made it say so."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.sentences.data import Data
from experiments.sentences.reading import Read
from experiments.standalone import Trained

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.models import Parts

DRAWN = 8  # sentences in the picture


def answering(model: Any) -> Callable[[Any, list["np.ndarray"]], "np.ndarray"]:
    """``(weights, sentences) -> logits [N, C]``, padded to few lengths and 64 at a time."""
    import jax
    import numpy as np

    from rnn_jax.data import buckets

    @jax.jit
    def logits(W: Any, tokens: Any, mask: Any) -> Any:
        return model.apply(W, model.start(W, tokens.shape[0]), tokens.T, mask=mask.T)[1][0]

    def answer(W: Any, sentences: list["np.ndarray"]) -> "np.ndarray":
        lengths, found = np.array([len(s) for s in sentences]), []
        places = []
        for rows, width in buckets.plan(lengths, buckets.edges(lengths, 4), 64):
            tokens, mask = buckets.pad(sentences, rows, width)
            found.append(np.asarray(logits(W, tokens, mask))[rows >= 0])
            places.append(rows[rows >= 0])
        return np.concatenate(found)[np.argsort(np.concatenate(places))]

    return answer


def readings(data: Data, trained: Trained, parts: "Parts") -> list[Read]:
    """Some validation sentences as the network read them."""
    import jax
    import numpy as np

    weights, answer = jax.jit(parts.weights), answering(trained.model)
    tokens, truth = data.parts["valid"].numbered(data.vocabulary), data.truth("valid")
    fitting = [i for i, t in enumerate(tokens) if 3 <= len(t) <= 30] or range(len(tokens))
    found = []
    for row in fitting[:DRAWN]:
        one, width = tokens[row], max(30, len(tokens[row]))
        padded, mask = np.zeros((width, 1), np.int32), np.arange(width)[:, None] < len(one)
        padded[: len(one), 0] = one
        without = [np.delete(one, t) if len(one) > 1 else one * 0 for t in range(len(one))]
        log_p = np.asarray(jax.nn.log_softmax(answer(trained.params, [one, *without])))
        p, said = np.exp(log_p[0].max()), data.classes[log_p[0].argmax()]
        found.append(
            Read(
                [word.strip() for word in data.parts["valid"].texts[row]],
                np.asarray(weights(trained.params, padded, mask))[: len(one), 0],
                log_p[0, -1] - log_p[1:, -1],
                f"it says {said} (p = {p:.2f}), it is {data.classes[truth[row]]}",
            )
        )
    return found
