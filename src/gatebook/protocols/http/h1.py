"""HTTP/1.1 and 1.0 on one connection, both sides (RFC 9112): bytes in, messages out, and the way back.

``ServerSide`` faces a client. It reads one request and stops at its ``End``: what a client pipelines behind it is kept, unread
and bounded, until ``next`` is called once the answer has ended. So an answer can belong to no other request.

    feed -> Request, Data ..., End      respond, data ..., end -> bytes      next -> Request ...

``ClientSide`` faces a target. It writes one request and reads one answer, with the 1xx before it. The connection is good for
another request only if both were exactly complete and not one byte came besides. ``closed`` tells an answer that ends where the
connection does from one that was cut off.

Whichever way content was framed when it came, it is framed anew: ``length`` None means in chunks. Fields of a message stand as
they came, the framing's own among them; those to be written must be ``forwarding.forwardable``, since framing is written here
alone. After an upgrade (101) nothing is read any more: ``rest`` gives up the bytes that came early.
"""

from __future__ import annotations

from http import HTTPStatus

from gatebook.protocols.http.checks import (
    FRAMING,
    PROTOCOL,
    MalformedError,
    addressed,
    authority_of,
    chunked,
    fields_of,
    head_of,
    length_of,
    listed,
    request_line,
    special,
    status_line,
    target_sound,
    written,
)
from gatebook.protocols.http.framing import Chunked, Content, Counted, Outgoing, UntilClosed
from gatebook.protocols.http.message import Data, End, Fields, Message, Request, Response

KEPT_BYTES = (
    1_048_576  # behind a request that is not answered yet: more than one read brings, so a driver that stops reading fits
)
REFUSED_BYTES = 128  # of a head that is none
INFORMATIONAL = 16  # answers below 200 before the one that counts; Early Hints come in ones and twos

_WITHOUT_CONTENT = (204, 304)
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def _status_line(status: int) -> bytes:
    return _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _unframed(fields: Fields) -> Fields:
    for name, _ in fields:
        if name in FRAMING:
            raise AssertionError(f"{name.decode()} is written by the codec alone")
    return fields


def _upgrade_asked(found: dict[bytes, bytes], options: tuple[bytes, ...]) -> str:
    """The one protocol that an Upgrade asks for; h2c is left unheard, as RFC 9110 §7.8 lets a server do."""
    if b"upgrade" not in found or b"upgrade" not in options:
        return ""
    wanted = listed(found[b"upgrade"])
    if wanted == (b"h2c",):
        return ""
    if len(wanted) != 1 or not PROTOCOL.fullmatch(wanted[0]):
        raise MalformedError("upgrade does not name exactly one protocol")
    return wanted[0].decode()


