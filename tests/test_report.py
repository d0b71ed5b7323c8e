"""The page of runs: whole and balanced, nothing fetched, nothing of a run's taken for markup."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments import report
from rnn_jax import plots, run

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "link", "!doctype"}


class Reader(HTMLParser):
    """Checks that every tag is closed where it should be, and keeps what there is."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += [(tag, *one) for one in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    reader.close()
    assert reader.open == [], "every tag is closed"
    return reader


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs that differ in one field, in a folder with a table and a picture."""
    from matplotlib.figure import Figure

    place = tmp_path_factory.mktemp("runs") / "sweep"
    for name, rate in (("one", 0.1), ("two", 0.25)):
        config = {"lr": rate, "cell": "gru", "note": EVIL}
        manifest = run.new_manifest("toy", config, list(config), data={"digest": "abc"})
        began, _ = run.start_or_resume(place / name, manifest, {})
        with began:
            began.sample(0, "at first", "noise & noise")
            for step in (1, 2, 3):
                began.log(
                    step, loss=3.0 - step * rate, **({"valid": 2 - rate} if step == 3 else {})
                )
            began.sample(2, "between", "left out")
            began.sample(3, EVIL, f"{name} says {EVIL}")
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 2])
    (place / "values.png").write_bytes(plots.png(figure))
    (place / "fake.png").write_bytes(b"<script>")
    (place / "table.txt").write_text("gru < lstm\n")
    return place


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert report.main([str(made), "--title", EVIL, "--out", str(path)]) == 0
    return path


def test_the_page_is_whole_and_has_every_part(page, made):
    found = read(page)
    parts = ["Results", "Configuration", "Curves", "Tables", "Pictures", "Samples", "Environment"]
    assert [value for tag, name, value in found.attributes if (tag, name) == ("section", "id")] == [
        part.lower() for part in parts
    ]
    for told in ("0.25", "1.75", "gru < lstm", "noise & noise", "two says", "jaxlib", "abc"):
        assert told in found.text, told
    assert "left out" not in found.text, "of the samples the first and the last"
    images = [value for tag, name, value in found.attributes if (tag, name) == ("img", "src")]
    assert sorted(value.split(";")[0] for value in images) == [
        "data:image/png",
        "data:image/svg+xml",
    ]


def test_nothing_is_fetched_and_nothing_runs(page):
    found = read(page)
    assert "script" not in found.seen and found.text.count(EVIL) >= 6
    for tag, name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("data:", "#")), (tag, value)
    assert ("meta", "content") in {(tag, name) for tag, name, _ in found.attributes}
    assert "default-src 'none'" in page.read_text()
    assert not re.search(r"url\(|@import", page.read_text())


def test_the_first_table_of_settings_has_only_what_differs(page):
    section = page.read_text().split('<section id="configuration">')[1].split("</section>")[0]
    table, shared = section.split("<details>")
    assert "lr" in table and "cell" not in table
    assert "cell" in shared and ">lr<" not in shared


def test_runs_may_be_named_one_by_one(made, tmp_path, capsys):
    out = tmp_path / "two.html"
    assert report.main([str(made / "one"), str(made / "two"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert "Pictures" not in read(out).text and "one, two" in read(out).text


def test_what_cannot_be_read_is_one_line(made, tmp_path, capsys):
    out = ["--out", str(tmp_path / "no.html")]
    broken = tmp_path / "broken"
    shutil.copytree(made / "one", broken)
    (broken / "run.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for argv, mend in (
        ([str(tmp_path / "nowhere"), *out], "--out made"),
        ([str(tmp_path / "empty"), *out], "no run"),
        ([str(broken), *out], "damaged"),
        ([str(made), "--out", str(tmp_path)], "name a file"),
        ([str(made), "--out", str(tmp_path / "no" / "page.html")], "cannot write"),
        (out, "missing"),
    ):
        assert report.main(argv) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1, argv
        assert mend in captured.err and captured.out == ""
    assert not (tmp_path / "no.html").exists()
