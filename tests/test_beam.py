"""Beam search against all texts there are, and against a beam of Python lists."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_jax.decode import beam, generate, repeats, search
from rnn_jax.decode.beam import length_penalty
from rnn_jax.models import Model, language_model

B, P, N, H, V, END = 3, 2, 4, 7, 5, 3
MODEL = language_model(V, "lstm", H, 1, 6)  # a carry of several leaves


def weights() -> Any:
    """Random parameters, large enough that what is likely depends on what was read."""
    noise = np.random.default_rng(5)
    return jax.tree.map(
        lambda a: noise.normal(0, 1.5, a.shape).astype(a.dtype),
        jax.eval_shape(MODEL.init, jax.random.key(0)),
    )


PARAMS = weights()
PROMPT = np.random.default_rng(0).integers(0, V, (B, P), np.int32)


@jax.jit
def _log_p_after(tokens: jax.Array) -> jax.Array:
    flat = tokens.reshape(-1, tokens.shape[-1])
    _, ys = MODEL.apply(PARAMS, MODEL.start(PARAMS, flat.shape[0]), flat.T)
    return jax.nn.log_softmax(jnp.swapaxes(ys, 0, 1)).reshape(*tokens.shape, V)


def log_p_after(tokens: np.ndarray) -> np.ndarray:
    """log p [..., L, V] after each token of [..., L], from the start; padded behind, to share
    programs.
    """
    length = tokens.shape[-1]
    behind = [(0, 0)] * (tokens.ndim - 1) + [(0, max(0, P + N - length))]
    return np.asarray(_log_p_after(np.pad(tokens, behind)))[..., :length, :]


def every_text(end: int | None) -> list[tuple[int, ...]]:
    """All texts of at most N tokens that end, or that are N tokens long."""
    found = []
    for text in itertools.product(range(V), repeat=N):
        cut = text[: text.index(end) + 1] if end in text else text
        found.append(cut)
    return sorted(set(found))


def nats(prompt: np.ndarray, texts: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The log p of each token of each text after a prompt [P], each text read as a whole."""
    whole = np.array([[*prompt, *text, *[0] * (N - len(text))] for text in texts], np.int32)
    log_p = log_p_after(whole).astype(np.float64)[:, P - 1 : -1]
    return [log_p[i, range(len(text)), text] for i, text in enumerate(texts)]


def score(nats: np.ndarray, alpha: float) -> float:
    return nats.sum() / ((5 + len(nats)) / 6) ** alpha


def without_padding(tokens: Any, lengths: Any) -> list[tuple[int, ...]]:
    assert all((row[n:] == END).all() for row, n in zip(tokens, lengths, strict=True))
    return [tuple(row[:n].tolist()) for row, n in zip(tokens, lengths, strict=True)]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -2.0])
def test_a_beam_as_wide_as_all_beginnings_finds_the_best_of_all_texts(alpha: float) -> None:
    wide = (V - 1) ** N
    found = jax.device_get(search(MODEL, PARAMS, PROMPT, wide, N, end=END, alpha=alpha))
    texts = every_text(END)
    for b in range(B):
        each = nats(PROMPT[b], texts)
        # Those that ended come before those cut off, each by score.
        order = sorted(
            range(len(texts)), key=lambda i: (texts[i][-1] != END, -score(each[i], alpha))
        )[:wide]
        got = without_padding(found.tokens[b], found.lengths[b])
        assert got == [texts[i] for i in order]
        np.testing.assert_allclose(
            found.scores[b], [score(each[i], alpha) for i in order], rtol=0, atol=2e-5
        )
        padded = [np.pad(each[i], (0, N - len(each[i]))) for i in order]
        np.testing.assert_allclose(found.log_probs[b], padded, rtol=0, atol=2e-5)
    assert {len(text) for text in got} == {1, 2, 3, 4}