class ServerSide:
    """The server's side of a connection with a client: one request at a time."""

    def __init__(self, scheme: str = "http") -> None:
        self.length: int | None = 0  # of the request's content as its head says; None: chunked
        self._scheme = scheme
        self._buffer = b""
        self._seen = 0  # bytes of the buffer in which no head ended
        self._skipped = False
        self._keep = True
        self._broken = False
        self._request: Request | None = None
        self._content: Content | None = None  # None once it is over
        self._answer: Outgoing | None = None
        self._answered = False
        self._minor = 1
        self.refused = b""  # the beginning of a request whose head is none: for whom it was meant

    # What a client sends

    def feed(self, data: bytes) -> list[Message]:
        """Bytes of the client. Raises MalformedError; then nothing more is read."""
        if self._broken:
            raise MalformedError("bytes after the ones that were refused")
        if data:
            self._buffer = self._buffer + data if self._buffer else data
        messages: list[Message] = []
        try:
            if self._request is None:
                self._head(messages)
            if self._content is not None:
                self._read(self._content, messages)
            if len(self._buffer) > KEPT_BYTES:
                raise MalformedError(f"more than {KEPT_BYTES} bytes behind a request that is not answered yet")
        except MalformedError:
            self._broken = True
            self.refused = self._buffer[:REFUSED_BYTES] if self._request is None else b""
            self._buffer = b""
            raise
        return messages

    def next(self) -> list[Message]:
        """Go on to the request behind the one that is answered: what of it has come already."""
        if not self.keeps_alive or not self._answered:
            raise AssertionError("no request follows one that is not whole, not answered, or the last")
        self._request = self._answer = None
        self._answered = self._skipped = False
        self._seen = 0
        return self.feed(b"")

    def _head(self, messages: list[Message]) -> None:
        if not self._skipped and self._buffer.startswith(b"\r\n"):
            self._buffer = self._buffer[2:]  # one empty line before a request is left unread (RFC 9112 §2.2)
            self._skipped = True
            self._seen = 0
        buffer = self._buffer
        end = head_of(buffer, self._seen)
        self._seen = len(buffer)
        if not end:
            return
        method, target, minor, begin = request_line(buffer)
        fields = fields_of(buffer, begin, end - 2)
        found = special(fields)
        options = listed(found.get(b"connection"))
        authority, path = addressed(method, target, found.get(b"host"), self._scheme)
        self.length = None if chunked(found, minor) else length_of(found) or 0
        self._minor = minor
        self._keep = minor == 1 and b"close" not in options
        if minor and found.get(b"expect", b"100-continue").lower() != b"100-continue":
            raise MalformedError("expect is not 100-continue", 417)
        upgrade = _upgrade_asked(found, options) if minor else ""
        if upgrade:
            self._keep = False  # what follows is of one protocol or the other; if refused, nobody has to guess which
            if self.length != 0:
                raise MalformedError("an upgrade with content")
        self._request = Request(method, self._scheme, authority, path, fields, upgrade)
        self._content = Chunked() if self.length is None else Counted(self.length)
        self._buffer = buffer[end:]
        messages.append(self._request)

    def _read(self, content: Content, messages: list[Message]) -> None:
        if self._buffer and not content.over:
            piece, used = content.take(self._buffer)
            self._buffer = self._buffer[used:]
            if piece:
                messages.append(Data(piece))
        if content.over:
            self._content = None
            messages.append(End(content.trailers))

    @property
    def complete(self) -> bool:
        """Whether the request has come whole. What comes behind it is kept: stop reading."""
        return self._request is not None and self._content is None

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has come yet: then the client may go, and the server too."""
        return self._request is None and not self._buffer and not self._broken

    @property
    def kept(self) -> int:
        """Bytes behind the request, unread. Whoever reads on to see a client leave stops long before KEPT_BYTES."""
        return len(self._buffer) if self.complete else 0

    @property
    def answering(self) -> bool:
        """Whether the head of the answer is written: then nothing else can be said in its place, and a fault closes."""
        return self._answer is not None

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow on this connection."""
        return self._keep and not self._broken and self.complete

    def rest(self) -> bytes:
        """Give up what came behind an upgrade."""
        kept, self._buffer = self._buffer, b""
        return kept

    # What it is answered

    def informational(self, status: int, fields: Fields = ()) -> bytes:
        """A 1xx answer, which is not the last; nothing for HTTP/1.0, which knows none."""
        if not 100 <= status < 200 or status == 101 or self._answer is not None:
            raise AssertionError(f"an informational answer {status} here")
        return _status_line(status) + written(_unframed(fields)) + b"\r\n" if self._minor else b""

    def respond(self, response: Response, *, length: int | None) -> bytes:
        """The head of the answer; ``length`` of its content, None if unknown. A request that is not whole is the last.

        To HEAD, and with 304, ``length`` is what the content would have had.
        """
        if self._answer is not None or (response.status < 200 and response.status != 101):
            raise AssertionError("one answer to each request")
        if response.status == 101:
            return self._upgraded(response)
        self._keep = self.keeps_alive
        head = self._request is not None and self._request.method == "HEAD"
        framed = Outgoing(length, plain=not self._minor)
        if length is None and not self._minor:
            self._keep = False
        lines = b"" if response.status == 204 or (length is None and (head or response.status == 304)) else framed.field
        self._answer = Outgoing(0) if head or response.status in _WITHOUT_CONTENT else framed
        if not self._keep:
            lines += b"connection: close\r\n"
        return _status_line(response.status) + written(_unframed(response.fields)) + lines + b"\r\n"

    def _upgraded(self, response: Response) -> bytes:
        if self._request is None or not self._request.upgrade:
            raise AssertionError("an upgrade that nobody asked for")
        self._answer = Outgoing(0)
        self._answered = True
        lines = b"connection: upgrade\r\nupgrade: %b\r\n" % self._request.upgrade.encode()
        return _status_line(101) + written(_unframed(response.fields)) + lines + b"\r\n"

    def data(self, piece: bytes) -> bytes:
        """A piece of the answer's content."""
        return self._writing().data(piece)

    def end(self, trailers: Fields = ()) -> bytes:
        """The answer is complete; if not ``keeps_alive``, close the connection behind it."""
        last = self._writing().end(trailers)
        self._answered = True
        return last

    def _writing(self) -> Outgoing:
        if self._answer is None or self._answered:
            raise AssertionError("no answer is being written")
        return self._answer


