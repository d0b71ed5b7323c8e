"""Text as arrays: symbols and their numbers, the split in parts, and the lanes of a batch."""

from rnn_jax.data.text.batches import Lanes, Ragged, lanes, ragged
from rnn_jax.data.text.corpus import Corpus, Width, load
from rnn_jax.data.text.parts import Split, Stream, split, train_part
from rnn_jax.data.text.vocabulary import PIECES, Vocabulary, written
from rnn_jax.data.text.words import words
from rnn_jax.data.text.wordwise import END, load_words

__all__ = [
    "END",
    "PIECES",
    "Corpus",
    "Lanes",
    "Ragged",
    "Split",
    "Stream",
    "Vocabulary",
    "Width",
    "lanes",
    "load",
    "load_words",
    "ragged",
    "split",
    "train_part",
    "words",
    "written",
]
