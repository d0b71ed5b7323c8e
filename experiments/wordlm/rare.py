"""Three ways to read and write words outside the vocabulary, as streams and networks."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.data.text import Corpus, Stream
    from rnn_jax.models import WordNetwork
    from rnn_jax.tasks import Task

WAYS = ("unk", "letters", "bytes")


class Way(NamedTuple):
    """A task and its network's input; what a step of the held-out text is on average.

    words, bytes: of the text for each held-out target; spelling: nats that are charged for it
    besides, as in `spelling.spelling_nats`; unknown: the share of targets that are.
    """

    task: "Task"
    outputs: int
    letters: bool
    words: float
    bytes: float
    spelling: float
    unknown: float

    def network(self, hidden: int, dropout: float) -> "WordNetwork":
        """One LSTM layer of this width."""
        from rnn_jax import models

        sizes = {"vocabulary": self.outputs, "hidden": hidden, "layers": 1, "locked": True}
        return models.word_network(**sizes, dropout=dropout, letters=self.letters)

    def scores(self, nats: float) -> dict[str, float]:
        """Of so many nats a target: bits a byte with all spelled out, perplexity a word."""
        whole = nats + self.spelling
        return {
            "nats_per_target": nats,
            "bits_per_byte": whole / math.log(2) / self.bytes,
            "perplexity_per_word_spelled": math.exp(whole / self.words),
            "unknown_rate": self.unknown,
            "targets_per_word": 1 / self.words,
        }


def way(name: str, texts: Any, size: int, lanes: int, chunk: int, longest: int) -> Way:
    """One of `WAYS` for the `size` most frequent words of the training text.

    "unk": one symbol for all others, read and written. "letters": the same is written, but what is
    read is the word's letters, up to `longest`. "bytes": the others are read and written as their
    UTF-8 bytes, which are 256 words more; nothing is unknown.
    """
    from rnn_jax import tasks
    from rnn_jax.data import text

    texts = [part if part.endswith(text.END) else part + text.END for part in texts]
    corpus = text.load_words((*texts, None), {}, size)
    if name == "bytes":
        return _bytes(corpus, texts, lanes, chunk)
    task = tasks.next_token(corpus, lanes, chunk)
    width = corpus.width
    rest = (1.0, width.bytes, width.spelling, corpus.unknown_rate["valid"])
    if name == "unk":
        return Way(task, size, False, *rest)
    return Way(_lettered(corpus, texts, lanes, chunk, longest), size, True, *rest)


def _bytes(corpus: "Corpus", texts: Any, lanes: int, chunk: int) -> Way:
    import dataclasses

    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data.text import parts, words

    size, places = len(corpus.vocabulary), {w: i for i, w in enumerate(corpus.vocabulary.symbols)}

    def numbers(piece: str) -> list[int]:
        known = places.get(piece)  # at 0 is the unknown word, which is nothing here
        return [known] if known else [size + b for b in piece.encode()]

    def number(pieces: list[str]) -> "Stream":
        # Of the first word only its end is read: what of it would be asked, the other ways do not.
        found = numbers(pieces[0])[-1:] + [n for piece in pieces[1:] for n in numbers(piece)]
        return parts.one(np.array(found, np.int32))

    train, valid = (number(words(part)) for part in texts)
    task = tasks.next_token(dataclasses.replace(corpus, train=train, valid=valid), lanes, chunk)
    asked, steps = words(texts[1])[1:], len(valid.targets)  # the first word is only read
    sizes = (len(asked) / steps, len("".join(asked).encode()) / steps)
    return Way(task, size + 256, False, *sizes, 0.0, 0.0)


def _lettered(corpus: "Corpus", texts: Any, lanes: int, chunk: int, longest: int) -> "Task":
    """The task whose inputs are the letters [B, T, L] of the words, whether known or not."""
    import dataclasses

    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data.text import Stream, words

    cut = [words(part) for part in texts]
    every = list(dict.fromkeys(piece for part in cut for piece in part))
    places = {piece: i for i, piece in enumerate(every)}
    table = np.zeros((len(every), longest), np.int32)
    for i, piece in enumerate(every):
        letters = np.frombuffer(piece.encode()[:longest], np.uint8)
        table[i, : len(letters)] = letters.astype(np.int32) + 1

    def read(stream: "Stream", pieces: list[str]) -> "Stream":
        numbers = np.array([places[piece] for piece in pieces], np.int32)
        return Stream(numbers[: len(stream.inputs)], stream.targets, stream.fresh)

    train, valid = read(corpus.train, cut[0]), read(corpus.valid, cut[1])
    task = tasks.next_token(dataclasses.replace(corpus, train=train, valid=valid), lanes, chunk)

    def batch(position: int) -> tasks.Batch:
        return _spelled(task.batch(position), table)

    def held_out() -> Any:
        return (_spelled(one, table) for one in task.valid())

    return task._replace(batch=batch, valid=held_out)


def _spelled(batch: Any, table: "np.ndarray") -> Any:
    return batch._replace(inputs=table[batch.inputs])