def test_without_an_end_the_widest_beam_ranks_all_texts_of_that_length() -> None:
    tokens, scores = jax.device_get(beam(MODEL, PARAMS, PROMPT, V**N, N))
    texts = every_text(None)
    for b in range(B):
        each = [one.sum() for one in nats(PROMPT[b], texts)]
        best = np.argsort(each)[::-1]
        assert tokens[b].tolist() == [list(texts[i]) for i in best]
        np.testing.assert_allclose(scores[b], np.array(each)[best], rtol=0, atol=2e-5)


def by_hand(prompt: np.ndarray, K: int, alpha: float) -> list[tuple[tuple[int, ...], float]]:
    """The same search with lists, which reads every text anew from its start."""
    live, done = [((), 0.0)], []
    for _ in range(N):
        grown = []
        for text, total in live:
            log_p = log_p_after(np.array([*prompt, *text], np.int32))[-1]
            for token in range(V):
                grown.append(((*text, token), total + float(log_p[token])))
        done += [(t, s / ((5 + len(t)) / 6) ** alpha) for t, s in grown if t[-1] == END]
        done = sorted(done, key=lambda one: -one[1])[:K]
        live = sorted((one for one in grown if one[0][-1] != END), key=lambda one: -one[1])[:K]
    cut = [(t, s / ((5 + N) / 6) ** alpha) for t, s in live]
    return [*done, *cut][:K]


@pytest.mark.parametrize("K", [1, 3])
def test_a_narrow_beam_is_the_search_by_hand(K: int) -> None:
    tokens, scores = jax.device_get(beam(MODEL, PARAMS, PROMPT, K, N, end=END, length_penalty=0.7))
    for b in range(B):
        want = by_hand(PROMPT[b], K, 0.7)
        padded = [[*text, *[END] * (N - len(text))] for text, _ in want]
        assert tokens[b].tolist() == padded
        np.testing.assert_allclose(scores[b], [s for _, s in want], rtol=0, atol=2e-5)


def test_a_beam_of_one_without_an_end_is_greedy() -> None:
    tokens, scores = jax.device_get(beam(MODEL, PARAMS, PROMPT, 1, N))
    want, log_probs = generate(MODEL, PARAMS, PROMPT, jax.random.key(0), N, greedy=True)
    assert tokens[:, 0].tolist() == want.tolist()
    np.testing.assert_allclose(scores[:, 0], np.asarray(log_probs).sum(1), rtol=0, atol=2e-5)


def test_a_start_token_is_a_prompt_of_one() -> None:
    tokens, _ = jax.device_get(beam(MODEL, PARAMS, 2, V, 1))
    assert tokens[0, :, 0].tolist() == np.argsort(-log_p_after(np.array([2]))[0]).tolist()


def test_an_early_end_of_the_search_changes_nothing() -> None:
    """A lane that could stop is searched to N where another lane goes on; not beside its like."""
    prompt = np.random.default_rng(1).integers(0, V, (B, P), np.int32)  # the third one's goes on
    together = jax.device_get(search(MODEL, PARAMS, prompt, 2, 40, end=END, alpha=0.6))
    for b in range(B):
        thrice = np.repeat(prompt[b : b + 1], B, 0)
        alone = jax.device_get(search(MODEL, PARAMS, thrice, 2, 40, end=END, alpha=0.6))
        assert alone.tokens[0].tolist() == together.tokens[b].tolist()
        np.testing.assert_allclose(alone.scores[0], together.scores[b], rtol=0, atol=2e-5)
    assert together.lengths.max() > 15 > together.lengths.max(1).min()


def test_more_beams_than_texts_are_marked() -> None:
    found = jax.device_get(search(MODEL, PARAMS, PROMPT[:1], V + 9, 1, end=END))
    assert np.isfinite(found.scores[0]).sum() == V
    assert len({row[0] for row in found.tokens[0, :V].tolist()}) == V


