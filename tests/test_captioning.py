"""Pictures and captions: glyphs with names, what is held out, tables, a whole run."""

import dataclasses
import io
import json
import unicodedata

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from experiments import captioning, captions
from rnn_jax.data import invented_glyphs as inventing
from rnn_jax.data import named_glyphs as glyphs
from rnn_jax.errors import BadInput
from rnn_jax.models.captions import caption_model
from rnn_jax.vision import Convolutions, folded, halved, neighbours

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
            assert all(sum(w in other for other in known) >= glyphs.LEAST for w in name)


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


def test_characters_that_look_the_same_are_one_picture_and_those_of_like_marks_are_not():
    """Dots that the font puts a hair's breadth elsewhere; but a breve is no caron."""
    alike = {frozenset(c) for c in glyphs._alike([(c,) for c in "äӓŎǑöoӧèѐ"], 24)}
    assert alike == {frozenset(c) for c in ("äӓ", "öӧ", "èѐ", "Ŏ", "Ǒ", "o")}


def test_a_mark_is_what_is_cut_and_put_back_where_it_was():
    for whole, letter in ("čc", "ңн", "ąa", "ḣh"):
        pictures = [glyphs.picture(c, 40) for c in (whole, letter)]
        cut = inventing.cut(*pictures)
        [again], [fits] = inventing.put(cut, pictures[1][None])
        assert fits and cut.lost < 0.01
        assert np.abs(again.astype(int) - pictures[0]).sum() < 0.02 * pictures[0].sum()
    upper, wide = (glyphs.picture(c, 40) for c in "Им")
    cut = inventing.cut(glyphs.picture("Ӣ", 40), upper)
    [drawn], [fits] = inventing.put(cut, wide[None])
    old, new = (inventing.box(x[None])[0, 0] for x in (upper, wide))
    top = inventing.box(drawn[None])[0, 0, 0]
    assert fits and top - new[0] == inventing.box(cut.mark[None])[0, 0, 0] - old[0]
    tail = inventing.cut(glyphs.picture("ң", 40), glyphs.picture("н", 40))
    assert not inventing.put(tail, glyphs.picture("г", 40)[None])[1][0], "nothing to hang it on"


def test_what_is_invented_is_neither_held_out_nor_real(cyrillic):
    invented = inventing.Invented(cyrillic)
    names = {" ".join(name) for name in invented.names}
    assert len(names) > 50
    for name in names:
        with pytest.raises(KeyError):
            unicodedata.lookup(name)
    short = ("letter i with breve", "letter u with breve")  # Unicode's short i and short u
    assert not [name for name in names if name.endswith(short)]
    rows = np.arange(0, len(invented.names), 7)
    drawn = invented.pictures(rows, np.random.default_rng(0), 1.0)
    held = inventing.coarse(cyrillic.pictures[cyrillic.held_out, 0])
    assert (inventing.coarse(drawn) @ held.T).max() <= inventing._LIKE
    for letter, donor in (invented._rows[row] for row in rows):
        assert not cyrillic.held_out[[letter, donor.whole, donor.letter]].any()


def test_bleu_of_any_right_caption_is_full_and_of_a_wrong_one_is_not():
    pytest.importorskip("sacrebleu")
    right = [[["a", "b", "c", "d", "e"], ["x", "y", "z", "u"]], [["p", "q", "r", "s"]]]
    said = [right[0][1], right[1][0]]
    assert captions.bleu(said, right) == pytest.approx(100)
    assert captions.bleu([["a"], ["b"]], right) < 50


def test_a_mistake_is_what_stands_for_what():
    right = [[["a", "with", "caron"]], [["b"], ["c", "d"]], [["x", "and", "y"]], [["z"]]]
    said = [["a", "with", "breve"], ["c"], ["y", "and", "x"], ["z"]]
    assert captions.mistakes(said, right) == {
        "caron > breve": 1,
        "d > -": 1,
        "x and y > y and x": 1,
    }


def test_a_batch_teaches_one_right_name_of_each_picture(tmp_path):
    given = {"size": 12, "lanes": 5, "unread": 0.0, "invented": 0.0}
    config = captioning.Config(scripts=("cyrillic",), **given)
    data = captions.read(config)
    task = captions.make_task(config, data)
    batch = task.batch(3)
    assert batch.context.shape == (5, 12, 12) and batch.context.dtype == np.uint8
    assert (batch.inputs[:, 0] == captions.BEGIN).all()
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    for targets, mask in zip(batch.targets, batch.mask, strict=True):
        words = data.words(targets)
        assert any(words in names for names in data.train.captions)
        assert mask.sum() == len(words) + 1 and targets[len(words)] == captions.END
    hidden = captions.make_task(dataclasses.replace(config, unread=0.5), data)
    some = hidden.batch(3)
    assert (some.targets == batch.targets).all() and (some.context == batch.context).all()
    gone = some.inputs != batch.inputs
    assert gone.any() and (some.inputs[gone] == captions.BEGIN).all()
    known = [next(iter(one.valid())).inputs for one in (task, hidden)]
    np.testing.assert_array_equal(*known, "in evaluation every word is read")


