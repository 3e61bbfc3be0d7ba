"""WebSockets (RFC 6455): the opening, and frames for whoever stands in between.

``Reader`` takes one side's frames apart, ``Writer`` builds them for the other side. A text message is given whole, since it can
be covered only whole, and goes on as one frame; a binary one passes through in pieces. Control frames go on as they come.

No extension is ever agreed: a client's offers are left out of what the target hears, so that no frame is compressed and no
reserved bit means anything.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.message import Fields, Request, Response

TEXT_BYTES = 1_048_576  # of a text message, which is held whole
CONTROL_BYTES = 125
_VERSION = b"13"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_PROTOCOL = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_OURS = frozenset((b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-accept"))

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_U16, _U64 = Struct("!H"), Struct("!Q")


class Closing(IntEnum):
    """Why a WebSocket ends (RFC 6455 §7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    NOTHING_SAID = 1005
    BAD_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011


class SocketError(MalformedError):
    """Bytes that are no frames; ``closing`` is what their sender is told."""

    def __init__(self, message: str, closing: Closing = Closing.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.closing = closing


@dataclass(frozen=True, slots=True)
class Text:
    """A text message, whole, in UTF-8."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Binary:
    """A piece of a binary message, perhaps empty."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether the other side lives."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to one, or a sign of life."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """No more comes. ``code`` is NOTHING_SAID where none was given."""

    code: int
    reason: bytes = b""


Heard: TypeAlias = Text | Binary | Ping | Pong | Close


def masked(data: bytes, key: bytes) -> bytes:
    """Data with the key laid over it, or taken off it."""
    size = len(data)
    cover = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(cover, "little")).to_bytes(size, "little")


class Reader:
    """One side's frames. A client's must be masked, a server's must not."""

    def __init__(self, *, of_client: bool, most: int = TEXT_BYTES) -> None:
        self._of_client = of_client
        self._most = most
        self._buffer = b""
        self._left = 0  # of a binary frame whose head was read
        self._key = b""
        self._final = False
        self._open = 0  # the opcode of a message whose last frame has not come
        self._text = bytearray()
        self.closed = False
        self._broken = False

    def feed(self, data: bytes) -> list[Heard]:
        """What was said. Behind a Close nothing is heard. Raises SocketError; then nothing more is read."""
        if self._broken:
            raise SocketError("bytes after the ones that were refused")
        heard: list[Heard] = []
        if self.closed:
            return heard
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while not self.closed:
                used = self._binary(buffer, at, heard) if self._left else self._frame(buffer, at, heard)
                if not used:
                    break
                at += used
        except SocketError:
            self._broken = True
            self._buffer = b""
            raise
        self._buffer = b"" if self.closed else buffer[at:]
        return heard

    def _frame(self, buffer: bytes, at: int, heard: list[Heard]) -> int:
        """Read one frame, or a binary one's head; how many bytes it took up, 0 where it has not come whole."""
        if len(buffer) - at < 2:
            return 0
        first, second = buffer[at], buffer[at + 1]
        self._first_bytes(first, second)
        size, begin = second & 127, at + 2
        if size > CONTROL_BYTES:
            wide = _U16 if size == 126 else _U64
            if len(buffer) - begin < wide.size:
                return 0
            (size,) = wide.unpack_from(buffer, begin)
            begin += wide.size
            if size < 126 or (wide is _U64 and not 65_536 <= size < 1 << 63):
                raise SocketError("a frame's length is not written in the fewest bytes, or is none")
        opcode = first & 15
        if (opcode or self._open) == _TEXT and len(self._text) + size > self._most:
            raise SocketError(f"a text message of more than {self._most} bytes", Closing.TOO_BIG)
        key = b""
        if self._of_client:
            key, begin = buffer[begin : begin + 4], begin + 4
            if len(key) < 4:
                return 0
        if (opcode or self._open) == _BINARY:
            self._begin_binary(opcode, size, key, final=first >= 128, heard=heard)
            return begin - at
        if len(buffer) - begin < size:
            return 0
        payload = buffer[begin : begin + size]
        self._whole(opcode, masked(payload, key) if key else payload, first >= 128, heard)
        return begin + size - at

    def _first_bytes(self, first: int, second: int) -> None:
        opcode, final = first & 15, first >= 128
        if first & 0x70:
            raise SocketError("a reserved bit is set, and no extension was agreed")
        if (second >= 128) != self._of_client:
            raise SocketError("a client's frame without its mask" if self._of_client else "a server's frame with a mask")
        if opcode >= _CLOSE:
            if opcode > _PONG or not final or second & 127 > CONTROL_BYTES:
                raise SocketError("a control frame that is unknown, in pieces or too long")
        elif opcode > _BINARY or (opcode == _CONTINUATION) != bool(self._open):
            raise SocketError("a frame that is unknown, continues nothing, or begins within a message")

    def _begin_binary(self, opcode: int, size: int, key: bytes, *, final: bool, heard: list[Heard]) -> None:
        self._open = 0 if final and not size else _BINARY
        self._left, self._key, self._final = size, key, final
        if not size and (final or opcode):
            heard.append(Binary(b"", final))

    def _binary(self, buffer: bytes, at: int, heard: list[Heard]) -> int:
        piece = buffer[at : at + self._left]
        if not piece:
            return 0
        self._left -= len(piece)
        last = self._final and not self._left
        if last:
            self._open = 0
        heard.append(Binary(masked(piece, self._key) if self._key else piece, last))
        turn = len(piece) % 4
        self._key = self._key[turn:] + self._key[:turn]
        return len(piece)

    def _whole(self, opcode: int, payload: bytes, final: bool, heard: list[Heard]) -> None:
        match opcode:
            case 9:
                heard.append(Ping(payload))
            case 10:
                heard.append(Pong(payload))
            case 8:
                heard.append(_closing(payload))
                self.closed = True
            case _:
                self._text_frame(payload, final, heard)

    def _text_frame(self, payload: bytes, final: bool, heard: list[Heard]) -> None:
        self._open = _TEXT
        self._text += payload
        if final:
            data = bytes(self._text)
            _utf8(data)
            self._open = 0
            self._text.clear()
            heard.append(Text(data))


def _utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise SocketError("text that is not UTF-8", Closing.BAD_DATA) from None


def _sendable(code: int) -> bool:
    return code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _closing(payload: bytes) -> Close:
    if not payload:
        return Close(Closing.NOTHING_SAID)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not _sendable(code):
        raise SocketError("a close with a code that nobody may send")
    _utf8(payload[2:])
    return Close(code, payload[2:])


class Writer:
    """Frames for one side. To a server they are masked by what ``keys`` gives: four bytes that nobody could foresee."""

    def __init__(self, keys: Callable[[], bytes] | None = None) -> None:
        self._keys = keys
        self._within = False  # a binary message of which more is due
        self.closed = False

    def say(self, one: Heard) -> bytes:
        """The frame that says it."""
        match one:
            case Text(data):
                if self._within:
                    raise AssertionError("a text message within a binary one")
                return self._frame(0x80 | _TEXT, data)
            case Binary(data, last):
                opcode = _CONTINUATION if self._within else _BINARY
                self._within = not last
                return self._frame((0x80 if last else 0) | opcode, data)
            case Ping(data):
                return self._control(_PING, data)
            case Pong(data):
                return self._control(_PONG, data)
            case Close(code, reason):
                said = b"" if code == Closing.NOTHING_SAID else _U16.pack(code) + _cut(reason)
                if said and not _sendable(code):
                    raise AssertionError(f"close code {code} is not for sending")
                frame = self._control(_CLOSE, said)
                self.closed = True
                return frame

    def _control(self, opcode: int, data: bytes) -> bytes:
        if len(data) > CONTROL_BYTES:
            raise AssertionError("a control frame that is too long")
        return self._frame(0x80 | opcode, data)

    def _frame(self, first: int, data: bytes) -> bytes:
        if self.closed:
            raise AssertionError("a frame behind the close")
        size, mask = len(data), 0x80 if self._keys else 0
        if size <= CONTROL_BYTES:
            head = bytes((first, mask | size))
        elif size < 65_536:
            head = bytes((first, mask | 126)) + _U16.pack(size)
        else:
            head = bytes((first, mask | 127)) + _U64.pack(size)
        if self._keys is None:
            return head + data
        key = self._keys()
        return head + key + masked(data, key)


def _cut(reason: bytes) -> bytes:
    """As much of a reason as a close frame holds, in whole characters."""
    return reason if len(reason) <= 123 else reason[:123].decode(errors="ignore").encode()


# The opening -----------------------------------------------------------------------------------------------------------


def asked(request: Request) -> bytes:
    """The key of an opening, b"" over HTTP/2. Raises for an upgrade to anything else, and for one that is not sound."""
    if request.upgrade != "websocket":
        raise MalformedError("an upgrade to something other than a WebSocket", 501)
    if request.method != "GET":
        raise MalformedError("a WebSocket is opened by GET")
    versions, keys = list(request.all(b"sec-websocket-version")), list(request.all(b"sec-websocket-key"))
    if versions != [_VERSION]:
        raise MalformedError("a WebSocket of a version other than 13", 426)
    if len(keys) > 1 or (keys and not _KEY.fullmatch(keys[0])):
        raise MalformedError("sec-websocket-key is not sixteen bytes in base64")
    _protocols(request.fields)
    return keys[0] if keys else b""


def offered(fields: Fields, key: bytes) -> Fields:
    """The fields of an opening as the target hears it: a key of ours, subprotocols as the client offers them, no extensions."""
    if not _KEY.fullmatch(key) or len(b64decode(key)) != 16:
        raise AssertionError("a key is sixteen bytes in base64")
    kept = (field for field in fields if field[0] not in _OURS)
    return (*kept, (b"sec-websocket-key", key), (b"sec-websocket-version", _VERSION))


def accept(key: bytes) -> bytes:
    """What a server that was given this key answers."""
    return b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())


def agreed(request: Request, response: Response, key: bytes) -> bytes:
    """The subprotocol of a target's 101, b"" for none. Raises where it took another key, or what nobody offered.

    ``key`` is the one it was given, b"" over HTTP/2, which needs none.
    """
    if key and list(response.all(b"sec-websocket-accept")) != [accept(key)]:
        raise MalformedError("the target's answer is not to this opening")
    if response.get(b"sec-websocket-extensions") is not None:
        raise MalformedError("the target agrees to an extension that nobody offered")
    chosen = list(response.all(b"sec-websocket-protocol"))
    if len(chosen) > 1 or (chosen and chosen[0] not in _protocols(request.fields)):
        raise MalformedError("the target agrees to a subprotocol that nobody offered")
    return chosen[0] if chosen else b""


def answer(fields: Fields, key: bytes) -> Response:
    """The 101 for the client: the target's fields, with the answer to the client's own key."""
    kept = tuple(field for field in fields if field[0] not in _OURS)
    return Response(101, (*kept, (b"sec-websocket-accept", accept(key))) if key else kept)


def _protocols(fields: Fields) -> list[bytes]:
    lists = [value.split(b",") for name, value in fields if name == b"sec-websocket-protocol"]
    names = [part.strip(b" \t") for parts in lists for part in parts]
    if len(names) != len(set(names)) or not all(_PROTOCOL.fullmatch(one) for one in names):
        raise MalformedError("sec-websocket-protocol is not a list of different tokens")
    return names
