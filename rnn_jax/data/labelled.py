"""Sentences and the class of each, from a table."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_jax.data.tables import read_table
from rnn_jax.data.text.vocabulary import Vocabulary, words
from rnn_jax.errors import BadInput


class Labelled(NamedTuple):
    """texts: the words of each sentence; labels: as texts; name: where they come from."""

    name: str
    texts: list[list[str]]
    labels: list[str]

    def take(self, rows: np.ndarray) -> "Labelled":
        """Those rows."""
        return Labelled(self.name, [self.texts[i] for i in rows], [self.labels[i] for i in rows])

    def lengths(self) -> np.ndarray:
        """Words of each [N]."""
        return np.array([len(text) for text in self.texts])

    def numbered(self, vocabulary: Vocabulary) -> list[np.ndarray]:
        """The tokens [T] of each."""
        pieces = [piece for text in self.texts for piece in text]
        return np.split(vocabulary.number_words(pieces), np.cumsum(self.lengths())[:-1])

    def classes(self, known: Sequence[str]) -> np.ndarray:
        """The number of each label [N]; BadInput names the first row whose label is not known."""
        places = {label: number for number, label in enumerate(known)}
        for row, label in enumerate(self.labels, start=1):
            if label not in places:
                told = f"{self.name}, row {row}: the label {label!r} is none of the training data's"
                raise BadInput(f"{told} ({', '.join(known[:20])}): mend or leave out the row")
        return np.array([places[label] for label in self.labels], np.int32)


def check_known(name: str, learned: set[str], held_out: set[str]) -> None:
    """BadInput where a part that was drawn to be held out has a label that no other row has."""
    if lone := sorted(held_out - learned):
        told = f"{name}: all rows with the label {lone[0]!r} are held out"
        raise BadInput(f"{told}: give more of them, none, or another --seed")


def labelled(
    name: str, texts: Sequence[str | None], labels: Sequence[object], longest: int
) -> Labelled:
    """Texts cut into words, a mark being one too.

    BadInput names the row of a text that is empty or has more than `longest` words.
    """
    cut = []
    for row, text in enumerate(texts, start=1):
        pieces = words(f" {' '.join((text or '').split())}")
        if not pieces or pieces == [" "]:
            raise BadInput(f"{name}, row {row}: the text is empty; leave out the row")
        if len(pieces) > longest:
            told = f"{name}, row {row}: the text has {len(pieces)} words, more than {longest}"
            raise BadInput(f"{told}: raise --longest, or leave out the row")
        cut.append(pieces)
    return Labelled(name, cut, [str(label) for label in labels])


def read_labelled(
    entry: str, flag: str, text: Sequence[str], label: Sequence[str], longest: int
) -> Labelled:
    """Two columns of a table (`tables.read_table`): the first there of `text` and of `label`."""
    table = read_table(entry, flag)
    columns = table.column(text, "--text"), table.column(label, "--label")
    return labelled(entry, *columns, longest)
