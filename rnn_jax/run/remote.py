"""A path in a bucket, ``gs://BUCKET/PATH``: listed, read, written; what fails there, in one line.

TensorStore does it, which Orbax stands on: it signs in as Google's own programs do, and caches
nothing. Orbax, which saves, goes through gcsfs besides, for all that is no array.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorstore

from rnn_jax.data.extras import extra
from rnn_jax.errors import BadInput

# Orbax would take TensorFlow's file system where that is installed; that is seconds to import, and
# signs in by another way than the rest.
os.environ.setdefault("EPATH_USE_TF", "false")

# To connect a request takes seconds, or fails and is tried again: a start is not kept waiting long,
# a training that has run for days sits out three quarters of a minute.
os.environ.setdefault("TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS", "5")
_QUICK = {"max_retries": 3, "initial_delay": "500ms", "max_delay": "2s"}
_PATIENT = {"max_retries": 6, "initial_delay": "1s", "max_delay": "16s"}
_SECONDS = 120.0  # for a request and all its tries
# What TensorStore's errors begin with, Google's numbers, and the classes of what Python raises.
_AWAY = {"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
_AWAY |= {"429", "500", "502", "503", "504", "ConnectionError", "ClientConnectionError"}
_AWAY |= {"TransportError", "TimeoutError", "Timeout"}
_CLOSED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "Forbidden", "401", "403", "GoogleAuthError"}
_MENDS = (
    (_AWAY, "does not answer; check the network, and give the same command again"),
    (
        _CLOSED,
        "is not open to you; sign in (gcloud auth application-default login), or let"
        " GOOGLE_APPLICATION_CREDENTIALS name the key of an account that may read and write there",
    ),
)


class Remote(NamedTuple):
    """A path in a bucket; ``remote / "name"`` is below it."""

    url: str

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def bucket(self) -> str:
        return self.url.split("/")[2]

    @property
    def parents(self) -> list[Remote]:
        """The paths that it lies in, from its own up."""
        names = self.url.split("/")
        return [Remote("/".join(names[:n])) for n in range(len(names) - 1, 3, -1)]

    def __str__(self) -> str:
        return self.url


Place = Path | Remote  # where a run, a step or a part of it lies


class Object(NamedTuple):
    """What is stored under a name, None for nothing, and the generation that says so."""

    data: bytes | None
    generation: bytes


class Unreached(BadInput):
    """The bucket does not answer, or not to this caller; what lies there may be sound."""


class TooLong(Exception):
    """An object has more bytes than one of its kind ever has."""


@functools.cache
def prepare() -> None:
    """Makes Orbax ready to write to a bucket. BadInput where a package is missing."""
    _package("gcsfs")
    _package("google.cloud.storage")
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("gcsfs", "fsspec"):  # they log what they raise as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What TensorStore has written since, a cache of listings would not know of.
    _package("fsspec.config").conf.setdefault("gcs", {})["use_listings_cache"] = False
    # TensorStore by itself tries for a quarter of an hour, and Orbax has no setting for it.
    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):
        getattr(tensorstore_utils, name, {})["gcs_request_retries"] = _PATIENT
    # Of several arrays that fail it tells Python of the second when Orbax listens no more.
    sys.excepthook = functools.partial(_unless_late, sys.excepthook)


def _package(module: str) -> Any:
    return extra(module, "--checkpoints gs://", "gcsfs google-cloud-storage")


def _unless_late(hook: Callable[..., Any], kind: type, error: BaseException, *more: Any) -> None:
    if str(error) != "Event loop is closed":
        hook(kind, error, *more)


@functools.cache
def check_bucket(bucket: str) -> None:
    """BadInput unless Google's own client, which Orbax asks what a bucket is like, is told so."""
    storage, missing = _package("google.cloud.storage"), _package("google.cloud.exceptions")
    with one_line(Remote(f"gs://{bucket}"), all_errors=True):
        try:
            storage.Client().get_bucket(bucket, timeout=_SECONDS, retry=None)
        except missing.NotFound as error:
            mend = "make it, or use another --checkpoints"
            raise BadInput(f"gs://{bucket} does not exist; {mend}") from error


