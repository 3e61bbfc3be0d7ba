"""A text of several statements as people speak of it: which statement stands where.

Places come from the grammar and the scanner, so that a semicolon, a backslash or a line break inside a string, a comment or a
dollar quote is taken for none. A text that does not parse has no outline.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from gatebook.protocols.postgres import grammar, lexer

BACKSLASHES = 1_000  # tried in a text that cannot be scanned whole; each try scans what stands before it


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement begins: its line, and its position in characters, both from 1."""

    line: int
    position: int


def outline(text: str) -> tuple[Place, ...]:
    """Where each statement of a text begins; nothing for a text that cannot be told apart."""
    tree = grammar.parse(text)
    if tree.why:
        return ()
    data = text.encode()
    found = lexer.tokens(data)
    if found is None:
        return ()
    starts = [start for token, start, _ in found if not lexer.is_comment(token)]
    return tuple(_place(data, _first(starts, raw.get("stmt_location", 0))) for raw in tree.statements)


def first_meta_command(text: str) -> int | None:
    """The line, from 1, of the first backslash that is SQL of no kind, as a command of psql has it; None without one."""
    data = text.encode()
    if b"\\" not in data or b"\0" in data:
        return None
    found = lexer.tokens(data)
    if found is not None:
        return next((_place(data, start).line for _, start, end in found if data[start:end] == b"\\"), None)
    at = -1
    for _ in range(BACKSLASHES):
        at = data.find(b"\\", at + 1)
        if at < 0:
            return None
        if _outside(data[:at]):
            return _place(data, at).line
    return None


def _outside(before: bytes) -> bool:
    """Whether no string, comment or quoted name is open at the end of these bytes."""
    found = lexer.tokens(before)
    if found is None:
        return False
    return not found or not lexer.is_comment(found[-1][0]) or found[-1][2] < len(before) or before.endswith(b"*/")


def _first(starts: Sequence[int], location: int) -> int:
    """The first token at or behind ``location``, where the grammar has the end of the statement before."""
    at = bisect.bisect_left(starts, location)
    return starts[at] if at < len(starts) else location


def _place(data: bytes, at: int) -> Place:
    before = data[:at]
    return Place(before.count(b"\n") + 1, len(before.decode(errors="replace")) + 1)
