"""JSON laid out for people, by its letters alone: nothing but the blanks between them changes, so what is shown is what came.

Nothing is parsed: numbers keep their digits, repeated keys stay, and what is no JSON after all comes out as it is written.
"""

from __future__ import annotations

import re

INDENTED = 24  # levels that are moved to the right; deeper ones stand below each other
_TOKEN = re.compile(r'[ \t\r\n]+|"(?:[^"\\]|\\.)*+"?|[\[\]{},:]|[^ \t\r\n"\[\]{},:]+', re.DOTALL)


def laid_out(text: str, most: int) -> tuple[str, int]:
    """The text in lines, at most ``most`` characters of it, and how many characters of the text itself they stand for."""
    out: list[str] = []
    size = depth = taken = 0
    empty = False  # a bracket was opened, and nothing stands in it yet
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token.isspace():
            continue
        piece = token
        if token in "]}":
            depth = max(0, depth - 1)
            piece = token if empty else _line(depth) + token
        elif empty:
            piece = _line(depth) + token
        if token == ",":
            piece += _line(depth)
        elif token == ":":
            piece += " "
        empty = token in "[{"
        depth += empty
        if size + len(piece) > most:
            out.append(piece[: most - size])
            return "".join(out), taken
        out.append(piece)
        size, taken = size + len(piece), found.end()
    return "".join(out), len(text)


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, INDENTED)
