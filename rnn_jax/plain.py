"""Values as JSON has them, and texts as a terminal may have them."""

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Arrays and their scalars as lists and numbers, NaN and infinities as None, all else as text.

    Needs no NumPy: what is an array says so itself.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | None) else str(value)


def shown(text: str, keep: str = "") -> str:
    """A text with U+FFFD for what is not printable and not to keep: a terminal would obey it."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)
