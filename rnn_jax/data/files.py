"""A file's bytes, or one line that says why not."""

import contextlib
import difflib
import gzip
import os
import zlib
from pathlib import Path

from rnn_jax.errors import BadInput


def read_file(name: str, flag: str = "--corpus") -> bytes:
    """The bytes of a file, a `.gz` unpacked. BadInput for whatever cannot be read twice alike.

    flag: what gave the name.
    """
    path = Path(name)
    try:
        if path.is_dir():
            some = path / "*.txt"
            raise BadInput(f"{name} is a folder: name its files, such as {flag} {some}")
        if path.exists() and not path.is_file():
            # A pipe could be read once, but a resumed run has to read it again.
            raise BadInput(f"{name} is not a regular file: save its text to one first")
        if path.suffix == ".gz":
            with gzip.open(path) as opened:
                return opened.read()
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(name, flag) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{name} is a damaged gzip file ({error}): fetch or pack it again") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"{name} cannot be read ({reason}): see its permissions and name") from None


def missing(name: str, flag: str = "--corpus") -> BadInput:
    """The error for a file that is not there, with the likeliest name that is."""
    path = Path(name)
    if not os.path.isdir(path.parent):
        return BadInput(f"{name} does not exist, nor its folder {path.parent}: see {flag}")
    there: list[str] = []
    with contextlib.suppress(OSError):  # a folder may be open for reading files, not their names
        there = sorted(os.listdir(path.parent))
    near = difflib.get_close_matches(path.name, there, n=1)
    mend = f"did you mean {path.with_name(near[0])}?" if near else f"give {flag} a file that does"
    return BadInput(f"{name} does not exist: {mend}")


def decode(name: str, raw: bytes, mend: str) -> str:
    """UTF-8 text without its byte order mark; binary or otherwise encoded files are refused.

    mend: what to do about one.
    """
    zero = raw.find(b"\0")
    if zero >= 0:
        raise BadInput(f"{name} is not text: it has a zero byte at offset {zero}; {mend}")
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        at = error.start
        line = f"{name} is not UTF-8: byte 0x{raw[at]:02x} at offset {at}; {mend}"
        raise BadInput(line) from None
