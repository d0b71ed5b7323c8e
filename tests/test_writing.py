"""Prompts of any length, text as it is shown, scores of given texts, and the tool that writes."""

import io
import json
import sys
from typing import Any

import jax
import numpy as np
import pytest

from experiments import sample
from rnn_jax import decode
from rnn_jax.data.text import Vocabulary, parts
from rnn_jax.models import from_spec, language_model
from rnn_jax.run import new_manifest, start_or_resume

V, H, N = 7, 5, 6
MODEL = language_model(V, "gru", H, 1, 3)
PARAMS = jax.tree.map(
    lambda a: np.random.default_rng(2).normal(0, 1.5, a.shape).astype(a.dtype),
    jax.eval_shape(MODEL.init, jax.random.key(0)),
)
KEY = jax.random.key(4)


def text_of(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, V, length, np.int32)


@jax.jit
def _logits(tokens: jax.Array) -> jax.Array:
    return MODEL.apply(PARAMS, MODEL.start(PARAMS, 1), tokens[:, None])[1][:, 0]


def log_p(tokens: np.ndarray) -> np.ndarray:
    """log p [L, V] after each token of [L], in float64; padded behind, to be one program."""
    logits = np.asarray(_logits(np.pad(tokens, (0, 700 - len(tokens)))), np.float64)
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[: len(tokens)]


def own(tokens: np.ndarray) -> np.ndarray:
    """log p of each token but the first."""
    return log_p(tokens)[np.arange(len(tokens) - 1), tokens[1:]]


TEXTS = [text_of(n) for n in (5, 1, 16, 600, 17)]  # 600: several chunks of reading


