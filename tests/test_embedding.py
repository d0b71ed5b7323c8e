"""An embedding's nearest neighbours and picture, against their definitions."""

from itertools import combinations

import numpy as np
import pytest

from experiments import embedding
from rnn_jax import plots
from rnn_jax.data.text import Vocabulary

E = 5


def table_of(R: np.ndarray, seed: int = 0) -> embedding.Table:
    counts = np.sort(np.random.default_rng(seed).integers(1, 9999, len(R)))[::-1]
    names = (f"{chr(97 + i % 26)}{i // 26 or ''}" for i in range(len(R)))
    return embedding.Table(tuple(names), counts, R)


def test_the_nearest_have_the_largest_cosine_about_the_mean():
    R = np.array([[3.0, 1], [6, 2.1], [-3, 0], [-5, 1], [4, -9]])
    about = [r - R.mean(0) for r in R]
    lines = embedding.neighbours(table_of(R), 2, 2)
    for i, line in enumerate(lines):
        cosines = {
            "abcde"[j]: about[i] @ a / np.linalg.norm(about[i]) / np.linalg.norm(a)
            for j, a in enumerate(about)
            if j != i
        }
        nearest = sorted(cosines, key=cosines.get, reverse=True)[:2]
        assert line.split() == ["ab"[i], *(s for c in nearest for s in (c, f"{cosines[c]:.2f}"))]


def test_the_principal_components_are_the_plane_the_points_lie_in():
    noise = np.random.default_rng(0)
    plane = noise.normal(size=(20, 2)) * [3, 1]
    turn, _ = np.linalg.qr(noise.normal(size=(E, E)))
    points, shares = embedding.principal(plane @ turn[:2] + noise.normal(size=(1, E)))
    assert shares.sum() == pytest.approx(1) and shares[0] > shares[1]

    def distances(a):
        return [np.linalg.norm(p - q) for p, q in combinations(a, 2)]

    np.testing.assert_allclose(distances(points), distances(plane), atol=1e-9)
    assert embedding.principal(np.ones((1, E)))[0].tolist() == [[0, 0]]


def test_no_label_lies_on_another_or_on_a_mark():
    figure = embedding.draw(table_of(np.random.default_rng(0).normal(size=(120, E))), "a title")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    marks = axes.transData.transform(np.concatenate([c.get_offsets() for c in axes.collections]))
    assert len(marks) == 120 and 80 < len(boxes) <= 120
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
    inside = axes.get_window_extent()
    assert all(inside.contains(*box.p0) and inside.contains(*box.p1) for box in boxes)
    assert plots.png(figure).startswith(b"\x89PNG")


def test_symbols_are_written_so_that_they_can_be_read():
    def shown(vocabulary, symbol):
        return embedding.shown(vocabulary, vocabulary.symbols.index(symbol))

    characters, raw = Vocabulary.of("a \n\\é\u200b"), Vocabulary.of_bytes()
    assert [shown(characters, c) for c in "a \n\\é\u200b"] == [
        "a",
        "␣",
        "\\n",
        "\\",
        "é",
        "\\u200b",
    ]
    assert shown(characters, "\ufffd") == "<unknown>"
    assert [shown(raw, c) for c in "a é"] == ["a", "␣", "\\xe9"]
    words = Vocabulary.of_words([" the", " the", "don't", "don't"], 2)
    assert [shown(words, w) for w in words.symbols[1:]] == ["␣the", "don't"]


def test_a_symbol_that_the_font_lacks_is_written_as_its_number(recwarn):
    table = table_of(np.eye(3))._replace(symbols=("e", "\u8a9e", "é"))
    figure = embedding.draw(table, "a title")
    plots.png(figure)
    assert {text.get_text() for text in figure.axes[0].texts} == {"e", "U+8A9E", "é"}
    assert not recwarn.list
