"""A request as people write it down: ``METHOD /path``, fields, an empty line, the content."""

from __future__ import annotations

import re

from gatebook.protocols.http.message import Request

_GAP = re.compile(rb"\r?\n\r?\n")


def parse(data: bytes) -> tuple[Request, bytes]:
    """The request in a text. Lines may end with LF alone; the content is taken as it is. Raises ValueError."""
    head, *rest = _GAP.split(data, maxsplit=1)
    body = rest[0] if rest else b""
    head = head.rstrip(b"\r\n")
    first, *lines = head.split(b"\n")
    words = first.decode("latin-1").strip("\r").split(" ")
    if words[-1].startswith("HTTP/"):
        words.pop()
    if len(words) != 2 or not all(words):
        raise ValueError("expected METHOD /path, as GET /customers/1")
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.strip(b"\r").partition(b":")
        if not colon or not name or name != name.strip():
            raise ValueError(f"{line.decode('latin-1')!r}: expected a field, as content-type: application/json")
        fields.append((name.lower(), value.strip(b" \t")))
    known = dict(reversed(fields))
    upgrade = known.get(b"upgrade", b"").decode("latin-1").lower()
    host = known.get(b"host", b"").decode("latin-1")
    return Request(words[0], "https", host, words[1], tuple(fields), upgrade), body
