"""What is true of a text after each of its characters; what a unit may have learned to tell."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

OPENING, CLOSING = "([{", ")]}"


class _State(NamedTuple):
    """Where a reader stands: quote is "", '"' or '\"\"\"'; depth counts open brackets."""

    quote: str = ""
    curly: int = 0
    comment: bool = False
    depth: int = 0
    column: int = 0
    indent: int = 0


def _quoted(before: str, character: str, quote: str) -> str:
    """The quote that is open after a double quote mark; three in a row open or close a long one."""
    if (before + character).endswith('"""'):
        return "" if quote == '"""' else '"""'
    if quote == '"""':
        return quote
    return "" if quote else '"'


def _read(state: _State, before: str, character: str) -> _State:
    quote, comment, depth = state.quote, state.comment, state.depth
    if character == "\n":
        quote = quote if quote == '"""' else ""
        blank = before.endswith("\n")
        kept = {"depth": 0, "curly": 0} if blank else {}
        return state._replace(quote=quote, comment=False, column=0, indent=0, **kept)
    indent = state.indent + (character == " " and state.indent == state.column)
    curly = max(0, state.curly + (character == "“") - (character == "”"))
    if not comment and character == '"':
        quote = _quoted(before, character, quote)
    elif not quote and not comment:
        comment = character == "#"
        depth = max(0, depth + (character in OPENING) - (character in CLOSING))
    return _State(quote, curly, comment, depth, state.column + 1, indent)


def labels(text: str) -> dict[str, "np.ndarray"]:
    """float64 [N] each, of what holds once character t has been read.

    in quotes: within double quotes, straight ones to the end of the line, three at a time over
    lines, or curly ones; in a comment: from # to the end of the line; bracket depth: how many are
    open, none after a blank line; column: characters since the line began; indentation: spaces it
    began with.
    """
    import numpy as np

    state, rows = _State(), []
    for t, character in enumerate(text):
        state = _read(state, text[max(0, t - 2) : t], character)
        inside = bool(state.quote) or state.curly > 0
        rows.append((inside, state.comment, state.depth, state.column, state.indent))
    names = ("in quotes", "in a comment", "bracket depth", "column", "indentation")
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))
