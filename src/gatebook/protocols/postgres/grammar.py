"""PostgreSQL's own grammar, by libpg_query: a text in, its parse tree or the objection out.

The tree comes as JSON from the C entry point (half the cost of the protobuf one) through the library that postgast ships. The
library recurses on the C stack, where no exception can be caught: a text of 100,000 terms kills a process with an 8 MiB
stack. So a short text is parsed where the caller stands, a longer one on a thread whose stack is sized by its length, and
what is longer still is not parsed at all. A tree that is larger or deeper than can be walked in good time counts as not read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from postgast.native import lib

from gatebook.protocols.postgres import lexer

Node = dict[str, Any]

INLINE_BYTES = 32 * 1024  # 16,000 nested levels at most: 4 MiB of stack where each takes 256 bytes
LONGEST_BYTES = 1024 * 1024
TREE_BYTES = 8 * 1024 * 1024  # a tree of this size takes half a second to walk and 100 MB to hold
_STACK_FLOOR = 16 * 1024 * 1024
_STACK_PER_BYTE = 512  # measured: 500,000 levels of two bytes each survive on 512 MiB

_sizing = threading.Lock()  # threading.stack_size is one value for the whole process

TOO_LONG = "longer than 1 MiB"
TOO_DEEP = "nested too deep, or too many parts"
NUL = "holds a NUL byte"
NOT_UNICODE = "not valid Unicode"


@dataclass(frozen=True, slots=True)
class Tree:
    """``statements`` are the RawStmt nodes in order. ``why`` says why there are none, ``error`` is the grammar's objection."""

    statements: tuple[Node, ...] = ()
    why: str = ""
    error: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class _Raw:
    """What the C library said, copied out of its memory."""

    tree: bytes
    error: str = ""
    position: int = 0


def parse(text: str) -> Tree:
    """Parse a text of SQL. Raises nothing for any text."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return Tree(why=NOT_UNICODE)
    if why := unfit(data):
        return Tree(why=why)
    if lexer.copies_too_much(text, data):
        return Tree(why=TOO_DEEP)
    raw = with_stack(_call, data)
    if raw is None:
        return Tree(why=TOO_DEEP)
    if raw.error:
        return Tree(why="does not parse", error=raw.error, position=raw.position)
    return _load(raw.tree)


def unfit(data: bytes) -> str:
    """Why these bytes may not be given to the library, or ``""``. A NUL would end the text early for the library alone."""
    if len(data) > LONGEST_BYTES:
        return TOO_LONG
    return NUL if b"\0" in data else ""


def _load(tree: bytes) -> Tree:
    if len(tree) > TREE_BYTES:
        return Tree(why=TOO_DEEP)
    try:
        statements = orjson.loads(tree).get("stmts", ())
    except orjson.JSONDecodeError:
        return Tree(why=TOO_DEEP)
    return Tree(tuple(statements))


def _call(data: bytes) -> _Raw:
    result = lib.pg_query_parse(data)
    try:
        if not result.error:
            return _Raw(result.parse_tree or b"{}")
        fault = result.error.contents
        return _Raw(b"", (fault.message or b"does not parse").decode(errors="replace"), max(0, fault.cursorpos))
    finally:
        lib.pg_query_free_parse_result(result)


def with_stack(call: Callable[[bytes], _Raw], data: bytes) -> _Raw | None:
    """Run ``call`` where the C stack is deep enough for any text of this length; None if there is no memory for one."""
    if len(data) <= INLINE_BYTES:
        return call(data)
    results: list[_Raw] = []
    thread = threading.Thread(target=lambda: results.append(call(data)), name="sql-grammar", daemon=True)
    with _sizing:
        before = threading.stack_size(_STACK_FLOOR + _STACK_PER_BYTE * len(data))
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            return None
        finally:
            threading.stack_size(before)
    thread.join()
    return results[0] if results else None
