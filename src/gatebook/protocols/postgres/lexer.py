"""PostgreSQL's own scanner, by libpg_query: where the tokens of a text lie.

Two things need tokens instead of a tree. A text is shown without its literals, and a literal can stand where no tree marks it
(the body of DO, a password, the payload of NOTIFY). And the grammar copies the right side of ``SET (a, b) = …`` once per
column, so that a few hundred bytes of such assignments inside one another would fill any memory; that is counted before
parsing.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from itertools import pairwise

from postgast.native import lib
from postgast.pg_query_pb2 import ScanResult, Token

_LITERALS = frozenset({Token.SCONST, Token.USCONST, Token.ICONST, Token.FCONST, Token.BCONST, Token.XCONST})
_COMMENTS = frozenset({Token.SQL_COMMENT, Token.C_COMMENT})
_NAMES = frozenset({Token.IDENT, Token.UIDENT})
_PLAIN_NAME = re.compile(rb'"?[A-Za-z_][A-Za-z_0-9$]*"?')  # a name that holds more may be somebody's idea of a string

COPIES = 1_000_000  # tokens after copying; a tree of that many takes some 100 MB
_SETS = re.compile(r"\bset\b", re.IGNORECASE)

Found = tuple[int, int, int]  # token, first byte, byte after the last


def tokens(data: bytes) -> list[Found] | None:
    """The tokens in order, comments included; None for a text that cannot be scanned. ``data`` must hold no NUL."""
    result = lib.pg_query_scan(data)
    try:
        if result.error:
            return None
        found = ScanResult.FromString(ctypes.string_at(result.pbuf.data, result.pbuf.len))
    finally:
        lib.pg_query_free_scan_result(result)
    return [(token.token, token.start, token.end) for token in found.tokens]


def is_comment(token: int) -> bool:
    """Whether a token is a comment."""
    return token in _COMMENTS


def is_literal(token: int) -> bool:
    """Whether a token is a string, a number or a bit string."""
    return token in _LITERALS


def skeleton(data: bytes) -> list[bytes] | None:
    """The tokens of a text with literals alike and comments left out: what it does, whatever it says. None as ``tokens``."""
    found = tokens(data)
    if found is None:
        return None
    return [b"'" if token in _LITERALS else data[start:end] for token, start, end in found if token not in _COMMENTS]


def names_a_cursors_row(data: bytes) -> bool:
    """Whether ``CURRENT OF`` stands in it: then it means whatever row a cursor is at."""
    words = [token for token, _, _ in tokens(data) or [] if token not in _COMMENTS]
    return any(one == Token.CURRENT_P and two == Token.OF for one, two in pairwise(words))


def without_literals(data: bytes) -> str | None:
    """The text with each literal as ``$n``, each comment dropped; None when a byte lies where no token accounts for it."""
    found = tokens(data)
    if found is None:
        return None
    parts: list[bytes] = []
    at = number = 0
    for token, start, end in found:
        if data[at:start].strip():
            return None
        if start > at or token in _COMMENTS:
            parts.append(b" ")
        number += token in _LITERALS
        parts.append(_shown(token, data[start:end], number))
        at = end
    if data[at:].strip():
        return None
    return b"".join(parts).decode(errors="replace").strip()


def without_comments(data: bytes) -> str | None:
    """The text with a space for each comment; None when a byte lies where no token accounts for it."""
    if b"--" not in data and b"/*" not in data:
        return data.decode(errors="replace")
    found = tokens(data)
    if found is None:
        return None
    parts: list[bytes] = []
    at = 0
    for token, start, end in found:
        if data[at:start].strip():
            return None
        parts.append(data[at:start])
        parts.append(b" " if token in _COMMENTS else data[start:end])
        at = end
    return None if data[at:].strip() else b"".join(parts).decode(errors="replace").strip()


def _shown(token: int, word: bytes, number: int) -> bytes:
    if token in _LITERALS:
        return b"$%d" % number
    if token in _COMMENTS:
        return b""
    return b'"\xe2\x80\xa6"' if token in _NAMES and not _PLAIN_NAME.fullmatch(word) else word


def copies_too_much(text: str, data: bytes) -> bool:
    """Whether ``SET (a, b) = …`` inside one another would make the tree many times the text."""
    if len(_SETS.findall(text)) < 2:
        return False
    found = tokens(data)
    return found is not None and sum(_multiples(found)) > COPIES


def _multiples(found: list[Found]) -> Iterator[int]:
    """For each token, how often the tree holds it at most: the product of the column counts of the assignments around it."""
    times = [1]  # per depth of parentheses, this depth's own assignments included
    columns = [0]  # per depth, how many items are listed so far
    closed = 0  # columns of the list that the last token closed
    for token, _, _ in found:
        if token in _COMMENTS:
            continue
        if token == Token.ASCII_59 and len(times) == 1:
            times, columns = [1], [0]
        if token == Token.ASCII_61 and closed > 1:
            times[-1] = max(times[-1], closed * (times[-2] if len(times) > 1 else 1))
        closed = 0
        if token == Token.ASCII_40:
            times.append(times[-1])
            columns.append(1)
        elif token == Token.ASCII_41 and len(times) > 1:
            times.pop()
            closed = columns.pop()
        elif token == Token.ASCII_44:
            columns[-1] += 1
        yield times[-1]
