"""Characters drawn with the fonts that Matplotlib brings along; no download, no window system."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rnn_jax.errors import BadInput

# Upright, slanted, bold, with serifs and without: those that have all of 0 … 9.
FONTS = tuple(
    f"{name}.ttf"
    for name in (
        *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
        *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
        *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
        *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
        *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
    )
)


def glyph(
    character: str,
    size: int,
    *,
    font: str = FONTS[0],
    em: float = 0.75,
    baseline: float | None = None,
) -> np.ndarray:
    """One character as float32 [size, size] in 0 … 1, ink 1 on ground 0; ink beyond is cut off.

    em: the font's own height, as a part of size. baseline: where the character stands, from the
    top and as a part of size, so that a comma lies lower than an apostrophe; None puts the middle
    of the ink into the middle. Sideways the ink is always in the middle. BadInput where the font
    lacks the character.
    """
    opened = _having(character, font)
    opened.set_size(em * size, 72)
    bearing = opened.load_char(ord(character)).horiBearingY / 64
    opened.set_text(character)
    opened.draw_glyphs_to_bitmap(antialiased=True)
    ink = _tight(np.asarray(opened.get_image(), np.float32) / 255)
    top = (size - ink.shape[0]) // 2
    if baseline is not None:
        top = round(baseline * size - bearing)
    picture = np.zeros((size, size), np.float32)
    _place(picture, ink, top, (size - ink.shape[1]) // 2)
    return picture


@cache
def outline(character: str, font: str = FONTS[0]) -> bytes:
    """What two characters of a font have in common if they look alike: their curves.

    BadInput where the font lacks the character.
    """
    opened = _having(character, font)
    opened.set_size(64, 72)
    opened.load_char(ord(character))
    points, codes = opened.get_path()
    return np.asarray(points).tobytes() + np.asarray(codes).tobytes()


def _having(character: str, font: str) -> Any:
    """The font, opened; BadInput where it lacks the character."""
    opened = _open(font)
    if len(character) != 1 or ord(character) not in _codes(font):
        raise BadInput(f"{font} has no glyph for {character!r}; choose another font or character")
    return opened


@cache
def _codes(font: str) -> frozenset[int]:
    return frozenset(_open(font).get_charmap())


@cache
def _open(font: str) -> Any:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    path = Path(font)
    if not path.is_file():
        path = Path(matplotlib.get_data_path(), "fonts", "ttf", font)
    try:
        return FT2Font(str(path))
    except (OSError, RuntimeError) as error:
        raise BadInput(
            f"{font} is no font ({error}); give a file, or one of Matplotlib's"
        ) from None


def _tight(bitmap: np.ndarray) -> np.ndarray:
    """Without the empty rows and columns around the ink; a blank is left with none."""
    rows, columns = (np.flatnonzero(bitmap.any(axis)) for axis in (1, 0))
    if not len(rows):
        return bitmap[:0, :0]
    return bitmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _place(picture: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    """Add the part to the picture with its corner at (top, left); what lies outside is left out."""
    (height, width), (h, w) = picture.shape, part.shape
    rows = slice(max(top, 0), max(min(top + h, height), 0))
    columns = slice(max(left, 0), max(min(left + w, width), 0))
    inside = part[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    picture[rows, columns] += inside
