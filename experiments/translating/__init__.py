"""What `experiments.translation` is made of.

settings.py has the flags, material.py the pairs as numbers, writing.py writes with a trained
network, scoring.py says how good it is, picture.py where it looked.
"""

from experiments.translating.settings import PairSettings, TranslationSettings

__all__ = ["PairSettings", "TranslationSettings"]
