"""n-grams: counts, smoothing and the cell, against dictionaries, plain loops and nltk."""

import math
from collections import Counter
from itertools import pairwise

import jax
import numpy as np
import pytest

from rnn_jax import decode, models, ngrams, unroll
from rnn_jax.data.text import Stream
from rnn_jax.errors import BadInput
from rnn_jax.evaluate import make_evaluate
from rnn_jax.losses import cross_entropy
from rnn_jax.tasks import Task, held_out

V, N = 11, 4  # tokens 9 and 10 are never in the training text
STARTS = (0, 61, 70)  # of the pieces of the training text


def chain(seed: int, length: int, tokens: int = V - 2) -> np.ndarray:
    """A text whose next token is mostly one of two that the last two tokens name."""
    rng, text = np.random.default_rng(seed), [0, 1]
    while len(text) < length:
        usual = (3 * text[-1] + text[-2] + rng.integers(2)) % tokens
        text.append(int(rng.integers(tokens)) if rng.random() < 0.2 else int(usual))
    return np.array(text, np.int32)


def stream(tokens: np.ndarray, starts: tuple[int, ...] = (0,)) -> Stream:
    """Pieces that begin at these tokens, each without its last token as input."""
    parts = [tokens[a:b] for a, b in pairwise((*starts, len(tokens)))]
    fresh = [np.arange(len(part) - 1) == 0 for part in parts]
    inputs, targets = [p[:-1] for p in parts], [p[1:] for p in parts]
    return Stream(*(np.concatenate(each) for each in (inputs, targets, fresh)))


TOKENS = chain(0, 400)
PIECES = [tuple(TOKENS[a:b].tolist()) for a, b in pairwise((*STARTS, len(TOKENS)))]
TEXT = stream(TOKENS, STARTS)
OTHER = stream(np.append(chain(1, 120), [9, 3, 10, 0, 1]), (0, 50))


def grams(k: int) -> Counter:
    return Counter(p[i : i + k] for p in PIECES for i in range(len(p) - k + 1))


def counted(n: int = N) -> ngrams.Counts:
    return ngrams.count(TEXT, V, n)


def spelled(counts: ngrams.Counts, k: int) -> dict[tuple, int]:
    """The k-grams and their counts out of the arrays."""
    if k == 1:
        return {(w,): int(c) for w, c in enumerate(counts.tokens) if c}
    rows, contexts = counts.longer[k - 2], spelled_places(counts, k - 1)
    found = {}
    for context, (a, b) in enumerate(pairwise(rows.first)):
        for i in range(a, b):
            found[(*contexts[context], int(rows.token[i]))] = int(rows.count[i])
    return found


def spelled_places(counts: ngrams.Counts, k: int) -> list[tuple]:
    return [(w,) for w in range(V)] if k == 1 else list(spelled(counts, k))


def all_models(n: int = N) -> dict[str, ngrams.Tables]:
    counts = counted(n)
    mu = np.linspace(0.9, 0.4, n)
    return {
        "kneser-ney": ngrams.kneser_ney(counts, ngrams.discounts(counts)),
        "add": ngrams.add(counts, 0.3),
        "ensemble": ngrams.ensemble(counts, mu),
        "none": ngrams.maximum_likelihood(counts),
    }


SMOOTHED = ("kneser-ney", "add", "ensemble")


def p_of(model: ngrams.Tables, w: int, context: tuple[int, ...]) -> float:
    """p(w | context) by the NumPy path."""
    if not context:
        return float(model.unigram[w])
    text = stream(np.array([*context, w], np.int32))
    return math.exp(ngrams.log_probabilities(model, text)[-1])


def contexts(n: int) -> list[tuple[int, ...]]:
    """Seen, made up, the text's last (nothing came after it), and one cut short by a start."""
    if n == 1:
        return [()]
    rng = np.random.default_rng(2)
    made_up = [tuple(rng.integers(V, size=n - 1).tolist()) for _ in range(8)]
    return [*list(grams(n - 1))[:8], *made_up, PIECES[-1][1 - n :], (1,)]


def windows(n: int) -> np.ndarray:
    """The same as the cell's carry has them."""
    return np.array([(-1,) * (n - 1 - len(c)) + c for c in contexts(n)], int)


