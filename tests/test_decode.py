"""Writing against a loop over whole prefixes, and what is drawn against the probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rnn_jax.decode import generate, restrict
from rnn_jax.models import language_model

B, P, N, X, H, V = 3, 4, 6, 5, 7, 11
MODEL = language_model(V, "gru", H, 1, X)


def weights() -> Any:
    """Random parameters, large enough that what is likely depends on what was read."""
    noise = np.random.default_rng(0)
    return jax.tree.map(
        lambda a: noise.normal(0, 2, a.shape).astype(a.dtype),
        jax.eval_shape(MODEL.init, jax.random.key(0)),
    )


PARAMS = weights()
PROMPT = np.random.default_rng(0).integers(0, V, (B, P), np.int32)
KEY = jax.random.key(0)


@jax.jit
def _read(tokens: jax.Array) -> jax.Array:
    _, ys = MODEL.apply(PARAMS, MODEL.start(PARAMS, tokens.shape[0]), tokens.T)
    return jnp.swapaxes(ys, 0, 1)


def read(tokens: np.ndarray) -> np.ndarray:
    """Logits [B, L, V] after each token of [B, L], from the start; padded behind, to share
    programs.
    """
    length = tokens.shape[1]
    return np.asarray(_read(np.pad(tokens, [(0, 0), (0, P + N - length)])))[:, :length]


def log_probs_of(tokens: np.ndarray, forbid: int | None = None) -> np.ndarray:
    """log p of each of the last N tokens of [B, P + N], all given, in float64."""
    logits = read(tokens).astype(np.float64)[:, P - 1 : -1]
    if forbid is not None:
        logits[..., forbid] = -np.inf
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.take_along_axis(logits, tokens[:, P:, None], -1)[..., 0]


def test_greedy_is_the_argmax_after_each_whole_prefix() -> None:
    want = np.concatenate([PROMPT, np.zeros((B, N), np.int32)], 1)
    for at in range(P, P + N):  # what stands behind a position cannot change it
        want[:, at] = read(want)[:, at - 1].argmax(-1)
    tokens, log_probs = generate(MODEL, PARAMS, PROMPT, KEY, N, greedy=True)
    assert tokens.tolist() == want[:, P:].tolist()
    assert len(np.unique(want[:, P:])) > 5  # the claim is not about one token
    np.testing.assert_allclose(log_probs, log_probs_of(want), rtol=0, atol=1e-5)


def test_prompts_in_a_batch_write_as_one_by_one() -> None:
    def greedy(prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return jax.device_get(generate(MODEL, PARAMS, prompt, KEY, N, greedy=True))

    together, together_p = greedy(PROMPT)
    for b in range(B):
        alone, p = greedy(PROMPT[b : b + 1])
        assert alone[0].tolist() == together[b].tolist()
        np.testing.assert_allclose(p[0], together_p[b], rtol=0, atol=1e-5)


def test_log_probabilities_are_the_models_own_and_the_key_decides() -> None:
    def write(seed: int) -> tuple[np.ndarray, np.ndarray]:
        how = {"temperature": 1.7, "top_k": 8, "top_p": 0.9}
        return jax.device_get(generate(MODEL, PARAMS, PROMPT, jax.random.key(seed), N, **how))

    tokens, log_probs = write(0)
    assert tokens.shape == log_probs.shape == (B, N) and tokens.dtype == PROMPT.dtype
    want = log_probs_of(np.concatenate([PROMPT, tokens], 1))
    np.testing.assert_allclose(log_probs, want, rtol=0, atol=1e-5)
    assert (write(0)[0] == tokens).all()
    assert len({write(seed)[0].tobytes() for seed in range(5)}) == 5


def test_forbidden_token_is_never_written() -> None:
    prompt = np.repeat(PROMPT, 20, 0)
    forbid = int(read(prompt)[0, -1].argmax())
    tokens, log_probs = jax.device_get(generate(MODEL, PARAMS, prompt, KEY, N, forbid=forbid))
    assert not (tokens == forbid).any()
    want = log_probs_of(np.concatenate([prompt, tokens], 1), forbid)
    np.testing.assert_allclose(log_probs, want, rtol=0, atol=1e-5)


def test_draws_have_the_probabilities_of_the_shaped_softmax() -> None:
    """Two tokens of many lanes: top-k of logits / temperature, the second given the first."""
    lanes, k, temperature = 20_000, 3, 0.7
    prompt = np.repeat(PROMPT[:1], lanes, 0)
    how = {"temperature": temperature, "top_k": k}
    tokens, _ = jax.device_get(generate(MODEL, PARAMS, prompt, KEY, 2, **how))

    def shaped(logits: np.ndarray, temperature: float) -> np.ndarray:
        p = np.exp(np.asarray(logits, np.float64) / temperature)
        p[np.argsort(p)[:-k]] = 0
        return p / p.sum()

    def expected(temperature: float) -> np.ndarray:
        p = np.zeros((V, V))
        first = shaped(read(PROMPT[:1])[0, -1], temperature)
        for token in np.flatnonzero(first):
            after = read(np.append(PROMPT[0], np.int32(token))[None])[0, -1]
            p[token] = first[token] * shaped(after, temperature)
        return p

    counts = np.zeros((V, V))
    np.add.at(counts, tuple(tokens.T), 1)
    likely = expected(temperature)
    drawn = likely > 0
    assert drawn.sum() == k * k and counts[~drawn].sum() == 0
    assert (lanes * likely[drawn]).min() > 5
    assert stats.chisquare(counts[drawn], lanes * likely[drawn]).pvalue > 0.001
    assert stats.chisquare(counts[drawn], lanes * expected(0.75)[drawn]).pvalue < 1e-6


def kept(logits: np.ndarray, k: int, p: float) -> set[int]:
    """The rule of top-k and then top-p for one row without ties, a token at a time."""
    order, mass, tokens = np.argsort(-logits)[: k or None], 0.0, set()
    probabilities = np.exp(logits[order].astype(np.float64))
    for token, probability in zip(order, probabilities / probabilities.sum(), strict=True):
        if mass < p:
            tokens.add(int(token))
        mass += probability
    return tokens


restricted = jax.jit(restrict, static_argnames=("top_k", "top_p"))


@pytest.mark.parametrize("k", [0, 1, 4, V, V + 3])
@pytest.mark.parametrize("p", [1e-9, 0.3, 0.9, 1.0])
def test_restrict_keeps_exactly_the_right_set(k: int, p: float) -> None:
    logits = np.random.default_rng(2).normal(0, 1, (2, 5, V)).astype(np.float32)
    got = np.asarray(restricted(logits, top_k=k, top_p=p))
    sizes = set()
    for row in np.ndindex(2, 5):
        tokens = kept(logits[row], k, p)
        assert set(np.flatnonzero(np.isfinite(got[row])).tolist()) == tokens
        sizes.add(len(tokens))
        rest = [v for v in range(V) if v not in tokens]
        assert (got[row][list(tokens)] == logits[row][list(tokens)]).all()
        assert (got[row][rest] == -np.inf).all()
    if k == 1 or p == 1e-9:
        assert sizes == {1}
    elif p == 1.0:
        assert sizes == {min(k or V, V)}
    else:
        assert len(sizes) > 1


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    def left(logits: np.ndarray, **how: Any) -> list[int]:
        return np.flatnonzero(np.isfinite(restricted(logits, **how))).tolist()

    logits = np.log(np.array([0.15, 0.4, 0.15, 0.3], np.float32))
    for p, want in [
        (0.39, [1]),
        (0.41, [1, 3]),
        (0.69, [1, 3]),
        (0.71, [0, 1, 2, 3]),
    ]:  # a tie stays
        assert left(logits, top_p=p) == want
    # What is forbidden has no mass, and what top-k left out has none.
    gone = np.where(np.arange(4) == 1, np.float32(-np.inf), logits)
    assert left(gone, top_p=0.45) == [3]
    assert left(logits, top_k=2, top_p=0.56) == [1]
