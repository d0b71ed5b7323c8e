"""Whatever is typed, and whatever is in a file: it is used as it stands, or refused in one line."""

import codecs
import contextlib
import functools
import io

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments import char_lm, cli
from experiments.cli.flags import _fields_by_flag
from rnn_jax.data import sources, text
from rnn_jax.errors import BadInput

FLAGS = sorted(_fields_by_flag(char_lm.Config))
VALUES = ["0", "1", "-1", "1e-3", "nan", "inf", "None", "all", "gru", "adam", "a b", "", "--", "="]
VALUES += ["true", "5" * 400, "1" + "0" * 5000, "tail", "x.txt", "gs://a/b", "-h9", "é", "\N{BELL}"]
# Hypothesis' own characters take two seconds to list in a new checkout; half a pair is none.
CHARACTERS = (st.integers(32, 126) | st.integers(0, 0x10FFFF)).map(chr)
TEXT = functools.partial(st.text, CHARACTERS.filter(lambda c: not 0xD800 <= ord(c) < 0xE000))
WORDS = st.sampled_from(FLAGS) | st.sampled_from(VALUES) | TEXT(max_size=8)
JOINED = st.tuples(st.sampled_from(FLAGS), st.sampled_from(VALUES) | TEXT(max_size=8))
ARGV = st.lists(WORDS | JOINED.map("=".join), max_size=5)
QUICKLY = {"derandomize": True, "deadline": None, "database": None}
QUICKLY["suppress_health_check"] = list(HealthCheck)


@settings(max_examples=60, **QUICKLY)
@given(ARGV)
def test_any_command_line_is_a_config_or_one_line(argv):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            config = cli.parse(char_lm.Config, argv, "experiments.char_lm", "", char_lm.Config())
        except BadInput as problem:
            assert str(problem) and len(str(problem)) < 7000
            assert said.getvalue() == ""
            return
        if config is None:
            assert {"-h", "--help"} & {*argv} and said.getvalue()
            return
    assert said.getvalue() == ""
    # What was read can be told in another command, and makes a folder's name.
    name = cli.folder("char_lm", config, char_lm.QUICK).name
    assert config.out or (name.startswith("char_lm") and len(name) <= 80 and "/" not in name)
    cli.check_ranges(config)


@settings(max_examples=60, **QUICKLY)
@given(st.binary(max_size=40) | TEXT(max_size=40).map(str.encode), st.booleans())
@example(b"\xef\xbb\xbfa\r\nb\rc\n" * 3, False)
def test_any_file_is_read_to_the_last_character_or_refused(tmp_path_factory, content, as_bytes):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    alphabet = "bytes" if as_bytes else "characters"
    try:
        corpus = text.load(sources.read([str(path)], alphabet), alphabet, "tail", 0.3, 0.2)
    except BadInput as problem:
        assert "\n" not in str(problem)
        return
    known, read = corpus.vocabulary, []
    for part in (corpus.train, corpus.valid, corpus.test):
        assert (part.inputs[1:] == part.targets[:-1]).all()
        read.append(np.append(part.inputs, part.targets[-1:]))
    assert known.unknown is None or known.unknown not in read[0], "the vocabulary is of training"
    tokens = np.concatenate(read)
    if as_bytes:
        assert bytes(tokens.tolist()) == content
    elif known.unknown is None or known.unknown not in tokens:
        # A mark at a file's beginning says how it is encoded and is no text.
        assert known.decode(tokens).encode() == content.removeprefix(codecs.BOM_UTF8)
