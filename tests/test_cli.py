"""Flags, settings, folders and the one line of JSON, on a toy experiment."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import experiments.__main__ as listing
from experiments import cli, sample
from experiments.cli import flags
from rnn_jax.data.text import Vocabulary
from rnn_jax.errors import BadInput, Stopped

ROOT = Path(__file__).parents[1]
QUICK = {"hidden": 8, "steps": 5}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cli.LanguageSettings):
    RANGES: ClassVar[Mapping[str, str]] = {"share": "(0, 1]"}
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"dispatch"})

    steps: int = 100
    lr: float = 0.002
    log_every: int = 10
    eval_every: int = 50
    save_every: int = 50
    layers: int = 2
    hidden: int = 128
    bptt: int = 50
    lanes: int = 30
    share: float = 0.5
    dispatch: int = 1
    sizes: tuple[int, ...] = ()
    best: int | None = None


def run(config: Config) -> dict[str, Any]:
    print("working")
    return {
        "metric": "nats",
        "value": np.float32(1.5),
        "config": config.__dict__,
        "worst": math.nan,
    }


def main(*argv: str, run: Any = run) -> int:
    return cli.main("/some/where/toy.py", Config, run, QUICK, list(argv))


def config_of(*argv: str) -> Config:
    """What `run` is given."""
    seen: list[Config] = []
    assert main(*argv, run=lambda config: seen.append(config) or {}) == 0
    return seen[0]


@pytest.fixture
def refusal(capsys):
    """The one line that a bad command line is answered with."""

    def refused(*argv: str) -> str:
        assert main(*argv, run=lambda config: pytest.fail("it ran")) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
        return err.removeprefix("error: ").strip()

    return refused


def test_stdout_is_one_line_of_json(capsys):
    assert main("--hidden", "3") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert out.count("\n") == 1 and err == "working\n"
    promised = "experiment metric value baseline better seconds tokens_per_second parameters"
    assert list(told)[:11] == [*promised.split(), "step", "digest", "out"]
    assert told["experiment"] == "toy" and told["value"] == 1.5 and told["config"]["hidden"] == 3
    assert told["worst"] is None and told["digest"] is None


@pytest.mark.parametrize("written", ["--seq-len 7", "--seq_len=7", "--bptt=7", "--bptt 9 --bptt 7"])
def test_a_flag_has_more_than_one_spelling(written):
    assert config_of(*written.split()).bptt == 7


def test_every_kind_of_value_is_read():
    config = config_of(
        *"--lr 1e-3 --corpus a b --corpus=c --alphabet bytes --sizes 2 3 --best 4 --out -x".split()
    )
    assert (config.lr, config.corpus, config.alphabet) == (1e-3, ("a", "b", "c"), "bytes")
    assert (config.sizes, config.best, config.out) == ((2, 3), 4, "-x")
    assert config_of("--best", "None").best is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(str | None, "None", None), (bool | None, "False", False), (float | None, "1e3", 1000.0)],
)
def test_a_value_of_several_types_is_the_narrowest(kind, text, value):
    assert flags._value(kind, text) == value
    with pytest.raises(TypeError, match="no flag can be of type"):
        flags._value(bytes, text)


def test_explicit_flags_override_quick_wherever_they_stand():
    assert config_of("--quick").hidden == 8
    for argv in (["--quick", "--hidden", "9"], ["--hidden", "9", "--quick"]):
        config = config_of(*argv)
        assert (config.quick, config.hidden, config.steps) == (True, 9, 5)
    assert config_of("--quick", "--no-quick").hidden == 128


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("--hiden 5", "unknown flag --hiden; nearest: --hidden (see --help)"),
        ("--hiden=5", "unknown flag --hiden; nearest: --hidden (see --help)"),
        ("-hidden 5", "unknown flag -hidden; nearest: --hidden (see --help)"),
        ("--hidden abc", "--hidden abc: expected an integer (see --help)"),
        ("--seed 3 --hidden 1.5 --lr 1", "--hidden 1.5: expected an integer (see --help)"),
        ("--lr=fast", "--lr fast: expected a number (see --help)"),
        ("--sizes 2 x", "--sizes 2 x: expected an integer (see --help)"),
        ("--best x", "--best x: expected an integer or None (see --help)"),
        ("--split head", "--split head: expected one of tail, streams (see --help)"),
        ("--quick=yes", "--quick yes: expected no value (see --help)"),
        ("--hidden", "--hidden: expected an integer after it (see --help)"),
        ("--hidden --lr 1", "--hidden: expected an integer after it (see --help)"),
        ("5", "unexpected '5': flags are --name value (see --help)"),
        ("--hidden 5 6", "unexpected '6': flags are --name value (see --help)"),
        ("--dropout 1.5", "--dropout 1.5: must be at least 0 and below 1"),
        ("--dropout nan", "--dropout nan: must be at least 0 and below 1"),
        ("--lr 0", "--lr 0.0: must be above 0"),
        ("--lr inf", "--lr inf: must be above 0"),
        ("--share 1.1", "--share 1.1: must be above 0 and at most 1"),
        ("--batch-size 0", "--lanes 0: must be at least 1"),
        ("--log-every -1", "--log-every -1: must be at least 1"),
        ("--devices none", "--devices none: must be a number from 1 up, or all"),
    ],
)
def test_a_bad_command_line_is_answered_with_one_line(refusal, argv, line):
    assert refusal(*argv.split()) == line


def test_a_value_that_looks_like_a_flag_is_explained(refusal):
    assert refusal("--out", "--x").startswith("--out: expected a text after it; if it begins with")
    assert config_of("--out=--x").out == "--x"


def test_a_range_is_closed_where_its_bracket_is():
    assert config_of("--share", "1", "--dropout", "0", "--clip", "0").share == 1
    with pytest.raises(BadInput, match="--hidden 0"):
        Config(hidden=0)


def test_what_run_refuses_is_one_line_and_what_it_breaks_is_a_traceback(capsys):
    def refuse(config: Config) -> dict[str, Any]:
        raise BadInput("no such\ncorpus")

    def fail(config: Config) -> dict[str, Any]:
        raise ZeroDivisionError

    assert main(run=refuse) == 2
    assert capsys.readouterr() == ("", "error: no such corpus\n")
    with pytest.raises(ZeroDivisionError):
        main(run=fail)


def test_a_stopped_run_exits_as_its_signal_asks(capsys):
    def stop(problem: BaseException) -> int:
        def stopped(config: Config) -> dict[str, Any]:
            raise problem

        return main(run=stopped)

    assert stop(Stopped(signal.SIGTERM, 7)) == 143
    assert "stopped at step 7" in capsys.readouterr().err
    assert stop(KeyboardInterrupt()) == 130
    with pytest.raises(SystemExit, match="143"):
        stop(SystemExit(143))
    assert capsys.readouterr().out == ""


def test_help_is_on_stdout_and_shows_the_defaults_that_hold(capsys):
    assert main("--quick", "--help") == 0
    out, err = capsys.readouterr()
    assert err == "" and "python -m experiments.toy" in out and __doc__ in out
    assert "width H of a layer (default: 8)" in " ".join(out.replace("│", "").split())


def test_the_folder_names_what_was_changed_in_the_order_of_the_fields():
    assert config_of().out == "runs/toy"
    assert config_of("--hidden", "64", "--seed", "3").out == "runs/toy-seed=3-hidden=64"
    assert config_of("--quick").out == "runs/toy-quick"
    assert config_of("--quick", "--hidden", "128").out == "runs/toy-quick-hidden=128"
    assert config_of("--out", "here").out == "here"


def test_what_is_no_identity_does_not_change_the_folder():
    loose = "--steps 7 --devices all --log-every 3 --eval-every 4 --save-every 5 --dispatch 2"
    assert config_of(*loose.split()).out == "runs/toy"
    names = {
        "quick",
        "steps",
        "devices",
        "out",
        "log_every",
        "eval_every",
        "save_every",
        "dispatch",
        *("distributed", "coordinator", "processes", "process_id"),
        *("patience", "max_skipped", "tensorboard", "checkpoints"),
    }
    every = {field.name for field in dataclasses.fields(Config)}
    assert every - set(cli.identity(Config())) == names


def test_identity_is_what_json_gives_back():
    ours = cli.identity(Config(corpus=("a", "b")))
    assert ours["corpus"] == ["a", "b"] and json.loads(json.dumps(ours)) == ours


def test_two_configurations_never_share_a_folder():
    changes = [
        {},
        {"corpus": ("a/x.txt",)},
        {"corpus": ("b/x.txt",)},
        {"corpus": ("a/x.txt", "b/x.txt")},
        {"corpus": ("a,b",)},
        {"corpus": ("a", "b")},
        {"corpus": ("hub:who/x",)},
        {"cell": "gru"},
        {"cell": "GRU"},
        {"cell": "gru-hidden=3"},
        {"cell": "gru", "hidden": 3},
        {"cell": "my.cells:one"},
        {"cell": "my_cells_one"},
        {"lr": 0.1},
        {"lr": 0.1 + 1e-16},
        {"lr": 0.1 + 2e-17 * 10},
        {"sizes": (1, 2)},
        {"sizes": (12,)},
        {"cell": "x" * 100},
        {"cell": "x" * 101},
    ]
    configs = [Config(**change) for change in changes] + [Config(quick=True, hidden=8)]
    by_identity = {json.dumps(cli.identity(c)): cli.folder("toy", c, QUICK) for c in configs}
    folders = [str(folder).lower() for folder in by_identity.values()]
    assert len(set(folders)) == len(by_identity) >= 18
    assert all(len(Path(folder).name) <= 80 for folder in folders)
    assert not any(set(folder) & set(" :*?\"<>|'\\$&;()") for folder in folders)
    assert "-corpus=x~" in folders[1]


def test_what_a_rate_that_has_ended_cannot_learn_is_told(capsys):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Falling(Config):
        horizon: int = 100

    for steps, notes in (("101", 1), ("100", 0)):
        assert cli.main("toy", Falling, run, QUICK, ["--steps", steps]) == 0
        assert capsys.readouterr().err.count("note: of --steps 101 those after --horizon") == notes


def test_every_flag_of_the_contract_has_help(capsys):
    main("--help")
    out = " ".join(capsys.readouterr().out.replace("│", "").split())
    for field in dataclasses.fields(cli.LanguageSettings):
        assert f"--{field.name.replace('_', '-')}" in out
    assert "updates in total" in out and "(also --seq-len)" in out


def test_help_and_a_mistake_are_answered_before_jax_is_imported():
    code = (
        "import sys, dataclasses, experiments.sample as s\n"
        "assert s.main(['--help']) == 0 and s.main(['runs/x', '--promt', 'a']) == 2\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stderr == "error: unknown flag --promt; nearest: --prompt (see --help)\n"


def test_a_reader_that_has_gone_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "experiments.sample", "--help"]
    told = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (told.returncode, told.stderr) == (141, "")


def test_the_list_has_every_experiment_and_tool_with_its_first_line(capsys):
    assert listing.main([]) == 0
    experiments, tools = capsys.readouterr().out.split("tools:")
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in tools.splitlines() if line}
    assert found["sample"] == sample.__doc__.splitlines()[0]
    listed = {line.split()[0]: line for line in experiments.splitlines()[1:] if line}
    started = {
        p.stem for p in Path(ROOT, "experiments").glob("*.py") if "def main(" in p.read_text()
    }
    assert found.keys() | listed.keys() == started - {"__main__"}
    assert {"char_lm", "hello", "throughput"} <= listed.keys() and not found.keys() & listed.keys()
    assert all(len(line.split()) > 2 for line in listed.values())


def test_a_name_after_experiments_is_answered_with_what_to_type(capsys):
    assert listing.main(["sampel"]) == 2
    assert "nearest: sample " in capsys.readouterr().err
    assert listing.main(["sample", "runs/x"]) == 2
    assert "python -m experiments.sample runs/x" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run of `hello`."""
    from experiments import hello

    folder = tmp_path_factory.mktemp("sample") / "hello"
    assert hello.main(["--steps", "2", "--out", str(folder)]) == 0
    return str(folder)


