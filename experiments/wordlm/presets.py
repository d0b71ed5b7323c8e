"""Published recipes, number by number, and one of our own."""

from collections.abc import Mapping
from typing import Any

# Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization", section 4.1, and
# the small one of the code that came with it: words of PTB, V = 10,000, 20 lanes whose carry goes
# on, SGD at rate 1 on the loss summed over a chunk's steps (mean over lanes), its norm cut at 5 or
# 10, weights from ±init_scale; the rate falls by a factor each epoch from decay_after on.
_ZAREMBA = {
    **{"vocabulary": 10_000, "layers": 2, "lanes": 20, "embed": 0, "cell": "lstm"},
    **{"optimizer": "sgd", "summed": True, "lr": 1.0, "cosine": False, "average": 0.0},
    **{"locked": False, "tied": False, "weight_drop": 0.0, "weight_decay": 0.0, "loss": "full"},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "own": {},
    "zaremba-small": {
        **_ZAREMBA,
        **{"hidden": 200, "bptt": 20, "dropout": 0.0, "embed_dropout": 0.0, "clip": 5.0},
        **{"init_scale": 0.1, "epochs": 13, "decay_after": 4, "lr_decay": 0.5},
    },
    "zaremba-medium": {
        **_ZAREMBA,
        **{"hidden": 650, "bptt": 35, "dropout": 0.5, "embed_dropout": 0.5, "clip": 5.0},
        **{"init_scale": 0.05, "epochs": 39, "decay_after": 6, "lr_decay": 1 / 1.2},
    },
    "zaremba-large": {
        **_ZAREMBA,
        **{"hidden": 1500, "bptt": 35, "dropout": 0.65, "embed_dropout": 0.65, "clip": 10.0},
        **{"init_scale": 0.04, "epochs": 55, "decay_after": 14, "lr_decay": 1 / 1.15},
    },
}
