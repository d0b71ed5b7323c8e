"""Letters with marks that nobody writes: marks cut from some letters and put onto others.

What "č" has and "c" lacks is a caron; on a "q" it makes "latin small letter q with caron". Such
pictures are made of glyphs that are learned from, and of no others, and only under names that
Unicode does not have: no name of a glyph that is held out is among them, nor, in the first font,
which is asked about, a picture that looks like one.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from rnn_jax.data.named_glyphs import FACES, NamedGlyphs, picture

_DOTLESS = {"i": "ı", "j": "ȷ"}  # what is beneath a mark above
_INK = 100  # of 255: what counts as ink
_LOST = 0.06  # of a letter's ink may be missing from the letter with a mark that is cut
_HIDDEN = 0.4  # of a mark's ink may lie on the letter that it is put onto
_EDGE = 0.25  # of a letter's width or height: marks this near a side keep their distance to it
_LIKE = 0.985  # cosine of two pictures, made coarse, that are held to look the same
_SPECK = 1 / 28  # of a picture's side: what is left of a letter's edge is no bigger each way
_DONORS = 6  # from which a mark is taken, of each case
_COARSE = 4  # pixels a side that are summed for that


class Cut(NamedTuple):
    """A mark uint8 [S, S] where it was on its letter [S, S]; lost: what of the letter was gone."""

    mark: np.ndarray
    letter: np.ndarray
    lost: float


class Donor(NamedTuple):
    """Rows of `NamedGlyphs`: the glyph `whole` is the glyph `letter`, by this script's name of it,
    with something.
    """

    whole: int
    letter: int
    script: str


class Invented:
    """Made of these glyphs: ``names`` of as many rows as there are, and the rows' pictures.

    A row is a letter and a glyph that its mark is cut from; several have the same name.
    """

    def __init__(self, made: NamedGlyphs) -> None:
        self._made = made
        self._cut, self._plain = cache(self._cut), cache(self._plain)
        found = [*self._fitting()]
        self._rows = [(letter, donor) for letter, donor, _ in found]
        self.names = [list(name) for _, _, name in found]

    def pictures(self, rows: Sequence[int], rng: np.random.Generator, asked: float) -> np.ndarray:
        """uint8 [B, S, S], in any font that has both; `asked` of them, a share, in the first."""
        drawn = []
        for letter, donor in (self._rows[row] for row in rows):
            faces = [f for f in range(len(FACES)) if self._good(letter, donor, f)]
            face = 0 if rng.random() < asked else faces[rng.integers(len(faces))]
            drawn.append(self._drawn([letter], donor, face)[0][0])
        return np.stack(drawn)

    def _good(self, letter: int, donor: Donor, face: int) -> bool:
        there = self._made.there[[letter, donor.whole, donor.letter], face].all()
        return bool(there) and self._cut(donor, face).lost < _LOST

    def _drawn(
        self, letters: Sequence[int], donor: Donor, face: int
    ) -> tuple[np.ndarray, np.ndarray]:
        cut = self._cut(donor, face)
        [mark], [letter] = box(cut.mark[None]), box(cut.letter[None])
        above = bool(mark[0, 1] <= letter[0, 0] + 1)
        return put(cut, np.stack([self._plain(one, face, above) for one in letters]))

    def _plain(self, letter: int, face: int, above: bool) -> np.ndarray:
        plain = self._made.pictures[letter, face]
        dotless = _DOTLESS.get(self._made.characters[letter]) if above else None
        return picture(dotless, plain.shape[-1], FACES[face]) if dotless else plain

    def _cut(self, donor: Donor, face: int) -> Cut:
        whole = self._made.pictures[donor.whole, face]
        dotted = self._made.characters[donor.letter] in _DOTLESS
        plain = (self._plain(donor.letter, face, above) for above in (False, True)[: 1 + dotted])
        return min((cut(whole, each) for each in plain), key=lambda c: c.lost)

    def _fitting(self) -> Iterator[tuple[int, Donor, tuple[str, ...]]]:
        """Letters, glyphs whose mark fits them in the first font, and what that is called."""
        made = self._made
        held = {tuple(name) for i in np.flatnonzero(made.held_out) for name in made.names[i]}
        real = coarse(made.pictures[:, 0])
        for (case, first, words), glyphs in donors(made).items():
            good = [donor for donor in glyphs if self._good(donor.letter, donor, 0)]
            named = receivers(made, case, first, words)
            for donor in good[:: max(1, -(-len(good) // _DONORS))] if named else ():
                drawn, fits = self._drawn([letter for letter, _ in named], donor, 0)
                likely = np.flatnonzero(fits)
                like = (coarse(drawn[likely]) @ real.T).max(1, initial=0) > _LIKE
                for letter, names in (named[i] for i in likely[~like]):
                    name = next((n for n in names if n[0] == donor.script), names[0])
                    assert held.isdisjoint(names)
                    yield letter, donor, name


def donors(made: NamedGlyphs) -> dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Donor]]:
    """All that are learned from and are another one with something: by the letter's case and what
    it has already, and the words for what the mark is.
    """
    learned = np.flatnonzero(~made.held_out & made.there[:, 0])
    known = {tuple(name): int(i) for i in learned for name in made.names[i]}
    found = defaultdict(list)
    for whole in learned:
        for name in made.names[whole]:
            for at in (i for i, word in enumerate(name) if word in ("with", "and")):
                stem, words = tuple(name[:at]), tuple(name[at:])
                if stem in known:
                    donor = Donor(int(whole), known[stem], stem[0])
                    found[stem[1], _marks(stem), words].append(donor)
    return found


def receivers(
    made: NamedGlyphs, case: str, first: tuple[str, ...], words: tuple[str, ...]
) -> list[tuple[int, list[tuple[str, ...]]]]:
    """The glyphs of this case that are learned from, have these marks first and no others, and
    would with these words have no name that Unicode has: their names so.
    """
    found = []
    for letter in np.flatnonzero(~made.held_out & made.there[:, 0]):
        named = [(*n, *words) for n in made.names[letter] if n[1] == case and _marks(n) == first]
        if named and not any(_real((*n, *words)) for n in made.names[letter]):
            found.append((int(letter), named))
    return found


def _marks(name: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[name.index("with") :]) if "with" in name else ()


@cache
def _real(name: tuple[str, ...]) -> bool:
    """Whether Unicode has it, be it by another name: "u with breve" is Cyrillic's "short u"."""
    stem, *marks = re.split(" (?:with|and) ", " ".join(name))
    letter = _called(stem) + "".join(
        _called(f"combining {mark}") or _called(f"combining {mark} accent") for mark in marks
    )
    composed = len(letter) > len(marks) and len(unicodedata.normalize("NFC", letter)) == 1
    return composed or bool(_called(" ".join(name)))


