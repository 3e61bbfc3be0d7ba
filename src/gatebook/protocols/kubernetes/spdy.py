"""SPDY/3.1 as Kubernetes speaks it: frames taken apart, and built anew for the other side.

The content of a data frame passes in pieces, however long it says it is; a control frame is held whole and short. Nothing here
knows what a stream is for (``spdy_streams.py``). No peer of ours keeps windows: what it says of them is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias, assert_never

from gatebook.errors import WireError
from gatebook.protocols.kubernetes.spdy_headers import Deflater, Inflater

CONTROL_BYTES = 16_384
DATA_BYTES = (1 << 24) - 1  # of one frame: its length has three bytes
SETTINGS = 64
_VERSION = 0x8003
_FIN = 1
_SYN_STREAM, _SYN_REPLY, _RESET, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW = 1, 2, 3, 4, 6, 7, 8, 9
_HEAD, _TWO, _U32 = Struct(">II"), Struct(">II"), Struct(">I")
_OPENING = Struct(">IIBB")
_STATUSES = range(1, 12)  # of a reset
CANCELLED, PROTOCOL_ERROR = 5, 1


class SpdyError(WireError):
    """Bytes that are no frames of SPDY/3.1, or frames that may not stand there."""


@dataclass(frozen=True, slots=True)
class Opened:
    """SYN_STREAM: a stream begins. ``last``: its opener says nothing on it."""

    stream: int
    fields: dict[str, str]
    priority: int = 0
    last: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """SYN_REPLY: the other side takes it."""

    stream: int
    fields: dict[str, str]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM: it ends, both ways."""

    stream: int
    status: int = CANCELLED


@dataclass(frozen=True, slots=True)
class Settings:
    """SETTINGS: (flags and id, value) of each."""

    values: tuple[tuple[int, int], ...]
    clears: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """PING: the same number comes back."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """GOAWAY: no new streams."""

    stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class More:
    """HEADERS: more of them."""

    stream: int
    fields: dict[str, str]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """WINDOW_UPDATE: so many more bytes may come."""

    stream: int
    more: int


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream's content; ``last``: its side says nothing more."""

    stream: int
    data: bytes
    last: bool = False


Frame: TypeAlias = Opened | Replied | Reset | Settings | Ping | GoAway | More | Window | Data


class Reader:
    """One side's frames."""

    def __init__(self) -> None:
        self._buffer = b""
        self._headers = Inflater()
        self._stream = self._left = 0  # of a data frame whose head was read
        self._last = self._broken = False

    def feed(self, data: bytes) -> list[Frame]:
        """What was said. Raises SpdyError; then nothing more is read."""
        if self._broken:
            raise SpdyError("bytes behind the ones that were refused")
        buffer = self._buffer + data if self._buffer else data
        found: list[Frame] = []
        at = 0
        try:
            while at < len(buffer):
                used = self._content(buffer, at, found) if self._left else self._frame(buffer, at, found)
                if not used:
                    break
                at += used
        except WireError as error:
            self._broken, self._buffer = True, b""
            raise SpdyError(str(error)) from None
        self._buffer = buffer[at:]
        return found

    def _frame(self, buffer: bytes, at: int, found: list[Frame]) -> int:
        """Read one frame, or a data frame's head; how many bytes it took up, 0 where it has not come whole."""
        if len(buffer) - at < _HEAD.size:
            return 0
        first, second = _HEAD.unpack_from(buffer, at)
        flags, size = int(second >> 24), int(second & 0xFFFFFF)
        if not first >> 31:
            self._data_head(first, flags, size, found)
            return _HEAD.size
        if first >> 16 != _VERSION:
            raise SpdyError(f"a frame of version {first >> 16 & 0x7FFF}, which is not 3")
        if size > CONTROL_BYTES:
            raise SpdyError(f"a control frame of {size} bytes, of which {CONTROL_BYTES} may be")
        end = at + _HEAD.size + size
        if len(buffer) < end:
            return 0
        found.append(self._control(first & 0xFFFF, flags, buffer[at + _HEAD.size : end]))
        return _HEAD.size + size

    def _data_head(self, stream: int, flags: int, size: int, found: list[Frame]) -> None:
        if flags & ~_FIN:
            raise SpdyError(f"a data frame with flags {flags:#x}")
        self._stream, self._left, self._last = _numbered(stream), size, bool(flags)
        if not size:
            found.append(Data(stream, b"", self._last))

    def _content(self, buffer: bytes, at: int, found: list[Frame]) -> int:
        piece = buffer[at : at + self._left]
        self._left -= len(piece)
        found.append(Data(self._stream, piece, self._last and not self._left))
        return len(piece)

    def _control(self, kind: int, flags: int, body: bytes) -> Frame:
        match kind:
            case 1:
                return self._opened(flags, body)
            case 2 | 8:
                _checked(kind, flags, _FIN, len(body) >= _U32.size)
                fields = self._headers.read(body[_U32.size :])
                made = Replied if kind == _SYN_REPLY else More
                return made(_stream(body), fields, bool(flags))
            case 3:
                _checked(kind, flags, 0, len(body) == _TWO.size)
                stream, status = _TWO.unpack(body)
                if status not in _STATUSES:
                    raise SpdyError(f"a reset with status {status}")
                return Reset(_numbered(stream), status)
            case 4:
                return _settings(flags, body)
            case 6:
                _checked(kind, flags, 0, len(body) == _U32.size)
                (number,) = _U32.unpack(body)
                return Ping(number)
            case 7:
                _checked(kind, flags, 0, len(body) == _TWO.size)
                stream, status = _TWO.unpack(body)
                return GoAway(stream & 0x7FFFFFFF, status)
            case 9:
                _checked(kind, flags, 0, len(body) == _TWO.size)
                stream, more = _TWO.unpack(body)
                if stream >> 31 or not 0 < more < 1 << 31:
                    raise SpdyError("a window update that is none")
                return Window(stream, more)
        raise SpdyError(f"a control frame of unknown type {kind}")

    def _opened(self, flags: int, body: bytes) -> Opened:
        _checked(_SYN_STREAM, flags, _FIN, len(body) >= _OPENING.size)
        stream, beside, priority, slot = _OPENING.unpack_from(body)
        fields = self._headers.read(body[_OPENING.size :])
        if beside or slot or priority & 31:
            raise SpdyError("a stream that is opened beside another")
        return Opened(_numbered(stream), fields, priority >> 5, bool(flags))