@pytest.mark.parametrize("n", [1, 2])
def test_no_blocked_text_has_a_run_of_tokens_twice(n: int) -> None:
    length = 4 if n == 1 else 9

    def runs(text: list[int]) -> list[tuple[int, ...]]:
        return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]

    def doubled(tokens: np.ndarray) -> bool:
        texts = tokens[..., :length].reshape(-1, length).tolist()
        return any(len(set(runs(t))) < len(runs(t)) for t in texts)

    free = jax.device_get(search(MODEL, PARAMS, PROMPT, 3, 9))  # for both n the same program
    held = jax.device_get(search(MODEL, PARAMS, PROMPT, 3, length, block=n))
    assert doubled(free.tokens) and not doubled(held.tokens)
    whole = np.concatenate([np.repeat(PROMPT[:, None], 3, 1), held.tokens], 2)
    log_p = log_p_after(whole)[:, :, P - 1 : -1]
    own = np.take_along_axis(log_p, held.tokens[..., None], 3)[..., 0]
    np.testing.assert_allclose(held.log_probs, own, rtol=0, atol=2e-5)


def test_repeats_are_what_a_look_at_every_place_finds() -> None:
    tokens = np.random.default_rng(3).integers(0, 3, (2, 4, 8), np.int32)
    compiled = jax.jit(repeats, static_argnums=(2, 3))
    for n, t in itertools.product((1, 2, 3, 9), (0, 1, 2, 5, 8)):
        got = np.asarray(compiled(tokens, t, n, 4))
        for row in np.ndindex(2, 4):
            text = tokens[row][:t].tolist()
            runs = [text[i : i + n] for i in range(t - n + 1)]
            recent = text[t - n + 1 :] if n > 1 else []
            want = [t >= n - 1 and [*recent, v] in runs for v in range(4)]
            assert got[row].tolist() == want, (n, t, text)


def test_the_length_penalty_is_wu_et_als() -> None:
    assert length_penalty(1, 0.6) == 1
    assert length_penalty(7, 0.6) == pytest.approx(2**0.6)
    assert length_penalty(7, 0.0) == 1


def test_a_forbidden_token_is_in_no_text_and_has_no_share() -> None:
    found = jax.device_get(search(MODEL, PARAMS, PROMPT, V**N, N, forbid=2))
    some = np.isfinite(found.scores)
    assert some.sum(1).tolist() == [(V - 1) ** N] * B
    assert not (found.tokens[some] == 2).any()
    np.testing.assert_allclose(np.exp(found.scores).sum(1), 1, rtol=0, atol=1e-4)


def test_coverage_is_wu_et_als_over_the_places_that_exist() -> None:
    """A model that looks at one place a token: every text's score by hand, in order."""
    log_p, exists = np.log(np.float32([0.2, 0.35, 0.3, 0.15])), np.array([[True, True, False]])

    def apply(W: Any, carry: Any, xs: Any, **_: Any) -> tuple[Any, Any]:
        (token,) = xs
        look = jax.nn.one_hot(token % 2, 3) * 0.7
        return (carry[0] + look, carry[1]), jnp.broadcast_to(log_p, (1, token.size, 4))

    model = Model(lambda key: (), lambda W, lanes: (jnp.zeros((lanes, 3)), exists), apply)
    how = {"end": END, "alpha": 0.5, "seen": tuple, "coverage": 0.4}
    found = jax.device_get(search(model, (), np.zeros((1, 1), np.int32), 27, 2, **how))
    want = {}
    for text in [(3,), *((a, 3) for a in range(3)), *itertools.product(range(3), repeat=2)]:
        read = [0, *(text[:-1] if text[-1] == 3 else text)]
        seen = [min(1, 0.7 * sum(t % 2 == s for t in read)) for s in (0, 1)]
        penalty = 0.4 * sum(np.log(max(each, 1e-9)) for each in seen)
        want[text] = log_p[list(text)].sum() / ((5 + len(text)) / 6) ** 0.5 + penalty
    order = sorted(want, key=lambda text: (text[-1] != 3, -want[text]))
    got = [tuple(r[:n].tolist()) for r, n in zip(found.tokens[0], found.lengths[0], strict=True)]
    assert set(got[: len(order)]) == set(want)
    np.testing.assert_allclose(found.scores[0, :13], [want[t] for t in order], rtol=0, atol=1e-5)
    assert order[0] == (1, 3)  # which reads both places, before the likelier (3,)