class ClientSide:
    """The client's side of a connection with a target: one request at a time."""

    def __init__(self) -> None:
        self.length: int | None = 0  # of the answer's content as its head says; None: unknown
        self._buffer = b""
        self._seen = 0
        self._keep = True  # so far nothing was seen after which no request may follow
        self._request: Request | None = None
        self._outgoing: Outgoing | None = None
        self._sent = False
        self._informed = 0
        self._response: Response | None = None
        self._content: Content | None = None
        self._broken = False

    # What a target is asked

    def request(self, request: Request, *, length: int | None) -> bytes:
        """The head of a request; ``length`` of its content, 0 for none, None if unknown."""
        if (self._request is not None and not self.reusable) or not self._keep or self._broken:
            raise AssertionError("this connection is not good for another request")
        target_sound(request.method, request.target)
        self._request = request
        self._outgoing = Outgoing(length)
        self._sent = False
        self._response = self._content = None
        self._informed = self._seen = 0
        lines = b"" if length == 0 and request.method in ("GET", "HEAD", "OPTIONS", "DELETE") else self._outgoing.field
        if request.upgrade:
            if not PROTOCOL.fullmatch(request.upgrade.encode()):
                raise MalformedError("an upgrade to something that is no protocol's name")
            lines += b"connection: upgrade\r\nupgrade: %b\r\n" % request.upgrade.encode()
        host = b"host: %b\r\n" % authority_of(request.authority.encode()).encode()
        first = f"{request.method} {request.target} HTTP/1.1\r\n".encode()
        return first + host + written(_unframed(request.fields)) + lines + b"\r\n"

    def data(self, piece: bytes) -> bytes:
        """A piece of the request's content."""
        return self._sending().data(piece)

    def end(self, trailers: Fields = ()) -> bytes:
        """The request is complete."""
        last = self._sending().end(trailers)
        self._sent = True
        return last

    def _sending(self) -> Outgoing:
        if self._outgoing is None or self._sent:
            raise AssertionError("no request is being written")
        return self._outgoing

    # What it answers

    def feed(self, data: bytes) -> list[Message]:
        """Bytes of the target. A Response below 200 is not the last. Raises MalformedError; then nothing more is read."""
        if self._broken:
            raise MalformedError("bytes after the ones that were refused")
        self._buffer = self._buffer + data if self._buffer else data
        messages: list[Message] = []
        try:
            if self._request is None or (self._response is not None and self._content is None and not self._upgraded):
                if self._buffer:
                    raise MalformedError("bytes that answer no request")
                return messages
            while self._response is None and self._head(messages):
                pass
            if self._content is not None:
                self._read(self._content, messages)
        except MalformedError:
            self._broken = True
            self._buffer = b""
            raise
        return messages

    def _head(self, messages: list[Message]) -> bool:
        buffer = self._buffer
        end = head_of(buffer, self._seen)
        self._seen = len(buffer)
        if not end:
            return False
        status, minor, begin = status_line(buffer)
        fields = fields_of(buffer, begin, end - 2)
        self._buffer = buffer[end:]
        self._seen = 0
        response = Response(status, fields)
        messages.append(response)
        if status == 101:
            self._switched(response)
        elif status < 200:
            self._informed += 1
            if self._informed > INFORMATIONAL:
                raise MalformedError(f"more than {INFORMATIONAL} informational answers")
        else:
            self._response = response
            self._content = self._framed(response, special(fields), minor)
        return True

    def _switched(self, response: Response) -> None:
        found = special(response.fields)
        asked = self._request.upgrade if self._request else ""
        if not asked or not self._sent or listed(found.get(b"upgrade")) != (asked.encode(),):
            raise MalformedError("the target changes to a protocol that nobody asked for")
        self._response = response
        self._keep = False

    def _framed(self, response: Response, found: dict[bytes, bytes], minor: int) -> Content:
        """Where the answer ends (RFC 9112 §6.3)."""
        if not minor or b"close" in listed(found.get(b"connection")) or self._request is None or self._request.upgrade:
            self._keep = False
        in_chunks = chunked(found, minor)
        self.length = length_of(found)
        if response.status == 204 and (in_chunks or self.length):
            raise MalformedError("an answer 204 with content")
        if response.status in _WITHOUT_CONTENT or (self._request is not None and self._request.method == "HEAD"):
            return Counted(0)
        if in_chunks:
            return Chunked()
        if self.length is not None:
            return Counted(self.length)
        self._keep = False
        return UntilClosed()

    def _read(self, content: Content, messages: list[Message]) -> None:
        if self._buffer and not content.over:
            piece, used = content.take(self._buffer)
            self._buffer = self._buffer[used:]
            if piece:
                messages.append(Data(piece))
        if content.over:
            self._content = None
            self._keep = self._keep and not self._buffer
            self._buffer = b""  # what nobody asked for is nobody's answer
            messages.append(End(content.trailers))

    def closed(self) -> list[Message]:
        """The target closed the connection. Raises MalformedError where its answer is cut off."""
        self._keep = False
        if self._response is not None and self._content is None:
            return []
        if isinstance(self._content, UntilClosed) and not self._broken:
            self._content = None
            return [End()]
        raise MalformedError("the target closed the connection before its answer was complete")

    @property
    def _upgraded(self) -> bool:
        return self._response is not None and self._response.status == 101

    @property
    def complete(self) -> bool:
        """Whether the answer has come whole."""
        return self._response is not None and self._content is None

    @property
    def reusable(self) -> bool:
        """Whether the connection is good for another request."""
        fresh = self._request is None
        return self._keep and not self._broken and not self._buffer and (fresh or (self.complete and self._sent))

    def rest(self) -> bytes:
        """Give up what came behind a change of protocol."""
        kept, self._buffer = self._buffer, b""
        return kept
