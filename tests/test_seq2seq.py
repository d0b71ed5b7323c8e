"""Sequence to sequence: attention, feeding back, pairs and how they are made."""

import contextlib
import functools
import math
import re
from datetime import datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weights import drawn

from rnn_jax import tasks
from rnn_jax.data import pairs as data
from rnn_jax.decode import generate, search
from rnn_jax.errors import BadInput
from rnn_jax.losses import cross_entropy, smoothed
from rnn_jax.models import additive, alignment, attend, dot, fed, feeding, general, translator
from rnn_jax.objective import summed_loss

T, B, S, H, D, A, V, X = 3, 2, 5, 4, 6, 7, 11, 13
LENGTHS = (5, 2)
KINDS = ("none", "dot", "general", "additive")


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


SCORES = {
    "dot": (dot, D, lambda w, m, h, place: h @ place / D**0.5),
    "general": (lambda: general(H, D), H, lambda w, m, h, place: h @ (place @ m) / H**0.5),
    "additive": (
        lambda: additive(H, D, A),
        H,
        lambda w, m, h, place: w["v"] @ np.tanh(h @ w["W_h"] + place @ m),
    ),
}


@pytest.mark.parametrize("kind", SCORES)
def test_each_attention_is_its_formula_place_by_place(kind):
    """Weights and contexts against loops over t, b and s; what is masked weighs nothing."""
    make, width, formula = SCORES[kind]
    attention = make()
    hs, memory = arrays((T, B, width), (B, S, D))
    m, w = (jax.tree.map(np.asarray, drawn(of.init)) for of in (attention.keys, attention))
    mask = np.arange(S) < np.array(LENGTHS)[:, None]

    @jax.jit
    def attended(m, w):
        scores = attention.score(w, hs, attention.keys.apply(m, memory))
        return attend(scores, jnp.asarray(memory), mask)

    weights, contexts = jax.device_get(attended(m, w))
    for t in range(T):
        for b, length in enumerate(LENGTHS):
            told = [formula(w, m, hs[t, b], memory[b, s]) for s in range(length)]
            want = np.append(softmax(np.array(told)), np.zeros(S - length))
            np.testing.assert_allclose(weights[t, b], want, atol=1e-5)
            np.testing.assert_allclose(contexts[t, b], want @ memory[b], atol=1e-5)


@functools.cache  # tests of the same model share its programs
def small(attention="general", cell="tanh", **more):
    return translator(X, V, cell, hidden=H, embed=3, attention=attention, **more)


def loud(model, size=1.0):
    """Weights without compiling their init, so large that what is read makes a difference."""
    noise = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda a: noise.normal(0, size, a.shape).astype(np.float32), shapes)


@functools.partial(jax.jit, static_argnums=0)
def begun(model, W, context):
    return model.condition(W, context, None)


@functools.partial(jax.jit, static_argnums=0)
def written(model, W, context, read):
    """The carry after reading tokens [B, T], and the logits [T, B, V]."""
    return model.apply(W, model.condition(W, context, None), read.T)


writes = jax.jit(fed, static_argnums=0)


def batch(lengths=LENGTHS, width=S):
    rng = np.random.default_rng(1)
    sources = [rng.integers(0, X, n, np.int32) for n in lengths]
    targets = [rng.integers(0, V - 1, n - 1, np.int32) for n in lengths]
    examples = tasks.pair_examples(sources, targets, V - 1)
    return examples.batch(np.arange(len(lengths)), width)


def test_pairs_are_shifted_by_one_behind_the_end():
    examples = tasks.pair_examples([np.array([3, 1, 2])], [np.array([7, 8])], 10)
    made = examples.batch(np.array([0, -1]), 5)
    assert made.inputs[0].tolist()[:3] == [10, 7, 8]
    assert made.targets[0].tolist()[:3] == [7, 8, 10]
    assert made.weights.tolist() == [[1, 1, 1, 0, 0], [0] * 5]
    assert made.context["tokens"][0].tolist() == [3, 1, 2, 0, 0]
    assert made.context["mask"].sum(1).tolist() == [3, 1], "a lane of nothing sees something"
    assert examples.lengths.tolist() == [3]


def lane_of(given, lane, length):
    """One pair of a batch by itself, without padding."""

    def cut(a):
        return a[lane : lane + 1, :length]

    return jax.tree.map(cut, given)


@pytest.mark.parametrize("attention", KINDS)
def test_a_pair_in_a_padded_batch_is_the_pair_by_itself(attention):
    """Its logits, which read the whole source; without attention two layers of LSTM."""
    model = small(attention, **({"layers": 2, "cell": "lstm"} if attention == "none" else {}))
    W, whole, (lane, length) = loud(model), batch(width=7), (1, LENGTHS[1])
    _, together = written(model, W, whole.context, whole.inputs)
    alone = lane_of(whole, lane, length)
    _, ys = written(model, W, alone.context, alone.inputs)
    np.testing.assert_allclose(np.asarray(together)[:length, lane], np.asarray(ys)[:, 0], atol=1e-4)


