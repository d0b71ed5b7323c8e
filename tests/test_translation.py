"""Translation from the command line: runs, what they report, and what they refuse."""

import json

import pytest

from experiments import translation
from rnn_jax import run as runs

SMALL = (
    *("--hidden", "8", "--embed", "4", "--lanes", "4", "--buckets", "1", "--beams", "2"),
    *("--eval-every", "4", "--save-every", "2", "--log-every", "2", "--valid", "0.2"),
    *("--test", "0.2", "--least", "1", "--coverage", "0.2"),
)
WORDS = (("a dog", "ein Hund"), ("two cats", "zwei Katzen"), ("the sun", "die Sonne"))


@pytest.fixture
def files(tmp_path):
    """Two files of 30 lines each, aligned."""
    numbers = "one two three four five six seven eight nine ten".split()
    lines = [(f"{a} , {n}", f"{b} ; {n}") for a, b in WORDS for n in numbers]
    for side, name in enumerate(("a.en", "a.de")):
        (tmp_path / name).write_text("".join(f"{line[side]}\n" for line in lines))
    return [str(tmp_path / name) for name in ("a.en", "a.de")]


def trained(capsys, out, *flags):
    assert translation.main([*SMALL, *flags, "--out", str(out)]) == 0
    written = capsys.readouterr().out
    assert written.count("\n") == 1, "stdout is one line of JSON"
    return json.loads(written)


@pytest.mark.slow
def test_a_run_on_two_files_is_scored_opened_and_drawn(capsys, files, tmp_path):
    pytest.importorskip("sacrebleu")
    found = trained(capsys, tmp_path / "one", "--data", *files, "--steps", "2")
    assert found["step"] == 2
    assert found["metric"] == "test BLEU, beam 2" and found["better"] == "higher"
    assert found["beam"]["bleu"] == found["value"] and "chrf" in found["greedy"]
    gap = found["nats_free"] - found["nats_forced"]
    assert found["gap_nats"] == pytest.approx(gap) and found["nats_forced"] > 0
    told = (tmp_path / "one" / "translations.txt").read_text()
    assert told.count("source ") == 6 and "beam 2" in told
    assert (tmp_path / "one" / "attention.png").read_bytes().startswith(b"\x89PNG")
    opened = runs.open(tmp_path / "one")
    named = opened.manifest["data"]["vocabularies"]
    assert opened.config["attention"] == "general" and " Hund" in named["target"]["symbols"]
    assert opened.params["decoder"]["R"].shape[0] == len(named["target"]["symbols"]) + 1


SHARES = ("--valid", "0.2", "--test", "0.2")
BAD = {
    "lines": (["a.en", "short.de"], "has 30 lines and"),
    "empty file": (["nothing.en", "nothing.de"], "are empty"),
    "empty sentence": (["gap.en", "a.de"], "line 2: the source is empty"),
    "too long": (["a.en", "a.de", "--longest", "3"], "line 1: the source has 4 symbols"),
    "none is left": (["a.en", "a.de", "--longest", "2", "--skip"], "--longest"),
    "column": (["a.tsv"], "choose --source from en, de"),
    "no file": (["a.en", "b.de"], "b.de"),
    "binary": (["a.en", "binary.de"], "not text"),
    "three": (["a.en", "a.de", "a.en"], "two files"),
    "name": (["adition"], "nearest: addition"),
    "size": (["reversal", "--size", "1000"], "--size"),
    "curriculum": (["addition", "--curriculum", "9"], "--curriculum"),
    "coverage": (["reversal", "--attention", "none", "--coverage", "1"], "--coverage"),
    "dot": (["reversal", "--attention", "dot", "--hidden", "7", *SHARES], "--hidden"),
    "cell": (["reversal", "--cell", "gur", *SHARES], "gru"),
    "few": (["few.en", "few.de"], "leave none"),
    "hub": (["hub:bentrevett/multi30k"], "HF_HUB_OFFLINE"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_pairs_are_one_line_and_nothing_is_written(case, capsys, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = (tmp_path / "a.en").read_text()
    contents = {
        **{"short.de": "ein Hund\n", "nothing.en": "", "nothing.de": ""},
        **{"gap.en": whole.replace("a dog , two", " "), "a.tsv": "en\tde\na\tb\n"},
        **{"binary.de": "\0\1", "few.en": "a\n", "few.de": "b\n"},
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    flags, mend = BAD[case]
    assert translation.main(["--pairs", "20", "--data", *flags, "--out", "run"]) == 2
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(errors) == 1 and err.endswith(errors[0] + "\n")
    assert mend in errors[0] and not (tmp_path / "run").exists()