def spec(place: Remote, *, patient: bool = False) -> dict[str, Any]:
    """The path as TensorStore is told of it."""
    path = place.url.split("/", 3)[3]
    where = {"driver": "gcs", "bucket": place.bucket, "path": f"{path}/"}
    return where | {"gcs_request_retries": _PATIENT if patient else _QUICK}


def keys(place: Remote) -> list[str]:
    """The names of all objects below it, in order."""
    with one_line(place):
        found = _store(place).list().result(_SECONDS)
    return sorted(name.decode(errors="replace") for name in found)


def read(place: Remote, name: str, most: int, *, patient: bool = False) -> Object:
    """An object. TooLong where it has more than so many bytes, before they are read."""
    with one_line(place):
        store = _store(place, patient=patient)
        try:
            beyond = store.read(name, byte_range=slice(most, most + 1)).result(_SECONDS)
        except ValueError as error:
            if not str(error).startswith("OUT_OF_RANGE"):
                raise
        else:
            if beyond.state == "value":
                raise TooLong(f"{name} has more than {most} bytes")
        found = store.read(name).result(_SECONDS)
    return Object(found.value if found.state == "value" else None, found.stamp.generation)


def write(place: Remote, name: str, data: bytes, instead_of: bytes | None = None) -> None:
    """Writes an object, but not where another generation lies there than that."""
    with one_line(place, all_errors=True):
        _store(place).write(name, data, if_equal=instead_of).result(_SECONDS)


def move(source: Remote, target: Remote) -> None:
    """All that is below a path to below another."""
    with one_line(source, all_errors=True):
        store, there = _store(source), _store(target)
        for name in store.list().result(_SECONDS):
            there.write(name, store.read(name).result().value).result()
        store.delete_range(tensorstore.KvStore.KeyRange()).result()


def fetch(source: Remote, target: Path) -> None:
    """All that is below a path into a folder. BadInput for a name that would lead out of it."""
    for name in keys(source):
        if {"", ".", ".."} & {*name.split("/")}:
            raise BadInput(f"{source / name} is no file of a checkpoint; name another step")
        with one_line(source, all_errors=True):
            data = _store(source).read(name).result().value
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)


@contextlib.contextmanager
def one_line(place: Place, *, all_errors: bool = False) -> Iterator[None]:
    """BadInput for what is said of the network and of the caller's rights; other errors pass.

    all_errors: nothing passes. Of a folder everything does.
    """
    try:
        yield
    except (BadInput, TooLong):
        raise
    except Exception as error:
        if isinstance(place, Path):
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        kinds = {told.split(":")[0], str(getattr(error, "code", ""))}
        kinds |= {base.__name__ for base in type(error).__mro__}
        short = re.sub(r" \[(http_response|source locations).*", "", told)[:200]
        for words, meaning in _MENDS:
            if kinds & words:
                raise Unreached(f"{place} {meaning} ({short})") from error
        if all_errors:
            raise BadInput(f"{place} cannot be used ({short})") from error
        raise


def _store(place: Remote, *, patient: bool = False) -> tensorstore.KvStore:
    _sign_in(place.bucket)
    return tensorstore.KvStore.open(spec(place, patient=patient)).result(_SECONDS)


@functools.cache
def _sign_in(bucket: str) -> None:
    """A first request: in it TensorStore logs, past Python, where it has found no credentials."""
    store = tensorstore.KvStore.open(spec(Remote(f"gs://{bucket}/-"))).result(_SECONDS)
    heard = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        store.read("-").result(_SECONDS)
    finally:
        os.dup2(heard, 2)
        os.close(heard)
