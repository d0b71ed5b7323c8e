"""Sentences and their classes: what `sentiment` reads, what it says, and the picture of it."""

from experiments.sentences.answers import answering, readings
from experiments.sentences.counting import naive_bayes
from experiments.sentences.data import Data, read
from experiments.sentences.reading import Read, picture

__all__ = ["Data", "Read", "answering", "naive_bayes", "picture", "read", "readings"]
