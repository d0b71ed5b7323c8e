"""n-gram models: the conditional probability table by counting, smoothed, of n = 1 to N.

    python -m experiments.ngram --corpus book.txt                  seconds, interpolated Kneser-Ney
    python -m experiments.ngram --corpus book.txt --n 7 --smoothing em
    python -m experiments.ngram --corpus book.txt --alphabet words --contexts " four score"

Prints the slide's table (contexts, next tokens, probabilities), by counting and as the smoothed
model has it; then for every n how the full table grows, how little of it the text fills, what share
of the held-out n-grams was never seen, and the perplexity; then a text written by the longest
model, which is a cell whose carry is a window. Held-out tinyshakespeare, characters, 5-grams:
1.579 nats by Kneser-Ney, 1.610 by the ensemble, 1.791 by add 0.1.
"""

import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments import cli, language
from experiments.cli.files import check, save
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from rnn_jax.data.text import Corpus, Vocabulary
    from rnn_jax.ngrams import Counts, Growth, Tables

FILES = ("ngram.json", "ngram.png", "sample.txt")
QUICK = {"n": 3, "sample": 100}

_FOR_WEIGHTS = 0.1  # of the training part, its end: what --smoothing em fits the weights on
_CONTEXTS, _BEST, _COLUMNS = 5, 2, 8  # of the printed table: rows, best tokens of each, columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.TextSettings):
    """Nothing is trained by steps: a table is counted."""

    RANGES: ClassVar[Mapping[str, str]] = {
        "n": "[1, 50]",
        "add_k": "[1e-12, 1e6]",  # what single precision can divide and add up
        "sample": "[0, inf)",
    }

    n: int = 5
    """the longest n: a token and the n - 1 before it"""
    smoothing: Literal["kneser-ney", "em", "add", "none"] = "kneser-ney"
    """interpolated Kneser-Ney; an ensemble of all n up to this one with weights by EM, fitted on
    the last tenth of the training part; --add-k added to every count; nothing"""
    add_k: float = 0.1
    """what --smoothing add adds"""
    contexts: tuple[str, ...] = ()
    """whose next tokens to print, a word with the space before it: " the fat"; if none the most
    frequent of two tokens"""
    prompt: str = "\n"
    """what the sample goes on from"""
    sample: int = 200
    """tokens to write; 0 for none"""


def smoother(config: Config, corpus: "Corpus", counts: "Counts") -> Callable[[int], "Tables"]:
    """``n -> tables`` by the configuration's smoothing, n up to config.n."""
    from rnn_jax import ngrams

    def fit(n: int) -> "Tables":
        seen = counts.upto(n)
        if config.smoothing == "none":
            return ngrams.maximum_likelihood(seen)
        if config.smoothing == "add":
            return ngrams.add(seen, config.add_k)
        return ngrams.kneser_ney(seen, ngrams.discounts(seen))

    if config.smoothing != "em":
        return fit
    text, held_out = ngrams.reserved(corpus.train, _FOR_WEIGHTS)
    part = ngrams.count(text, counts.vocabulary, config.n)

    def ensemble(n: int) -> "Tables":
        fitted = ngrams.fit_ensemble(part.upto(n), held_out)
        shown = " ".join(f"{weight:.4f}" for weight in fitted.weights())
        print(f"weights of n = 0 … {n} after {len(fitted.likelihoods)} steps of EM: {shown}")
        return ngrams.ensemble(counts.upto(n), fitted.mu)  # a part's weights, all the counts

    return ensemble


def chosen_contexts(
    config: Config, vocabulary: "Vocabulary", counts: "Counts"
) -> list[tuple[str, "np.ndarray"]]:
    """--contexts as written, or the most frequent, each with its tokens; BadInput if too long."""
    import numpy as np

    from rnn_jax import ngrams

    if not config.contexts:
        length = min(2, config.n - 1)
        frequent = ngrams.most_frequent(counts, length, _CONTEXTS) if length else [()]
        return [(vocabulary.decode(c), np.asarray(c, np.int32)) for c in frequent]
    found = [(context, language.encode(context, vocabulary)) for context in config.contexts]
    for context, tokens in found:
        if len(tokens) >= config.n:
            needed = f"--n {len(tokens) + 1} or more"
            raise BadInput(f"--contexts {context!r} is {len(tokens)} tokens long: use {needed}")
    return found


def slide_table(
    contexts: list[tuple[str, "np.ndarray"]],
    vocabulary: "Vocabulary",
    counts: "Counts",
    fit: Callable[[int], "Tables"],
) -> list[dict[str, Any]]:
    """For each context, p of next tokens by counting and smoothed, n one more than its length.

    By counting, a context never seen has no distribution: None.
    """
    import numpy as np

    from rnn_jax import ngrams

    def p(tables: "Tables", context: Any) -> Any:
        return np.asarray(ngrams.distribution(tables, ngrams.widths(tables), context[None])[0])

    counted = [p(ngrams.maximum_likelihood(counts.upto(len(c) + 1)), c) for _, c in contexts]
    smoothed = [p(fit(len(c) + 1), c) for _, c in contexts]
    best = [w for p in smoothed for w in np.argsort(-p, kind="stable")[:_BEST].tolist() if p[w]]
    shown = list(dict.fromkeys(best))[:_COLUMNS]

    def named(p: Any) -> dict[str, float] | None:
        return {vocabulary.symbols[w]: float(p[w]) for w in shown} if p.any() else None

    return [
        {"context": written, "counted": named(p), "smoothed": named(q)}
        for (written, _), p, q in zip(contexts, counted, smoothed, strict=True)
    ]


