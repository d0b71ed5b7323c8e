"""Where text comes from: Python's own source, files, or a data set of the Hugging Face hub."""

from __future__ import annotations

import contextlib
import difflib
import gzip
import os
import platform
import socket
import sysconfig
import threading
import urllib.parse
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from rnn_jax.errors import BadInput

ALPHABETS = ("characters", "bytes")
PROBE_SECONDS = 3.0
LOADERS = {".parquet": "parquet", ".txt": "text", ".csv": "csv", ".json": "json", ".jsonl": "json"}
DOWNLOAD = "download the text and give it as --corpus FILE"


@dataclass(frozen=True)
class Source:
    """A text and what it was made from.

    text: the whole text, str, or bytes when the alphabet is "bytes".
    description: a short name for people.
    files: {name, bytes, digest} of each piece in order, as read (decompressed, BOM included).
    """

    text: str | bytes
    description: str
    files: tuple[dict[str, Any], ...]

    def record(self) -> dict[str, Any]:
        """What a run's manifest keeps: sizes and the xxh3_64 digest of the joined text.

        "characters" is None where the text was read as bytes.
        """
        raw = self.text if isinstance(self.text, bytes) else self.text.encode()
        return {
            "description": self.description,
            "files": len(self.files),
            "bytes": len(raw),
            "characters": None if isinstance(self.text, bytes) else len(self.text),
            "digest": xxhash.xxh3_64_hexdigest(raw),
        }


def read(corpus: Sequence[str] = (), alphabet: str = "characters", column: str = "text") -> Source:
    """Reads the corpus: its entries one after another, a newline between where one lacks it.

    An entry is `stdlib` (the default: the top-level *.py of Python's standard library, by name),
    a file (UTF-8; `.gz` is opened), or `hub:owner/name[@config]`, the rows of `column` in the
    data set's train split, a line each; `hub:` also takes a data set's local file or folder.
    Line ends stay as they are; a leading byte order mark is dropped unless the alphabet is bytes.

    Raises BadInput for whatever cannot be read; an unreachable hub takes less than 5 seconds.
    """
    if alphabet not in ALPHABETS:
        raise BadInput(f"--alphabet {alphabet} is not known: use {' or '.join(ALPHABETS)}")
    entries = tuple(corpus) or ("stdlib",)
    parts: list[tuple[str, bytes]] = []
    for entry in entries:
        if entry == "stdlib":
            parts += _stdlib()
        elif entry.startswith("hub:"):
            parts.append((entry, _hub(entry, column)))
        else:
            parts.append((entry, _file(entry)))
    files = tuple(
        {"name": name, "bytes": len(raw), "digest": xxhash.xxh3_64_hexdigest(raw)}
        for name, raw in parts
    )
    pieces: list[Any] = []
    for name, raw in parts:
        pieces.append(raw if alphabet == "bytes" else _decode(name, raw))
        if not pieces[-1]:
            raise BadInput(f"{name} is empty: give a --corpus with text in it")
    newline: Any = b"\n" if alphabet == "bytes" else "\n"
    ended = [piece if piece.endswith(newline) else piece + newline for piece in pieces[:-1]]
    text = newline[:0].join([*ended, pieces[-1]])
    return Source(text, _describe(entries, len(files)), files)


def _describe(entries: tuple[str, ...], files: int) -> str:
    if entries == ("stdlib",):
        return f"Python {platform.python_version()} standard library, {files} files"
    name = entries[0] if entries[0].startswith("hub:") else Path(entries[0]).name
    return name if len(entries) == 1 else f"{name} and {len(entries) - 1} more"


def _decode(name: str, raw: bytes) -> str:
    """UTF-8 text without its byte order mark; binary or otherwise encoded files are refused."""
    mend = "convert it to UTF-8, or read it with --alphabet bytes"
    zero = raw.find(b"\0")
    if zero >= 0:
        raise BadInput(f"{name} is not text: it has a zero byte at offset {zero}; {mend}")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        at = error.start
        line = f"{name} is not UTF-8: byte 0x{raw[at]:02x} at offset {at}; {mend}"
        raise BadInput(line) from None


def _stdlib() -> list[tuple[str, bytes]]:
    """The standard library's top-level source files, by name; the few not in UTF-8 are skipped."""
    folder = Path(sysconfig.get_path("stdlib"))
    parts = []
    for path in sorted(folder.glob("*.py"), key=lambda path: path.name):
        raw = path.read_bytes()
        try:
            raw.decode()
        except UnicodeDecodeError:
            continue
        if raw.strip():
            parts.append((path.name, raw))
    if not parts:
        raise BadInput(f"this Python has no library source in {folder}: give a --corpus FILE")
    return parts


