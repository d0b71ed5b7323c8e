"""What an experiment leaves behind that is no run: texts and pictures in its folder."""

from collections.abc import Collection, Mapping
from pathlib import Path

from rnn_jax.errors import BadInput


def check(folder: str, files: Collection[str]) -> None:
    """BadInput where the folder cannot be made, or holds other files than these; folders may be."""
    out = Path(folder)
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        raise BadInput(f"{there} is a file; use another --out")
    if out.exists() and (strange := {p.name for p in out.iterdir() if p.is_file()} - {*files}):
        raise BadInput(f"{out} has other files ({min(strange)}); use another --out")


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
