"""What a trained network writes about pictures, and how near it comes."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.captions.data import BEGIN, END, Captioned, Data

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

_LANES = 50


def written(
    model: Any, params: Any, data: Data, part: Captioned, rows: "np.ndarray", beams: int
) -> list[list[str]]:
    """The most probable caption that beam search finds for each of these pictures, as words."""
    import numpy as np

    from rnn_jax import decode

    found = []
    for begin in range(0, len(rows), _LANES):
        some = rows[begin : begin + _LANES]
        filled = np.concatenate([some, np.zeros(_LANES - len(some), int)])
        tokens, _ = decode.beam(
            *(model, params, BEGIN, beams, data.longest),
            **{"end": END, "forbid": BEGIN, "context": part.pictures(filled, None)},
        )
        found += [data.words(one) for one in np.asarray(tokens)[: len(some), 0]]
    return found


def mistakes(said: Sequence[list[str]], right: Sequence[list[list[str]]]) -> dict[str, int]:
    """How often which words stood for which, "caron > breve": of each wrong caption the words that
    only the right one has, and those that only it has, in the order of how often.
    """
    found: Counter[str] = Counter()
    for words, names in zip(said, right, strict=True):
        if words in names:
            continue
        missing, added = min(
            (_apart(one, words) for one in names), key=lambda two: len(two[0] + two[1])
        )
        found[f"{' '.join(missing) or '-'} > {' '.join(added) or '-'}"] += 1
    return dict(found.most_common())


def _apart(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    """The words of each that the other lacks; both whole where they differ in order alone."""
    a, b = Counter(one) - Counter(other), Counter(other) - Counter(one)
    return ([*a.elements()], [*b.elements()]) if a or b else (one, other)


def bleu(said: Sequence[list[str]], right: Sequence[list[list[str]]]) -> float | None:
    """Corpus BLEU with several right captions each, by sacrebleu; None where it is missing."""
    try:
        import sacrebleu
    except ImportError:
        return None
    most = max(map(len, right))
    streams = [
        [" ".join(each[i]) if i < len(each) else None for each in right] for i in range(most)
    ]
    texts = [" ".join(words) for words in said]
    return float(sacrebleu.corpus_bleu(texts, streams, tokenize="none", force=True).score)