def test_counts_equal_a_counter_of_slices_and_none_reaches_over_a_start():
    counts = counted()
    for k in range(1, N + 1):
        assert spelled(counts, k) == dict(grams(k))
    assert counts.distinct() == [len(grams(k)) for k in range(1, N + 1)]
    assert spelled(counts.upto(2), 2) == dict(grams(2)) and counts.upto(2).n == 2


def test_what_is_left_without_the_first_token_is_found():
    counts = counted()
    for k in range(2, N + 1):
        places = spelled_places(counts, k - 1)
        kept = [places[i] for i in counts.longer[k - 2].shorter]
        assert kept == [gram[1:] for gram in spelled(counts, k)]


def test_the_most_frequent_grams_come_first():
    for k in (1, 3):
        found = [grams(k)[tuple(row)] for row in ngrams.most_frequent(counted(), k, 5).tolist()]
        assert found == [count for _, count in grams(k).most_common(5)]


def test_coverage_is_the_arithmetic_of_sets():
    pieces = [OTHER.inputs[:49], OTHER.inputs[49:]]
    ends = [OTHER.targets[48], OTHER.targets[-1]]
    text = [(*p.tolist(), int(e)) for p, e in zip(pieces, ends, strict=True)]
    for k, told in enumerate(ngrams.coverage(counted(), OTHER), start=1):
        asked = [p[i - k + 1 : i + 1] for p in text for i in range(max(1, k - 1), len(p))]
        followed = {gram[:-1] for gram in grams(k)}
        assert told.grams == len(asked)
        assert told.unseen == sum(gram not in grams(k) for gram in asked)
        assert told.unseen_contexts == sum(gram[:-1] not in followed for gram in asked)


def test_the_slides_table_is_a_ratio_of_counts_and_knows_nothing_else():
    model = all_models()["none"]
    for gram, times in list(grams(N).items())[:20]:
        total = sum(c for other, c in grams(N).items() if other[:-1] == gram[:-1])
        assert p_of(model, gram[-1], gram[:-1]) == pytest.approx(times / total, rel=1e-6)
    assert p_of(model, 0, (9, 9, 9)) == 0
    assert np.isinf(ngrams.log_probabilities(model, OTHER)).any()
    # On its own text no context is new, and a start has the shorter contexts' ratios.
    assert np.isfinite(ngrams.log_probabilities(model, TEXT)).all()


def test_adding_k_is_the_prior_s_ratio_for_every_token_and_uniform_where_nothing_was_seen():
    model = all_models()["add"]
    for context in [*list(grams(N - 1))[:5], (9, 9, 9)]:
        row = [grams(N)[(*context, w)] for w in range(V)]
        expected = [(c + 0.3) / (sum(row) + 0.3 * V) for c in row]
        assert [p_of(model, w, context) for w in range(V)] == pytest.approx(expected, rel=1e-6)


def textbook(n: int, w: int, c: tuple[int, ...], D: list[float]) -> float:
    """Interpolated Kneser-Ney as the textbooks write it, with dictionaries; D by order."""
    k = len(c) + 1
    number = grams(k) if k == n else Counter(gram[1:] for gram in grams(k + 1))
    row = {gram[-1]: times for gram, times in number.items() if gram[:-1] == c}
    lower = textbook(n, w, c[1:], D) if c else 1 / V
    if not row:
        return lower
    share = D[k - 1] * len(row) / sum(row.values())
    return max(row.get(w, 0) - D[k - 1], 0) / sum(row.values()) + share * lower


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_kneser_ney_equals_the_textbook_with_dictionaries(n):
    counts = counted(n)
    D = ngrams.discounts(counts)
    for k in range(1, n + 1):
        number = grams(k) if k == n else Counter(gram[1:] for gram in grams(k + 1))
        once, twice = (sum(times == r for times in number.values()) for r in (1, 2))
        assert D[k - 1] == (once / (once + 2 * twice) if once else 0.5)
    model = ngrams.kneser_ney(counts, D)
    for context in contexts(n):
        for w in range(V):
            assert p_of(model, w, context) == pytest.approx(textbook(n, w, context, D), rel=1e-5)


