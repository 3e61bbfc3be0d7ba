"""gRPC over HTTP/2: what a call is named, its messages, and how it is refused (gRPC over HTTP2, of the gRPC project).

Content is messages, each with a byte that says whether it is compressed and four that say how long it is. They are not decoded
here: what is in them has no names without its schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from urllib.parse import quote

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.framing import trailing
from gatebook.protocols.http.message import Fields, Request, Response

MESSAGE_BYTES = 4_194_304  # the most that gRPC's own receivers take unless told otherwise; hold less where many streams do
_CONTENT_TYPE = re.compile(rb"application/grpc(?:\+[a-z0-9.+-]+)?(?:[ \t]*;.*)?", re.IGNORECASE)
_CALL = re.compile(r"/([A-Za-z_][A-Za-z0-9_.]{0,254})/([A-Za-z_][A-Za-z0-9_]{0,254})")
_STATUS = re.compile(rb"[0-9]{1,2}")
_PREFIX = Struct("!BI")


class Status(IntEnum):
    """How a call ended (gRPC status codes)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Call:
    """What is called: a service with its package, and its method."""

    service: str
    method: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it was sent; ``data`` is b"" where messages are not kept."""

    compressed: bool
    size: int
    data: bytes = b""


def spoken(fields: Fields) -> bool:
    """Whether content is gRPC's; gRPC-Web is not."""
    return any(name == b"content-type" and _CONTENT_TYPE.fullmatch(value) for name, value in fields)


def called(request: Request) -> Call:
    """What a gRPC request calls. Raises MalformedError where it is no call."""
    found = _CALL.fullmatch(request.target)
    if found is None or request.method != "POST":
        raise MalformedError("a gRPC request that is not POST /package.Service/Method")
    return Call(found[1], found[2])


def status_of(fields: Fields) -> int | None:
    """The grpc-status among trailers, None where none is. Raises MalformedError for one that is given twice, or is none."""
    values = [value for name, value in fields if name == b"grpc-status"]
    if not values:
        return None
    if len(values) > 1 or not _STATUS.fullmatch(values[0]):
        raise MalformedError("grpc-status is given twice, or is no number")
    return int(values[0])


def refusal(status: Status, message: str) -> Response:
    """A call's refusal: a head that is its trailers too; send it with ``over``, or ``parted``."""
    fields = (
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"%d" % status),
        (b"grpc-message", quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~").strip().encode()),
    )
    return Response(200, fields)


def is_only(head: Response) -> bool:
    """Whether an answer whose head is all of it is a call's whole answer: its status stands among what else is trailers."""
    return spoken(head.fields) and head.get(b"grpc-status") is not None


def parted(only: Response) -> tuple[Response, Fields]:
    """A head that is its trailers too, as a head and trailers: the same to clients, and one form for all that is between.

    What cannot be said behind a content stays in the head; all else is a call's trailing metadata.
    """
    trailers = trailing(only.fields)
    return Response(only.status, tuple(one for one in only.fields if one not in trailers)), trailers


def framed(data: bytes, *, compressed: bool = False) -> bytes:
    """A message with its prefix."""
    return _PREFIX.pack(compressed, len(data)) + data


class Messages:
    """Cuts content into messages. With ``keep`` they are held whole; else they are counted alone."""

    def __init__(self, *, keep: bool, most: int = MESSAGE_BYTES) -> None:
        self.count = 0
        self._keep = keep
        self._most = most
        self._buffer = bytearray()
        self._head: tuple[bool, int] | None = None
        self._left = 0

    def feed(self, data: bytes) -> list[Envelope]:
        """The messages that are whole. Raises MalformedError for one that is too long, or whose prefix lies."""
        whole: list[Envelope] = []
        at = 0
        while True:
            if self._head is None:
                need = _PREFIX.size - len(self._buffer)
                self._buffer += data[at : at + need]
                at += need
                if len(self._buffer) < _PREFIX.size:
                    return whole
                self._begin()
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._keep:
                self._buffer += piece
            if self._left or self._head is None:
                return whole
            compressed, size = self._head
            whole.append(Envelope(compressed, size, bytes(self._buffer)))
            self._buffer.clear()
            self._head = None

    def _begin(self) -> None:
        compressed, size = _PREFIX.unpack(self._buffer)
        if compressed > 1:
            raise MalformedError("a gRPC message whose first byte is neither 0 nor 1")
        if size > self._most:
            raise MalformedError(f"a gRPC message of {size} bytes; at most {self._most} are taken")
        self._head, self._left = (bool(compressed), size), size
        self.count += 1
        self._buffer.clear()

    def end(self) -> None:
        """The content is over. Raises MalformedError within a message."""
        if self._head is not None or self._buffer:
            raise MalformedError("content that ends within a gRPC message")
