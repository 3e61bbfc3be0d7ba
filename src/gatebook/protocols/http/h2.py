"""HTTP/2, both sides (RFC 9113, and RFC 8441 for WebSockets): the messages of ``h1.py``, each with the number of its stream.

    feed -> (1, Request), (1, Data) ..., (1, End), (3, Request) ...     respond(1, ...), data(1, ...), end(1) -> bytes

Every method that sends returns what is due; so does ``due``, after ``feed`` and ``tick``. An extended CONNECT becomes the GET
that the same WebSocket has over HTTP/1.1, and its answer 101, so that one meaning has one message.

What ``h1`` refuses is refused here: fields that HTTP/1.1 could not carry, a host that is not the authority, lengths that lie.
"""

from __future__ import annotations

from gatebook.protocols.http.checks import (
    FIELDS,
    FIELDS_SENT,
    FRAMING,
    TRAILERS,
    MalformedError,
    authority_of,
    length_of,
    sound,
    special,
    target_sound,
)
from gatebook.protocols.http.framing import trailing
from gatebook.protocols.http.h2_connection import STREAMS, Connection
from gatebook.protocols.http.h2_frames import PREFACE as PREFACE
from gatebook.protocols.http.h2_frames import Code, Setting
from gatebook.protocols.http.h2_streams import Happening, Stream
from gatebook.protocols.http.h2_streams import Reset as Reset
from gatebook.protocols.http.h2_streams import Room as Room
from gatebook.protocols.http.message import Fields, Request, Response

INFORMATIONAL = 16  # as in HTTP/1.1
_OF_REQUESTS = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
_OF_ANSWERS = frozenset((b":status",))
_OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_WITHOUT_CONTENT = (204, 304)


