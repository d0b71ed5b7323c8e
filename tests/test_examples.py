"""Tables of rows, buckets of lengths, padding: what every example reads alike."""

import gzip
import itertools

import numpy as np
import pytest

from rnn_jax.data import buckets, tables
from rnn_jax.errors import BadInput
from rnn_jax.pace import Pace
from rnn_jax.tasks import Batch, Examples, bucketed

LENGTHS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])


def refusal(action, *arguments):
    with pytest.raises(BadInput) as caught:
        action(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def padding(ends, lengths):
    return sum(min(e for e in ends if e >= n) - n for n in lengths)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 20])
def test_edges_pad_as_little_as_the_best_of_all_choices(most):
    distinct = np.unique(LENGTHS)
    ends = buckets.edges(LENGTHS, most)
    count = min(most, len(distinct))
    choices = itertools.combinations(distinct[:-1], count - 1)
    least = min(padding([*choice, distinct[-1]], LENGTHS) for choice in choices)
    assert len(ends) == count and ends[-1] == 9 and sorted(ends) == list(ends)
    assert padding(ends, LENGTHS) == least


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_plan_has_every_row_once_and_room_for_it(shuffled):
    rng = np.random.default_rng(0) if shuffled else None
    plan = buckets.plan(LENGTHS, np.array([2, 5, 9]), 4, rng)
    rows = np.concatenate([rows for rows, _ in plan])
    assert sorted(rows[rows >= 0]) == list(range(11)) and len(plan) == 3
    for part, width in plan:
        assert len(part) == 4 and LENGTHS[part[part >= 0]].max() <= width


def test_padding_keeps_what_is_there_and_marks_it():
    sequences = [np.arange(6.0).reshape(3, 2), np.ones((1, 2))]
    padded, mask = buckets.pad(sequences, np.array([1, -1, 0]), 4)
    assert padded.shape == (3, 4, 2) and mask.sum(1).tolist() == [1, 0, 3]
    np.testing.assert_array_equal(padded[2, :3], sequences[0])
    assert padded[~mask].sum() == 0


def numbered(count=11):
    def batch(rows, width):
        sequences = [np.full(n, i, np.int32) for i, n in enumerate(LENGTHS[:count])]
        padded, mask = buckets.pad(sequences, rows, width)
        return Batch(padded, padded, mask=mask)

    return Examples(LENGTHS[:count], batch)


def test_an_epoch_reads_every_example_once_and_the_next_in_another_order():
    task = bucketed(numbered(), numbered(5), None, lanes=2, seed=3, most=2)
    epochs = []
    for first in (0, task.chunks):
        parts = [task.batch(first + i) for i in range(task.chunks)]
        steps = np.concatenate([part.inputs[part.mask] for part in parts])
        assert np.bincount(steps).tolist() == LENGTHS.tolist()
        epochs.append(steps.tolist())
    assert epochs[0] != epochs[1]
    again = bucketed(numbered(), numbered(5), None, lanes=2, seed=3, most=2)
    np.testing.assert_array_equal(again.batch(7).inputs, task.batch(7).inputs)
    held = np.concatenate([part.inputs[part.mask] for part in task.valid()])
    assert np.bincount(held).tolist() == LENGTHS[:5].tolist()


def test_a_table_is_the_same_from_csv_tsv_gzip_parquet_and_the_hub(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"label": ["0", "1"], "text": ['so "bad", so sad', "good"]}
    (tmp_path / "a.csv").write_text('label,text\n0,"so ""bad"", so sad"\n1,good\n')
    (tmp_path / "a.tsv").write_text('label\ttext\n0\tso "bad", so sad\n1\tgood\n')
    with gzip.open(tmp_path / "b.tsv.gz", "wb") as file:
        file.write((tmp_path / "a.tsv").read_bytes())
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "a.parquet")
    parquet = str(tmp_path / "a.parquet")
    for entry in ("a.csv", "a.tsv", "b.tsv.gz", "a.parquet"):
        table = tables.read_table(str(tmp_path / entry), "--data")
        assert {name: list(column) for name, column in table.columns.items()} == rows
    hub = tables.read_table(f"hub:{parquet}:train", "--data")
    assert list(hub.column(("sentence", "text"), "--text")) == rows["text"]
    told = refusal(tables.read_table, f"hub:{parquet}:nosuch", "--data")
    assert "nosuch" in told
    assert tables.digest(rows["text"]) == tables.digest(table.columns["text"])
    assert tables.digest(["ab", "c"]) != tables.digest(["a", "bc"])


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "no rows"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "twice"),
        ("a,b\n1,2\n3\n", "row 2 has 1 fields, its header 2"),
        (b"a,b\n\xe9,2\n", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(content, part, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert part in refusal(tables.read_table, str(path), "--data")


def test_a_missing_file_column_or_ending_is_one_line_that_names_the_flag(tmp_path):
    assert "--data" in refusal(tables.read_table, str(tmp_path / "no" / "rows.csv"), "--data")
    assert ".parquet" in refusal(tables.read_table, str(tmp_path / "rows.xls"), "--data")
    table = tables.Table("rows.csv", {"label": ["1"], "sentence": ["a"]})
    told = refusal(table.column, ("text",), "--text")
    assert "'text'" in told and "--text from label, sentence" in told


def test_lines_are_read_without_their_ends(tmp_path):
    (tmp_path / "a.en").write_bytes(b"one\r\n\ntwo\n")
    assert tables.read_lines(str(tmp_path / "a.en"), "--data") == ["one", "", "two"]


def test_the_first_dispatch_of_each_shape_is_compiling_and_no_pace():
    pace, short, long = Pace(), *(Batch(np.zeros((2, T)), None) for T in (3, 5))
    for steps, seconds, data in ((1, 9, short), (1, 9, long), (4, 0.5, short), (2, 0.25, long)):
        pace.add(steps, seconds, data)
    assert (pace.steps, pace.seconds) == (6, 0.75)
