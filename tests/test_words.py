"""Word models: rows against whole tables, sentences, dynamic evaluation, recipes, PyTorch."""

import functools
import json
import math

import jax
import numpy as np
import optax
import pytest
from weights import drawn

from experiments import cli, score, unknown, vocabularies, word_lm
from experiments.scoring import texts
from experiments.wordlm import PRESETS, rare, scoring
from experiments.wordlm import text as wordlm_text
from rnn_jax import layers, losses, models, sparse, tasks, train
from rnn_jax.data import synthetic, text
from rnn_jax.data.text import parts
from rnn_jax.errors import BadInput

V, E, B, T = 23, 5, 3, 4
COUNTS = np.arange(V, 0, -1)


@functools.cache  # tests of the same network share its programs
def network(loss="full", tied=False, **more):
    sizes = {"vocabulary": V, "hidden": E, "layers": 1, "cell": "tanh"}
    return models.word_network(**sizes, loss=loss, tied=tied, samples=6, counts=COUNTS, **more)


def batch(step):
    words = np.random.default_rng(step).integers(0, V, (B, T + 1)).astype(np.int32)
    return tasks.Batch(words[:, :-1], words[:, 1:], fresh=np.full(B, step == 0))


def trained(make, net, optimizer, steps=3, **more):
    step = jax.jit(make(net.trained, losses.loss_of(net.output), optimizer, **more))
    state = jax.jit(lambda W: train.create(net.trained, optimizer, W, B))(drawn(net.model.init))
    for i in range(steps):
        state, metrics = step(state, batch(i), jax.random.key(1))
    return state, metrics


