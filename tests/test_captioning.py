"""Pictures and captions: glyphs with names, what is held out, tables, a whole run."""

import io
import json

import numpy as np
import pytest

from experiments import captioning, captions
from rnn_jax.data import named_glyphs as glyphs
from rnn_jax.models.captions import caption_model

pytestmark = pytest.mark.usefixtures("one_compilation_of_each_program")

SMALL = (
    *("--size", "12", "--hidden", "4", "--seen", "5", "--embed", "3", "--features", "2"),
    *("--lanes", "4", "--beams", "2", "--steps", "2", "--dropout", "0"),
)


@pytest.fixture(scope="module")
def cyrillic():
    return glyphs.named_glyphs(("cyrillic",), 24, 0.2, np.random.default_rng(0))


def test_held_out_are_combinations_of_words_seen_with_others(cyrillic):
    held = cyrillic.held_out
    assert 5 < held.sum() < 0.5 * len(held)
    known = [name for i in np.flatnonzero(~held) for name in cyrillic.names[i]]
    for i in np.flatnonzero(held):
        for name in cyrillic.names[i]:
            assert "with" in name and name not in known
            assert all(sum(w in other for other in known) >= glyphs.LEAST - 1 for w in name)


def test_no_held_out_picture_is_learned_from_in_any_font(cyrillic):
    there = cyrillic.there
    learned = {cyrillic.pictures[i, f].tobytes() for i, f in np.argwhere(there) if
               not cyrillic.held_out[i]}  # fmt: skip
    plain = [cyrillic.pictures[i, 0].tobytes() for i in np.flatnonzero(cyrillic.held_out)]
    assert there[:, 0].all() and not learned & set(plain)


def test_characters_of_one_outline_are_one_picture_with_several_names():
    groups = {frozenset(group) for group in glyphs._outlines(("latin", "cyrillic", "greek"))}
    assert frozenset("AАΑ") in groups, "Latin A, Cyrillic A, Greek Alpha"
    assert not any("c" in group and "č" in group for group in groups)
    assert glyphs.name("č") == "latin small letter c with caron".split()


def test_bleu_of_any_right_caption_is_full_and_of_a_wrong_one_is_not():
    pytest.importorskip("sacrebleu")
    right = [[["a", "b", "c", "d", "e"], ["x", "y", "z", "u"]], [["p", "q", "r", "s"]]]
    said = [right[0][1], right[1][0]]
    assert captions.bleu(said, right) == pytest.approx(100)
    assert captions.bleu([["a"], ["b"]], right) < 50


def test_a_batch_teaches_one_right_name_of_each_picture(tmp_path):
    config = captioning.Config(scripts=("cyrillic",), size=12, lanes=5)
    data = captions.read(config)
    batch = captions.make_task(config, data).batch(3)
    assert batch.context.shape == (5, 12, 12) and batch.context.dtype == np.uint8
    assert (batch.inputs[:, 0] == captions.BEGIN).all()
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    for targets, mask in zip(batch.targets, batch.mask, strict=True):
        words = data.words(targets)
        assert any(words in names for names in data.train.captions)
        assert mask.sum() == len(words) + 1 and targets[len(words)] == captions.END


def test_the_writer_begins_from_the_picture(key):
    model = caption_model((8, 8), 7, hidden=4, embed=3, features=(2,), seen=5)
    W = model.init(key)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8)).astype(np.uint8)
    carry = model.condition(W, pictures, None)
    _, ys = model.apply(W, carry, np.zeros((1, 2), np.int32))
    assert not np.allclose(ys[0, 0], ys[0, 1])
    alone = model.condition(W, pictures[1:], None)
    np.testing.assert_allclose(alone[0][0], carry[0][1], atol=1e-6)


def run(capsys, *flags):
    assert captioning.main([*SMALL, *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_on_glyphs_writes_captions_and_a_sheet(capsys, tmp_path):
    result = run(capsys, "--scripts", "cyrillic", "--out", str(tmp_path / "a"))
    assert result["value"] == pytest.approx(1 - result["exact_held_out"])
    assert (tmp_path / "a" / "captions.png").read_bytes().startswith(b"\x89PNG")
    again = run(capsys, "--scripts", "cyrillic", "--out", str(tmp_path / "a"))
    assert again["digest"] == result["digest"] and again["value"] == result["value"]


def pictured(tmp_path, broken=False):
    """A data set as Flickr8k is: pictures of several sizes and modes, captions in columns."""
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    rows = {"image": [], "caption_0": [], "caption_1": []}
    for i in range(8):
        out = io.BytesIO()
        mode, colour = ("RGB", (200, 0, 0)) if i % 2 else ("L", 40)
        Image.new(mode, (9 + i, 7), colour).save(out, "PNG")
        rows["image"].append(b"nonsense" if broken and i == 4 else out.getvalue())
        rows["caption_0"].append("A red one." if i % 2 else "a dark one")
        rows["caption_1"].append("Red" if i % 2 else None)
    path = tmp_path / "pictures.parquet"
    datasets.Dataset.from_dict(rows).to_parquet(path)
    return ["--data", f"hub:{path}", "--least", "1", "--size", "12"]


def test_pictures_of_a_data_set_are_read_with_all_their_captions(tmp_path):
    flags = pictured(tmp_path)
    data = captions.read(captioning.Config(data=flags[1], least=1, size=12))
    assert data.shape == (12, 12, 3) and len(data.train.captions) == 8 - 1
    told = {tuple(map(tuple, each)) for each in data.train.captions}
    assert told == {(("a", "red", "one"), ("red",)), (("a", "dark", "one"),)}


def test_a_picture_that_cannot_be_read_is_one_line(capsys, tmp_path):
    flags = pictured(tmp_path, broken=True)
    assert captioning.main([*SMALL, *flags, "--out", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "row 5" in err.splitlines()[-1] and not (tmp_path / "run").exists()
    flags = pictured(tmp_path)
    argv = [*SMALL, *flags, "--image", "photo", "--out", str(tmp_path / "run")]
    assert captioning.main(argv) == 2
    assert "choose --image from image, caption_0" in capsys.readouterr().err
    assert captioning.main([*SMALL, "--scripts", "elvish", "--out", str(tmp_path / "run")]) == 2
