"""Mixtures and the cache against their definitions; lines scored by runs; two runs compared."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments import char_lm, compare, ngram, score
from rnn_jax import decode, mixtures, scores
from rnn_jax.data.text import parts
from rnn_jax.models import language_model

V, H = 7, 5
MODEL, OTHER = language_model(V, "lstm", H, 1, 3), language_model(V, "gru", H + 1, 1)


def weights(model: Any, seed: int) -> Any:
    noise = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(0, 1, a.shape).astype(a.dtype), shapes)


PARAMS = weights(MODEL, 1), weights(OTHER, 2)
TEXT = np.random.default_rng(3).integers(0, V, 90, np.int32)


def own(model: Any, params: Any, text: np.ndarray = TEXT) -> np.ndarray:
    return decode.log_probs(model, params, [text])[0]


def test_a_mixture_gives_each_token_the_weighted_sum_of_probabilities():
    W = {"models": PARAMS, "weights": np.array([0.3, 0.7], np.float32)}
    got = np.exp(own(mixtures.mixture([MODEL, OTHER]), W))
    want = 0.3 * np.exp(own(MODEL, PARAMS[0])) + 0.7 * np.exp(own(OTHER, PARAMS[1]))
    np.testing.assert_allclose(got, want, rtol=1e-4)
    how = {"key": jax.random.key(0), "length": 4, "greedy": True}
    _, log_p = decode.generate(mixtures.mixture([MODEL, OTHER]), W, TEXT[None, :3], **how)
    assert np.isfinite(log_p).all()  # a model like any other


def test_fitted_weights_are_the_best_of_all():
    log_p = np.stack([own(MODEL, PARAMS[0]), own(OTHER, PARAMS[1]), np.full(89, -math.log(V))])
    best = mixtures.fitted(log_p)

    def likelihood(w: np.ndarray) -> float:
        return float(np.log(w @ np.exp(log_p)).mean())

    assert best.sum() == pytest.approx(1)
    draws = np.random.default_rng(0).dirichlet([1, 1, 1], 3000)
    assert likelihood(best) >= max(map(likelihood, draws)) - 1e-6
    assert likelihood(best) > likelihood(np.full(3, 1 / 3)) + 1e-3


def test_the_cache_is_its_definition_by_a_loop():
    size, theta, share, fresh_at = 8, 0.7, 0.25, 40
    layers, out = MODEL.parts
    W = {"model": PARAMS[0], "theta": np.float32(theta), "share": np.float32(share)}
    fresh = np.arange(60) == fresh_at
    mask = np.ones(60, bool)
    mask[[3, 17, 50]] = False
    steps = {"fresh": fresh[:, None], "mask": mask[:, None]}
    model = mixtures.cached(MODEL, size)
    xs = TEXT[:60, None]

    @jax.jit
    def both(W):
        """log p with the cache; states and p of the model below it."""
        w = W["model"]
        _, hs = layers.apply(w["layers"], layers.start(w["layers"], 1), xs, **steps)
        ys = model.apply(W, model.start(W, 1), xs, **steps)[1]
        return ys, hs, jax.nn.softmax(out.apply(w["out"], hs))

    ys, hs, p_model = (np.asarray(a, np.float64)[:, 0] for a in both(W))
    pairs, last = [], None
    for t in range(60):
        if not mask[t]:
            continue
        if fresh[t]:
            pairs, last = [], None
        if last is not None:
            pairs = [*pairs, (last, TEXT[t])][-size:]
        want = p_model[t]
        if pairs:
            alike = np.exp([theta * hs[t] @ h for h, _ in pairs])
            found = np.bincount([w for _, w in pairs], alike / alike.sum(), V)
            want = (1 - share) * p_model[t] + share * found
        np.testing.assert_allclose(np.exp(ys[t]), want, rtol=2e-4, atol=1e-7)
        last = hs[t]


def test_a_cache_in_chunks_is_the_cache_at_once():
    W = {"model": PARAMS[0], "theta": np.float32(0.5), "share": np.float32(0.2)}
    model = mixtures.cached(MODEL, 5)
    carry = jax.jit(model.start, static_argnums=1)(W, 1)
    apply = jax.jit(model.apply)
    _, whole = apply(W, carry, TEXT[:20, None])
    halves = []
    for begin in (0, 10):
        carry, ys = apply(W, carry, TEXT[begin : begin + 10, None])
        halves.append(ys)
    np.testing.assert_allclose(np.concatenate(halves), whole, rtol=0, atol=1e-5)


def test_the_bootstrap_knows_chance_from_difference():
    noise = np.random.default_rng(5)
    sizes = noise.integers(200, 300, 400)
    base = sizes * 1.4 + noise.normal(0, 20, 400)
    same = scores.paired_bootstrap(base, base + noise.normal(0, 10, 400), sizes, times=2000)
    assert same.p > 0.01 and same.low < 0 < same.high
    worse = scores.paired_bootstrap(base, base + sizes * 0.02 + noise.normal(0, 10, 400), sizes)
    assert worse.low > 0 and worse.p <= 2 / 10_000 and worse.difference > 0
    gap = (worse.b - worse.a) * math.log(2)
    assert gap == pytest.approx(worse.difference * math.log(2)) == pytest.approx(0.02, abs=0.005)
    assert worse.high - worse.low == pytest.approx(  # the normal interval of a mean
        2 * 1.96 * 10 * math.sqrt(400) / (sizes.sum() * math.log(2)), rel=0.2
    )


WORDS = "the cat sat on the mat and the dog sat on the log, said zoë.\n"
# So that there are as many words as characters, and two runs share their programs.
CATS = ("cat", "rat", "cow", "cat", "x", "hat", "hen", "dot", "ox", "goat")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Short runs on one text by characters (two), bytes and words, and 2-grams."""
    place = tmp_path_factory.mktemp("scoring")
    text = "".join(WORDS.replace("cat", c) for c in CATS * 20)
    (place / "text.txt").write_text(text)
    shared = ["--corpus", str(place / "text.txt"), "--valid", "0.2"]
    small = "--cell tanh --layers 1 --hidden 8 --embed 4 --bptt 5 --lanes 4 --lr 0.02"
    flags = {
        "a": "--steps 200",
        "b": "--steps 20 --seed 1",
        "bytes": "--steps 20 --alphabet bytes",
        "words": "--steps 20 --alphabet words",
    }
    values = {}
    with pytest.MonkeyPatch.context() as patch:
        # What they would write between their evaluations is a program more for each.
        patch.setattr("experiments.language.writer", lambda *_: None)
        for name, own_flags in flags.items():
            argv = [*shared, *small.split(), *own_flags.split(), "--out", str(place / name)]
            assert char_lm.main(argv) == 0
    assert ngram.main([*shared, "--n", "2", "--sample", "0", "--out", str(place / "ngram")]) == 0
    for name in flags:
        rows = map(json.loads, (place / name / "metrics.jsonl").read_text().splitlines())
        values[name] = min(row["valid"] for row in rows if "valid" in row)
    values["ngram"] = json.loads((place / "ngram" / "ngram.json").read_text())["value"]
    return place, values, text