@pytest.mark.parametrize("n", [3, 5])
def test_kneser_ney_is_nltk_s_within_a_percent(n):
    lm = pytest.importorskip("nltk.lm")
    from nltk.util import everygrams

    tokens, new = chain(3, 1500), chain(4, 80)
    D = 0.7
    theirs = lm.KneserNeyInterpolated(n, discount=D)
    words = [str(w) for w in tokens]
    theirs.fit([list(everygrams(words, max_len=n))], vocabulary_text=words)
    # nltk does not discount the unigrams, so that all its tokens must have been seen.
    model = ngrams.kneser_ney(ngrams.count(stream(tokens), V, n), [0.0] + [D] * (n - 1))
    ours = np.exp(ngrams.log_probabilities(model, stream(new)))
    each = [
        theirs.unmasked_score(str(w), tuple(map(str, new[max(0, t - n + 1) : t])))
        for t, w in enumerate(new)
    ][1:]
    np.testing.assert_allclose(ours[n:], each[n:], rtol=0.01)
    assert np.log(ours).mean() == pytest.approx(np.log(each).mean(), rel=0.01)


def mixture(counts: ngrams.Counts, weights: np.ndarray, gram: tuple[int, ...]) -> float:
    """Σ_k lambda_k p_k, the weights divided by the sum of those whose context was seen."""
    total = weights[0] / V
    used = weights[0]
    for k in range(1, counts.n + 1):
        row = (
            [grams(k)[(*gram[len(gram) - k : -1], w)] for w in range(V)] if len(gram) >= k else [0]
        )
        if sum(row):
            used += weights[k]
            total += weights[k] * row[gram[-1]] / sum(row)
    return total / used


def test_the_ensemble_is_the_mixture_of_all_orders_renormalised_where_a_context_is_new():
    counts, mu = counted(), np.array([0.8, 0.6, 0.3, 0.7])
    weights = ngrams.Fit(mu, []).weights()
    by_hand = [0.2 * 0.4 * 0.7 * 0.3, 0.8 * 0.4 * 0.7 * 0.3, 0.6 * 0.7 * 0.3, 0.3 * 0.3, 0.7]
    np.testing.assert_allclose(weights, by_hand)
    model = ngrams.ensemble(counts, mu)
    for context in contexts(N):
        for w in (0, 4, 10):
            expected = mixture(counts, weights, (*context, w))
            assert p_of(model, w, context) == pytest.approx(expected, rel=1e-5)


def test_em_never_lowers_the_held_out_likelihood_and_equals_a_plain_loop():
    from rnn_jax.ngrams.ensemble import components, em_step

    counts = counted()
    fit = ngrams.fit_ensemble(counts, OTHER)
    assert len(fit.likelihoods) > 5 and min(np.diff(fit.likelihoods)) > -1e-12
    assert fit.likelihoods[-1] > fit.likelihoods[0] + 0.05
    assert fit.weights().sum() == pytest.approx(1) and (fit.weights() > 0).all()
    p, depth = components(counts, OTHER)
    mu = np.array([0.5, 0.3, 0.6, 0.2])
    stops, arrivals, likelihood = np.zeros(N + 1), np.zeros(N + 1), 0.0
    for row, top in zip(p, depth, strict=True):
        chance, way = np.zeros(N + 1), 1.0
        for k in range(top, 0, -1):
            chance[k], way = way * mu[k - 1], way * (1 - mu[k - 1])
        chance[0] = way
        joint = chance * row
        likelihood += math.log(joint.sum()) / len(p)
        for k in range(top + 1):
            stops[k] += joint[k] / joint.sum()
            arrivals[k] += joint[: k + 1].sum() / joint.sum()
    better, told = em_step(mu, p, depth)
    np.testing.assert_allclose(better, stops[1:] / arrivals[1:], rtol=1e-12)
    assert told == pytest.approx(likelihood, rel=1e-12)


def test_fitted_on_its_own_text_no_order_takes_all_the_weight():
    """Without the token that no order has seen the longest order's share goes to 1."""
    fitted = ngrams.fit_ensemble(counted(), TEXT)
    assert 0.99 < fitted.mu.max() < 1 and fitted.weights()[0] > 0


