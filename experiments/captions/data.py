"""The pictures of the experiment and their captions: named glyphs, or a user's table."""

import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from experiments.captioning import Config
    from rnn_jax.data.text import Vocabulary
    from rnn_jax.tasks import Batch, Task

BEGIN, END = 0, 1  # tokens: the unknown one, which is never written, is what a caption begins with
_VALID_LANES = 50
_ASKED = 0.5  # of the glyphs learned from are drawn in the font that is asked about
_ENDING = 0.3  # of --horizon, its end: what is invented gives way to what there is


class Captioned(NamedTuple):
    """captions: of each picture all that are right, as words; pictures: ``(rows, rng) ->`` uint8
    [B, S, S] or [B, S, S, 3], bent at random by an rng; name: where they come from; narrow: how
    many of each picture's captions, the first, are right if only equal outlines are one glyph.
    """

    name: str
    captions: list[list[list[str]]]
    pictures: Callable[[Any, Any], "np.ndarray"]
    narrow: Sequence[int] | None = None


class Data(NamedTuple):
    """The pictures by part, their vocabulary, the tokens of the longest caption, its end too.

    invented: more to learn from, of which no one asks how well it is learned.
    """

    train: Captioned
    valid: Captioned
    vocabulary: "Vocabulary"
    longest: int
    shape: tuple[int, ...]
    record: dict[str, Any]
    invented: Captioned | None = None

    def tokens(self, caption: Sequence[str]) -> "np.ndarray":
        """A caption's tokens, without an end and without the words that are not known."""
        numbers = self.vocabulary.number_words([f" {word}" for word in caption])
        return numbers[numbers != self.vocabulary.unknown]

    def words(self, tokens: Any) -> list[str]:
        """The words of tokens, up to the end."""
        return self.vocabulary.decode(tokens).partition("\n")[0].split()


def read(config: "Config") -> Data:
    """The pictures, checked; a line about them on stderr."""
    from rnn_jax.data import tables
    from rnn_jax.data.synthetic import generator
    from rnn_jax.data.text.vocabulary import UNKNOWN, Vocabulary

    rng = generator(config.seed, 0, held_out=True)
    train, valid, invented = (_table if config.data else _glyphs)(config, rng)
    counts = Counter(w for captions in train.captions for one in captions for w in one)
    least = config.least if config.data else 1  # the names of glyphs are chosen by their words
    known = sorted(w for w, n in counts.items() if n >= least)
    vocabulary = Vocabulary((UNKNOWN, "\n", *(f" {w}" for w in known)), "words", BEGIN)
    kept = {*known}
    learned = [*train.captions, *(invented.captions if invented else ())]
    longest = 1 + max(sum(w in kept for w in one) for captions in learned for one in captions)
    shape = train.pictures([0], None).shape[1:]
    sizes = {"train": len(train.captions), "valid": len(valid.captions)}
    digest = tables.digest(*train.captions, *valid.captions)
    data = Data(train, valid, vocabulary, min(longest, config.longest + 1), shape,
                {"description": train.name, **sizes, "digest": digest}, invented)  # fmt: skip
    told = f"{train.name}: {sizes['train']:,} pictures to learn, {sizes['valid']:,} held out"
    told += f", {len({*map(str, invented.captions)}):,} invented" if invented else ""
    print(f"{told}; {len(vocabulary):,} words", file=sys.stderr)
    return data


def _glyphs(
    config: "Config", rng: "np.random.Generator"
) -> tuple[Captioned, Captioned, Captioned | None]:
    import numpy as np

    from rnn_jax.data import images
    from rnn_jax.data.invented_glyphs import Invented
    from rnn_jax.data.named_glyphs import named_glyphs

    made = named_glyphs(config.scripts, config.size, config.valid, rng)
    bend = images.Warp(shift=config.size / 48, turn=2, grow=0.02, slant=0.03, bend=0.2)
    told = f"glyphs of DejaVu, {', '.join(config.scripts)}"

    def bent(plain: "np.ndarray", rng: Any) -> "np.ndarray":
        return np.clip(images.warped(rng, plain.astype(np.float32), bend), 0, 255).astype(np.uint8)

    def part(rows: "np.ndarray") -> Captioned:
        def pictures(chosen: Any, rng: Any) -> "np.ndarray":
            glyphs = rows[chosen]
            if rng is None:
                return made.pictures[glyphs, 0]
            there = made.there[glyphs] * rng.random((len(glyphs), made.there.shape[1]))
            faces = np.where(rng.random(len(glyphs)) < _ASKED, 0, there.argmax(1))
            return bent(made.pictures[glyphs, faces], rng)

        names, narrow = [made.names[row] for row in rows], [made.outlined[row] for row in rows]
        return Captioned(told, names, pictures, narrow)

    parts = part(np.flatnonzero(~made.held_out)), part(np.flatnonzero(made.held_out))
    if not config.invented or not (more := Invented(made)).names:
        return *parts, None
    names = [[name] for name in more.names]
    return *parts, Captioned(
        told, names, lambda rows, rng: bent(more.pictures(rows, rng, _ASKED), rng)
    )


