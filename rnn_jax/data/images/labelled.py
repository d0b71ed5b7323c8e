"""Labelled pictures; digits drawn with many fonts and warped; strips of several digits."""

from typing import Any, NamedTuple

import numpy as np
import xxhash

from rnn_jax.data import synthetic
from rnn_jax.data.images.glyphs import FONTS, glyph
from rnn_jax.data.images.warps import Warp, warped
from rnn_jax.errors import BadInput

_DRAWN = Warp(shift=2, turn=20, grow=0.2, slant=0.25, bend=1.0)
_BLANK = 4  # columns of a strip that its digits may overlap or stand apart by


class Images(NamedTuple):
    """pixels float32 [N, H, W] in 0 … 1; labels int32 [N], each an index into names.

    record: what a run says of its data.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    record: dict[str, Any]


def labelled(pixels: np.ndarray, labels: np.ndarray, names: tuple[str, ...], source: str) -> Images:
    """Images with their record; BadInput where they are empty, or of one class only."""
    pixels, labels = np.ascontiguousarray(pixels, np.float32), np.asarray(labels, np.int32)
    if len(np.unique(labels)) < 2:
        told = f"only the class {names[labels[0]]}" if len(labels) else "no pictures"
        raise BadInput(f"{source} has {told}; there is nothing to tell apart: give it two classes")
    digest = xxhash.xxh3_64_hexdigest(pixels.tobytes() + labels.tobytes())
    shape = {"pictures": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    record = {"source": source, **shape, "classes": len(names), "digest": digest}
    return Images(pixels, labels, names, record)


def drawn(seed: int = 0, count: int = 5000, size: int = 28) -> Images:
    """Digits of all of `FONTS`, each warped by its own draw; the same for a seed."""
    rng = synthetic.generator(seed, 0, held_out=True)
    labels = np.arange(count, dtype=np.int32) % 10
    chosen = rng.integers(0, len(FONTS), count)
    plain = np.stack([[glyph(d, size, font=font, em=0.9) for font in FONTS] for d in "0123456789"])
    pixels = warped(rng, plain[labels, chosen], _DRAWN._replace(shift=2 * size / 28))
    return labelled(pixels, labels, tuple("0123456789"), "drawn digits")


def split(images: Images, held_out: int, seed: int = 0) -> tuple[Images, Images]:
    """Those to learn from, and `held_out` others; which is which follows from the seed alone."""
    if not 0 < held_out < len(images.labels):
        told = f"{images.record['source']} has {len(images.labels)} pictures"
        raise BadInput(f"--held-out {held_out}: {told}; hold out fewer, at least 1")
    order = synthetic.generator(seed, 1, held_out=True).permutation(len(images.labels))
    parts = order[held_out:], order[:held_out]
    learn, test = (images._replace(pixels=images.pixels[i], labels=images.labels[i]) for i in parts)
    return learn, test


def strips(
    rng: np.random.Generator, pixels: np.ndarray, counts: np.ndarray, longest: int
) -> np.ndarray:
    """Pictures side by side from the left: [B, longest, H, W] to [B, H + 4, longest (W + 4)].

    counts [B]: how many of each row are there; each stands a little higher or lower, nearer or
    farther, by chance.
    """
    lanes, _, height, width = pixels.shape
    out = np.zeros((lanes, height + _BLANK, longest * (width + _BLANK)), np.float32)
    down = rng.integers(0, _BLANK + 1, (lanes, longest))
    gaps = rng.integers(0, _BLANK + 1, (lanes, longest))
    for lane in range(lanes):
        left = 0
        for i in range(counts[lane]):
            left += gaps[lane, i]
            at = slice(down[lane, i], down[lane, i] + height), slice(left, left + width)
            out[lane][at] = np.maximum(out[lane][at], pixels[lane, i])
            left += width
    return out
