"""Ablations that have a name: what is changed, one variant after another; the first is the rule."""

from experiments.sweep.plan import Ablation, grid

ABLATIONS: dict[str, Ablation] = {
    "cells": Ablation("char_lm", grid(cell=("lstm", "gru", "tanh", "relu"))),
    "width": Ablation("char_lm", grid(hidden=(128, 64, 256))),
    "depth": Ablation("char_lm", grid(layers=(2, 1, 3))),
    "dropout": Ablation("char_lm", grid(dropout=(0.0, 0.2, 0.4))),
    "average": Ablation("char_lm", grid(average=(0.99, 0.0, 0.9))),
    "clipping": Ablation(
        "char_lm",
        {
            "norm 1": {},
            "norm 0.1": {"clip": 0.1},
            "each entry 0.01": {"clip": 0.01, "clip_by": "value"},
            "none": {"clip": 0.0},
        },
    ),
    "embedding": Ablation("char_lm", {"embedded": {}, "one-hot": {"embed": 0}}),
}
