"""Pictures as arrays [N, height, width] in 0 … 1: glyphs of a font, warps, labelled digits.

glyphs.py draws characters with Matplotlib's own fonts, warps.py bends pictures, labelled.py has
what a set of labelled pictures is and the drawn digits, sources.py reads them from elsewhere.
"""

from rnn_jax.data.images.glyphs import FONTS, glyph
from rnn_jax.data.images.labelled import Images, drawn, split, strips
from rnn_jax.data.images.sources import read
from rnn_jax.data.images.warps import Warp, warped

__all__ = ["FONTS", "Images", "Warp", "drawn", "glyph", "read", "split", "strips", "warped"]