def test_of_a_batch_as_many_as_asked_are_invented_and_at_the_end_none():
    config = captioning.Config(
        scripts=("cyrillic",), size=20, lanes=8, invented=0.25, horizon=100, steps=200
    )
    data = captions.read(config)
    task = captions.make_task(config, data)
    for position, more in ((0, 2), (69, 2), (85, 1), (99, 0), (150, 0)):
        said = [data.words(t) for t in task.batch(position).targets]
        known = [any(words in names for names in data.train.captions) for words in said]
        assert known == [True] * (8 - more) + [False] * more
        assert all([words] in data.invented.captions for words in said[8 - more :])
    assert max(len(name) for [name] in data.invented.captions) < data.longest, "none is cut off"
    always = captions.make_task(dataclasses.replace(config, horizon=0), data).batch(150)
    assert data.words(always.targets[7]) not in sum(data.train.captions, [])


def test_folded_squares_are_channels():
    x = np.arange(2 * 5 * 4 * 3).reshape(2, 5, 4, 3)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))
    got = folded(jnp.asarray(x), 2)
    assert got.shape == (2, 3, 2, 12)
    for i in range(3):
        for j in range(2):
            square = padded[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_array_equal(got[:, i, j], square.reshape(2, 12))


@pytest.mark.parametrize("norm", [False, True])
def test_a_second_convolution_adds_to_what_it_reads(norm):
    """``x + relu(neighbours(x) K + b)``, where x is what the first one made; then it is pooled."""
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    one, two = (Convolutions((4,), depth=depth, norm=norm) for depth in (1, 2))
    W = jax.tree.map(np.asarray, drawn(lambda key: two.init(key, x))["params"])

    def convolved(x, which):
        w = W[f"Dense_{which}"]
        y = np.asarray(neighbours(x)) @ w["kernel"] + w["bias"]
        if norm:
            w = W[f"LayerNorm_{which}"]
            y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
            y = y * w["scale"] + w["bias"]
        return np.maximum(y, 0)

    read = convolved(x, 0)
    whole = jax.jit(two.apply)({"params": W}, x)
    np.testing.assert_allclose(whole, halved(read + convolved(read, 1)), atol=1e-6)
    first = {name: w for name, w in W.items() if name.endswith("_0")}
    assert np.abs(whole - jax.jit(one.apply)({"params": first}, x)).max() > 0.1


@pytest.mark.parametrize("attention", ["general", "none"])
def test_the_writer_begins_from_the_picture_and_with_attention_looks_at_it(key, attention):
    """Blind at h_0 it still sees, if it has attention; each lane sees its own picture alone."""
    sizes = {"hidden": 4, "embed": 3, "features": (2,), "fold": 2, "seen": 5}
    model = caption_model((8, 12), 7, attention=attention, **sizes)
    W = drawn(model.init)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 12)).astype(np.uint8)

    @jax.jit
    def said(W, pictures):
        tokens = np.zeros((2, len(pictures)), np.int32)
        return model.apply(W, model.condition(W, pictures, None), tokens)[1]

    ys = said(W, pictures)
    assert not np.allclose(ys[:, 0], ys[:, 1])
    np.testing.assert_allclose(said(W, pictures[::-1])[:, ::-1], ys, atol=1e-6)
    blind = jax.tree.map(jnp.zeros_like, W["encoder"]["parts"])
    ys = said({**W, "encoder": {**W["encoder"], "parts": blind}}, pictures)
    assert np.allclose(ys[:, 0], ys[:, 1]) == (attention == "none")


def test_an_attention_that_does_not_fit_is_one_line():
    with pytest.raises(BadInput, match="dot attention of 5 numbers with 2"):
        caption_model((8, 8), 7, hidden=5, features=(2,), attention="dot")


def run(capsys, *flags):
    assert captioning.main([*SMALL, *flags]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_run_on_glyphs_writes_captions_and_a_sheet(capsys, tmp_path):
    result = run(capsys, "--scripts", "cyrillic", "--out", str(tmp_path / "run"))
    assert result["value"] == pytest.approx(1 - result["exact_held_out"]) and result["step"] == 2
    assert sum(result["mistakes"].values()) > 0 and result["exact_held_out_by_outline"] <= 1
    assert (tmp_path / "run" / "captions.png").read_bytes().startswith(b"\x89PNG")


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
    few = captions.read(captioning.Config(data=flags[1], least=5, size=12))
    assert (few.train.captions, few.valid.captions) == (data.train.captions, data.valid.captions)
    assert few.words(few.tokens(["a", "dark", "one"])) == ["a", "one"], "as scored it is whole"


def test_a_picture_that_cannot_be_read_is_one_line(capsys, tmp_path):
    flags = pictured(tmp_path, broken=True)
    assert captioning.main([*SMALL, *flags, "--out", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "row 5" in err.splitlines()[-1] and not (tmp_path / "run").exists()
    flags = pictured(tmp_path)
    columns = {"--image photo": "choose --image from image, caption_0",
               "--captions image": "row 1: a caption is"}  # fmt: skip
    for column, mend in columns.items():
        argv = [*SMALL, *flags, *column.split(), "--out", str(tmp_path / "run")]
        assert captioning.main(argv) == 2
        assert mend in capsys.readouterr().err
    assert captioning.main([*SMALL, "--scripts", "elvish", "--out", str(tmp_path / "run")]) == 2
