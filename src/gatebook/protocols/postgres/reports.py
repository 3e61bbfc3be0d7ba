"""Errors, notices and notifications, covered on their way to the client.

Detectors go over every field. When a statement reads masked columns, its errors quote nothing: what could hold a value is left
out, and the message says so, unless it is one that cannot hold a value.
"""

from __future__ import annotations

import re

from gatebook.errors import WireError
from gatebook.masking.detectors import UNREAD, OverworkError, Work, scan

_WITHHELD = "details withheld: the statement reads masked columns (SQLSTATE {})"
_KEPT = frozenset("SVCMPFLR")
_NAMES = frozenset("stcnd")  # schema, table, column, constraint, data type
# Messages of these classes and codes say nothing of data: transaction state, resources, deadlocks, operators' doings, locks
_PLAIN = ("25", "53", "57", "40001", "40003", "40P01", "55P03")
# A code of these may quote a value, since names are looked up at run time too (text::regclass), but not where the server points
# into the text that the client sent: then it was parsing that text. What it parses inside of functions has an internal position
# instead, and what it parses of a value (text::regtype) has a context.
_OF_THE_TEXT = ("42", "3D", "3F", "26", "34")
_DENIED = "42501"
# Where procedural languages raise what their functions say, in any field they like
_LANGUAGES = frozenset(("pl_exec.c", "plpy_elog.c", "plperl.c", "Util.c", "Util.xs", "pltcl.c", "plv8.cc"))
_CODE = re.compile(r"[0-9A-Z]{5}")


def cover_report(body: bytes, *, generic: bool, detectors: frozenset[str]) -> bytes:
    """The body of an ErrorResponse or NoticeResponse, covered; the same object if nothing had to be. Raises WireError.

    ``generic`` says that the statement reads masked columns: then nothing that could quote a value is left.
    """
    fields = _fields(body)
    shown = _generic(fields) if generic else fields
    work = Work()
    covered = [(kind, _covered(value, detectors, work)) for kind, value in shown]
    return body if covered == fields else b"".join(kind.encode("latin-1") + value + b"\0" for kind, value in covered) + b"\0"


def is_warning(body: bytes) -> bool:
    """Whether a NoticeResponse is a warning, or may be one: anything less is about the statement that runs alone."""
    return dict(_fields(body)).get("V", b"WARNING") == b"WARNING"


def _fields(body: bytes) -> list[tuple[str, bytes]]:
    """Type and value of each field, in order; at the end stands a zero byte."""
    if not body.endswith(b"\0") or (len(body) > 1 and not body.endswith(b"\0\0")):
        raise WireError(f"report of {len(body)} bytes without an end")
    parts = body[:-1].split(b"\0")[:-1]
    if not all(parts):
        raise WireError("report ends before its last byte")
    return [(chr(part[0]), part[1:]) for part in parts]


def _covered(value: bytes, detectors: frozenset[str], work: Work) -> bytes:
    chosen = scan(detectors)
    try:
        return chosen.cover(value, chosen.suspects(value, work), {}, work)
    except OverworkError:
        return UNREAD.encode()


def _generic(fields: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    known = {kind: value.decode("utf-8", "replace") for kind, value in fields}
    code = known.get("C", "")
    code = code if _CODE.fullmatch(code) else "XX000"
    from_server = bool(known.get("F")) and known["F"] not in _LANGUAGES
    instead = {"C": code.encode()}
    if not (from_server and _says_nothing_of_data(code, known)):
        instead["M"] = _WITHHELD.format(code).encode()
    kept = _KEPT | _NAMES if from_server else _KEPT
    return [(kind, instead.get(kind, value)) for kind, value in fields if kind in kept]


def _says_nothing_of_data(code: str, known: dict[str, str]) -> bool:
    at_the_text = "P" in known and not {"p", "q", "W"} & known.keys()
    denied = code == _DENIED and known.get("F") == "aclchk.c"
    return code.startswith(_PLAIN) or denied or (at_the_text and code.startswith(_OF_THE_TEXT))


def cover_notification(body: bytes, detectors: frozenset[str]) -> bytes:
    """The body of a NotificationResponse, covered; the same object if nothing had to be. Raises WireError."""
    texts = body[4:].split(b"\0")
    if len(body) < 6 or len(texts) != 3 or texts[2]:
        raise WireError(f"notification of {len(body)} bytes does not hold a channel and a payload")
    work = Work()
    covered = [_covered(text, detectors, work) for text in texts]
    return body if covered == texts else body[:4] + b"\0".join(covered)
