"""Text as arrays: what is encoded comes back, no part sees another, every step is scored once."""

import json
from pathlib import Path

import numpy as np
import pytest

from rnn_jax.data import sources
from rnn_jax.data.text import (
    Stream,
    Vocabulary,
    lanes,
    load,
    ragged,
    split,
    train_part,
    words,
)
from rnn_jax.errors import BadInput

SHAKESPEARE = Path(__file__).parents[2] / "shared/data/tinyshakespeare.txt"
SCRIPTS = (
    "plain ASCII\r\n",
    "Füße, façade, Œuvre",
    "Пьер и Наташа",
    "ἄνδρα μοι ἔννεπε",
    "春眠不覺曉",
    "हिन्दी में",
    "مرحبا بالعالم",
    "👩‍👩‍👧 🏳️‍🌈 𝔘𝔫𝔦",
    "",
)


def source(text: str | bytes) -> sources.Source:
    return sources.Source(text, "made here", ())


def numbers(count: int) -> np.ndarray:
    """Tokens that say where they were."""
    return np.arange(count, dtype=np.int32)


def stream(count: int, fresh: tuple[int, ...] = (0,)) -> Stream:
    flags = np.zeros(count, bool)
    flags[list(fresh)] = True
    return Stream(numbers(count), numbers(count) + 1, flags)


# ---- vocabulary


@pytest.mark.parametrize("text", SCRIPTS)
def test_encoding_comes_back(text):
    characters, raw = Vocabulary.of("".join(SCRIPTS)), Vocabulary.of_bytes()
    assert characters.encode(text).shape == (len(text),)
    assert characters.decode(characters.encode(text)) == text
    assert raw.encode(text).tolist() == list(text.encode())
    assert raw.encode(text.encode()).tolist() == list(text.encode())
    assert raw.decode(raw.encode(text)) == text
    assert characters.encode(text).dtype == raw.encode(text).dtype == np.int32


def test_encode_equals_a_dictionary():
    vocabulary = Vocabulary.of("banana 春")
    assert vocabulary.symbols == ("\ufffd", " ", "a", "b", "n", "春")
    place = {symbol: number for number, symbol in enumerate(vocabulary.symbols)}
    text = "a nab 春 zé🙂\ud800\ufffd"
    assert vocabulary.encode(text).tolist() == [place.get(symbol, 0) for symbol in text]
    assert vocabulary.unseen(text) == "zé🙂\ud800"
    assert vocabulary.decode(vocabulary.encode("zn")) == "\ufffdn"


def test_the_replacement_character_of_a_text_is_the_unknown_symbol():
    vocabulary = Vocabulary.of("a\ufffdb")
    assert vocabulary.symbols == ("\ufffd", "a", "b")
    assert vocabulary.unknown == 0


def test_a_fixed_vocabulary_keeps_its_order_and_refuses_others():
    vocabulary = Vocabulary.fixed("helo")
    assert vocabulary.encode("hello").tolist() == [0, 1, 2, 2, 3]
    assert len(vocabulary) == 4 and vocabulary.unknown is None
    with pytest.raises(BadInput, match="'w' is not known here: use only helo"):
        vocabulary.encode("hellow x")
    for bad in ("", "hh"):
        with pytest.raises(BadInput, match="distinct"):
            Vocabulary.fixed(bad)


def test_bytes_are_not_taken_for_characters():
    with pytest.raises(TypeError, match="str, not bytes"):
        Vocabulary.of("é").encode("é".encode())


def test_broken_utf8_decodes_with_a_mark():
    assert Vocabulary.of_bytes().decode([0x68, 0xC3, 0x69]) == "h\ufffdi"
    assert Vocabulary.of_bytes().unseen("anything 春") == ""


@pytest.mark.parametrize(
    "vocabulary", [Vocabulary.of("né🙂"), Vocabulary.of_bytes(), Vocabulary.fixed("helo")]
)
def test_json_keeps_a_vocabulary(vocabulary):
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


def test_a_damaged_vocabulary_is_said_to_be():
    with pytest.raises(BadInput, match="damaged"):
        Vocabulary.from_json({"kind": "characters"})


