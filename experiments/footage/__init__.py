"""Sequences of frames with a label each: what `video` reads, and its picture."""

from experiments.footage.data import Footage, read
from experiments.footage.picture import Answers, picture

__all__ = ["Answers", "Footage", "picture", "read"]
