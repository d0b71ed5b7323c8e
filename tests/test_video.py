"""Labels for every frame: clips whose labels no frame has, users' sequences, one's own task."""

import json
import textwrap

import flax.linen as nn
import jax
import numpy as np
import pytest
from weights import drawn

from experiments import video
from rnn_jax import tasks, vision
from rnn_jax.data import clips
from rnn_jax.data.frames import read_sequences
from rnn_jax.data.images import Images
from rnn_jax.models.frames import frame_model

T, B, X, H, C = 6, 3, 4, 5, 3


def ten_digits():
    """A picture a digit: one pixel bright, so that it can be read back."""
    pixels = np.zeros((10, 8, 8), np.float32)
    pixels[np.arange(10), 0, 0] = 5 + np.arange(10)
    return Images(pixels, np.arange(10), tuple("0123456789"), {})


def test_the_label_of_a_frame_is_the_digit_before_the_present_one():
    made = clips.clips(ten_digits(), 20, 15, np.random.default_rng(0))
    for digits, labels, frames in zip(made.digits, made.labels, made.frames, strict=True):
        before, want = clips.NONE, []
        for t, digit in enumerate(digits):
            if t and digit != digits[t - 1]:
                before = digits[t - 1]
            want.append(before)
        assert labels.tolist() == want
        assert np.rint(frames.max((1, 2)) - 5).astype(int).tolist() == digits.tolist()


def test_the_ceiling_is_what_the_best_rule_of_a_frame_reaches():
    """The best answer to each digit that is seen, counted over many clips; place and time apart."""
    made = clips.clips(ten_digits(), 1500, 12, np.random.default_rng(1))
    table = np.zeros((10, clips.CLASSES))
    np.add.at(table, (made.digits.ravel(), made.labels.ravel()), 1)
    assert table.max(1).sum() / table.sum() == pytest.approx(clips.ceiling(12), abs=0.01)
    first = (made.labels == clips.NONE).mean()
    assert first == pytest.approx(4.5 / 12, abs=0.01) and clips.ceiling(12) == 4.5 / 12
    assert clips.commonest(12) == 4.5 / 12 and clips.commonest(90) == pytest.approx(0.95 / 10)
    rows = made.frames.max(3).argmax(2)  # where the digit is: as likely at one time as at another
    for t in (0, 5, 11):
        counts = np.bincount(rows[:, t], minlength=16)[:9] / len(rows)
        np.testing.assert_allclose(counts, np.array([1, *[2] * 7, 1]) / 16, atol=0.035)


@pytest.mark.parametrize(
    ("way", "hears"), [("causal", [0, 1, 1, 1]), ("both", [1, 1, 1, 1]), ("frame", [0, 1, 0, 0])]
)
def test_each_way_hears_the_frames_that_it_says(way, hears):
    """Which outputs change when the frame at t = 1 does."""
    model = frame_model((X,), C, way=way, hidden=H, frame=X)
    W, xs = drawn(model.init), np.random.default_rng(2).normal(size=(4, B, X)).astype(np.float32)
    run = jax.jit(lambda xs: model.apply(W, model.start(W, B), xs)[1])
    other = xs.copy()
    other[1] += 1
    changed = np.abs(np.asarray(run(xs) - run(other))).max((1, 2)) > 1e-6
    assert changed.tolist() == [bool(h) for h in hears]


def test_a_picture_of_bytes_is_read_as_zero_to_one():
    model = frame_model((6, 5), C, way="frame", hidden=H, frame=X, features=(2,))
    W, apply = drawn(model.init), jax.jit(model.apply)
    xs = np.random.default_rng(3).integers(0, 256, (2, B, 6, 5)).astype(np.uint8)
    _, ys = apply(W, model.start(W, B), xs)
    _, same = apply(W, model.start(W, B), xs.astype(np.float32) / 255)
    assert ys.shape == (2, B, C)
    np.testing.assert_allclose(ys, same, atol=1e-6)


def test_convolutions_are_those_of_flax():
    """Neighbours times a dense kernel against nn.Conv and nn.max_pool, odd sides too."""
    x = np.random.default_rng(5).normal(size=(2, 5, 6, 3)).astype(np.float32)
    conv = nn.Conv(4, (3, 3), use_bias=False)
    w = drawn(lambda key: conv.init(key, x))
    kernel = np.asarray(w["params"]["kernel"]).reshape(27, 4)

    @jax.jit
    def both(w, x, kernel):
        plain = nn.relu(conv.apply(w, x))
        pooled = nn.max_pool(plain, (2, 2), (2, 2), padding=((0, 1), (0, 0)))
        ours = nn.relu(vision.neighbours(x) @ kernel)
        return (plain, pooled), (ours, vision.halved(plain))

    (plain, pooled), (ours, halved) = both(w, x, kernel)
    np.testing.assert_allclose(ours, plain, atol=1e-5)
    np.testing.assert_allclose(halved, pooled, atol=1e-6)


def test_no_gradient_is_lost_on_the_way_through_the_convolutions():
    """As one program, in float64: along a random way the gradient is the slope of the output."""
    rng = np.random.default_rng(0)
    pictures = rng.random((B, 12, 12)) * (rng.random((B, 12, 12)) < 0.3)
    weights = rng.normal(size=(B, 3, 3, 4))
    eye = vision.from_module(vision.Convolutions((4,), 2, norm=True), (12, 12))
    W = jax.tree.map(lambda a: a + 0.1 * rng.normal(size=a.shape), drawn(eye.init))
    way = jax.tree.map(lambda a: 1e-6 * rng.normal(size=a.shape), W)
    with jax.enable_x64(True):
        run = jax.jit(jax.value_and_grad(lambda W: (eye.apply(W, pictures) * weights).sum()))
        up, down = (run(jax.tree.map(lambda a, d, s=s: a + s * d, W, way))[0] for s in (1, -1))
        bars = run(W)[1]
    slope = sum(np.vdot(a, d) for a, d in zip(*map(jax.tree.leaves, (bars, way)), strict=True))
    assert float(up - down) / 2 == pytest.approx(slope, rel=1e-4)


