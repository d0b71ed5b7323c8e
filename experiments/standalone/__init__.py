"""What the experiments on sequences that each stand alone share: sentences, clips, captions."""

from experiments.standalone.settings import StandaloneSettings
from experiments.standalone.training import Trained, best, train

__all__ = ["StandaloneSettings", "Trained", "best", "train"]