def test_a_text_in_two_parts_loses_no_step_and_too_short_a_one_is_refused():
    text, rest = ngrams.reserved(TEXT, 0.1)
    assert len(rest.targets) == 40 and len(text.targets) == len(TEXT.targets) - 40
    assert np.array_equal(np.append(text.inputs, rest.inputs), TEXT.inputs)
    with pytest.raises(BadInput, match="too short"):
        ngrams.reserved(stream(TOKENS[:3]), 0.1)


@pytest.mark.parametrize("n", [1, 2, N])
@pytest.mark.parametrize("kind", SMOOTHED)
def test_probabilities_are_positive_and_sum_to_one_after_every_context(kind, n):
    model = all_models(n)[kind]
    p = np.asarray(ngrams.distribution(model, ngrams.widths(model), windows(n)))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert p.shape == (len(contexts(n)), V) and (p > 0).all()


@pytest.mark.parametrize("kind", [*SMOOTHED, "none"])
def test_the_cell_s_row_is_numpy_s_probability_of_every_token(kind):
    model = all_models()[kind]
    cell = ngrams.cell(model)
    window = windows(N)
    before = np.insert(window[:, :-1], 0, -1, axis=1).astype(np.int32)
    carry, log_p = jax.jit(cell.step)(model, before, window[:, -1])
    assert np.array_equal(carry, window) and carry.dtype == np.int32
    expected = [[p_of(model, w, context) for w in range(V)] for context in contexts(N)]
    np.testing.assert_allclose(np.exp(log_p), expected, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, N])
def test_unrolled_over_a_text_with_restarts_it_scores_as_numpy_does(n):
    model = all_models(n)["kneser-ney"]
    cell = ngrams.cell(model)
    xs, fresh = OTHER.inputs[:, None], OTHER.fresh[:, None]
    start = cell.start(model, 1)
    _, ys = jax.jit(lambda model: unroll.unroll(cell, model, xs, start, fresh=fresh))(model)
    chosen = np.take_along_axis(np.asarray(ys)[:, 0], OTHER.targets[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(chosen, ngrams.log_probabilities(model, OTHER), atol=1e-5)


def test_evaluation_goes_through_the_same_code_and_gives_the_same_nats():
    task = Task(lambda _: None, held_out(OTHER), cross_entropy, 1, 1, 1)
    model = all_models()["kneser-ney"]
    evaluate = make_evaluate(models.stack(ngrams.cell(model)), task)
    nats = -ngrams.log_probabilities(model, OTHER).mean()
    assert evaluate((model,)).loss == pytest.approx(nats, abs=1e-5)


def test_it_writes_the_most_probable_token_and_tells_its_probability(key):
    tables = all_models()["kneser-ney"]
    model = models.stack(ngrams.cell(tables))
    prompt = np.array([[0, 1, 4], [2, 7, 5]], np.int32)
    written = decode.generate(model, (tables,), prompt, key, 6, greedy=True)
    tokens, log_p = jax.device_get(written)
    for lane in range(2):
        text = prompt[lane].tolist()
        for token, told in zip(tokens[lane].tolist(), log_p[lane], strict=True):
            p = [p_of(tables, w, tuple(text[-(N - 1) :])) for w in range(V)]
            assert p[token] == pytest.approx(max(p))
            assert math.exp(told) == pytest.approx(p[token], rel=1e-4)
            text.append(token)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ngrams.count(TEXT, V, 0), "--n 0"),
        (lambda: ngrams.count(stream(TOKENS[:5]), V, 6), "--n 6 is longer than the text"),
        (lambda: ngrams.count(stream(TOKENS[:1]), V, 1), "empty text"),
        (lambda: ngrams.add(counted(), 0.0), "--add-k 0.0"),
        (lambda: ngrams.add(counted(), math.nan), "--add-k nan"),
        (lambda: ngrams.add(counted(), math.inf), "--add-k inf"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_line(make, told):
    with pytest.raises(BadInput, match=told) as refusal:
        make()
    assert "\n" not in str(refusal.value)
