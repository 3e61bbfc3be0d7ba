"""What a replay is told of a command's streams, whichever protocol carries them: frames, each with its kind.

A frame is a zero byte, a letter, a length (u32, big endian) and so many bytes. They stand behind each other, whole, in what one
event of a recording holds; when they passed is the event's time. The zero byte tells them from lines of text.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from struct import Struct

from gatebook.errors import WireError

_HEAD = Struct(">xcI")


class Kind(StrEnum):
    """What a frame is."""

    INPUT = "i"  # text that the client sent, covered
    UNSEEN = "u"  # how many bytes it sent that are not recorded: no text, too many, or typed while nothing was echoed
    OUTPUT = "o"  # bytes of stdout as the client got them
    ERRORS = "e"  # of stderr
    RESIZE = "r"  # a terminal's size, "80x24"
    STATUS = "x"  # how the command ended, a v1.Status in JSON
    CLOSED = "c"  # the name of a stream that has ended
    OPENED = "n"  # a forwarded connection, "NUMBER PORT"
    SENT = "f"  # "NUMBER BYTES" that a client sent through one
    RECEIVED = "g"  # that it got
    TOLD = "t"  # a sentence about what passed


_LETTERS = frozenset(kind.encode() for kind in Kind)


def frame(kind: Kind, data: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(kind.encode(), len(data)) + data


def frames(data: bytes) -> Iterator[tuple[Kind, bytes]]:
    """The frames of one event. Raises WireError for what is none."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size or data[at]:
            raise WireError("not a frame of a stream")
        letter, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if len(data) - at < size or letter not in _LETTERS:
            raise WireError("not a frame of a stream")
        yield Kind(letter.decode()), data[at : at + size]
        at += size


def framed(data: bytes) -> bool:
    """Whether these are frames and no text."""
    return data[:1] == b"\0"
