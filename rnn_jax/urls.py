"""Names of paths in a bucket: ``gs://BUCKET/PATH``."""

import re
from typing import Any

from rnn_jax.errors import BadInput

# No name that a shell, a URL or a pattern would read otherwise, and none that leads elsewhere.
_BUCKET, _NAME = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", r"(?!\.{1,2}(/|\Z))[\w.=,+~@-]+"
_URL = re.compile(f"gs://{_BUCKET}(/{_NAME})+", re.ASCII)
_LONGEST = 800  # of the 1,024 bytes that a name may have


def is_url(value: Any) -> bool:
    """Whether it is one that a run may keep its checkpoints at."""
    return isinstance(value, str) and len(value) <= _LONGEST and bool(_URL.fullmatch(value))


def checked(url: str) -> str:
    """The URL without a slash at its end; BadInput where it is none. "" stays as it is."""
    if url and not is_url(bare := url.rstrip("/")):
        told = "must be gs://BUCKET/PATH, with letters, digits and _.=,+~@- in PATH"
        raise BadInput(f"--checkpoints {url}: {told}")
    return bare if url else ""