def lines_of(capsys: Any, *argv: str) -> list[dict]:
    capsys.readouterr()
    assert score.main([*argv, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_lines_score_on_their_own_and_as_one_stream(runs, capsys, tmp_path):
    place, _, text = runs
    lines = [WORDS.strip(), "", "the dog é"]
    (tmp_path / "lines").write_text("\n".join(lines) + "\n")
    rows = lines_of(capsys, str(place / "a"), str(tmp_path / "lines"))
    assert [row["line"] for row in rows] == lines
    assert [row["symbols"] for row in rows] == [len(line) + 1 for line in lines]
    assert [row["unknown"] for row in rows] == [0, 0, 1] and rows[2]["bytes"] == 11
    from rnn_jax import run as runs_

    opened = runs_.open(place / "a")
    for row, line in zip(rows, lines, strict=True):
        ids = opened.vocabulary.encode("\n" + line + "\n")
        want = decode.log_probs(opened.model, opened.params, [ids])[0].sum()
        assert row["log_prob"] == pytest.approx(want, abs=1e-3)
    assert score.main([str(place / "a"), str(tmp_path / "lines")]) == 0
    table = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [float(row[0]) for row in table] == [
        pytest.approx(r["log_prob"], abs=1e-3) for r in rows
    ]
    stream = lines_of(capsys, str(place / "a"), str(place / "text.txt"), "--stream")
    ids = opened.vocabulary.encode(text)
    whole = decode.log_probs_of_stream(opened.model, opened.params, parts.one(ids))
    assert len(stream) == 200 and sum(row["symbols"] for row in stream) == len(text) - 1
    assert sum(row["log_prob"] for row in stream) == pytest.approx(whole.sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["a", "bytes", "words", "ngram"])
def test_a_folder_read_back_scores_what_its_training_said(runs, name):
    from experiments.scoring import readers, texts

    place, values, text = runs
    reader = readers.open_reader(str(place / name))
    part = parts.tail(text, 0.2, 0.0)[1]
    found = texts.scored(reader, part, texts.rare_words(reader, str(place / name)))
    record = found.record()
    assert record["nats_per_token"] == pytest.approx(values[name], rel=1e-4)
    first = len(part) - found.characters.sum()
    assert found.bytes.sum() == len(part[first:].encode())
    corpus = readers.corpus_of(str(place / name), reader.text, reader.digest)
    told = scores.language(values[name], corpus)
    assert {k: told[k] for k in record} == pytest.approx(record, rel=1e-4)


def test_an_ensemble_with_counts_is_better_than_its_parts_and_the_cache_runs(runs, capsys):
    place, _, _ = runs
    a, text = str(place / "a"), str(place / "text.txt")

    def total(*argv: str) -> float:
        return sum(row["log_prob"] for row in lines_of(capsys, *argv, "--stream"))

    alone, counts = total(a, text), total(str(place / "ngram"), text)
    both = total(a, text, "--mix", str(place / "ngram"), "--fit", text)
    assert both >= max(alone, counts) * (1 + 1e-6)  # fitted, so never behind but by rounding
    assert total(a, text, "--mix", str(place / "ngram"), "--weights", "1", "0") == pytest.approx(
        alone, rel=1e-4
    )
    assert total(a, text, "--cache", "50") != alone


def test_two_runs_are_compared_whatever_their_symbols_are(runs, capsys):
    place, values, _ = runs

    def result(a: str, b: str) -> dict:
        argv = [str(place / a), str(place / b), "--block", "50", "--times", "500"]
        capsys.readouterr()
        assert compare.main(argv) == 0
        return json.loads(capsys.readouterr().out)

    ab, ba = result("a", "b"), result("b", "a")
    assert ab["value"] == pytest.approx(-ba["value"]) and ab["value"] > 0 and ab["low"] > 0
    bits = (values["b"] - values["a"]) / math.log(2)
    assert ab["value"] == pytest.approx(bits, rel=0.1)  # "ë" is two bytes
    for other in ("words", "ngram", "bytes"):
        found = result("a", other)
        gap = found["b"]["bits_per_byte"] - found["a"]["bits_per_byte"]
        assert found["value"] == pytest.approx(gap, abs=0.1) and found["low"] <= found["high"]


def test_bad_input_is_one_line(runs, capsys, tmp_path):
    place, _, _ = runs
    a, words, text = str(place / "a"), str(place / "words"), str(place / "text.txt")
    (tmp_path / "latin").write_bytes(b"caf\xe9 \xc3\xa9\n" * 9)
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ngram.json").write_text("{}")
    cases = [
        (score, [a, "nowhere"], "nowhere"),
        (score, [a, str(tmp_path / "latin")], "not UTF-8"),
        (score, [a, text, "--mix", words], "other symbols"),
        (score, [a, text, "--weights", "1", "2"], "--weights"),
        (score, [a, text, "--fit", text], "--mix"),
        (score, [a, text, "--share", "1.5"], "--share"),
        (score, [str(place / "ngram"), text, "--cache", "9"], "--cache"),
        (score, [str(tmp_path / "folder"), text], "not a run"),
        (score, [str(tmp_path / "broken"), text], "damaged"),
        (compare, [a, str(tmp_path / "folder")], "not a run"),
        (compare, [a, str(place / "b"), "--block", "100000"], "--block"),
        (compare, [a], "RUN_B"),
    ]
    for module, argv, part in cases:
        capsys.readouterr()
        assert module.main(argv) == 2, argv
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert out == "" and len(errors) == 1 and part in errors[0], (argv, err)
        assert err.strip().endswith(errors[0])


@pytest.mark.slow
def test_a_line_of_a_megabyte_is_scored(runs, capsys, tmp_path):
    place, _, _ = runs
    (tmp_path / "long").write_text("the cat " * 130_000)
    rows = lines_of(capsys, str(place / "a"), str(tmp_path / "long"))
    assert rows[0]["symbols"] == 8 * 130_000 + 1 and math.isfinite(rows[0]["log_prob"])
    assert Path(tmp_path / "long").stat().st_size > 1e6
