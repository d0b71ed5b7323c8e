"""Rows of a data set of the Hugging Face hub, or of a data set's local files."""

import contextlib
import os
import socket
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from rnn_jax.data.files import missing
from rnn_jax.errors import BadInput

PROBE_SECONDS = 3.0
LOADERS = {".parquet": "parquet", ".txt": "text", ".csv": "csv", ".json": "json", ".jsonl": "json"}
HUB = "https://huggingface.co"  # unless HF_ENDPOINT names another


def read_hub(entry: str, column: str) -> bytes:
    """The train rows of one column, joined by newlines, in UTF-8; rows of None are left out.

    A data set with a single column needs no name for it.
    """
    rows = load(entry, "--corpus")
    if len(rows.column_names) == 1:
        column = rows.column_names[0]
    if column not in rows.column_names:
        has = ", ".join(rows.column_names)
        raise BadInput(f"{entry} has no column {column!r}: choose --column from {has}")
    kind = getattr(rows.features[column], "dtype", type(rows.features[column]).__name__)
    if kind not in ("string", "large_string"):
        raise BadInput(f"{entry}: column {column!r} is {kind}, not text: choose another --column")
    return "\n".join(row for row in rows[column] if row is not None).encode()


def load(entry: str, flag: str) -> Any:
    """The rows of one split, from local files or the hub, with every failure told in one line.

    entry: ``hub:NAME``, ``hub:NAME@CONFIG`` or ``hub:NAME:SPLIT`` (train unless named; also with
    @CONFIG before it); flag: with which a file could be given instead.
    """
    name, split = entry.removeprefix("hub:"), "train"
    if not os.path.exists(name) and ":" in name:
        name, _, split = name.rpartition(":")
    name, _, config = name.partition("@")
    download = f"download it and give it as {flag} FILE"
    path = Path(name)
    suffix = Path(name.removesuffix(".gz")).suffix.lower()
    local = os.path.exists(path)  # unlike Path.exists, never raises
    if not local and (suffix in LOADERS or name.startswith((".", "/", "~"))):
        raise missing(name, flag)
    if not local and not _offline():
        _reach(entry, download)
    import datasets  # takes most of a second, and only these sources need it

    if path.is_file():
        if suffix not in LOADERS:
            raise BadInput(f"{entry}: a local data file ends in {', '.join(LOADERS)}")
        arguments: dict[str, Any] = {"path": LOADERS[suffix], "data_files": str(path)}
    else:
        arguments = {"path": name, "name": config or None}
    try:
        try:
            return datasets.load_dataset(**arguments, split=split)
        except RuntimeError as error:
            if local or "scripts" not in str(error):
                raise
            # Old repositories hold a loading script; the hub keeps their rows converted here.
            arguments["revision"] = "refs/convert/parquet"
            return datasets.load_dataset(**arguments, split=split)
    except Exception as error:  # the library and its readers raise many kinds
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        mend = "unset HF_HUB_OFFLINE, or " if _offline() and not local else ""
        raise BadInput(f"{entry} cannot be loaded ({reason}): {mend}{download}") from error


def _offline() -> bool:
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


def _reach(entry: str, download: str) -> None:
    """Raises BadInput unless the hub (or the proxy before it) answers.

    The hub's own client tries for half a minute. The thread bounds the name's resolution too,
    which no socket's timeout does.
    """
    url = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or HUB)
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
            f"{entry}: no answer from {url.hostname}: check the network, {download}, "
            "or set HF_HUB_OFFLINE=1 to use a copy fetched before"
        )
