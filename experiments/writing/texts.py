"""Texts from prompts: drawn as they are shown, or searched for."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.scoring.readers import Reader
from experiments.writing.settings import Options
from rnn_jax import decode

_LIVE, _UNSEEN = 8, 64  # tokens that are written at once, where somebody looks on and elsewhere
_LANES = 64  # texts written side by side


class Text(NamedTuple):
    """What was written after a prompt: up to a stop, whose tokens are there, and the text not.

    log_probs: of the tokens, in nats; score: what the search ranked by, or their sum.
    """

    text: str
    tokens: np.ndarray
    log_probs: np.ndarray
    score: float


def write(
    reader: Reader,
    prompts: Sequence[np.ndarray],
    options: Options,
    show: Callable[[str], None] | None = None,
) -> Iterator[list[Text]]:
    """For each prompt of tokens in order its texts, --samples of them.

    show: called with what there is to see of a single text, as it comes.
    """
    each = 1 if options.beams else options.samples
    key = jax.random.key(options.seed)
    group = max(1, _LANES // max(each, options.beams))
    for begin in range(0, len(prompts), group):
        some = prompts[begin : begin + group]
        now = key if begin == 0 else jax.random.fold_in(key, begin)
        if options.beams:
            yield from _searched(reader, some, options)
            continue
        lanes = [prompt for prompt in some for _ in range(each)]
        texts = _drawn(reader, lanes, options, now, show if len(lanes) == 1 else None)
        yield from (texts[i : i + each] for i in range(0, len(texts), each))


def _drawn(
    reader: Reader, lanes: Sequence[np.ndarray], options: Options, key: Any, show: Any
) -> list[Text]:
    """One text a lane; all end once each has met a stop."""
    names = ("temperature", "top_k", "top_p", "greedy", "block")
    written = decode.stream(
        *(reader.model, reader.params),
        decode.read_texts(reader.model, reader.params, lanes),
        *(key, options.length),
        chunk=_LIVE if show or options.stop else _UNSEEN,
        forbid=reader.vocabulary.unknown,
        **{name: getattr(options, name) for name in names},
    )
    screens = [decode.Screen(reader.vocabulary, options.stop) for _ in lanes]
    chunks = []
    for chunk in written:
        chunks.append(jax.device_get(chunk))
        for screen, tokens in zip(screens, chunks[-1][0], strict=True):
            seen = screen.add(tokens)
            if show:
                show(seen)
        if all(screen.stopped for screen in screens):
            break
    rest = [screen.end() for screen in screens]
    if show:
        show(rest[0])
    tokens, log_probs = (np.concatenate(parts, axis=1) for parts in zip(*chunks, strict=True))
    return [
        Text(screen.text, tokens[i, :n], log_probs[i, :n], float(log_probs[i, :n].sum()))
        for i, screen in enumerate(screens)
        for n in [screen.count]
    ]


def _searched(
    reader: Reader, prompts: Sequence[np.ndarray], options: Options
) -> Iterator[list[Text]]:
    """The best texts after each prompt. A stop that is one symbol ends a text of the search."""
    prompt, mask = decode.padded(prompts)
    known = frozenset(reader.vocabulary.symbols)
    single = [stop for stop in options.stop if stop in known]
    end = int(reader.vocabulary.encode(single[0])[0]) if single else None
    found = jax.device_get(
        decode.search(
            *(reader.model, reader.params, prompt, options.beams, options.length),
            **{"end": end, "alpha": options.length_penalty, "block": options.block},
            **{"forbid": reader.vocabulary.unknown, "mask": mask},
        )
    )
    for tokens, scores, nats, lengths in zip(*found, strict=True):
        texts = []
        for i in np.flatnonzero(np.isfinite(scores))[: options.samples]:
            screen = decode.Screen(reader.vocabulary, options.stop)
            screen.add(tokens[i, : lengths[i]])
            screen.end()
            n = screen.count
            texts.append(Text(screen.text, tokens[i, :n], nats[i, :n], float(scores[i])))
        yield texts