def csv(count=12, seed=0, steps=(3, 4, 5, 6)):
    """Sequences, each of one of so many steps; the label is the sign of the first number one step
    before.
    """
    rng, lines = np.random.default_rng(seed), ["sequence,a,b,label"]
    for i in range(count):
        before = 1.0
        for _ in range(rng.choice(steps)):
            a, b = rng.choice([-1.0, 1.0]), rng.normal()
            lines.append(f"s{i},{a},{b:.3f},{'up' if before > 0 else 'down'}")
            before = a
    return "\n".join(lines) + "\n"


def test_a_table_and_arrays_are_the_same_sequences(tmp_path):
    (tmp_path / "a.csv").write_text(csv())
    columns = ("--data", "sequence", "label", ())
    table = read_sequences(str(tmp_path / "a.csv"), *columns)
    lengths, truth = table.lengths(), table.truth(["down", "up"])
    features = np.full((12, 6, 2), 9.0)
    labels = np.full((12, 6), -1)
    for i, n in enumerate(lengths):
        features[i, :n], labels[i, :n] = table.inputs[i], truth[i]
    np.savez(tmp_path / "a.npz", features=features, labels=labels)
    arrays = read_sequences(str(tmp_path / "a.npz"), *columns)
    assert arrays.lengths().tolist() == lengths.tolist() and arrays.classes() == ["0", "1"]
    for one, other in zip(table.inputs, arrays.inputs, strict=True):
        np.testing.assert_array_equal(one, other)
    chosen = read_sequences(str(tmp_path / "a.csv"), "--data", "sequence", "label", ("b",))
    np.testing.assert_array_equal(chosen.inputs[3], table.inputs[3][:, 1:])


SMALL = "--cell tanh --hidden 4 --frame 3 --lanes 4 --buckets 1 --sequence".split()


def train(capsys, path, *flags):
    assert video.main([*SMALL, "sequence", "--data", str(path), "--ways", "causal", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_on_a_table_scores_and_draws(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(csv())
    found = train(capsys, path, "--steps", "4", "--out", str(tmp_path / "a"))
    assert (tmp_path / "a" / "video.png").read_bytes().startswith(b"\x89PNG")
    assert found["value"] == pytest.approx(1 - found["accuracy"]["causal"])


def test_what_is_drawn_of_a_clip_does_not_depend_on_its_padding(tmp_path):
    """Both ends: a clip read from its padding back would be answered in another way."""
    (tmp_path / "mine.csv").write_text(csv(9))
    path = str(tmp_path / "mine.csv")
    flags = {"data": path, "valid_data": path, "hidden": H, "frame": X, "lanes": 16}
    data = video.footage.read(video.Config(**flags))
    (batch,) = data.task.valid()
    model = frame_model((2,), 2, way="both", hidden=H, frame=X)
    W = drawn(model.init, seed=2)
    found = []
    for padding in (0, 9):
        filled = batch._replace(inputs=np.where(batch.mask[..., None], batch.inputs, padding))
        task = data.task._replace(valid=lambda filled=filled: [filled])
        found.append(video.answers(data._replace(task=task), {"both": (None, model, W)}))
    assert not batch.mask.all()
    for name in ("said", "right"):
        one, other = (getattr(answers, name)["both"] for answers in found)
        np.testing.assert_array_equal(one, other)


REFUSED = {  # the file, flags, part of the line
    "no number": ("sequence,a,label\ns,1,x\ns,oops,y\n", [], "row 2: a is 'oops'"),
    "one class": ("sequence,a,label\ns,1,x\nr,2,x\n", [], "one class"),
    "a class held out": ("sequence,a,label\ns,1,x\nr,2,y\nq,3,z\n", [], "are held out"),
    "one sequence": ("sequence,a,label\ns,1,x\ns,2,y\n", [], "--valid-data"),
    "no such column": ("clip,a,label\ns,1,x\n", [], "choose --sequence from clip, a, label"),
    "no features": ("sequence,label\ns,x\nr,y\n", [], "add the features"),
    "another way": (csv(), ["--ways", "causal", "sideways"], "--ways sideways"),
    "no arrays": (None, ["--data", "no.npz"], "does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sequences_that_cannot_be_used_are_one_line(case, capsys, tmp_path):
    content, flags, part = REFUSED[case]
    path = tmp_path / "mine.csv"
    path.write_text(content or csv())
    argv = [*SMALL, "sequence", "--data", str(path), "--out", str(tmp_path / "run"), *flags]
    assert video.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and part in err.splitlines()[-1] and err.count("error:") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_files_is_left_alone(capsys, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"x")
    assert video.main(["--out", str(tmp_path)]) == 2
    assert "cat.png" in capsys.readouterr().err and len(list(tmp_path.iterdir())) == 1


def test_a_task_of_ones_own_is_under_30_lines_from_file_to_model(tmp_path, monkeypatch):
    """The code in the docstring of rnn_jax.tasks, as it stands there."""
    text = tasks.__doc__
    code = textwrap.dedent("    " + text[text.index("import dataclasses") :])
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(csv(24, steps=(5,)))  # one shape to compile
    names: dict = {}
    exec(code, names)
    losses = [row["valid"] for row in names["opened"].metrics if "valid" in row]
    assert losses[-1] < 0.3 < 0.69, "the label before is remembered"
