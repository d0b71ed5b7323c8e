"""The fixed window: a cell of tokens, tied weights, and a neural language model made of both."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import neural_lm, sample
from rnn_jax import decode
from rnn_jax.data.text import Stream, Vocabulary, split
from rnn_jax.errors import BadInput
from rnn_jax.evaluate import make_evaluate
from rnn_jax.losses import cross_entropy
from rnn_jax.models import Model, from_spec, window_model
from rnn_jax.objective import summed_loss
from rnn_jax.tasks import Batch, Task, held_out
from rnn_jax.unroll import unroll
from rnn_jax.windows import perceptron, window

T, B, V, K, E, H = 8, 3, 11, 4, 5, 6
PADDING = V


def tokens(*shape: int, most: int = V, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, shape, np.int32)


def weights(thing, seed=1):
    """Random parameters in float64, also where they begin as zeros."""
    noise = np.random.default_rng(seed)
    shapes = jax.eval_shape(thing.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(size=a.shape) / a.shape[0] ** 0.5, shapes)


def windows_of(text: np.ndarray) -> np.ndarray:
    """The last K tokens at each step of a text [N], by a Python loop."""
    padded = [PADDING] * K + list(text)
    return np.array([padded[t + 1 : t + 1 + K] for t in range(len(text))])


def logits_of(w: dict, windows: np.ndarray) -> np.ndarray:
    """The formula for windows [N, K] in NumPy, with one-hot vectors: [N, V]."""
    w = {name: np.asarray(a) for name, a in w.items()}
    one_hot = np.eye(len(w["R"]))[windows]
    x = np.concatenate([one_hot[:, k] @ w["R"] for k in range(windows.shape[1])], axis=1)
    y = np.tanh(x @ w["W_xh"] + w["b_h"]) @ w["W_hy"] + w["b_y"]
    return y + x @ w["W_xy"] if "W_xy" in w else y


def log_softmax(y: np.ndarray) -> np.ndarray:
    return (
        y
        - np.log(np.exp(y - y.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - y.max(-1, keepdims=True)
    )


# ---- the cell


def test_the_carry_is_the_last_tokens_through_restarts_and_gaps():
    cell, xs = window(K, PADDING), tokens(T, B)
    noise = np.random.default_rng(2)
    mask, fresh = noise.random((T, B)) > 0.3, noise.random((T, B)) > 0.7
    unrolled = jax.jit(lambda xs, **steps: unroll(cell, (), xs, cell.start((), B), **steps))
    carry, ys = jax.device_get(unrolled(xs, mask=mask, fresh=fresh))
    for lane in range(B):
        seen = []
        for t in range(T):
            seen = [] if fresh[t, lane] else seen
            seen = seen + [xs[t, lane]] * int(mask[t, lane])
            expected = windows_of(seen)[-1] if mask[t, lane] else np.zeros(K)
            np.testing.assert_array_equal(ys[t, lane], expected)
        np.testing.assert_array_equal(carry[lane], ([PADDING] * K + seen)[-K:])


def test_a_text_in_two_halves_is_the_text():
    model, xs = window_model(V, K, E, H), tokens(T, B)
    W, apply = weights(model), jax.jit(model.apply)
    end, ys = apply(W, model.start(W, B), xs)
    middle, first = apply(W, model.start(W, B), xs[: T // 2])
    last, second = apply(W, middle, xs[T // 2 :])
    np.testing.assert_array_equal(end[0], last[0])
    np.testing.assert_allclose(ys, np.concatenate([first, second]), rtol=0, atol=1e-6)


def test_a_window_of_nothing_is_refused():
    with pytest.raises(BadInput, match="at least 1"):
        window(0, PADDING)


# ---- the layer


@pytest.mark.parametrize("vocabulary", [V, 700], ids=["one product back", "scatter-add back"])
@pytest.mark.parametrize("skip", [False, True])
def test_the_tied_table_is_the_one_hot_product_and_its_gradient_the_sum(vocabulary, skip):
    """One table looked up at K places; and K tables of the same values, each multiplied."""
    with jax.enable_x64(True):
        layer = perceptron(vocabulary, K, E, H, skip)
        w = weights(layer)
        seen, looks = tokens(T, B, K, most=vocabulary + 1), weights_of_loss(vocabulary)

        def tied(R):
            return (layer.apply(w | {"R": R}, seen) * looks).sum()

        def untied(*tables):
            one_hot = jnp.eye(vocabulary + 1)[seen]
            x = jnp.concatenate([one_hot[..., k, :] @ R for k, R in enumerate(tables)], axis=-1)
            h = jnp.tanh(x @ w["W_xh"] + w["b_h"][None, None])
            y = h @ w["W_hy"] + w["b_y"][None, None]
            return ((y + x @ w["W_xy"] if skip else y) * looks).sum()

        @jax.jit
        def both(R):
            by_table = jax.value_and_grad(untied, argnums=tuple(range(K)))
            return jax.value_and_grad(tied)(R), by_table(*[R] * K)

        (loss, bar), (other, bars) = jax.device_get(both(w["R"]))
        assert loss.dtype == jnp.float64
        np.testing.assert_allclose(loss, other, rtol=1e-12)
        np.testing.assert_allclose(bar, sum(bars), rtol=0, atol=1e-12)
        assert all(np.abs(bar - one).max() > 1e-3 for one in bars)


def weights_of_loss(vocabulary):
    return np.random.default_rng(5).normal(size=(T, B, vocabulary))


@pytest.mark.parametrize("skip", [False, True])
def test_the_model_is_the_formula_on_the_last_tokens(skip):
    with jax.enable_x64(True):
        spec = {"vocabulary": V, "context": K, "embed": E, "hidden": H, "skip": skip}
        model = from_spec({"builder": "window_model", "arguments": spec})
        W, xs = weights(model), tokens(T, B)
        ys = np.asarray(jax.jit(lambda W: model.apply(W, model.start(W, B), xs)[1])(W))
        for lane in range(B):
            expected = logits_of(W["out"], windows_of(xs[:, lane]))
            np.testing.assert_allclose(ys[:, lane], expected, rtol=0, atol=1e-12)


# ---- the gradient


def gradient(model: Model):
    """``(W, carry, xs [T + 1, B], looks [T, B]) -> (bars, carry)`` of the summed loss."""

    def loss(W, carry, xs, looks):
        batch = Batch(xs[:-1].T, xs[1:].T, weights=looks.T)
        total, (_, carry) = summed_loss(model, cross_entropy, W, carry, batch, None)
        return total, carry

    return jax.jit(jax.grad(loss, has_aux=True))


def test_the_gradient_of_a_loss_reaches_the_window_and_nothing_older():
    model, at = window_model(T + 1, K, E, H), 5
    xs = np.arange(T + 1, dtype=np.int32)[:, None]  # the token at t is t
    W, looks = weights(model), (np.arange(T) == at).astype(np.float32)[:, None]
    bars, _ = gradient(model)(W, model.start(W, 1), xs, looks)
    touched = np.abs(bars["out"]["R"]).max(1) > 0
    np.testing.assert_array_equal(np.flatnonzero(touched), np.arange(at - K + 1, at + 1))


def test_cutting_the_gradient_between_chunks_changes_nothing():
    """A recurrent network's would lack what the second chunk's loss says about the first."""
    with jax.enable_x64(True):
        model, xs, half = window_model(V, K, E, H), tokens(T + 1, B), T // 2
        W, looks, bars = weights(model), np.random.default_rng(4).random((T, B)), gradient(model)
        whole, _ = bars(W, model.start(W, B), xs, looks)
        first, carry = bars(W, model.start(W, B), xs[: half + 1], looks[:half])
        second, _ = bars(W, carry, xs[half:], looks[half:])
        both = jax.tree.map(np.add, first, second)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), whole, both)
        jax.tree.map(
            lambda a, b: np.testing.assert_array_less(1e-3, np.abs(b).max()), whole, second
        )


# ---- like any recurrent network


def test_the_evaluation_is_the_loss_of_every_token_given_those_before_it():
    text = tokens(900, seed=3)
    stream = Stream(text[:-1], text[1:], np.arange(len(text) - 1) == 0)
    model = window_model(V, K, E, H)
    W = jax.tree.map(np.float32, weights(model))
    task = Task(None, held_out(stream), cross_entropy, 1, 1, 1)
    log_p = log_softmax(logits_of(W["out"], windows_of(text[:-1])))
    expected = -log_p[np.arange(len(text) - 1), text[1:]].mean()
    assert make_evaluate(model, task)(W).loss == pytest.approx(expected, abs=1e-5)


def test_writing_is_a_loop_over_a_sliding_window():
    model, prompt, length = window_model(V, K, E, H), tokens(B, 2), 9
    W = jax.tree.map(lambda a: np.float32(a * 3), weights(model))
    key = jax.random.key(0)
    written, log_p = jax.device_get(decode.generate(model, W, prompt, key, length, greedy=True))
    for lane in range(B):
        text, nats = list(prompt[lane]), []
        for _ in range(length):
            (p,) = log_softmax(logits_of(W["out"], windows_of(text)[-1:]))
            text, nats = [*text, int(p.argmax())], [*nats, p.max()]
        np.testing.assert_array_equal(written[lane], text[2:])
        np.testing.assert_allclose(log_p[lane], nats, atol=1e-5)


# ---- the experiment

TOY = ["--hidden", "16", "--embed", "6", "--context", "4", "--lanes", "4", "--bptt", "8"]
TOY += ["--log-every", "5", "--eval-every", "20", "--save-every", "20", "--sample-length", "9"]
TEXT = "to be, or not to be: that is the question. whether 'tis nobler in the mind. " * 60


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def train(capsys, text: str, out: Path, *flags: str) -> tuple[dict, str]:
    assert neural_lm.main(["--corpus", text, "--out", str(out), *TOY, *flags]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    return json.loads(captured.out), captured.err


def bigram() -> float:
    """Nats per character of the validation part by counts of pairs, add one."""
    numbers = Vocabulary.of(TEXT).encode(TEXT)
    parts = split(numbers, "tail", 0.1)
    counts = np.ones((numbers.max() + 1,) * 2)
    np.add.at(counts, (parts.train.inputs, parts.train.targets), 1)
    p = counts / counts.sum(1, keepdims=True)
    return -np.log(p[parts.valid.inputs, parts.valid.targets]).mean()


def test_weight_decay_pulls_what_has_no_gradient_towards_zero():
    config = neural_lm.Config(weight_decay=0.2, lr=0.05, horizon=0)
    optimizer, w = neural_lm.optimizer(config), {"W": np.ones(3, np.float32)}

    @jax.jit
    def update(w):
        return optimizer.update(jax.tree.map(jnp.zeros_like, w), optimizer.init(w), w)[0]

    updates = update(w)
    np.testing.assert_allclose(updates["W"], -0.05 * 0.2, rtol=1e-6)


def test_a_window_learns_what_pairs_cannot_tell(capsys, text, tmp_path):
    result, err = train(capsys, text, tmp_path / "run", "--steps", "120", "--horizon", "120")
    assert result["value"] < bigram() < result["baseline"]
    assert result["experiment"] == "neural_lm" and result["metric"].endswith("per character")
    assert result["bits_per_character"] == pytest.approx(result["value"] / math.log(2))
    assert result["step"] == 120 and result["tokens_per_second"] > 0 and result["digest"]
    V, K, E, H = len(set(TEXT)) + 1, 4, 6, 16
    assert result["parameters"] == (V + 1) * E + K * E * H + H + H * V + V
    neighbours = err.split("nearest embeddings")[1]
    assert [line.split()[0] for line in neighbours.splitlines()[1:3]] == ["␣", "t"]
    assert (tmp_path / "run" / "embedding.png").read_bytes().startswith(b"\x89PNG")
    assert sample.main([str(tmp_path / "run"), "--prompt", "to be", "--length", "9"]) == 0
    assert len(capsys.readouterr().out.strip("\n")) >= 14


@pytest.mark.slow
def test_a_run_over_words_in_two_parts_ends_in_the_same_bits(capsys, text, tmp_path):
    flags = ("--alphabet", "words", "--skip", "--steps")
    straight, err = train(capsys, text, tmp_path / "straight", *flags, "40")
    assert straight["metric"] == "validation nats per word" and "␣to" in err
    train(capsys, text, tmp_path / "cut", *flags, "20")
    resumed, _ = train(capsys, text, tmp_path / "cut", *flags, "40")
    assert resumed["digest"] == straight["digest"]
    assert resumed["step"] == 40 and resumed["value"] == straight["value"]


@pytest.mark.parametrize(
    ("flags", "mend"),
    [
        (["--context", "0"], "--context 0: must be at least 1"),
        (["--context", "-3"], "--context -3: must be at least 1"),
        (["--context", "9999"], "use --context 4103 or less"),
        (["--embed", "0"], "--embed 0: must be at least 1"),
        (["--cell", "gru"], "unknown flag --cell"),
        (["--lanes", "5000"], "--lanes"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(flags, mend, capsys, text, tmp_path):
    out = tmp_path / "run"
    assert neural_lm.main(["--corpus", text, *TOY, *flags, "--steps", "2", "--out", str(out)]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and mend in errors[0] and captured.out == ""
    assert not out.exists()
