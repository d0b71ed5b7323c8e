"""Whole runs of `glimpse` and `draw` at toy size: results, pictures, bad input."""

import io
import json

import numpy as np
import pytest

from experiments import draw, glimpse
from rnn_jax import run as runs

SMALL = (
    *("--hidden", "6", "--lanes", "4", "--held-out", "12", "--log-every", "1"),
    *("--eval-every", "4", "--save-every", "4", "--average", "0"),
)
GLIMPSE = (*SMALL, "--glimpses", "2", "--window", "3")
DRAW = (*SMALL, "--glimpses", "3", "--latent", "2", "--vae-latent", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Bars of three directions, 10 x 10."""
    pixels = np.zeros((60, 10, 10), np.uint8)
    labels = np.arange(60) % 3
    pixels[labels == 0, 4:6], pixels[labels == 1, :, 4:6] = 255, 255
    pixels[labels == 2] = 255 * np.eye(10, dtype=np.uint8)
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, images=pixels, labels=labels)
    return str(path)


def trained(experiment, capsys, *flags):
    assert experiment.main(list(flags)) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1, "stdout is one line of JSON"
    return json.loads(out)


def image(raw):
    from matplotlib.image import imread

    return imread(io.BytesIO(raw))


@pytest.mark.slow
def test_several_digits_are_read_from_strips_and_the_pictures_written(capsys, data, tmp_path):
    flags = ("--data", data, *GLIMPSE, "--digits", "2", "--steps", "4", "--scales", "2")
    told = trained(glimpse, capsys, *flags, "--looks", "learned", "whole", "--out", str(tmp_path))
    networks = told["networks"]
    assert told["value"] == networks["learned"]["error"] and set(networks) == {"learned", "whole"}
    assert 1 - 12 / 24 < told["baseline"] < 1 - 12 / 36, "12 ends among 24 to 36 labels"
    assert told["step"] == 4
    assert 0 <= networks["learned"]["all_right"] <= 1 - networks["learned"]["error"] + 0.5
    noise = networks["learned"]["noise"]
    assert noise["none"] >= 0 and noise["learned"] >= 0 and np.isfinite(noise["mean"])
    assert (tmp_path / "learned" / "run.json").is_file()
    picture = image((tmp_path / "looked.png").read_bytes())
    assert picture.shape[1] > picture.shape[0] > 100 and picture[..., :3].std() > 0.02


@pytest.mark.slow
def test_draw_and_a_vae_of_its_size_tell_their_bounds_and_paint(capsys, data, tmp_path):
    told = trained(draw, capsys, "--data", data, *DRAW, "--steps", "4", "--out", str(tmp_path))
    both = told["networks"]
    assert told["value"] == both["draw"]["nats"] / 100
    assert told["baseline"] == both["vae"]["nats"] / 100 and told["each_pixel_alone"] > 0
    sizes = [both[name]["parameters"] for name in ("draw", "vae")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.15)
    opened = runs.open(tmp_path / "draw")
    assert opened.metric == pytest.approx(both["draw"]["nats"], rel=1e-5)
    sheets = [image((tmp_path / name).read_bytes()) for name in ("painted.png", "vae.png")]
    assert sheets[0].shape == sheets[1].shape == (3 * (10 * 12 + 2), 3 * (10 * 12 + 2), 4)
    from PIL import Image

    with Image.open(tmp_path / "painted.gif") as film:
        assert film.n_frames == 3 and film.size == sheets[0].shape[:2]
    assert image((tmp_path / "growing.png").read_bytes()).shape[0] > 100


BAD = {
    "looks": (glimpse, ["--looks", "left"], "--looks left"),
    "networks": (draw, ["--networks", "gan"], "--networks gan"),
    "held out": (glimpse, ["--held-out", "60"], "--held-out 60"),
    "missing": (draw, ["--data", "nowhere.npz"], "nowhere.npz"),
    "cell": (glimpse, ["--cell", "lsmt"], "lsmt"),
    "window": (glimpse, ["--window", "0"], "--window"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(case, capsys, data, tmp_path):
    experiment, flags, mend = BAD[case]
    argv = ["--data", data, *SMALL, *flags, "--steps", "2", "--out", str(tmp_path / "run")]
    assert experiment.main(argv) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and mend in errors[0] and captured.out == ""
    assert not (tmp_path / "run").exists()
