"""What an HTTP/2 connection knows of each stream, and what it tells of one besides messages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from gatebook.protocols.http.message import Fields, Message

WINDOW = 131_072  # a stream's content that was not passed on yet
FORGOTTEN = 256  # streams that have ended, and of which something may still be asked or on its way
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream has ended before its time; ``why`` is said where this side ended it, perhaps before any message of it."""

    code: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """All that waited on this stream is on its way: read on."""


Happening: TypeAlias = tuple[int, Message | Reset | Room]


@dataclass(slots=True)
class Stream:
    """One request and its answer. Touched by its connection alone."""

    number: int
    room_out: int  # bytes that the peer takes
    room_in: int = WINDOW
    receiving: bool = True
    sending: bool = True
    headed: bool = False  # the head that counts has come
    length: int | None = None  # of the content that comes, as its head says
    came: int = 0
    without_content: bool = False  # the answer that comes has none, whatever its length says
    unread: int = 0  # bytes that the driver has not passed on
    owed: int = 0  # of these that it has, and the peer was not told
    method: str = ""
    spoken: bool = False  # our head that counts is written
    tunnel: bool = False  # a protocol of its own is spoken: no end of content is promised
    promised: int | None = None  # bytes that are still to be sent by what our head said
    queue: deque[memoryview] = field(default_factory=deque)
    queued: int = 0
    ending: Fields | None = None  # the end is due behind the queue
    stalled: int = 0


def remember(among: dict[int, _Value], number: int, value: _Value) -> None:
    """Put it among the newest."""
    among[number] = value
    if len(among) > FORGOTTEN:
        among.pop(next(iter(among)))