# ---- parts


def test_no_part_of_a_tail_split_reads_another():
    train, valid, test = split(numbers(1000), "tail", valid=0.1, test=0.2)
    for part, first, end in ((train, 0, 700), (valid, 700, 800), (test, 800, 1000)):
        assert part.inputs.tolist() == list(range(first, end - 1))
        assert part.targets.tolist() == list(range(first + 1, end))
        assert np.flatnonzero(part.fresh).tolist() == [0]
    assert split(numbers(1000)).test is None


def test_the_training_text_is_what_training_reads():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 7777)))
    tokens = np.array([ord(symbol) for symbol in text])
    for how in ("tail", "streams"):
        seen = split(tokens, how).train.inputs
        part = [ord(symbol) for symbol in train_part(text, how)]
        # By position the last training character is a target only.
        assert part == [*seen, *([part[-1]] if how == "tail" else [])]
    assert train_part(b"0123456789", valid=0.2) == b"01234567"


def char_rnn(tokens: list[int]) -> tuple[list[tuple[int, int, bool]], ...]:
    """char-rnn's split, one character at a time: (input, target, fresh) of train and valid."""
    used = len(tokens) // 2500 * 2500
    chunks = used // 2500
    train_chunks = int(0.95 * chunks)
    train, valid = [], []
    for row in range(50):
        for chunk in range(chunks):
            for step in range(50):
                at = row * chunks * 50 + chunk * 50 + step
                following = tokens[at + 1] if at + 1 < used else tokens[0]
                part = train if chunk < train_chunks else valid
                fresh = step == 0 and chunk in (0, train_chunks)
                part.append((tokens[at], following, fresh))
    return train, valid


@pytest.mark.parametrize("count", [2500 * 2, 2500 * 3 + 1, 2500 * 41 + 2499])
def test_the_streams_split_is_char_rnns(count):
    tokens = np.random.default_rng(0).integers(0, 65, count)
    parts = split(tokens, "streams")
    for part, expected in zip(parts[:2], char_rnn(tokens.tolist()), strict=True):
        assert list(zip(*(array.tolist() for array in part), strict=True)) == expected
    assert parts.test is None


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="../shared/data/tinyshakespeare.txt is absent")
def test_tinyshakespeare_has_its_known_numbers():
    text = sources.read([str(SHAKESPEARE)])
    streams, tail = load(text, how="streams"), load(text)
    assert text.record()["characters"] == 1_115_394
    assert len(streams.vocabulary) == len(tail.vocabulary) == 1 + 65
    assert len(streams.train.inputs) == 423 * 2500
    assert len(streams.valid.inputs) == 23 * 2500
    # The well known 90/10: 1,003,854 characters train, 111,540 validate.
    assert len(tail.train.inputs) == 1_003_854 - 1
    assert len(tail.valid.inputs) == 111_540 - 1
    assert tail.width.bytes == 1.0
    assert set(tail.unknown_rate.values()) == {0.0}


@pytest.mark.parametrize(
    ("count", "options", "line"),
    [
        (100, {"valid": 0.6}, "--valid 0.6 is not a fraction"),
        (100, {"test": -0.1}, "--test -0.1 is not a fraction"),
        (100, {"valid": float("nan")}, "--valid nan is not a fraction"),
        (100, {"valid": 0.0}, "leaves 0 to the validation part"),
        (100, {"test": 0.01}, "leaves 1 to the test part"),
        (2, {"valid": 0.5}, "leaves 1 to the training part"),
        (4999, {"how": "streams"}, "needs 5000 characters, not 4999: use --split tail"),
        (9999, {"how": "streams", "test": 0.1}, "no test part"),
        (9999, {"how": "random"}, "--split random is not known"),
    ],
)
def test_a_split_that_cannot_be_is_refused(count, options, line):
    with pytest.raises(BadInput, match=line):
        split(numbers(count), **options)
    with pytest.raises(BadInput, match=line):
        train_part("x" * count, **options)


# ---- corpus


