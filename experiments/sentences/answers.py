"""What a trained network says of sentences, and which words made it say so."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from experiments.sentences.data import Data
from experiments.sentences.reading import Read
from experiments.standalone import Trained

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.models import Parts

DRAWN = 8  # sentences in the picture
_SHORT = 16  # words that sentences are padded to, or twice as many, and so on


@lru_cache(maxsize=4)  # what is asked while it learns and at the end is compiled once
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
        places, widths = [], [_SHORT]
        while widths[-1] < lengths.max():
            widths.append(2 * widths[-1])
        for rows, width in buckets.plan(lengths, np.array(widths), 64):
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
    drawn, found = [tokens[i] for i in fitting[:DRAWN]], []
    asked = [s for one in drawn for s in (one, *_shortened(one))]
    ends = np.cumsum([1 + len(one) for one in drawn])
    answers = np.asarray(jax.nn.log_softmax(answer(trained.params, asked)))
    for row, one, log_p in zip(fitting, drawn, np.split(answers, ends[:-1]), strict=False):
        width = max(30, len(one))
        padded, mask = np.zeros((width, 1), np.int32), np.arange(width)[:, None] < len(one)
        padded[: len(one), 0] = one
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


def _shortened(sentence: "np.ndarray") -> list["np.ndarray"]:
    """The sentence without each of its words in turn; of a single word, token 0 is left."""
    import numpy as np

    one = len(sentence) == 1
    return [sentence * 0 if one else np.delete(sentence, t) for t in range(len(sentence))]