def _apart(fields: Fields, known: frozenset[bytes]) -> tuple[dict[bytes, bytes], Fields]:
    """Pseudo-header fields, each once and all in front, and the others (RFC 9113 §8.3)."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in known or name in pseudo:
            raise MalformedError("a pseudo-header field that is unknown, or given twice")
        pseudo[name] = value
    others = fields[len(pseudo) :]
    crumbs = [value for name, value in others if name == b"cookie"]
    if len(crumbs) > 1:
        others = (*(one for one in others if one[0] != b"cookie"), (b"cookie", b"; ".join(crumbs)))
    sound(others, FIELDS)
    for name, value in others:
        if name in _OF_THE_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedError(f"{name.decode()} is a field of another version's connections")
    return pseudo, others


def _trailers(fields: Fields, over: bool) -> Fields:
    if not over:
        raise MalformedError("a second head that does not end the message")
    sound(fields, TRAILERS)
    special(fields)
    return trailing(fields)


def _sendable(fields: Fields) -> Fields:
    for name, _ in fields:
        if name in FRAMING:
            raise AssertionError(f"{name.decode()} is written by the codec alone")
    sound(fields, FIELDS_SENT)
    return fields


def _lengthy(length: int | None) -> Fields:
    return () if length is None else ((b"content-length", b"%d" % length),)


class ServerSide(Connection):
    """The server's side of a connection with a client. What is ``due`` at once is the server's preface."""

    def __init__(self, scheme: str = "https") -> None:
        super().__init__(client=False)
        self._scheme = scheme

    def _opened(self, number: int, told: list[Happening]) -> Stream | None:
        if number % 2 == 0 or number <= self._last or number > self._served:
            return super()._opened(number, told)
        self._last = number
        stream = self._streams[number] = Stream(number, self._initial_out)
        if self._refuses:
            self._budget.reset()
            self._end_now(stream, Code.REFUSED_STREAM)
            return None
        return stream

    def _head(self, stream: Stream, fields: Fields, over: bool, told: list[Happening]) -> None:
        if stream.headed:
            trailers = _trailers(fields, over)
            if not self._lies(stream, True, told):
                self._received(stream, trailers, told)
            return
        request, stream.length = self._request(fields)
        stream.method = request.method
        stream.tunnel = bool(request.upgrade)
        stream.headed = True
        if over and stream.length is None:
            stream.length = 0
        self._tell_length(stream)
        if self._lies(stream, over, told):
            return
        told.append((stream.number, request))
        if over:
            self._received(stream, (), told)

    def _request(self, fields: Fields) -> tuple[Request, int | None]:
        pseudo, others = _apart(fields, _OF_REQUESTS)
        found = special(others)
        if len(pseudo) - (b":protocol" in pseudo) - (b":authority" in pseudo) != 3:
            raise MalformedError("the request lacks one of :method, :scheme and :path")
        method, path = (pseudo[name].decode("ascii", "backslashreplace") for name in (b":method", b":path"))
        upgrade = ""
        if b":protocol" in pseudo:
            if method != "CONNECT" or pseudo[b":protocol"] != b"websocket":
                raise MalformedError("a protocol other than websocket, or without CONNECT")
            method, upgrade = "GET", "websocket"
            if b"content-length" in found:
                raise MalformedError("an upgrade with content")
        target_sound(method, path)
        if pseudo[b":scheme"] != self._scheme.encode():
            raise MalformedError(f"the scheme is not the connection's, {self._scheme}")
        named = pseudo.get(b":authority", found.get(b"host"))
        if named is None:
            raise MalformedError("the request names no host")
        authority = authority_of(named)
        if b"host" in found and authority_of(found[b"host"]) != authority:
            raise MalformedError("the authority and the Host field name different hosts")
        if found.get(b"expect", b"100-continue").lower() != b"100-continue":
            raise MalformedError("expect is not 100-continue", 417)
        return Request(method, self._scheme, authority, path, others, upgrade), length_of(found)

    @property
    def _refuses(self) -> bool:
        return len(self._streams) > STREAMS

    def informational(self, stream: int, status: int, fields: Fields = ()) -> bytes:
        """A 1xx answer, which is not the last."""
        if not 100 <= status < 200 or status == 101:
            raise AssertionError(f"an informational answer {status}")
        found = self._streams.get(stream)
        if found is not None:
            self._send_head(found, ((b":status", b"%d" % status), *_sendable(fields)), over=False)
        return self.due()

    def respond(self, stream: int, response: Response, *, length: int | None, over: bool = False) -> bytes:
        """The head of the answer, as ``h1.ServerSide.respond``; ``over`` where neither content nor trailers follow.

        Nothing for a stream that has ended. A client still sending is told to stop by ``reset`` with NO_ERROR behind the end.
        """
        found = self._streams.get(stream)
        if found is None:
            return self.due()
        status = response.status
        if found.spoken or (status < 200 and status != 101):
            raise AssertionError("one answer to each request")
        found.spoken = True
        if status == 101:
            if not found.tunnel:
                raise AssertionError("an upgrade that nobody asked for")
            status, length = 200, None
            fields = tuple(one for one in _sendable(response.fields) if one[0] != b"sec-websocket-accept")
        else:
            fields = _sendable(response.fields)
            if found.method == "HEAD" or status in _WITHOUT_CONTENT:
                over = True
        lines = () if status == 204 else _lengthy(length)
        found.promised = length
        self._send_head(found, ((b":status", b"%d" % status), *fields, *lines), over)
        return self.due()


class ClientSide(Connection):
    """The client's side of a connection with a target. What is ``due`` at once is the client's preface."""

    def __init__(self) -> None:
        super().__init__(client=True)
        self._most = 100  # streams at once, until the target says otherwise
        self._tunnels = False
        self._informed: dict[int, int] = {}

    def _told(self, name: int, value: int) -> None:
        if name == Setting.MAX_CONCURRENT_STREAMS:
            self._most = value
        elif name == Setting.ENABLE_CONNECT_PROTOCOL:
            self._tunnels = bool(value)

    @property
    def settled(self) -> bool:
        """Whether the target has said its settings: that it speaks HTTP/2, and how many requests it takes."""
        return self._settled

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent now; one alone before the target has said how many it takes."""
        most = self._most if self._settled else 1
        return not self.draining and not self._broken and len(self._streams) < most and self._last < 2**31 - 3

    @property
    def tunnels(self) -> bool:
        """Whether the target takes WebSockets over this connection."""
        return self._tunnels

    def request(self, request: Request, *, length: int | None, over: bool = False) -> tuple[int, bytes]:
        """The head of a request on a stream of its own, and the stream; ``over`` where nothing follows."""
        if not self.reusable or (request.upgrade and not self._tunnels):
            raise AssertionError("this connection is not good for another request of this sort")
        target_sound(request.method, request.target)
        authority = authority_of(request.authority.encode())
        fields = _sendable(request.fields)
        method = "CONNECT" if request.upgrade else request.method
        pseudo = [
            (b":method", method.encode()),
            (b":scheme", request.scheme.encode()),
            (b":authority", authority.encode()),
            (b":path", request.target.encode()),
        ]
        if request.upgrade:
            pseudo.append((b":protocol", request.upgrade.encode()))
            length = None
            fields = tuple(one for one in fields if one[0] != b"sec-websocket-key")
        elif length == 0 and method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            length = None
        self._last += 2 if self._last else 1
        stream = self._streams[self._last] = Stream(self._last, self._initial_out, method=request.method)
        stream.tunnel = bool(request.upgrade)
        stream.spoken = True
        stream.promised = length
        self._send_head(stream, (*pseudo, *fields, *_lengthy(length)), over)
        return stream.number, self.due()

    def _head(self, stream: Stream, fields: Fields, over: bool, told: list[Happening]) -> None:
        if stream.headed:
            trailers = _trailers(fields, over)
            if not self._lies(stream, True, told):
                self._received(stream, trailers, told)
            return
        pseudo, others = _apart(fields, _OF_ANSWERS)
        status = _status(pseudo)
        found = special(others)
        if status < 200:
            self._inform(stream, status, over)
            told.append((stream.number, Response(status, others)))
            return
        self._informed.pop(stream.number, None)
        stream.headed = True
        stream.length = length_of(found)
        if stream.tunnel and status < 300:
            status, stream.length = 101, None
        elif stream.method == "HEAD" or status in _WITHOUT_CONTENT:
            stream.without_content = True
            if status == 204 and stream.length:
                raise MalformedError("an answer 204 with content")
        told.append((stream.number, Response(status, others)))
        if over and not stream.without_content and stream.length is None and status != 101:
            stream.length = 0
        self._tell_length(stream)
        if not self._lies(stream, over, told) and over:
            self._received(stream, (), told)

    def _inform(self, stream: Stream, status: int, over: bool) -> None:
        count = self._informed[stream.number] = self._informed.get(stream.number, 0) + 1
        if status == 101 or over or count > INFORMATIONAL:
            raise MalformedError("an informational answer that is the last, or one too many")

    def _forget(self, stream: Stream) -> None:
        self._informed.pop(stream.number, None)
        super()._forget(stream)


def _status(pseudo: dict[bytes, bytes]) -> int:
    value = pseudo.get(b":status", b"")
    if len(value) != 3 or not value.isdigit() or not b"100" <= value <= b"599":
        raise MalformedError("an answer without a status")
    return int(value)