def test_padding_and_lanes_of_nothing_have_no_part_in_the_gradient():
    model, width = small(), 7
    W = loud(model)
    whole = batch(width=width)
    longer = jax.tree.map(lambda a: np.concatenate([a, a[:1]]), whole)
    longer.weights[-1] = 0
    longer.context["mask"][-1, 1:] = False

    @jax.jit
    def bars(given):
        start = model.start(W, len(given.inputs))
        return jax.grad(lambda W: summed_loss(model, cross_entropy, W, start, given, None)[0])(W)

    other = longer._replace(
        targets=np.where(longer.weights > 0, longer.targets, 3),
        inputs=np.where(longer.weights > 0, longer.inputs, 5),
        context={
            "tokens": np.where(longer.context["mask"], longer.context["tokens"], 9),
            "mask": longer.context["mask"],
        },
    )
    ours, theirs = jax.device_get([bars(longer), bars(other)])
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert all(np.abs(bar).max() > 0 for bar in jax.tree.leaves(ours["encoder"]["layers"]))


def test_the_decoder_cannot_see_what_it_has_not_written():
    model, given = small(), batch()
    W = loud(model)

    changed = given.inputs.copy()
    changed[:, 3:] = (changed[:, 3:] + 1) % V
    before, after = (
        np.asarray(written(model, W, given.context, read)[1]) for read in (given.inputs, changed)
    )
    np.testing.assert_array_equal(before[:3], after[:3])
    assert np.abs(before[3:] - after[3:]).max() > 1e-3


def test_without_attention_all_that_passes_is_one_vector():
    for attention in KINDS:
        model = small(attention)
        carry = jax.eval_shape(functools.partial(begun, model), loud(model), batch().context)
        sizes = {leaf.shape for leaf in jax.tree.leaves(carry)}
        assert (sizes == {(B, H)}) == (attention == "none")


def test_alignment_is_the_softmax_of_the_scores_and_sums_to_one():
    model, given = small("dot"), batch()
    W = loud(model)
    weights = np.asarray(
        jax.jit(alignment, static_argnums=0)(model, W, given.context, given.inputs)
    )
    assert weights.shape == (B, S, S)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert not weights[~np.broadcast_to(given.context["mask"][:, None], (B, S, S))].any()
    end, _ = jax.device_get(written(model, W, given.context, given.inputs))
    np.testing.assert_allclose(end.seen, weights.sum(1), atol=1e-5)
    # A layer's output is its state: the last weights, from the last state alone.
    scores = (end.state[0][:, None] * end.values).sum(-1) / H**0.5
    for lane, length in enumerate(LENGTHS):
        want = softmax(scores[lane, :length])
        np.testing.assert_allclose(weights[lane, -1, :length], want, atol=1e-5)


def test_half_is_the_same_product_rounded():
    given = batch()
    W = loud(small())
    ys = [
        np.asarray(written(model, W, given.context, given.inputs)[1])
        for model in (small(), small(half=True))
    ]
    assert ys[1].dtype == np.float32
    assert 0 < np.abs(ys[0] - ys[1]).max() < 0.02 * np.abs(ys[0]).max()


def test_fed_back_are_the_words_of_greedy_writing(key):
    """own everywhere without keys: step by step what `generate` writes; own nowhere: the truth."""
    model, given = small(), batch()
    W = loud(model)
    tokens, own = given.inputs.T, np.ones((S, B), bool)
    own[0] = False
    carry = begun(model, W, given.context)
    read = np.asarray(writes(model, W, carry, tokens, own, None))
    wrote, _ = generate(
        model, W, given.inputs[:, :1], key, S - 1, greedy=True, context=given.context
    )
    np.testing.assert_array_equal(read[0], tokens[0])
    np.testing.assert_array_equal(read[1:].T, wrote)
    assert (np.asarray(wrote) != given.inputs[:, 1:]).any()
    np.testing.assert_array_equal(writes(model, W, carry, tokens, ~own & False, None), tokens)