@pytest.mark.parametrize(
    "loss, tied, make",
    [
        ("sampled", True, optax.adagrad),
        ("nce", False, optax.adagrad),
        ("classes", False, optax.sgd),
    ],
)
def test_a_step_on_rows_is_the_step_on_whole_tables(loss, tied, make):
    net, clipped = network(loss, tied), optax.chain(optax.clip_by_global_norm(0.5), make(0.5))
    whole, at_whole = trained(train.make_step, net, clipped)
    rows, at_rows = trained(sparse.make_step, net, clipped, needed=net.needed)
    for a, b in zip(
        jax.tree.leaves((whole.params, whole.opt_state, at_whole)),
        jax.tree.leaves((rows.params, rows.opt_state, at_rows)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    assert int(rows.step) == 3


def test_rows_that_no_step_looks_at_keep_their_bits():
    net, adam = network(), optax.adam(0.1)
    state, _ = trained(sparse.make_step, net, adam, steps=1, needed=net.needed)
    start = drawn(net.model.init)
    read = np.unique(batch(0).inputs)
    changed = np.flatnonzero((np.asarray(state.params["R"]) != np.asarray(start["R"])).any(1))
    assert changed.tolist() == read.tolist() and 0 < len(changed) < V


def test_rows_and_averages_do_not_go_together():
    net, sgd = network("sampled"), optax.sgd(0.1)
    state = train.create(net.trained, sgd, drawn(net.model.init), B, average=True)
    step = sparse.make_step(net.trained, losses.loss_of(net.output), sgd, needed=net.needed)
    with pytest.raises(ValueError, match="average"):
        step(state, batch(0), jax.random.key(1))


@pytest.mark.parametrize("loss, tied", [("full", True), ("adaptive", False)])
def test_a_word_network_writes_with_what_it_is_scored_by(loss, tied):
    net = network(loss, tied, embed=E + 2, dropout=0.5)
    W, words = drawn(net.model.init), batch(0)

    @jax.jit
    def both(W):
        carry, xs = net.model.start(W, B), words.inputs.T
        asked = net.trained.apply(W, carry, xs)[1]
        nats = losses.loss_of(net.output)(asked, words.targets.T)
        return net.model.apply(W, carry, xs)[1], nats

    log_p, nats = both(W)
    assert log_p.shape == (T, B, V)
    chosen = np.take_along_axis(np.asarray(log_p), words.targets.T[..., None], 2)[..., 0]
    np.testing.assert_allclose(nats, -chosen, rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=1e-5)
    assert ("P" in W) is tied and ("W_vh" in W["out"]) is False


def test_zarembas_weights_are_uniform_biases_too():
    W = jax.jit(network(init_scale=0.1).model.init)(jax.random.key(0))
    every = np.concatenate([np.asarray(a).ravel() for a in jax.tree.leaves(W)])
    assert 0.09 < every.max() <= 0.1 and -0.1 <= every.min() < -0.09
    assert np.abs(W["layers"][0]["b_h"]).max() > 0
    with pytest.raises(BadInput, match="--tied"):
        network("adaptive", tied=True)


LINES = "the cat sat\n\nthe dog  sat on <unk>\nthe cat ran\n"


def test_ptbs_words_are_counted_as_there():
    assert text.PIECES["spaces"](LINES)[:5] == [" the", " cat", " sat", "\n", "\n"]
    corpus = text.load_words((LINES, "the bird sat\n", None), {}, 5, "spaces")
    assert corpus.vocabulary.symbols == ("\ufffd", "\n", " the", " cat", " sat")
    assert corpus.train.inputs.tolist() == [2, 3, 4, 1, 1, 2, 0, 4, 0, 0, 1, 2, 3, 0]
    assert corpus.train.targets.tolist() == [3, 4, 1, 1, 2, 0, 4, 0, 0, 1, 2, 3, 0, 1]
    assert corpus.unknown_rate["valid"] == pytest.approx(1 / 3)  # "bird" of bird, sat, line's end
    assert corpus.vocabulary.decode([2, 3, 1]) == " the cat\n"
    assert corpus.vocabulary.encode("the cat").tolist() == [2, 3]


def test_spaces_that_nobody_wrote_are_in_no_bits_per_byte():
    valid = "the cat\n\nran  off\nsat\n"
    canonical = "the cat\n\nran off\nsat\n"  # of more white space than one nothing is counted
    for sentences, scored in ((False, canonical[3:]), (True, canonical.replace("\n\n", "\n"))):
        corpus = text.load_words((LINES, valid, None), {}, 5, "spaces", sentences=sentences)
        targets = len(corpus.valid.targets)
        assert corpus.width.bytes * targets == pytest.approx(len(scored))
    ids = corpus.vocabulary.encode(valid)
    assert texts.sizes(corpus.vocabulary, valid, ids)[0].sum() == len(canonical)


def test_a_line_ends_where_its_words_do_however_it_was_spaced():
    said = " the cat \n\n the  dog\nran"  # as PTB is written
    vocabulary = text.Vocabulary(("\ufffd", "\n"), "spaces", 0)
    bytes_, _ = texts.sizes(vocabulary, said, vocabulary.encode(said))
    assert texts.line_ends(vocabulary, said, said.split("\n"), bytes_[1:]) == [2, 3, 6, 7]


def test_a_text_with_unk_read_as_words_says_so(capsys, tmp_path):
    path = tmp_path / "ptb.txt"
    path.write_text(LINES * 9)
    for alphabet, told in (("words", "7 <unk> train"), ("spaces", "")):
        given = {"corpus": (str(path),), "vocabulary": 4, "alphabet": alphabet, "valid": 0.2}
        wordlm_text.read(word_lm.Config(**given))
        assert ("note: " in (said := capsys.readouterr().err)) is bool(told) and told in said


def test_a_sentence_begins_afresh_and_ends_with_its_line():
    corpus = text.load_words((LINES, "the cat", None), {}, 5, "spaces", sentences=True)
    assert corpus.train.inputs.tolist() == [2, 1, 3, 4, 2, 1, 0, 4, 0, 0, 2, 1, 3, 0]
    assert corpus.train.targets.tolist() == [1, 3, 4, 2, 1, 0, 4, 0, 0, 2, 1, 3, 0, 2]
    assert np.flatnonzero(corpus.train.fresh).tolist() == [0, 4, 10]
    assert corpus.valid.targets.tolist() == [1, 3, 2]


def test_more_words_than_the_text_has_are_refused():
    with pytest.raises(BadInput, match="--vocabulary 8.*6 different words; use 2 to 7"):
        text.load_words((LINES.replace(" on", ""), LINES, None), {}, 8, "spaces")
    text.load_words((LINES, LINES, None), {}, 7, "spaces")


def sentences_by_hand(net, params, stream):
    begins = [*np.flatnonzero(stream.fresh), len(stream.inputs)]
    apply, found = jax.jit(net.model.apply), []
    for a, b in zip(begins[:-1], begins[1:], strict=True):
        carry, total = net.model.start(params, 1), 0.0
        for word, target in zip(stream.inputs[a:b], stream.targets[a:b], strict=True):
            carry, log_p = apply(params, carry, np.array([[word]]))
            total += float(np.asarray(log_p)[0, 0, target])
        found.append(total)
    return found


def stream(steps, sentences=True):
    words = np.random.default_rng(3).integers(1, V, steps + 1).astype(np.int32)
    fresh = np.random.default_rng(4).random(steps) < 0.4 if sentences else np.zeros(steps, bool)
    fresh[0] = True
    return text.Stream(words[:-1], words[1:], fresh)


def test_a_sentences_probability_is_the_product_over_its_words():
    net, said = network(), stream(11)
    params = drawn(net.model.init)
    found = scoring.sentences(net, params, said)
    assert len(found) == said.fresh.sum() > 2
    np.testing.assert_allclose(found, sentences_by_hand(net, params, said), rtol=1e-5)
    table = scoring.table(
        text.Vocabulary(tuple(" abcdefghijklmnopqrstuv"), "words", 0), said, found
    )
    assert table.count("\n") == 1 + len(found)


RATE = 1.0  # the same in both tests, to be one program


def unmoved(net, params, stream):
    """Nats a word by the weights as they are."""
    return -sum(sentences_by_hand(net, params, stream)) / len(stream.inputs)


def test_dynamic_evaluation_scores_before_it_learns():
    net, said = network(), stream(10, sentences=False)
    params = drawn(net.model.init)
    still = scoring.dynamic(net, params, said, 0.0, 4)
    assert still == pytest.approx(unmoved(net, params, said), rel=1e-5)
    # The first chunk is scored by the weights as they were, the last by those that learned.
    loud = scoring.dynamic(net, params, said, RATE, 4)
    assert loud != pytest.approx(still, rel=1e-3)
    first = text.Stream(*(a[:4] for a in said))
    assert scoring.dynamic(net, params, first, RATE, 4) == pytest.approx(
        scoring.dynamic(net, params, first, 0.0, 4), rel=1e-6
    )


def test_a_text_that_repeats_itself_is_learned_while_it_is_scored():
    net, once = network(), stream(8, sentences=False)
    again = text.Stream(*(np.tile(a, 30) for a in once))
    params = drawn(net.model.init)
    moving = scoring.dynamic(net, params, again, RATE, 4)
    assert moving < 0.8 * unmoved(net, params, again)


TEXT = "the cat sat on the mat .\nthe dog ran to the cat !\na cat saw the dog .\n" * 60
TINY = (
    *("--vocabulary", "13", "--hidden", "8", "--layers", "1", "--bptt", "5", "--lanes", "4"),
    *("--epochs", "0", "--steps", "60", "--eval-every", "60", "--save-every", "60"),
    *("--sample-length", "5", "--lr", "0.03"),
)
SIMPLE = ("--cell", "tanh")  # compiles in half the time


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def told(capsys, corpus, out, *flags):
    assert word_lm.main(["--corpus", corpus, "--out", str(out), *TINY, *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_word_lm_learns_and_says_what_its_perplexity_is_of(capsys, corpus, tmp_path):
    result = told(capsys, corpus, tmp_path / "run", *SIMPLE, "--test", "0.1", "--dynamic", "0.1")
    assert result["value"] < 0.8 * result["baseline"]
    assert result["perplexity"] == pytest.approx(math.exp(result["value"]))
    assert result["test_perplexity"] == pytest.approx(math.exp(result["test"]))
    assert 0 <= result["unknown_rate"] < 0.2 and "50 lanes" in result["carry"]
    assert 0 <= result["test_unknown_rate"] < 0.2
    assert result["dynamic_test"] == pytest.approx(result["test"], abs=0.5)


def test_sentences_are_scored_a_line_each(capsys, corpus, tmp_path):
    valid = tmp_path / "valid.txt"
    valid.write_text("the dog sat .\nzebra .\n")
    files = ("--valid-file", str(valid), "--alphabet", "spaces", "--sentences", "--lanes", "2")
    flags = ("--loss", "sampled", "--samples", "5", "--sparse", "--average", "0")
    more = (*SIMPLE, "--weight-drop", "0", "--weight-decay", "0", "--optimizer", "adagrad")
    result = told(capsys, corpus, tmp_path / "run", *files, *flags, *more)
    lines = (tmp_path / "run" / "sentences_valid.tsv").read_text().splitlines()
    assert len(lines) == 3 and lines[1].endswith("\t5\tthe dog sat .")
    nats = [-float(line.split("\t")[0]) for line in lines[1:]]
    assert sum(nats) == pytest.approx(8 * result["value"], rel=1e-3)
    assert result["unknown_rate"] == pytest.approx(1 / 8)
    assert score.main([str(tmp_path / "run"), str(valid)]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [-float(row[0]) for row in rows] == pytest.approx(nats, abs=1e-3)


@pytest.mark.slow
def test_the_same_recipe_in_pytorch_ends_in_the_same_perplexity(capsys, corpus, tmp_path):
    pytest.importorskip("torch")
    flags = ("--preset", "zaremba-small", "--steps", "60", "--eval-every", "60", "--lr", "1")
    ours = told(capsys, corpus, tmp_path / "run", *flags)
    theirs = told(capsys, corpus, tmp_path / "none", *flags, "--framework", "torch")
    assert theirs["value"] == pytest.approx(ours["value"], rel=1e-5)
    assert theirs["parameters"] == ours["parameters"]
    assert not (tmp_path / "none").exists()
    assert ours["value"] < 0.95 * math.log(13)


def test_held_out_lanes_need_no_mask_and_one_beginning_in_pytorch():
    """Lanes of unequal length over two chunks, most of them warmed up on words before their own."""
    pytest.importorskip("torch")
    from experiments.racing import pytorch_words
    from experiments.wordlm import recipe
    from rnn_jax import evaluate

    words = np.random.default_rng(0).integers(0, 7, 50 * 20 + 8).astype(np.int32)
    held_out = tasks.held_out(parts.one(words))
    small = {"vocabulary": 7, "hidden": 4, "layers": 1, "init_scale": 2.0}
    config = word_lm.Config(**PRESETS["zaremba-small"] | small)
    net = models.word_network(**recipe.model_spec(config)["arguments"])
    params = drawn(net.model.init, 2.0)
    task = tasks.Task(None, held_out, losses.loss_of(net.output), 50, 1, 1)
    ours = evaluate.make_evaluate(net.trained, task)(params).loss
    model = pytorch_words.Model(config, params)
    assert pytorch_words._score(model, held_out()) == pytest.approx(ours, rel=1e-5)
    batches = list(held_out())
    assert len(batches) == 2 and not all(batch.mask.all() for batch in batches)


def test_of_several_presets_the_last_holds_however_they_are_written():
    seen = []

    def run(config):
        seen.append((config.preset, config.bptt))
        return {}

    for written in (["--preset=own", "--preset", "zaremba-small"], ["--preset=zaremba-small"]):
        argv = ["--preset", "zaremba-medium", *written]
        assert cli.main("word_lm", word_lm.Config, run, {}, argv, presets=PRESETS) == 0
    assert seen == 2 * [("zaremba-small", 20)]


def test_a_preset_is_what_was_published_and_flags_change_it():
    small, large = PRESETS["zaremba-small"], PRESETS["zaremba-large"]
    assert (small["hidden"], small["bptt"], small["epochs"], small["clip"]) == (200, 20, 13, 5.0)
    assert (large["hidden"], large["dropout"], large["clip"]) == (1500, 0.65, 10.0)
    from experiments.wordlm import recipe

    config = word_lm.Config(**small)
    rate = recipe.rate(config, 100)  # full for four epochs, then halved at each
    assert [float(rate(e * 100)) for e in (0, 3, 4, 5, 12)] == [1, 1, 0.5, 0.25, 0.5**9]


@pytest.mark.parametrize(
    "flags, mend",
    [
        (["--vocabulary", "500"], "use 2 to 15"),
        (["--test-file", "x"], "--valid-file"),
        (["--sparse"], "--average 0"),
        (["--tied", "--loss", "classes"], "--loss full"),
        (["--loss", "sampled", "--samples", "14"], "--samples 14"),
        (["--framework", "torch"], "zaremba-small"),
        (
            ["--preset", "zaremba-small", "--framework", "torch", "--patience", "2"],
            "--patience goes with",
        ),
        (
            ["--framework", "torch", "--preset", "zaremba-small", "--loss", "nce"],
            "zaremba-small",
        ),
        (["--optimizer", "sgd"], "--weight-decay 0"),
        (["--loss", "full", "--samples", "3"], "--samples 0"),
        (["--epochs", "2"], "--steps 60 does nothing beside --epochs 2"),
    ],
)
def test_what_cannot_be_is_one_line(flags, mend, corpus, capsys, tmp_path):
    argv = ["--corpus", corpus, "--out", str(tmp_path / "run"), *TINY, *flags]
    assert word_lm.main(argv) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and mend in error
    assert not (tmp_path / "run").exists()


def test_the_language_by_rule_knows_its_own_probabilities():
    language = synthetic.zipf_language(40, classes=4, followers=3)
    words = language.draw(np.random.default_rng(0), 400, 101)
    every = np.stack([np.full(40, 7), np.arange(40)], 1)
    assert np.exp(-language.nats(every)).sum() == pytest.approx(1)
    pairs = words[:, :-1] == 7
    seen = np.bincount(words[:, 1:][pairs], minlength=40) / pairs.sum()
    assert np.abs(seen - np.exp(-language.nats(every))[:, 0]).max() < 0.05


@pytest.mark.slow
def test_vocabularies_compares_outputs_by_exact_perplexity(capsys, tmp_path):
    argv = ["--sizes", "300", "--outputs", "full", "sampled-tied", "--hidden", "6", "--steps", "5"]
    argv += ["--seconds", "0.01", "--lanes", "3", "--bptt", "4", "--out", str(tmp_path / "run")]
    assert vocabularies.main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    full, sampled = result["rows"]
    assert full["times_as_fast"] == 1 and full["after_steps"]["step"] == 5
    assert sampled["perplexity_ratio"] == pytest.approx(
        sampled["after_steps"]["perplexity"] / full["after_steps"]["perplexity"], abs=1e-3
    )
    assert 10 < full["known"] < full["after_steps"]["perplexity"] < 400
    saved = json.loads((tmp_path / "run" / "vocabularies.json").read_text())
    assert len(saved["rows"]) == 2


def test_a_word_is_made_of_its_letters_whatever_the_room_for_them():
    layer = layers.spelled(4, letter=3, width=2)
    w, apply = jax.tree.map(np.asarray, drawn(layer.init)), jax.jit(layer.apply)
    letters = np.array([[5, 9, 2], [7, 0, 0]])
    found = np.zeros((2, 4))
    C, K = w["C"], w["K"]
    for word, there in ((0, 3), (1, 1)):
        padded = [*letters[word][:there], 0]
        for t in range(there):
            seen = np.concatenate([C[padded[t]], C[padded[t + 1]]])
            found[word] = np.maximum(found[word], seen @ K + w["b_K"])
    expected = found @ w["W_y"]
    np.testing.assert_allclose(apply(w, letters), expected, atol=1e-5)
    longer = np.pad(letters, [(0, 0), (0, 5)])
    np.testing.assert_allclose(apply(w, longer), expected, atol=1e-5)


def test_every_way_of_unknown_words_reads_the_same_text():
    train_text, valid_text = "the cat sat. " * 20, "the élan sat. the cat ran."
    texts = (train_text, valid_text)
    unk, letters, as_bytes = (rare.way(name, texts, 5, 2, 3, 8) for name in rare.WAYS)
    targets = {n: list(w.task.valid())[0] for n, w in (("unk", unk), ("letters", letters))}
    np.testing.assert_array_equal(targets["unk"].targets, targets["letters"].targets)
    assert targets["letters"].inputs.shape == (*targets["unk"].inputs.shape, 8)
    spelled = targets["letters"].inputs[targets["letters"].weights > 0]
    assert (spelled == [*(b + 1 for b in " élan".encode()), 0, 0]).all(-1).any()
    # What nobody leaves out: all bytes of the text and its end, but for the first word.
    one = text.PIECES["words"](valid_text)[0]
    for way in (unk, letters, as_bytes):
        steps = sum(batch.weights.sum() for batch in way.task.valid())
        assert way.bytes * steps == pytest.approx(len(valid_text.encode()) + 1 - len(one))
    assert as_bytes.unknown == 0 and as_bytes.outputs == 5 + 256
    # élan, ran and the line's end are spelled; the first word, unknown without a space, is read.
    assert one == "the" and steps == 6 + 4 + 1 + 5 and as_bytes.words * steps == 8
    # Nats of nothing but spelling are charged alike per word and per byte.
    scores = unk.scores(0.0)
    assert scores["bits_per_byte"] * math.log(2) * unk.bytes == pytest.approx(
        math.log(scores["perplexity_per_word_spelled"])
    )


@pytest.mark.slow
def test_unknown_words_have_a_table(capsys, corpus, tmp_path):
    argv = ["--corpus", corpus, "--sizes", "6", "--hidden", "8", "--steps", "3", "--lanes", "3"]
    argv += ["--bptt", "4", "--longest", "5", "--out", str(tmp_path / "run")]
    assert unknown.main(argv) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["way"] for row in rows] == list(rare.WAYS)
    assert rows[0]["unknown_rate"] == rows[1]["unknown_rate"] > 0 == rows[2]["unknown_rate"]
    assert rows[0]["targets_per_word"] == 1 < rows[2]["targets_per_word"]
    assert unknown.main([*argv[:2], "--sizes", "900", "--out", str(tmp_path / "no")]) == 2
    assert "--vocabulary 900" in capsys.readouterr().err
