"""What an experiment leaves behind that is no run: texts and pictures in its folder."""

from collections.abc import Mapping
from pathlib import Path

from rnn_jax.errors import BadInput


def save(folder: str, contents: Mapping[str, str | bytes]) -> None:
    """Write each content under its name into the folder, which is made; BadInput where it fails."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            raw = content.encode() if isinstance(content, str) else content
            Path(folder, name).write_bytes(raw)
    except OSError as error:
        told = error.strerror or str(error)
        raise BadInput(f"--out {folder}: cannot write {error.filename}: {told}") from error
