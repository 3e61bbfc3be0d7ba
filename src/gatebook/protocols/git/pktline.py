"""pkt-lines, the frames of git's own protocol, and what git calls an object or a ref.

Format: gitprotocol-common, "pkt-line Format"; names of refs: git-check-ref-format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from gatebook.errors import WireError

LINE_BYTES = 65_520  # of a whole line with its four digits; git sends no longer one
REF_CHARACTERS = 1_024
_DIGITS = re.compile(rb"[0-9a-fA-F]{4}")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


class Mark(Enum):
    """Lines that hold nothing: they end a section, or all of it."""

    FLUSH = "0000"
    DELIMITER = "0001"
    RESPONSE_END = "0002"


@dataclass(frozen=True, slots=True)
class Line:
    """What a line holds, and where the next one begins."""

    data: bytes
    end: int

    @property
    def text(self) -> str:
        """As text, without the line feed at its end. Raises WireError for what is not UTF-8."""
        data = self.data[:-1] if self.data.endswith(b"\n") else self.data
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise WireError(f"a line of git's protocol that is not UTF-8: {data[:80]!r}") from None


def read_line(data: bytes, at: int = 0) -> Line | Mark:
    """The line at an offset. Raises WireError for one that is cut or lies about its length; a mark is four bytes long."""
    digits = data[at : at + 4]
    if not _DIGITS.fullmatch(digits):
        what = f"a length of {digits!r}" if len(digits) == 4 else "an end in the middle of a line"
        raise WireError(f"git's protocol wants four hexadecimal digits, and here is {what} (at byte {at})")
    length = int(digits, 16)
    if length < 3:
        return list(Mark)[length]
    if length == 3 or length > LINE_BYTES:
        raise WireError(f"a line of git's protocol cannot be {length} bytes long (at byte {at})")
    end = at + length
    if end > len(data):
        raise WireError(f"a line of git's protocol says that it has {length} bytes, and {len(data) - at} came (at byte {at})")
    return Line(data[at + 4 : end], end)


def read_section(data: bytes, at: int, most: int) -> tuple[list[Line], Mark, int]:
    """Lines up to a mark, the mark, and where what follows begins. Raises WireError; for more than ``most`` lines too."""
    lines: list[Line] = []
    for line in _walk(data, at):
        if isinstance(line, Mark):
            return lines, line, (lines[-1].end if lines else at) + 4
        if len(lines) == most:
            raise WireError(f"more than {most} lines in one section of git's protocol; ask for less at once")
        lines.append(line)
    raise AssertionError("a walk that ends without a mark")


def _walk(data: bytes, at: int) -> Iterator[Line | Mark]:
    while True:
        line = read_line(data, at)
        yield line
        at = line.end if isinstance(line, Line) else at + 4


def line(text: str | bytes) -> bytes:
    """A line that holds this. Raises WireError for what is too long for one."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) + 4 > LINE_BYTES:
        raise WireError(f"{len(data)} bytes are too many for a line of git's protocol")
    return b"%04x%b" % (len(data) + 4, data)


def is_object(name: str) -> bool:
    """Whether it names an object by its digest, SHA-1 or SHA-256, as git writes it."""
    return _OBJECT.fullmatch(name) is not None


def is_ref(name: str) -> bool:
    """Whether git would take it for a ref's whole name."""
    if not name.startswith("refs/") or len(name) > REF_CHARACTERS or _NOT_IN_REFS.search(name) or name.endswith(("/", ".")):
        return False
    return all(part and not part.startswith(".") and not part.endswith(".lock") for part in name.split("/"))