def _file(name: str) -> bytes:
    path = Path(name)
    try:
        if path.is_dir():
            raise BadInput(f"{name} is a folder: name its files, such as --corpus {path / '*.txt'}")
        if path.exists() and not path.is_file():
            # A pipe could be read once, but a resumed run has to read it again.
            raise BadInput(f"{name} is not a regular file: save its text to one first")
        if path.suffix == ".gz":
            with gzip.open(path) as opened:
                return opened.read()
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(name) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{name} is a damaged gzip file ({error}): fetch or pack it again") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"{name} cannot be read ({reason}): see its permissions and name") from None


def _missing(name: str) -> BadInput:
    """The error for a file that is not there, with the likeliest name that is."""
    path = Path(name)
    if not os.path.isdir(path.parent):
        return BadInput(f"{name} does not exist, nor its folder {path.parent}: see --corpus")
    there: list[str] = []
    with contextlib.suppress(OSError):  # a folder may be open for reading files, not their names
        there = sorted(os.listdir(path.parent))
    near = difflib.get_close_matches(path.name, there, n=1)
    mend = f"did you mean {path.with_name(near[0])}?" if near else "give --corpus a file that does"
    return BadInput(f"{name} does not exist: {mend}")


def _hub(entry: str, column: str) -> bytes:
    """The train rows of one column, joined by newlines, in UTF-8; rows of None are left out.

    A data set with a single column needs no name for it.
    """
    rows = _load(entry)
    if len(rows.column_names) == 1:
        column = rows.column_names[0]
    if column not in rows.column_names:
        has = ", ".join(rows.column_names)
        raise BadInput(f"{entry} has no column {column!r}: choose --column from {has}")
    kind = getattr(rows.features[column], "dtype", type(rows.features[column]).__name__)
    if kind not in ("string", "large_string"):
        raise BadInput(f"{entry}: column {column!r} is {kind}, not text: choose another --column")
    return "\n".join(row for row in rows[column] if row is not None).encode()


def _load(entry: str) -> Any:
    """The train split, from local files or the hub, with every failure told in one line."""
    name, _, config = entry.removeprefix("hub:").partition("@")
    path = Path(name)
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    local = os.path.exists(path)  # unlike Path.exists, never raises
    if not local and (suffix in LOADERS or name.startswith((".", "/", "~"))):
        raise _missing(name)
    if not local and not _offline():
        _reach(entry)
    import datasets  # takes most of a second, and only these sources need it

    if path.is_file():
        if suffix not in LOADERS:
            raise BadInput(f"{entry}: a local data file ends in {', '.join(LOADERS)}")
        arguments: dict[str, Any] = {"path": LOADERS[suffix], "data_files": str(path)}
    else:
        arguments = {"path": name, "name": config or None}
    try:
        try:
            return datasets.load_dataset(**arguments, split="train")
        except RuntimeError as error:
            if local or "scripts" not in str(error):
                raise
            # Old repositories hold a loading script; the hub keeps their rows converted here.
            arguments["revision"] = "refs/convert/parquet"
            return datasets.load_dataset(**arguments, split="train")
    except Exception as error:  # the library and its readers raise many kinds
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        mend = "unset HF_HUB_OFFLINE, or " if _offline() and not local else ""
        raise BadInput(f"{entry} cannot be loaded ({reason}): {mend}{DOWNLOAD}") from error


def _offline() -> bool:
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def _reach(entry: str) -> None:
    """Raises BadInput unless the hub (or the proxy before it) answers.

    The hub's own client tries for half a minute. The thread bounds the name's resolution too,
    which no socket's timeout does.
    """
    from huggingface_hub import constants

    url = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(url.hostname or ""):
        url = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    answered = threading.Event()

    def connect() -> None:
        # An address that makes no sense (ValueError) gives no answer either.
        with contextlib.suppress(OSError, ValueError):
            port = url.port or (80 if url.scheme == "http" else 443)
            socket.create_connection((url.hostname, port), timeout=PROBE_SECONDS).close()
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if not answered.is_set():
        raise BadInput(
            f"{entry}: no answer from {url.hostname}: check the network, {DOWNLOAD}, "
            "or set HF_HUB_OFFLINE=1 to use a copy fetched before"
        )