def test_the_vocabulary_is_of_the_training_part_alone():
    text = "ab" * 45 + "aé春🙂bababa"
    corpus = load(source(text), valid=0.1)
    assert corpus.vocabulary.symbols == ("\ufffd", "a", "b")
    assert corpus.vocabulary.decode(corpus.valid.targets) == "\ufffd\ufffd\ufffdbababa"
    assert corpus.unknown_rate == {"train": 0.0, "valid": pytest.approx(3 / 9)}
    assert corpus.width.bytes == pytest.approx((2 + 3 + 4 + 6) / 9)
    assert corpus.record["steps"] == {"train": 89, "valid": 9}
    assert corpus.record["vocabulary"] == 3
    assert corpus.record["digest"] == source(text).record()["digest"]


def test_characters_only_in_a_streams_validation_are_unknown():
    text = ["a"] * 5000
    for row in range(50):
        text[row * 100 + 50] = "b"  # each stream's one training chunk has it as its last target
        text[row * 100 + 75] = "c"
    corpus = load(source("".join(text)), how="streams")
    assert corpus.vocabulary.symbols == ("\ufffd", "a")
    # At 49 of a stream the target is b; in validation c is one target, and b an input only.
    assert corpus.unknown_rate == {"train": 50 / 2500, "valid": 50 / 2500}


def test_bytes_need_no_vocabulary_of_their_own():
    text = "naïve café ".encode() * 40
    corpus = load(source(text), alphabet="bytes", valid=0.25, test=0.1)
    assert len(corpus.vocabulary) == 256
    assert bytes(corpus.train.inputs.astype(np.uint8)) == text[: len(corpus.train.inputs)]
    assert corpus.width.bytes == 1.0
    assert corpus.unknown_rate == {"train": 0.0, "valid": 0.0, "test": 0.0}
    with pytest.raises(BadInput, match="--alphabet characters"):
        load(source(text))


# ---- words


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("the fat cat", ["the", " fat", " cat"]),
        ("Don't go, he said.", ["Don't", " go", ",", " he", " said", "."]),
        ("a  =  x_1\n\n    b", ["a", " ", " =", " ", " x_1", "\n", "\n", "   ", " b"]),
        (" \t (é-è) ", [" ", "\t", " (", "é", "-", "è", ")", " "]),
        ("", []),
    ],
)
def test_words_are_pieces_that_make_up_the_text(text, pieces):
    assert words(text) == pieces
    assert "".join(pieces) == text


def test_any_text_is_the_sum_of_its_words():
    numbers = np.random.default_rng(0).integers(1, 0x500, 5000)
    text = "".join(chr(n) if n % 3 else " " for n in numbers)
    assert "".join(words(text)) == text


def test_words_seen_once_in_training_are_unknown():
    corpus = load(source("the cat the dog a cat and " * 2 + "once the sly cat"), "words", valid=0.2)
    symbols = corpus.vocabulary.symbols
    assert symbols[:3] == ("\ufffd", " cat", " the") and corpus.vocabulary.kind == "words"
    assert " sly" not in symbols and " once" not in symbols
    assert corpus.unknown_rate["valid"] > 0
    again = Vocabulary.from_json(json.loads(json.dumps(corpus.vocabulary.to_json())))
    assert again == corpus.vocabulary
    assert again.decode(again.encode(" the cat")) == " the cat"
    assert again.unseen(" the sly cat") == " sly"
    assert again.unseen("New York is New") == "New,  York,  is,  New"


def test_words_have_the_width_and_the_spelling_of_the_validation_text():
    text = "é b c " * 30 + "é b zz c b é"
    corpus = load(source(text), "words", valid=12 / len(text))
    # Validation is "é b zz c b é": five targets after the first, " zz" alone unknown. Of the
    # training words only the first, which has no space before it, and the last space are rare.
    assert len(corpus.valid.targets) == 5
    assert corpus.width.characters == 11 / 5 and corpus.width.bytes == 12 / 5
    # Spelling "é" and " ": é 1, space 1, end 2, each and a new one once more: a total of 8.
    new, space, end = np.log(8) + np.log(0x110000), np.log(8 / 2), np.log(8 / 3)
    assert corpus.width.spelling == pytest.approx((space + 2 * new + end) / 5)


