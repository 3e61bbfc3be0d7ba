"""JSON as text: what its escapes hide, and how it stays JSON where something in it was covered."""

from __future__ import annotations

import json
import re

from gatebook.masking.styles import COVERED

_ESCAPED = re.compile(rb"\\(?:\\|u00([2-7][0-9a-fA-F])|/)")
_TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*+")|([^\s,:{}\[\]"]++)', re.DOTALL)
_LITERAL = re.compile(rb"true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_AS_STRING = b'"' + COVERED + b'"'


def unescaped(text: bytes) -> bytes:
    """The text with the escapes of ASCII characters and slashes replaced by what they stand for."""
    return _ESCAPED.sub(_unescaped, text)


def _unescaped(found: re.Match[bytes]) -> bytes:
    """What an escape of JSON stands for; an escaped quote, backslash or control character stays as it is."""
    if found[0] == rb"\/":
        return b"/"
    byte = int(found[1], 16) if found[1] else 0x5C
    return found[0] if byte in (0x22, 0x5C, 0x7F) else bytes((byte,))


def _quoted(covered: bytes) -> bytes:
    """Put quotes around what now stands where a number stood."""
    return _TOKEN.sub(lambda token: token[0] if token[1] or _LITERAL.fullmatch(token[2]) else b'"' + token[2] + b'"', covered)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


def sound_json(covered: bytes) -> bytes:
    """Covered JSON made readable again; covered whole if that fails."""
    quoted = _quoted(covered)
    return quoted if _is_json(quoted) else _AS_STRING


def still_json(before: bytes, covered: bytes) -> bytes:
    """The same for a text that was JSON before; any other text stays as it was covered."""
    if _is_json(before):
        quoted = _quoted(covered)
        return quoted if _is_json(quoted) else covered
    return covered