def test_feeding_mixes_as_told_and_its_gradient_is_that_of_the_mixed_tokens(key):
    model, given = small(), batch()
    W, keys = loud(model), jax.random.split(key, B)
    own = np.zeros((S, B), bool)
    own[2:4, 0] = True
    fed_model, tokens = feeding(model), given.inputs.T
    carry = begun(model, W, given.context)
    read = np.asarray(writes(model, W, carry, tokens, own, keys))
    np.testing.assert_array_equal(read[~own], tokens[~own])

    def loss(W, xs, model):
        carry = model.condition(W, given.context, None)
        return cross_entropy(model.apply(W, carry, xs, keys=keys)[1], given.targets.T).sum()

    each = jax.jit(jax.grad(loss), static_argnums=2)
    ours = each(W, {"tokens": tokens, "own": own}, fed_model)
    want = each(W, read, model)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_is_fed_back_is_drawn_from_the_softmax(key):
    """The second token read, over many lanes, against the probabilities after the first."""
    model, lanes = small(), 4000
    W = loud(model, 0.5)
    context = jax.tree.map(lambda a: np.repeat(a[:1], lanes, 0), batch().context)
    tokens = np.full((2, lanes), V - 1, np.int32)
    own = np.array([[False], [True]]).repeat(lanes, 1)
    carry = begun(model, W, context)
    drawn = writes(model, W, carry, tokens, own, jax.random.split(key, lanes))[1]
    given = batch()  # its first lane is all of these, and begins like them
    logits = np.asarray(written(model, W, given.context, given.inputs)[1], np.float64)[0, 0]
    p = softmax(logits)
    share = np.bincount(drawn, minlength=V) / lanes
    assert np.abs(share - p).max() < 5 * math.sqrt(0.25 / lanes)
    assert len(np.unique(drawn)) > 3


def test_beam_search_writes_with_attention_what_the_model_finds_likeliest():
    """Two tokens at most: against all texts, scored one by one."""
    model, given = small(), batch()
    W = loud(model)
    found = search(model, W, V - 1, V * V, 2, context=given.context)
    every = np.stack(np.meshgrid(range(V), range(V), indexing="ij"), -1).reshape(-1, 2)
    read = np.stack([np.full(V * V, V - 1), every[:, 0]]).astype(np.int32)
    for lane in range(B):
        context = {
            name: np.repeat(a[lane : lane + 1], V * V, 0) for name, a in given.context.items()
        }
        _, ys = written(model, W, context, read.T)
        each = np.asarray(jax.nn.log_softmax(ys))
        log_p = np.take_along_axis(each, every.T[..., None], 2)[..., 0].sum(0)
        assert found.tokens[lane, 0].tolist() == every[log_p.argmax()].tolist()
        np.testing.assert_allclose(found.scores[lane], np.sort(log_p)[::-1], atol=1e-4)


def test_smoothing_is_the_cross_entropy_against_a_spread_target():
    (logits,) = arrays((T, V))
    targets = np.array([0, 4, 10])
    spread = np.full((T, V), 0.2 / V)
    spread[np.arange(T), targets] += 0.8
    log_p = np.log(np.stack([softmax(row) for row in logits.astype(np.float64)]))

    @jax.jit
    def each(logits):
        return [loss(logits, targets) for loss in (smoothed(0.2), smoothed(0.0), cross_entropy)]

    some, none, plain = each(logits)
    np.testing.assert_allclose(some, -(spread * log_p).sum(1), rtol=1e-5)
    np.testing.assert_allclose(none, plain, rtol=1e-5)


def test_sums_and_reversals_are_right():
    for pair in data.make("addition", 300, 4, 0):
        a, b = map(int, pair.source.split("+"))
        assert int(pair.target) == a + b and str(a + b) == pair.target
    for pair in data.make("reversal", 300, 9, 0):
        assert "".join(reversed(pair.source)) == pair.target
    assert len(data.make("addition", 1000, 1, 0)) == 100, "there are no more"
    assert data.make("addition", 50, 3, 7) == data.make("addition", 50, 3, 7)
    assert data.make("addition", 50, 3, 7) != data.make("addition", 50, 3, 8)


WAYS = (
    *("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%A, %d of %B %Y", "%a %d %b %Y", "%d of %B, %Y"),
    *("%d.%m.%Y", "%d/%m/%Y", "%Y-%m-%d"),
)


def test_dates_say_the_same_day():
    """Each is read by Python's own parser; a weekday is that day's."""
    used = set()
    for pair in data.make("dates", 400, 100, 0):
        day, plain = (
            datetime.fromisoformat(pair.target),
            re.sub("(?<=[0-9])[a-z]+", "", pair.source),
        )
        for way in WAYS:
            with contextlib.suppress(ValueError):
                assert datetime.strptime(plain, way) == day
                assert "%a" not in way.lower() or plain.startswith(day.strftime("%a"))
                used.add(way)
                break
        else:
            raise AssertionError(pair.source)
        if ending := re.search("([0-9]+)([a-z]+)", pair.source):
            assert ending[0] in {"1st", "2nd", "3rd", "21st", "22nd", "23rd", "31st"} or (
                ending[2] == "th" and (ending[1][-1] not in "123" or ending[1][0] == "1")
            )
    assert used == set(WAYS)


