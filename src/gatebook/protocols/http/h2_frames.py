"""HTTP/2's frames (RFC 9113 §4 and §6), and what a peer may ask of us for nothing.

Frames that carry no content cost their sender next to nothing and us an answer, a header block or a table entry each: rapid
resets, pings, settings, empty data, endless continuations. Each sort has a budget. It is counted, not timed: ``Budget.refill``
is called by whoever has a clock, about once a second, and useful frames earn some of it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from gatebook.protocols.http.checks import MalformedError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES = 16_384  # one frame's payload, both ways: the least that everybody takes
CONTROL = 1_000  # settings, pings, priorities, window updates and frames nobody knows; twice what gRPC sends with idle streams
EARNED = 4  # of them for a frame with content: a window update for stream and connection each, a ping, one to spare
MOST_CONTROL = 10_000
RESETS = 200  # streams that a peer opens and ends without waiting, or that are refused for what it sent
EMPTY = 100  # frames of content with none in them

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

_HEAD = Struct("!HBBBI")
_U32 = Struct("!I")
_SETTING = Struct("!HI")


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """What a peer may be told (RFC 9113 §6.5.2, RFC 8441 §3)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


class BrokenConnectionError(MalformedError):
    """The connection cannot go on; ``code`` is what GOAWAY says."""

    def __init__(self, message: str, code: Code = Code.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    """One frame, its padding still in it."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Build one frame."""
    return heading(kind, flags, stream, len(payload)) + payload


def heading(kind: int, flags: int, stream: int, size: int) -> bytes:
    """Build what stands before a payload of this size."""
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def u32(value: int) -> bytes:
    """Build a 32-bit number."""
    return _U32.pack(value)


def settings(values: dict[Setting, int]) -> bytes:
    """Build a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def goaway(last: int, code: Code) -> bytes:
    """Build a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, _U32.pack(last) + _U32.pack(code))


class Frames:
    """Cuts a stream of bytes into frames; a server's begins with the preface."""

    def __init__(self, *, preface: bool) -> None:
        self._buffer = b""
        self._preface = PREFACE if preface else b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole; what is left is kept. Raises BrokenConnectionError."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if self._preface:
            got = min(len(buffer), len(PREFACE))
            if buffer[:got] != PREFACE[:got]:
                raise BrokenConnectionError("the connection does not begin with the preface of HTTP/2")
            if got == len(PREFACE):
                self._preface, at = b"", got
        size = len(buffer)
        while not self._preface and size - at >= 9:
            high, low, kind, flags, stream = _HEAD.unpack_from(buffer, at)
            length = high << 8 | low
            if length > FRAME_BYTES:
                raise BrokenConnectionError(
                    f"a frame of {length} bytes; at most {FRAME_BYTES} are taken", Code.FRAME_SIZE_ERROR
                )
            end = at + 9 + length
            if end > size:
                break
            yield Frame(kind, flags, stream & 0x7FFFFFFF, buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]


def unpadded(one: Frame) -> bytes:
    """A frame's payload without its padding (RFC 9113 §6.1)."""
    if not one.flags & PADDED:
        return one.payload
    if not one.payload or one.payload[0] >= len(one.payload):
        raise BrokenConnectionError("a frame of which more is padding than there is")
    return one.payload[1 : len(one.payload) - one.payload[0]]


def setting_values(one: Frame) -> list[tuple[int, int]]:
    """The settings in a frame, in order."""
    if one.stream:
        raise BrokenConnectionError("settings of a stream")
    if len(one.payload) % 6 or (one.flags & ACK and one.payload):
        raise BrokenConnectionError(f"settings of {len(one.payload)} bytes", Code.FRAME_SIZE_ERROR)
    return list(_SETTING.iter_unpack(one.payload))


def number(one: Frame, size: int = 4) -> int:
    """The number in a frame of this size."""
    if len(one.payload) != size:
        raise BrokenConnectionError(f"a frame of {len(one.payload)} bytes where {size} are due", Code.FRAME_SIZE_ERROR)
    return int.from_bytes(one.payload[:4], "big") & 0x7FFFFFFF if one.kind != RST_STREAM else int.from_bytes(one.payload, "big")


class Budget:
    """What a peer may still ask for without giving anything."""

    def __init__(self) -> None:
        self._control = CONTROL
        self._resets = RESETS
        self._empty = EMPTY

    def refill(self) -> None:
        """Some time has gone by."""
        self._control = max(self._control, CONTROL)
        self._resets, self._empty = RESETS, EMPTY

    def earn(self) -> None:
        """A frame with content went one way or the other."""
        if self._control < MOST_CONTROL:
            self._control += EARNED

    def control(self) -> None:
        """Take one frame that steers the connection."""
        self._control -= 1
        if self._control < 0:
            raise self._enough("frames without content")

    def reset(self) -> None:
        """Take one stream that ended before its time."""
        self._resets -= 1
        if self._resets < 0:
            raise self._enough("streams that end before their time")

    def empty(self) -> None:
        """Take one frame of no content."""
        self._empty -= 1
        if self._empty < 0:
            raise self._enough("empty frames")

    @staticmethod
    def _enough(what: str) -> BrokenConnectionError:
        return BrokenConnectionError(f"too many {what}", Code.ENHANCE_YOUR_CALM)
