"""Where text comes from: what is read is exactly what is there, or one line says what to mend."""

import gzip
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import xxhash

from rnn_jax.data import hub, sources
from rnn_jax.errors import BadInput

ROOT = Path(__file__).parents[1]


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The real library with a cache of its own, and offline."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield datasets
    datasets.enable_progress_bars()


def put(folder: Path, name: str, raw: bytes) -> str:
    path = folder / name
    path.write_bytes(raw)
    return str(path)


def refusal(*arguments, **options) -> str:
    """The line with which reading is refused."""
    with pytest.raises(BadInput) as caught:
        sources.read(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---- what is read


def test_the_default_is_pythons_own_source():
    source = sources.read()
    assert source == sources.read(("stdlib",))
    names = [file["name"] for file in source.files]
    assert names == sorted(names) and {"abc.py", "argparse.py"} <= set(names)
    raw = Path(sysconfig.get_path("stdlib"), "argparse.py").read_bytes()
    assert raw.decode() in source.text
    assert source.files[names.index("argparse.py")] == {
        "name": "argparse.py",
        "bytes": len(raw),
        "digest": xxhash.xxh3_64_hexdigest(raw),
    }
    record = source.record()
    assert record["bytes"] >= sum(file["bytes"] for file in source.files) > 1_000_000
    assert record["files"] == len(names)
    assert f"{len(names)} files" in record["description"]


def test_library_files_in_another_encoding_are_skipped(tmp_path, monkeypatch):
    put(tmp_path, "b.py", b"b = 1\n")
    put(tmp_path, "a.py", b"a = 1\n")
    put(tmp_path, "latin.py", b"# -*- coding: latin-1 -*- \xe9\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert sources.read().text == "a = 1\nb = 1\n"
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    assert "give a --corpus FILE" in refusal()


def test_files_are_joined_as_they_are(tmp_path):
    one = put(tmp_path, "one.txt", b"\xef\xbb\xbfdos\r\nno end")
    two = put(tmp_path, "two.txt.gz", gzip.compress("zwölf\n".encode()))
    three = put(tmp_path, "three.txt", b"last, no end")
    source = sources.read([one, two, three])
    assert source.text == "dos\r\nno end\nzwölf\nlast, no end"
    assert source.description == "one.txt and 2 more"
    assert source.record()["characters"] == len(source.text)
    assert source.record()["digest"] == xxhash.xxh3_64_hexdigest(source.text.encode())
    raw = b"\xef\xbb\xbfdos\r\nno end"
    assert source.files[0]["digest"] == xxhash.xxh3_64_hexdigest(raw)
    assert source.files[1]["bytes"] == 7


def test_bytes_are_read_as_they_are(tmp_path):
    raw = b"\xef\xbb\xbf\x00\xff\r\n\xe9"
    source = sources.read([put(tmp_path, "any.bin", raw)], alphabet="bytes")
    assert source.text == raw
    assert source.record()["bytes"] == 8 and source.record()["characters"] is None


# ---- what is refused


def test_a_missing_file_names_the_nearest(tmp_path):
    put(tmp_path, "shakespeare.txt", b"x")
    asked = str(tmp_path / "shakespear.txt")
    line = refusal([asked])
    assert asked in line and f"did you mean {tmp_path / 'shakespeare.txt'}?" in line
    assert "does not exist: give --corpus" in refusal([str(tmp_path / "zzz")])
    assert "nor its folder" in refusal([str(tmp_path / "no" / "file.txt")])
    assert "did you mean" in refusal([f"hub:{tmp_path}/shakespear.txt"])


@pytest.mark.parametrize(
    ("name", "raw", "parts"),
    [
        ("empty.txt", b"", ("is empty",)),
        ("mark.txt", b"\xef\xbb\xbf", ("is empty",)),
        ("latin.txt", b"caf\xe9 au lait", ("byte 0xe9 at offset 3", "--alphabet bytes")),
        ("wide.txt", "text".encode("utf-16"), ("zero byte", "--alphabet bytes")),
        ("program", b"\x7fELF\x00\x01", ("zero byte at offset 4", "--alphabet bytes")),
        ("no.gz", b"plain text", ("damaged gzip",)),
        ("short.gz", gzip.compress(b"text" * 99, mtime=0)[:-12], ("damaged gzip",)),
        ("flipped.gz", gzip.compress(b"text" * 99, mtime=0)[:12] + b"\xff" * 9, ("damaged gzip",)),
        ("empty.gz", gzip.compress(b"", mtime=0), ("is empty",)),
    ],
)
def test_a_file_that_is_not_text_is_refused(tmp_path, name, raw, parts):
    good = put(tmp_path, "good.txt", b"good")
    line = refusal([good, put(tmp_path, name, raw)])
    assert all(part in line for part in (name, *parts)), line


def test_a_folder_or_pipe_is_refused(tmp_path):
    assert f"--corpus {tmp_path}/*.txt" in refusal([str(tmp_path)])
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal([str(tmp_path / "pipe")])


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    name = put(tmp_path, "secret.txt", b"x")
    monkeypatch.setattr(Path, "read_bytes", denied)  # as root, chmod would forbid nothing
    assert "cannot be read (permission denied)" in refusal([name])


def test_a_name_too_long_is_refused():
    assert "cannot be read (file name too long)" in refusal(["x" * 5000])
    assert "does not exist" in refusal(["hub:./" + "x" * 5000])


def test_an_alphabet_that_is_not_known_is_refused():
    assert "use characters, words, bytes" in refusal((), alphabet="letters")


# ---- the hub


def test_a_local_data_set_gives_its_column(tmp_path, datasets):
    rows = {"label": [0, 1, 2, 3], "sentence": ["eins", None, "", "drei 🙂"]}
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_dict(rows).to_parquet(path)
    source = sources.read([f"hub:{path}"], column="sentence")
    assert source.text == "eins\n\ndrei 🙂"
    assert source.description == f"hub:{path}"
    line = refusal([f"hub:{path}"])
    assert "no column 'text'" in line and "choose --column from label, sentence" in line
    assert "not text" in refusal([f"hub:{path}"], column="label")


def test_a_single_column_needs_no_name(tmp_path, datasets):
    folder = tmp_path / "set"
    folder.mkdir()
    put(folder, "train.csv", b"line\nuno\ndos\n")
    assert sources.read([f"hub:{folder}"]).text == "uno\ndos"
    assert sources.read([f"hub:{folder}/train.csv"], alphabet="bytes").text == b"uno\ndos"


def test_a_local_file_of_no_known_kind_is_refused(tmp_path, datasets):
    assert "ends in .parquet" in refusal([f"hub:{put(tmp_path, 'rows.xyz', b'x')}"])
    line = refusal([f"hub:{put(tmp_path, 'rows.parquet', b'not parquet')}"])
    assert "rows.parquet cannot be loaded" in line and "--corpus FILE" in line


def test_an_old_repository_is_read_from_its_converted_rows(datasets, monkeypatch):
    asked = []

    def load_dataset(**arguments):
        asked.append(arguments)
        if "revision" not in arguments:
            raise RuntimeError("Dataset scripts are no longer supported")
        return datasets.Dataset.from_dict({"sentence": ["a", "b"]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert sources.read(["hub:owner/old@config"]).text == "a\nb"
    assert asked[-1] == {
        "path": "owner/old",
        "name": "config",
        "revision": "refs/convert/parquet",
        "split": "train",
    }


def test_an_unreachable_hub_answers_within_five_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    for endpoint in ("http://127.0.0.1:9", "https://hub.invalid", "http://127.0.0.1:port"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        began = time.monotonic()
        line = refusal(["hub:owner/name"])
        assert time.monotonic() - began < 5
        assert "check the network" in line and "--corpus FILE" in line


def test_a_resolver_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    over, left = threading.Event(), threading.Event()

    def hang(*_, **__):
        over.wait(20)
        left.set()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    began = time.monotonic()
    assert "no answer" in refusal(["hub:owner/name"])
    assert time.monotonic() - began < 5
    over.set()
    assert left.wait(5)


@pytest.mark.parametrize("proxy", [None, "http://{}", "{}"])
def test_a_hub_that_listens_is_reached_also_through_a_proxy(monkeypatch, proxy):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    rows = SimpleNamespace(load_dataset=lambda **_: 1 / 0)
    monkeypatch.setitem(sys.modules, "datasets", rows)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        proxies = {"http": proxy.format(address)} if proxy else {}
        monkeypatch.setattr(hub.urllib.request, "getproxies", lambda: proxies)
        monkeypatch.setattr(hub.urllib.request, "proxy_bypass", lambda host: False)
        endpoint = "http://hub.invalid" if proxy else f"http://{address}"
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert "cannot be loaded (division by zero)" in refusal(["hub:owner/name"])


def test_offline_names_the_switch_and_reading_imports_neither_jax_nor_datasets(tmp_path):
    """In a process of its own: the hub's client reads the switch when it is imported."""
    program = """
import sys
from rnn_jax.data import sources, text
assert not {"jax", "datasets"} & set(sys.modules)
try:
    sources.read(["hub:owner/name"])
except sources.BadInput as error:
    print(error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = ran.stdout.splitlines()
    assert "hub:owner/name cannot be loaded" in line
    assert "unset HF_HUB_OFFLINE, or download it" in line


def test_a_book_of_project_gutenberg_is_read_without_its_wrapping(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    start, end = (
        "*** START OF THIS PROJECT GUTENBERG EBOOK X ***",
        "*** END OF THE PROJECT GUTENBERG",
    )
    book.write_text(f"Licence\n{start}\nIt was a night.\n{end} EBOOK X ***\nFooter\n")
    source = sources.read([str(book)])
    assert source.text == "It was a night.\n"
    assert "without Project Gutenberg" in source.description
    book.write_text(f"It was {start} a night.\n")
    assert sources.read([str(book)]).text == book.read_text()