def test_programs_print_what_they_say():
    """Each is run by Python."""
    levels = set()
    for pair in data.make("programs", 300, 4, 0):
        printed = []
        exec(pair.source, {"print": printed.append, "range": range})
        assert [str(value) for value in printed] == [pair.target]
        levels.add(pair.level)
    assert levels == {1, 2, 3, 4}


def test_parts_share_no_source_and_have_their_shares():
    made = data.make("addition", 1000, 2, 0)
    parts = data.parted([*made, data.Pair(made[0].source, "?")], "sums", 3, 0.1, 0.2)
    sources = [{pair.source for pair in part} for part in (parts.train, parts.valid, parts.test)]
    assert sources[0] | sources[1] | sources[2] == {pair.source for pair in made}
    assert not (sources[0] & sources[1] or sources[0] & sources[2] or sources[1] & sources[2])
    assert [len(part) for part in sources] == [700, 100, 200]
    assert parts.record()["digest"] != data.parted(made, "sums", 4, 0.1, 0.2).record()["digest"]


def test_a_curriculum_opens_level_after_level():
    sources = [np.full(1 + i % 3, i, np.int32) for i in range(90)]
    levels = np.array([1 + i % 3 for i in range(90)])
    examples = tasks.pair_examples(sources, sources, 99)
    plain = tasks.bucketed(examples, examples, cross_entropy, 200, 0, most=1)
    task = tasks.curriculum(plain, examples, levels, 10, 0, mixed=0.1)

    def shares(position):
        seen = levels[task.batch(position).context["tokens"][:, 0]]
        return np.bincount(seen, minlength=4)[1:] / 200

    assert shares(9)[0] > 0.85 and shares(9)[2] < 0.1
    assert shares(10)[0] < 0.65 and shares(10)[2] < 0.1
    assert shares(20).min() > 0.2
    again, before = task.batch(7), task.batch(7)
    np.testing.assert_array_equal(again.inputs, before.inputs)


def test_own_coins_grow_along_the_ramp_and_never_touch_the_first():
    examples = tasks.pair_examples([np.arange(9)] * 50, [np.arange(9)] * 50, 9)
    task = tasks.bucketed(examples, examples, cross_entropy, 50, 0, most=1)
    mixed = tasks.feeding_back(task, lambda position: min(1.0, position / 10), 0)
    shares = [mixed.batch(position).inputs["own"][:, 1:].mean() for position in (0, 5, 10)]
    assert shares[0] == 0 and 0.4 < shares[1] < 0.6 and shares[2] == 1
    assert not mixed.batch(10).inputs["own"][:, 0].any()
    for given in tasks.free_running(task).valid():
        assert given.inputs["own"][:, 1:].all() and not given.inputs["own"][:, 0].any()


def test_aligned_files_and_tables_give_the_same_pairs(tmp_path):
    (tmp_path / "a.en").write_text("two dogs\na cat\r\n")
    (tmp_path / "a.de").write_text("zwei Hunde\neine Katze")
    (tmp_path / "a.tsv").write_text("en\tde\ntwo dogs\tzwei Hunde\na cat\teine Katze\n")
    want = [data.Pair("two dogs", "zwei Hunde"), data.Pair("a cat", "eine Katze")]
    assert data.aligned(*(str(tmp_path / f"a.{of}") for of in ("en", "de")), "--data") == want
    assert data.columns(str(tmp_path / "a.tsv"), "en", "de", "--data") == want


def test_french_pairs_come_from_the_installed_package():
    pytest.importorskip("jupyterlab_language_pack_fr_FR")
    pairs = data.french()
    assert len(pairs) > 3000 and len(set(pairs)) == len(pairs)
    assert ("Save" in dict((p.source, p.target) for p in pairs)) and not any(
        "\4" in p.source or not p.target for p in pairs
    )


def test_what_cannot_be_learned_from_is_refused_or_left_out():
    pairs = [data.Pair("a", "b"), data.Pair("", "c"), data.Pair("d", "eeeee")]
    sizes = [(len(p.source), len(p.target)) for p in pairs]
    with pytest.raises(BadInput, match=r"^x, line 2: the source is empty.*--skip"):
        data.checked(pairs, sizes, 9, "x")
    with pytest.raises(BadInput, match=r"^x, line 2: the target has 5 .*--longest"):
        data.checked(pairs[::2], sizes[::2], 4, "x")
    assert data.checked(pairs, sizes, 4, "x", skip=True) == pairs[:1]
    with pytest.raises(BadInput, match="--longest"):
        data.checked(pairs[1:], sizes[1:], 4, "x", skip=True)