def _settings(flags: int, body: bytes) -> Settings:
    count = _U32.unpack_from(body)[0] if len(body) >= _U32.size else SETTINGS + 1
    _checked(_SETTINGS, flags, _FIN, count <= SETTINGS and len(body) == _U32.size + count * _TWO.size)
    return Settings(tuple(_TWO.iter_unpack(body[_U32.size :])), bool(flags))


def _checked(kind: int, flags: int, may: int, sound: bool) -> None:
    if flags & ~may or not sound:
        raise SpdyError(f"a control frame of type {kind} whose flags or length are none of its own")


def _stream(body: bytes) -> int:
    (stream,) = _U32.unpack_from(body)
    return _numbered(stream)


def _numbered(stream: int) -> int:
    if not 0 < stream < 1 << 31:
        raise SpdyError("a frame of no stream")
    return stream


class Writer:
    """Frames for one side."""

    def __init__(self) -> None:
        self._headers = Deflater()

    def say(self, one: Frame) -> bytes:
        """The bytes that say it."""
        match one:
            case Data(stream, data, last):
                return _data(stream, data, last=last)
            case Opened(stream, fields, priority, last):
                head = _OPENING.pack(stream, 0, priority << 5, 0)
                return _control(_SYN_STREAM, head + self._headers.write(fields), last)
            case Replied(stream, fields, last):
                return _control(_SYN_REPLY, _U32.pack(stream) + self._headers.write(fields), last)
            case More(stream, fields, last):
                return _control(_HEADERS, _U32.pack(stream) + self._headers.write(fields), last)
            case Reset(stream, status):
                return _control(_RESET, _TWO.pack(stream, status))
            case Settings(values, clears):
                pairs = b"".join(_TWO.pack(*pair) for pair in values)
                return _control(_SETTINGS, _U32.pack(len(values)) + pairs, clears)
            case Ping(number):
                return _control(_PING, _U32.pack(number))
            case GoAway(stream, status):
                return _control(_GOAWAY, _TWO.pack(stream, status))
            case Window(stream, more):
                return _control(_WINDOW, _TWO.pack(stream, more))
            case _:
                assert_never(one)


def _data(stream: int, data: bytes, *, last: bool) -> bytes:
    if len(data) <= DATA_BYTES:
        return _HEAD.pack(stream, (last << 24) | len(data)) + data
    pieces = [data[at : at + DATA_BYTES] for at in range(0, len(data), DATA_BYTES)]
    return b"".join(_data(stream, one, last=last and one is pieces[-1]) for one in pieces)


def _control(kind: int, body: bytes, flag: bool = False) -> bytes:
    return _HEAD.pack((_VERSION << 16) | kind, (flag << 24) | len(body)) + body
