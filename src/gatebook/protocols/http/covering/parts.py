"""Contents of several parts (multipart, RFC 2046): each covered by its own type, a field of a form by its name too.

The delimiter is looked for byte by byte as the RFC has it; whatever is before the first part and behind the last is nobody's,
and is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from gatebook.errors import WireError
from gatebook.protocols.http.covering.heads import covered_fields
from gatebook.protocols.http.covering.plan import Counts, Coverer, Plan, Rule, count
from gatebook.protocols.http.message import Fields

HEAD_BYTES = 16_384
FIELD_BYTES = 1_048_576  # of a form's field that a rule covers
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}(?<! )")
_NAME = re.compile(rb"(?:^|;)\s*name=(?:\"((?:[^\"\\]|\\.)*)\"|([^;\"\s]*))", re.IGNORECASE)

# What covers a part by its head, or raises WireError for one that may not pass.
Choose = Callable[[Fields], Coverer]


class _At(Enum):
    PREAMBLE = 0
    HEAD = 1
    CONTENT = 2
    AFTER = 3  # right behind a delimiter
    EPILOGUE = 4


class PartsCover:
    """Covers one content of several parts."""

    def __init__(self, plan: Plan, boundary: str, choose: Choose) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._choose = choose
        self._at = _At.PREAMBLE
        self._held = b"\r\n"  # the first delimiter may stand at the very beginning
        self._part: Coverer | None = None
        self._fresh = False  # at the very beginning of a part's content

    def feed(self, data: bytes) -> bytes:
        """What is whole, covered. Raises WireError."""
        self._held += data
        out: list[bytes] = []
        while self._step(out):
            pass
        return b"".join(out)

    def finish(self) -> bytes:
        """The end. Raises WireError when the last delimiter is missing."""
        if self._at is _At.AFTER and self._held.startswith(b"--"):
            self._at = _At.EPILOGUE
            return b"--\r\n"
        if self._at is not _At.EPILOGUE:
            raise WireError("a content of several parts that is cut off")
        return b""

    def _step(self, out: list[bytes]) -> bool:
        match self._at:
            case _At.PREAMBLE | _At.CONTENT:
                return self._content(out)
            case _At.AFTER:
                return self._after(out)
            case _At.HEAD:
                return self._head(out)
        self._held = b""
        return False

    def _content(self, out: list[bytes]) -> bool:
        """Up to the next delimiter."""
        if self._fresh:
            bare = self._delimiter[2:]
            if len(self._held) < len(bare) and bare.startswith(self._held):
                return False
            self._fresh = False
            if self._held.startswith(bare):  # no content, and not even the line end that a delimiter begins with
                self._held = b"\r\n" + self._held
        line = self._held.find(self._delimiter[1:])
        if line >= 0 and self._held[max(0, line - 1) : line] != b"\r":
            raise WireError("a delimiter of parts behind half a line end")
        if line < 0:
            keep = _beginning(self._held, self._delimiter)
            piece, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
            if self._part is not None and piece:
                out.append(self._part.feed(piece))
            return False
        end = line - 1
        piece, self._held = self._held[:end], self._held[end + len(self._delimiter) :]
        if self._part is not None:
            out += [self._part.feed(piece) if piece else b"", self._part.finish(), b"\r\n"]
            for name, number in self._part.masked.items():
                count(self.masked, name, number)
            self._part = None
        out.append(self._delimiter[2:])
        self._at = _At.AFTER
        return True

    def _after(self, out: list[bytes]) -> bool:
        """Two dashes end the content; else white space and the end of the line begin a part."""
        if self._held.startswith(b"--") and len(self._held) >= 4:
            out.append(b"--\r\n")
            self._at = _At.EPILOGUE
            return True
        line, found, rest = self._held.partition(b"\r\n")
        if not found:
            if len(self._held) > 72:
                raise WireError("a delimiter of parts that does not end")
            return False
        if line.strip(b" \t"):
            raise WireError("a delimiter of parts with something behind it")
        self._held = b"\r\n" + rest
        self._at = _At.HEAD
        out.append(b"\r\n")
        return True

    def _head(self, out: list[bytes]) -> bool:
        """The fields of a part; the line end before them is kept so that no fields at all look like some."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_BYTES:
            if len(self._held) > HEAD_BYTES:
                raise WireError(f"the head of a part of more than {HEAD_BYTES} bytes")
            return False
        fields = _fields(self._held[2:end] if end else b"")
        self._held = self._held[end + 4 :]
        rule = self._rule(fields)
        self._part = _Ruled(rule) if rule is not None else self._choose(fields)
        for name, value in covered_fields(fields, self._plan, self.masked):
            out.append(name + b": " + value + b"\r\n")
        out.append(b"\r\n")
        self._at = _At.CONTENT
        self._fresh = True
        return True

    def _rule(self, fields: Fields) -> Rule | None:
        name = field_name(fields)
        return self._plan.named(name) if name else None


class _Ruled:
    """A field of a form under a rule: covered whole, as one value."""

    def __init__(self, rule: Rule) -> None:
        self.masked: Counts = {}
        self._rule = rule
        self._value = b""

    def feed(self, data: bytes) -> bytes:
        self._value += data
        if len(self._value) > FIELD_BYTES:
            raise WireError(f"a field of more than {FIELD_BYTES} bytes under a rule")
        return b""

    def finish(self) -> bytes:
        count(self.masked, self._rule.style.value)
        return self._rule.cover(self._value)


def field_name(fields: Fields) -> str:
    """The name of a form's field, by its Content-Disposition; "" without one."""
    for name, value in fields:
        if name == b"content-disposition" and (found := _NAME.search(value)):
            return (found[1] or found[2] or b"").replace(b"\\", b"").decode("utf-8", "replace")
    return ""


def _fields(head: bytes) -> Fields:
    found = []
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not name.strip() or name[:1] in (b" ", b"\t") or b"\n" in line or b"\r" in line:
            if not line:
                continue
            raise WireError("a head of a part that is not well-formed")
        found.append((name.strip().lower(), value.strip()))
    return tuple(found)


def _beginning(data: bytes, delimiter: bytes) -> int:
    """How many bytes at the end may be the beginning of a delimiter."""
    for size in range(min(len(data), len(delimiter) - 1), 0, -1):
        if delimiter.startswith(data[-size:]) or delimiter[1:].startswith(data[-size:]):
            return size
    return 0