def test_sample_writes_prompt_and_continuation_and_nothing_else(trained, capsys):
    def write(*argv: str) -> tuple[str, str]:
        assert sample.main([trained, "--prompt", "he", "--length", "6", *argv]) == 0
        return capsys.readouterr()

    text, notes = write()
    assert text.startswith("he") and len(text) == len("he") + 6 + len("\n")
    assert set(text[:-1]) <= set("helo") and "step 2" in notes
    assert write()[0] == text  # the seed decides
    assert write("--top-k", "1")[0] == write("--greedy")[0]
    several, notes = write("--samples", "3", "--log-probs")
    assert [line[:2] for line in several.splitlines()] == ["--", "he"] * 3
    assert notes.count("\t") == 3 * 6


def test_sample_refuses_what_it_cannot_read_in_one_line(trained, capsys):
    for argv in (["nowhere"], [trained, "--prompt", "hex"], [trained, "--step", "9"]):
        assert sample.main(argv) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_a_prompt_never_seen_is_read_as_unknown_and_an_empty_one_as_a_newline(capsys):
    known = Vocabulary.of("a\nb")
    assert sample.prompt_ids("ab", known).tolist() == known.encode("ab").tolist()
    assert capsys.readouterr().err == ""
    assert sample.prompt_ids("aé", known).tolist() == [known.encode("a")[0], known.unknown]
    assert capsys.readouterr().err == "warning: never seen, read as unknown: 'é'\n"
    assert sample.prompt_ids("", known).tolist() == known.encode("\n").tolist()
    assert sample.prompt_ids("", Vocabulary.fixed("helo")).tolist() == [0]
    assert sample.prompt_ids("é", Vocabulary.of_bytes()).tolist() == list("é".encode())