def _called(name: str) -> str:
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return ""


def cut(whole: np.ndarray, letter: np.ndarray) -> Cut:
    """What the whole has beside the letter, laid upon it sideways where it fits best.

    A stroke through a stem is cut with what the stem hides of it; specks are left out.
    """
    far = whole.shape[1] // 3
    moved = np.stack([shifted(letter, 0, by) for by in range(-far, far + 1)])
    letter = moved[np.minimum(whole, moved).sum((1, 2)).argmax()]
    mark = whole - np.minimum(whole, letter)
    there, speck = mark > _INK // 2, len(whole) * _SPECK
    around = np.pad(there, reach := round(speck))
    around = np.lib.stride_tricks.sliding_window_view(around, (2 * reach + 1,) * 2).sum((2, 3))
    mark[~there | (around <= speck**2)] = 0
    ink = mark > _INK
    inside = np.maximum.accumulate(ink, 1) & np.maximum.accumulate(ink[:, ::-1], 1)[:, ::-1]
    lost = (letter - np.minimum(whole, letter)).sum() / max(1, letter.sum())
    return Cut(np.where(inside, whole, mark), letter, float(lost) if ink.any() else 1.0)


def put(cut: Cut, letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Letters [N, S, S] with the mark, in the middle sideways; whether it sits as it did [N]."""
    [old], [own], new = box(cut.letter[None]), box(cut.mark[None]), box(letters)
    down, right = (_kept(own[i], old[i], new[:, i]) for i in (0, 1))
    mark = np.stack([shifted(cut.mark, *by) for by in zip(down, right, strict=True)])
    drawn = np.maximum(letters, mark)
    ink = mark.sum((1, 2))
    fits = (ink == cut.mark.sum()) & (np.minimum(mark, letters).sum((1, 2)) <= _HIDDEN * ink)
    [was], now = touching(cut.mark[None], cut.letter[None]), touching(mark, letters)
    fits &= (was <= 2 * now) & (now <= 2 * was)
    ends = box(drawn)[:, 1]
    middle = (drawn.shape[2] - ends.sum(1)) // 2
    for lane in np.flatnonzero(middle):
        drawn[lane] = shifted(drawn[lane], 0, middle[lane])
    return drawn, fits


def _kept(mark: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """How far a mark goes [N] from a letter between old ends [2] to letters between new [N, 2]."""
    where = (mark.mean() - old[0]) / (old[1] - old[0])
    if _EDGE <= where <= 1 - _EDGE:
        return (new.sum(1) - old.sum()) // 2
    return (new - old)[:, int(where > _EDGE)]


def box(pictures: np.ndarray) -> np.ndarray:
    """Of each picture the ink's first row and the one after its last, and the columns: [N, 2, 2].

    Where there is no ink, all of it.
    """
    ink, ends = pictures > _INK, []
    for axis in (2, 1):
        there = ink.any(axis)
        ends.append([there.argmax(1), there.shape[1] - there[:, ::-1].argmax(1)])
    return np.moveaxis(np.array(ends), 2, 0)


def touching(marks: np.ndarray, letters: np.ndarray) -> np.ndarray:
    """How many pixels of each letter lie next to its mark or under it [N]."""
    near = np.pad(marks > _INK, ((0, 0), (1, 1), (1, 1)))
    near = near[:, :-2] | near[:, 1:-1] | near[:, 2:]
    near = near[:, :, :-2] | near[:, :, 1:-1] | near[:, :, 2:]
    return (near & (letters > _INK)).sum((1, 2))


def shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moved; what comes from outside is 0."""
    out = np.zeros_like(picture)
    height, width = picture.shape
    taken = picture[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    out[max(down, 0) :, max(right, 0) :][: taken.shape[0], : taken.shape[1]] = taken
    return out


def coarse(pictures: np.ndarray) -> np.ndarray:
    """float32 [N, P] of length 1: what is left of pictures [N, S, S] seen without glasses."""
    many, size, _ = pictures.shape
    pad = -size % _COARSE
    x = np.pad(pictures.astype(np.float32), ((0, 0), (0, pad), (0, pad)))
    side = (size + pad) // _COARSE
    x = x.reshape(many, side, _COARSE, side, _COARSE).sum((2, 4)).reshape(many, side * side)
    return x / np.maximum(1e-6, np.linalg.norm(x, axis=1, keepdims=True))