def test_prompts_of_different_length_are_read_as_one_by_one():
    logits = np.asarray(decode.read_texts(MODEL, PARAMS, TEXTS).logits)
    for got, text in zip(
        logits - np.log(np.exp(logits).sum(-1, keepdims=True)), TEXTS, strict=True
    ):
        want = log_p(text)[-1]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_a_masked_batch_writes_and_searches_as_each_prompt_alone():
    prompt, mask = decode.padded([text[:17] for text in TEXTS])
    how = {"greedy": True, "mask": mask}
    tokens, log_probs = jax.device_get(decode.generate(MODEL, PARAMS, prompt, KEY, N, **how))
    found = jax.device_get(decode.search(MODEL, PARAMS, prompt, 1, N, mask=mask))
    for b, text in enumerate(TEXTS):
        whole = text[:17]
        for _ in range(N):
            whole = np.append(whole, log_p(whole)[-1].argmax().astype(np.int32))
        assert tokens[b].tolist() == whole[-N:].tolist() == found.tokens[b, 0].tolist()
        for nats in (log_probs[b], found.log_probs[b, 0]):
            np.testing.assert_allclose(nats, own(whole)[-N:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [0, 2])
def test_a_stream_is_what_is_generated_at_once(block):
    prompt = np.stack([text_of(4), text_of(4)[::-1]])
    how = {"temperature": 0.8, "top_k": 5, "block": block}
    want = jax.device_get(decode.generate(MODEL, PARAMS, prompt, KEY, 20, **how))
    begun = jax.jit(decode.read, static_argnums=0)(MODEL, PARAMS, prompt)
    parts = list(decode.stream(MODEL, PARAMS, begun, KEY, 20, chunk=8, **how))
    assert [part[0].shape[1] for part in parts] == [8, 8, 4]
    tokens, log_probs = (np.concatenate(each, 1) for each in zip(*parts, strict=True))
    assert tokens.tolist() == want[0].tolist()
    np.testing.assert_allclose(log_probs, want[1], rtol=0, atol=1e-5)
    pairs = [list(zip(row, row[1:], strict=False)) for row in tokens.tolist()]
    doubled = any(len(set(row)) < len(row) for row in pairs)
    assert doubled != bool(block)
    for b in range(2):  # blocked or not, the log-probabilities are the model's own
        whole = np.concatenate([prompt[b], tokens[b]])
        np.testing.assert_allclose(log_probs[b], own(whole)[3:], rtol=0, atol=1e-5)


def test_texts_score_as_one_by_one_and_as_they_were_when_written():
    found = decode.log_probs(MODEL, PARAMS, TEXTS * 4)  # two groups
    for text, nats in zip(TEXTS * 4, found, strict=True):
        assert nats.dtype == np.float64
        np.testing.assert_allclose(nats, own(text), rtol=0, atol=2e-5)
    prompt, mask = decode.padded([text[:17] for text in TEXTS])
    tokens, log_probs = jax.device_get(
        decode.generate(MODEL, PARAMS, prompt, KEY, N, mask=mask, greedy=True)
    )
    written = [np.concatenate([t[:17], new]) for t, new in zip(TEXTS, tokens, strict=True)]
    for nats, when in zip(decode.log_probs(MODEL, PARAMS, written), log_probs, strict=True):
        np.testing.assert_allclose(nats[-N:], when, rtol=0, atol=1e-5)


def test_a_stream_of_text_scores_each_step_once_and_in_order():
    tokens = text_of(600)
    got = decode.log_probs_of_stream(MODEL, PARAMS, parts.one(tokens))
    assert got.shape == (599,)
    np.testing.assert_allclose(got, own(tokens), rtol=0, atol=2e-5)  # 256 warm steps are enough


BYTES = Vocabulary.of_bytes()


def shown(text: str, stops: tuple[str, ...], many: int) -> tuple[list[str], decode.Screen]:
    screen, tokens = decode.Screen(BYTES, stops), BYTES.encode(text)
    seen = [screen.add(tokens[i : i + many]) for i in range(0, len(tokens), many)]
    return [*seen, screen.end()], screen


@pytest.mark.parametrize("many", [1, 2, 5, 50])
@pytest.mark.parametrize(
    ("text", "stops", "want", "count"),
    [
        ("żółw 漢字 👍🏽 end", (), "żółw 漢字 👍🏽 end", 27),
        ("one two three", ("two",), "one ", 7),
        ("one two three", ("wo t", "two"), "one ", 7),  # which is complete first
        ("ababac", ("abac",), "ab", 6),
        ("no stop: sto", ("stops",), "no stop: sto", 12),
        ("漢字", ("字",), "漢", 6),
    ],
)
def test_a_screen_shows_whole_characters_up_to_the_stop(text, stops, want, count, many):
    seen, screen = shown(text, stops, many)
    assert "".join(seen) == screen.text == want
    assert (screen.count, screen.stopped) == (count, want != text)
    assert not any("\ufffd" in part for part in seen)
    assert len(seen) > 2 or many > 5


def test_what_is_no_text_is_shown_as_such_and_not_held_for_ever():
    screen = decode.Screen(BYTES)
    assert screen.add([0xE6, 0xBC]) == ""
    assert screen.add([0x41]) == "\ufffdA"
    assert screen.add([0xFF] * 9).count("\ufffd") >= 6
    assert screen.end().count("\ufffd") >= 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run of `char_lm`."""
    from experiments import char_lm

    place = tmp_path_factory.mktemp("writing")
    (place / "text.txt").write_text("to be, or not to be: that is the question.\n" * 60)
    flags = "--cell tanh --layers 1 --hidden 8 --embed 4 --bptt 5 --lanes 4 --steps 30 --lr 0.02"
    argv = ["--corpus", str(place / "text.txt"), "--out", str(place / "run")]
    with pytest.MonkeyPatch.context() as patch:
        # What it would write between its evaluations is a program more.
        patch.setattr("experiments.language.writer", lambda *_: None)
        assert char_lm.main([*argv, *flags.split()]) == 0
    return str(place / "run")


def run(capsys: Any, *argv: str) -> tuple[str, str]:
    capsys.readouterr()
    assert sample.main([*argv]) == 0
    return capsys.readouterr()


def test_a_stop_ends_the_text_before_it(trained, capsys):
    free, _ = run(capsys, trained, "--prompt", "to b", "--length", "60")
    stop = free[20:22]
    held, notes = run(capsys, trained, "--prompt", "to b", "--length", "60", "--stop", stop, "@@")
    assert held == free[: free.index(stop, 4)] + "\n"
    assert f"{len(held) - 4 - 1 + len(stop)} symbols" in notes


def test_a_file_of_prompts_is_one_batch_of_jsons(trained, capsys, tmp_path):
    (tmp_path / "lines").write_text("to be\n\nor not to be: that\n")
    argv = (trained, "--length", "9", "--json", "--greedy")
    out, _ = run(capsys, *argv, "--prompts", str(tmp_path / "lines"))
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["prompt"] for row in rows] == ["to be", "", "or not to be: that"]
    for row in rows:
        alone = json.loads(run(capsys, *argv, "--prompt", row["prompt"])[0])
        assert (alone["text"], len(alone["symbols"])) == (row["text"], 9)
        assert alone["log_probs"] == pytest.approx(row["log_probs"], abs=1e-5)
        assert row["log_prob"] == pytest.approx(sum(row["log_probs"]), abs=1e-4)


def test_the_best_of_a_search_are_printed_best_first(trained, capsys):
    argv = (trained, "--prompt", "to", "--beams", "6", "--samples", "3", "--length", "8", "--json")
    rows = [json.loads(line) for line in run(capsys, *argv, "--stop", " ")[0].splitlines()]
    scores = [row["score"] for row in rows]
    assert len({row["text"] for row in rows}) == 3 and scores == sorted(scores, reverse=True)
    assert not any(" " in row["text"] for row in rows) and rows[0]["symbols"][-1] == " "
    longer = json.loads(run(capsys, *argv, "--length-penalty", "9")[0].splitlines()[0])
    assert longer["score"] > longer["log_prob"]


def test_a_conversation_ends_with_its_input(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("to be\n\nor n"))
    out, notes = run(capsys, trained, "--interactive", "--length", "12")
    lines = out.replace("\n\n", "\n")
    assert out.startswith("to be") and "or n" in lines and len(out) >= 5 + 12 + 12 + 4 + 12
    alone, _ = run(capsys, trained, "--prompt", "to be", "--length", "12")
    assert out.startswith(alone)


BAD = [
    ((), ["--top-p", "0"], "--top-p"),
    ((), ["--top-p", "1.01"], "--top-p"),
    ((), ["--beams", "4", "--top-k", "3"], "--beams"),
    ((), ["--beams", "2", "--samples", "3"], "--samples"),
    ((), ["--length-penalty", "1"], "--beams"),
    ((), ["--stop", ""], "--stop"),
    ((), ["--prompts", "nowhere"], "nowhere"),
    ((b"caf\xe9 \xc3\xa9\n",), ["--prompts"], "not UTF-8"),
    ((b"",), ["--prompts"], "empty"),
    ((b"a",), ["--prompt", "b", "--prompts"], "--prompts"),
]


@pytest.mark.parametrize(("file", "flags", "part"), BAD)
def test_bad_input_is_one_line(trained, capsys, tmp_path, file, flags, part):
    for content in file:
        (tmp_path / "lines").write_bytes(content)
        flags = [*flags, str(tmp_path / "lines")]
    capsys.readouterr()
    assert sample.main([trained, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and part in err


@pytest.mark.slow
def test_a_line_of_a_megabyte_is_a_prompt_like_any_other(trained, capsys, tmp_path):
    (tmp_path / "lines").write_text("to be, é " * 120_000)
    out, notes = run(capsys, trained, "--prompts", str(tmp_path / "lines"), "--length", "3")
    assert len(out) > 1e6 and notes.startswith("warning: never seen") and len(notes) < 500


def test_a_run_of_sentences_and_classes_is_none_that_writes(tmp_path, capsys):
    sizes = {"vocabulary": 3, "classes": 2, "hidden": 2, "embed": 2}
    spec = {"builder": "sentence_model", "arguments": sizes}
    shapes = jax.eval_shape(from_spec(spec).init, KEY)
    state = {"params": jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)}
    vocabulary = Vocabulary(("<unk>", " a", " b"), "words", 0).to_json()
    told = new_manifest("sentiment", {}, [], model=spec, vocabulary=vocabulary)
    with start_or_resume(tmp_path / "run", told, state)[0] as run:
        run.save(1, state)
    assert sample.main([str(tmp_path / "run"), "--prompt", "a"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("is no language model: it has no text to go on with\n")