def test_words_of_which_none_comes_twice_make_no_vocabulary():
    text = " ".join(f"word{i}" for i in range(500))
    with pytest.raises(BadInput, match="no word comes twice in the training part"):
        load(source(text), "words")


def test_words_have_no_streams():
    with pytest.raises(BadInput, match="--split streams is for characters"):
        load(source("a b " * 5000), "words", "streams")
    with pytest.raises(BadInput, match="fewer than 2 words"):
        load(source("a" * 100), "words")


# ---- lanes


def test_lanes_follow_one_another_and_drop_the_remainder():
    cut = lanes(stream(47, fresh=(0, 10)), lanes=3, chunk=7)
    assert cut.inputs.tolist() == [list(range(row * 14, row * 14 + 14)) for row in range(3)]
    assert (cut.targets == cut.inputs + 1).all()
    assert np.argwhere(cut.fresh).tolist() == [[0, 0], [0, 10], [1, 0], [2, 0]]


def test_cutting_lanes_leaves_the_stream_alone():
    whole = stream(20)
    lanes(whole, lanes=2, chunk=5)
    assert np.flatnonzero(whole.fresh).tolist() == [0]


@pytest.mark.parametrize(
    ("asked", "mend", "fitting"),
    [
        ((11, 10), "use --lanes 10 or --bptt 9,", [(10, 10), (11, 9)]),
        ((101, 3), "use --lanes 33,", [(33, 3)]),
        ((3, 101), "use --bptt 33,", [(3, 33)]),
        ((101, 101), "use --lanes 1 --bptt 100,", [(1, 100)]),
    ],
)
def test_too_few_steps_for_the_lanes_names_values_that_fit(asked, mend, fitting):
    with pytest.raises(BadInput, match=f"{asked[0] * asked[1]} steps .* has 100: {mend}"):
        lanes(stream(100), *asked)
    for rows, chunk in fitting:
        assert lanes(stream(100), rows, chunk).inputs.shape == (rows, chunk)


def test_lanes_below_one_are_refused():
    for asked in ((0, 5), (5, 0)):
        with pytest.raises(BadInput, match="at least 1"):
            lanes(stream(100), *asked)


@pytest.mark.parametrize("count", [1, 4, 5, 97])
@pytest.mark.parametrize("rows", [1, 5, 7])
@pytest.mark.parametrize("warm", [0, 3, 200])
@pytest.mark.parametrize("fresh", [(), (0,), (0, 2, 3, 19, 60)])
def test_every_step_is_scored_exactly_once(count, rows, warm, fresh):
    whole = stream(count, tuple(at for at in fresh if at < count))
    cut = ragged(whole, rows, warm)
    scored = cut.weights == 1
    assert cut.weights.sum() == count and cut.weights[~scored].sum() == 0
    assert not (scored & ~cut.mask).any()
    # Row by row the scored steps are the stream in order.
    assert (cut.inputs[scored] == whole.inputs).all()
    assert (cut.targets[scored] == whole.targets).all()
    assert cut.fresh[:, 0].all()
    shares = scored.sum(1)
    assert shares.max() - shares.min() <= 1


def test_a_lane_warms_up_within_its_piece():
    """Lanes' own starts are 0 10 20 30; pieces begin at 0, 8 and 20."""
    cut = ragged(stream(40, fresh=(0, 8, 20)), 4, warm=5)
    first = [row[mask][0] for row, mask in zip(cut.inputs, cut.mask, strict=True)]
    assert first == [0, 8, 20, 25]
    assert cut.mask.sum(1).tolist() == [10, 12, 10, 15]
    assert np.argwhere(cut.fresh).tolist() == [[0, 0], [0, 8], [1, 0], [2, 0], [3, 0]]
    assert (cut.weights == 0).sum(1).tolist() == [5, 2 + 3, 5, 5]
    steps = zip(cut.inputs, cut.mask, strict=True)
    assert all((np.diff(row[mask]) == 1).all() for row, mask in steps)


def test_ragged_refuses_no_lanes():
    with pytest.raises(BadInput, match="0 lanes"):
        ragged(stream(10), 0, 0)
