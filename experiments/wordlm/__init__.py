"""What word models are trained with: presets, texts, recipes, and ways of scoring them."""

from experiments.wordlm.presets import PRESETS
from experiments.wordlm.settings import WordSettings

__all__ = ["PRESETS", "WordSettings"]