def show_slide_table(smoothing: str, rows: list[dict[str, Any]]) -> None:
    """A line for each context, a column for each next token."""
    symbols = next((list(row["smoothed"]) for row in rows if row["smoothed"]), [])
    width = max([7, *(len(repr(symbol)) + 1 for symbol in symbols)])
    side = max(len(repr(row["context"])) for row in rows)
    titles = {"counted": "count(context token) / count(context)", "smoothed": smoothing}
    for kind, title in list(titles.items())[: 1 if smoothing == "none" else 2]:
        heads = "".join(f"{symbol!r:>{width}}" for symbol in symbols)
        print(f"\np(token | context) by {title}\n{'':{side}}{heads}")
        for row in rows:
            values = "".join(f"{_short(p):>{width}}" for p in (row[kind] or {}).values())
            told = values or "  never seen: without smoothing no token has a probability"
            print(f"{row['context']!r:{side}}{told}")


def _short(p: float) -> str:
    """A probability in few characters, 0 only where it is 0."""
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.0e}" if p else "0"


def show_growth(rows: list["Growth"]) -> None:
    """A line for each n."""
    heads = " n   entries V^n      distinct    parameters  held-out never seen    nats    bits"
    print(f"\n{heads}  perplexity")
    for row in rows:
        share = row.unseen / max(row.held_out, 1)
        print(
            f"{row.n:2} {Decimal(row.entries):13.3e} {row.distinct:13,} {row.parameters:13,} "
            f"{share:20.2%} "
            f"{row.nats:7.4f} {row.nats / math.log(2):7.4f} {row.perplexity:11.2f}"
        )
        if math.isinf(row.nats):
            print(
                f"   {row.unseen_contexts:,} of {row.held_out:,} contexts never seen, and "
                f"{row.unseen - row.unseen_contexts:,} tokens never after theirs: "
                "without smoothing, probability 0"
            )


def write(config: Config, vocabulary: "Vocabulary", tables: "Tables") -> str:
    """What the model writes after the prompt, through `decode.generate` as a recurrent network.

    Without smoothing it ends where the context was never seen. BadInput for an empty prompt.
    """
    if not config.prompt:
        raise BadInput("--prompt is empty: give at least one token, or --sample 0")
    import jax
    import numpy as np

    from rnn_jax import decode, models, ngrams

    model, prompt = models.stack(ngrams.cell(tables)), language.encode(config.prompt, vocabulary)
    tokens, log_p = decode.generate(
        *(model, (tables,), prompt[None], jax.random.key(config.seed), config.sample),
        forbid=vocabulary.unknown,
    )
    known = np.isfinite(log_p[0])
    end = config.sample if known.all() else int(known.argmin())
    told = "" if known.all() else "\n[context never seen: without smoothing nothing follows]"
    return config.prompt + vocabulary.decode(tokens[0, :end]) + told


def run(config: Config) -> dict[str, Any]:
    """Count, print the tables, score every n, write; nats per token of the longest n."""
    check(config.out, FILES)
    corpus = language.read(config)
    from rnn_jax import ngrams, scores
    from rnn_jax.digest import digest
    from rnn_jax.plain import plain

    began = time.monotonic()
    counts = ngrams.count(corpus.train, len(corpus.vocabulary), config.n)
    fit = functools.cache(smoother(config, corpus, counts))
    tables = fit(config.n)
    seconds = time.monotonic() - began
    contexts = chosen_contexts(config, corpus.vocabulary, counts)
    table = slide_table(contexts, corpus.vocabulary, counts, fit)
    show_slide_table(config.smoothing, table)
    rows = ngrams.growth(counts, corpus.valid, fit)
    show_growth(rows)
    sample = write(config, corpus.vocabulary, tables) if config.sample else ""
    print(f"\n{sample}")
    test = corpus.test and {"test": -ngrams.log_probabilities(tables, corpus.test).mean()}
    results = {
        **scores.language(rows[-1].nats, corpus),
        **(test or {}),
        **{"seconds": round(seconds, 3), "tokens_per_second": len(corpus.train.targets) / seconds},
        **{"parameters": ngrams.size(tables), "step": 0, "digest": digest(tables)},
        "out": config.out,
    }
    told = {"config": cli.identity(config), "data": corpus.record, **results, "table": table}
    told["growth"] = [row._asdict() for row in rows]
    picture = ngrams.picture(rows, f"smoothing: {config.smoothing}")
    contents = [json.dumps(plain(told), indent=1) + "\n", picture, sample + "\n"]
    save(config.out, dict(zip(FILES, contents[: 2 + bool(sample)], strict=False)))
    return results


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
