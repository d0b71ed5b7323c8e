"""Pictures moved, turned, sized, slanted and bent, each by its own random draw."""

from typing import NamedTuple

import numpy as np

_WAVES = 4  # of a bend, along each side: from none to three half waves


class Warp(NamedTuple):
    """How far each picture may be warped; every amount is drawn evenly from minus to plus.

    shift [pixels], turn [degrees], grow: part of the size, slant: sideways pixels a pixel up,
    bend [pixels]: standard deviation of a smooth displacement, drawn from a normal distribution.
    """

    shift: float = 0.0
    turn: float = 0.0
    grow: float = 0.0
    slant: float = 0.0
    bend: float = 0.0


def warped(rng: np.random.Generator, pictures: np.ndarray, by: Warp) -> np.ndarray:
    """float32 [N, H, W] like the pictures, resampled linearly; what comes from outside is 0."""
    many, height, width = pictures.shape
    even = rng.uniform(-1, 1, (6, many)).astype(np.float32)
    turn, slant = np.deg2rad(by.turn * even[0]), by.slant * even[1]
    grow_y, grow_x = 1 / (1 + by.grow * even[2:4])
    cos, sin = np.cos(turn), np.sin(turn)
    # Where a pixel of the result comes from, both seen from the picture's middle.
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None]
    cos, sin, slant, grow_y, grow_x = (a[:, None, None] for a in (cos, sin, slant, grow_y, grow_x))
    from_y = grow_y * (cos * y - sin * x)
    from_x = grow_x * (sin * y + cos * x) + slant * y
    shift_y, shift_x = by.shift * even[4:6, :, None, None]
    if by.bend:
        from_y += _bend(rng, pictures.shape, by.bend)
        from_x += _bend(rng, pictures.shape, by.bend)
    from_y += (height - 1) / 2 - shift_y
    from_x += (width - 1) / 2 - shift_x
    return bilinear(pictures, from_y, from_x)


def bilinear(pictures: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """``out[n, i, j] = picture n at (y[n, i, j], x[n, i, j])``, linear between pixels, 0 outside.

    pictures [N, H, W], y and x [N, I, J] in pixels; float32 [N, I, J].
    """
    many, height, width = pictures.shape
    framed = np.pad(pictures.astype(np.float32), ((0, 0), (1, 2), (1, 2))).reshape(-1)
    y = np.clip(y + 1, 0, height + 1).astype(np.float32)
    x = np.clip(x + 1, 0, width + 1).astype(np.float32)
    row, column = y.astype(np.int32), x.astype(np.int32)
    y, x = y - row.astype(np.float32), x - column.astype(np.float32)
    first = np.arange(many, dtype=np.int32)[:, None, None] * ((height + 3) * (width + 3))
    at = first + row * (width + 3) + column
    above = framed.take(at) * (1 - x) + framed.take(at + 1) * x
    at += width + 3
    below = framed.take(at) * (1 - x) + framed.take(at + 1) * x
    return above * (1 - y) + below * y


def _bend(rng: np.random.Generator, shape: tuple[int, int, int], amount: float) -> np.ndarray:
    """A smooth field [N, H, W]: a random sum of cosines of few half waves, `amount` strong."""
    many, height, width = shape
    up, across = (
        np.cos(np.pi * np.arange(_WAVES)[:, None] * (np.arange(n) + 0.5) / n).astype(np.float32)
        for n in (height, width)
    )
    weights = rng.normal(0, amount / _WAVES, (many, _WAVES, _WAVES)).astype(np.float32)
    return np.einsum("ih,nij,jw->nhw", up, weights, across, optimize=True)