def _table(config: "Config", rng: "np.random.Generator") -> tuple[Captioned, Captioned, None]:
    import numpy as np

    train = _pictured(config, config.data, "--data")
    if config.valid_data:
        return train, _pictured(config, config.valid_data, "--valid-data"), None
    rows = rng.permutation(len(train.captions))
    cut = max(1, int(config.valid * len(rows)))
    if cut == len(rows):
        raise BadInput(f"{config.data} has one picture: give others as --valid-data")
    return _taken(train, np.sort(rows[cut:])), _taken(train, np.sort(rows[:cut])), None


def _taken(part: Captioned, rows: "np.ndarray") -> Captioned:
    captions = [part.captions[row] for row in rows]
    return Captioned(part.name, captions, lambda chosen, rng: part.pictures(rows[chosen], rng))


def _pictured(config: "Config", entry: str, flag: str) -> Captioned:
    """Pictures of any size and mode, brought to [S, S, 3]; their captions in small letters."""
    import numpy as np

    from rnn_jax.data.tables import read_table

    table = read_table(entry, flag)
    there = [name for name in config.captions if name in table.columns]
    columns = [table.column((name,), "--captions") for name in there or config.captions[:1]]
    captions, pixels = [], []
    for row, image in enumerate(table.column((config.image,), "--image"), start=1):
        pixels.append(_pixels(image, config.size, f"{entry}, row {row}"))
        texts = [column[row - 1] or "" for column in columns]
        if strange := [text for text in texts if not isinstance(text, str)]:
            told = f"a caption is {str(strange[0])[:40]}, which is no text"
            raise BadInput(f"{entry}, row {row}: {told}: choose other --captions")
        cut = [re.findall(r"\w+(?:['’]\w+)*", text.lower())[: config.longest] for text in texts]
        captions.append([words for words in cut if words])
        if not captions[-1]:
            raise BadInput(f"{entry}, row {row} has no caption: leave out the row")
    stacked = np.stack(pixels)
    return Captioned(entry, captions, lambda rows, rng: stacked[np.asarray(rows)])


def _pixels(image: Any, size: int, place: str) -> "np.ndarray":
    """uint8 [S, S, 3] of a PIL picture, or of a file's bytes or {"bytes": …}."""
    import numpy as np
    from PIL import Image

    try:
        if isinstance(image, dict):
            image = image["bytes"]
        if isinstance(image, bytes):
            image = Image.open(io.BytesIO(image))
        return np.asarray(image.convert("RGB").resize((size, size)))
    except Exception as error:  # PIL and its readers raise many kinds
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        told = f"{place}: the picture cannot be read ({reason})"
        raise BadInput(f"{told}: mend it, or leave out the row") from None


def _batch(config: "Config", data: Data, parts: Any, rng: Any, count: int) -> "Batch":
    """parts: pictures and rows of them, which are `count` in all or fewer."""
    import numpy as np

    from rnn_jax import tasks

    tokens = np.full((count, data.longest + 1), END, np.int32)
    mask = np.zeros((count, data.longest), bool)
    tokens[:, 0] = BEGIN
    named = (part.captions[row] for part, rows in parts for row in rows)
    for lane, captions in enumerate(named):
        chosen = captions[0 if rng is None else rng.integers(len(captions))]
        said = data.tokens(chosen)[: data.longest - 1]
        tokens[lane, 1 : 1 + len(said)], mask[lane, : 1 + len(said)] = said, True
    pictures = np.concatenate([part.pictures(rows, rng) for part, rows in parts if len(rows)])
    filled = np.zeros((count, *data.shape), np.uint8)
    filled[: len(pictures)], read = pictures, tokens[:, :-1]
    if rng is not None:
        read = np.where(rng.random(read.shape) < config.unread, BEGIN, read)
    return tasks.Batch(read, tokens[:, 1:], mask=mask, context=filled)


def _share(config: "Config", position: int) -> float:
    """--invented, and over the end of --horizon evenly down to 0: the names that there are, like
    "short u" for u with breve, are learned last.
    """
    if not config.horizon:
        return config.invented
    left = 1 - min(1, position / config.horizon)
    return config.invented * min(1, left / _ENDING)


def make_task(config: "Config", data: Data) -> "Task":
    """Every position draws pictures, one of each's captions, and how they are bent."""
    import numpy as np

    from rnn_jax import tasks
    from rnn_jax.data.synthetic import generator
    from rnn_jax.losses import cross_entropy

    def train(position: int) -> "Batch":
        rng = generator(config.seed, position)
        parts = [(data.train, config.lanes)]
        if data.invented:
            more = round(_share(config, position) * config.lanes)
            parts = [(data.train, config.lanes - more), (data.invented, more)]
        drawn = [(part, rng.integers(0, len(part.captions), count)) for part, count in parts]
        return _batch(config, data, drawn, rng, config.lanes)

    def valid() -> Any:
        for begin in range(0, len(data.valid.captions), _VALID_LANES):
            rows = np.arange(begin, min(begin + _VALID_LANES, len(data.valid.captions)))
            yield _batch(config, data, [(data.valid, rows)], None, _VALID_LANES)

    def wrong(ys: Any, targets: Any) -> Any:
        return (ys.argmax(-1) != targets).astype(ys.dtype)

    chunks = max(1, len(data.train.captions) // config.lanes)
    tokens = config.lanes * data.longest
    return tasks.Task(train, valid, cross_entropy, config.lanes, chunks, tokens, wrong)
