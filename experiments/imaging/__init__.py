"""What `glimpse` and `draw` share: which pictures there are, and a network's run on them."""

from experiments.imaging.settings import ImageSettings, load, train, warp

__all__ = ["ImageSettings", "load", "train", "warp"]
