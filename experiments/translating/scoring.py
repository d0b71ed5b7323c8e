"""How good what was written is, and what it costs to read one's own mistakes."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.translating.material import Coded, Material
from experiments.translating.settings import TranslationSettings
from experiments.translating.writing import Writer
from rnn_jax import evaluate, losses, tasks
from rnn_jax.models import Model
from rnn_jax.tasks import Task


def wrong(written: Sequence[str], pairs: Sequence[Any]) -> float:
    """The share of texts that are not exactly their target."""
    return float(np.mean([text != pair.target for text, pair in zip(written, pairs, strict=True)]))


def corpus_scores(written: Sequence[str], targets: Sequence[str]) -> dict[str, float] | None:
    """BLEU and chrF of whole texts as sacrebleu has them; None, and a line, where it is missing."""
    try:
        import sacrebleu
    except ImportError:
        print("note: no BLEU and chrF without sacrebleu: pip install sacrebleu", file=sys.stderr)
        return None
    bleu = sacrebleu.metrics.BLEU()
    scored = bleu.corpus_score(list(written), [list(targets)])
    chrf = sacrebleu.metrics.CHRF().corpus_score(list(written), [list(targets)])
    return {
        "bleu": round(scored.score, 2),
        "chrf": round(chrf.score, 2),
        "brevity": round(scored.bp, 4),
        "signature": str(bleu.get_signature()),
    }


def gap(model: Model, task: Task, params: Any) -> dict[str, float]:
    """Validation forced and running free: nats and wrong symbols a step, and the difference.

    Free, a step reads the most probable symbol after what was written so far, and is asked for the
    target's at that place all the same.
    """
    found = {}
    plain = task._replace(loss=losses.cross_entropy)
    for name, each in (("forced", plain), ("free", tasks.free_running(plain))):
        score = evaluate.make_evaluate(model, each)(params)
        found |= {f"nats_{name}": score.loss, f"error_{name}": score.error}
    return {**found, "gap_nats": found["nats_free"] - found["nats_forced"]}


def results(
    config: TranslationSettings, writer: Writer, params: Any, part: Coded
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """What is reported of the test part, and what was written for it, by greedy and beam search."""
    written = {"greedy": writer.greedy(params, part.sources)}
    if config.beams > 1:
        told = (config.beams, config.length_penalty, config.coverage)
        written[f"beam {config.beams}"] = writer.beam(params, part.sources, *told)
    scores: dict[str, Any] = {}
    for how, texts in written.items():
        name = how.split()[0]
        scores[f"{name}_exact"] = 1 - wrong(texts, part.pairs)
        if not writer.material.made:
            scores[name] = corpus_scores(texts, [pair.target for pair in part.pairs])
    return {**_value(writer.material, part, written, scores), **scores}, written


def _value(
    material: Material, part: Coded, written: dict[str, list[str]], scores: dict[str, Any]
) -> dict[str, Any]:
    """The one number: BLEU of the last way of writing, else the share of wrong answers of greedy.

    Beside it copying the source has a BLEU, and the commonest answer is wrong as often as it is.
    """
    last = scores.get(list(written)[-1].split()[0])
    if last:
        copied = corpus_scores(
            [pair.source for pair in part.pairs], [pair.target for pair in part.pairs]
        )
        metric = f"test BLEU, {list(written)[-1]}"
        return {
            **{"metric": metric, "value": last["bleu"], "better": "higher"},
            **{"baseline": copied and copied["bleu"]},
        }
    ((common, _),) = Counter(pair.target for pair in material.train.pairs).most_common(1)
    return {
        "metric": "share of test answers not exactly right, running free",
        **{"value": wrong(written["greedy"], part.pairs), "better": "lower"},
        "baseline": wrong([common] * len(part.pairs), part.pairs),
    }
