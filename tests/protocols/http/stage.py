"""What the tests of the codecs share: vectors as files, and other parsers to compare with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import h11
import httptools

from gatebook.protocols.http import h1
from gatebook.protocols.http.forwarding import forwardable
from gatebook.protocols.http.message import Data, End, Message, Request, Response

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "http").glob("*.txt"))


@dataclass
class Vector:
    """A file: header lines, a blank line, and bytes with Python's escapes, whose own line ends mean nothing."""

    expect: list[str] = field(default_factory=list)
    says: str = ""
    to: str = ""
    scheme: str = "http"
    closed: bool = False
    data: bytes = b""

    @classmethod
    def of(cls, path: Path) -> Vector:
        header, _, text = path.read_text().partition("\n\n")
        made = cls(data="".join(text.splitlines()).encode("ascii").decode("unicode_escape").encode("latin-1"))
        for line in header.splitlines():
            name, _, value = line.partition(": ")
            match name:
                case "expect":
                    made.expect.append(value)
                case "says" | "to" | "scheme":
                    setattr(made, name, value)
                case "closed":
                    made.closed = True
                case "why":
                    assert value
                case _:
                    raise AssertionError(f"no header line is called {name!r}")
        return made


def told(messages: Iterable[Message]) -> list[str]:
    """A line for each message, content in one."""
    lines: list[str] = []
    for message in messages:
        match message:
            case Request():
                lines.append(f"request {message.method} {message.authority} {message.target} {message.upgrade}".rstrip())
            case Response():
                lines.append(f"answer {message.status}")
            case Data(data):
                assert data
                if lines and lines[-1].startswith("content "):
                    lines[-1] += data.decode("latin-1")
                else:
                    lines.append(f"content {data.decode('latin-1')}")
            case End(trailers):
                lines.append(" ".join(["end", *(f"{name.decode()}={value.decode()}" for name, value in trailers)]))
    return lines


@dataclass(frozen=True)
class Seen:
    """One request as a parser saw it."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes


def forwarded(messages: Iterable[Message], length: int | None) -> bytes:
    """One request's messages, as our client's side sends them on."""
    side = h1.ClientSide()
    sent = b""
    for message in messages:
        match message:
            case Request():
                fields = forwardable(message.fields)
                sent += side.request(
                    Request(message.method, message.scheme, message.authority, message.target, fields, message.upgrade),
                    length=length,
                )
            case Data(data):
                sent += side.data(data)
            case End(trailers):
                sent += side.end(trailers)
            case Response():
                raise AssertionError("an answer among requests")
    return sent


def by_h11(data: bytes) -> list[Seen]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    found: list[Seen] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head, content = event, b""
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append(Seen(head.method, head.target, tuple(head.headers), content))
            if connection.their_state is not h11.DONE:
                return found
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        elif event is h11.PAUSED or event is h11.NEED_DATA:
            assert connection.trailing_data[0] == b"" or connection.their_state is h11.MIGHT_SWITCH_PROTOCOL, "bytes are left"
            return found
        else:
            raise AssertionError(f"an event {event!r}")


class _Heard:
    def __init__(self) -> None:
        self.found: list[Seen] = []
        self.open = False

    def on_message_begin(self) -> None:
        self.target, self.fields, self.content, self.open = b"", [], b"", True

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head = tuple(self.fields)  # trailers come by on_header too

    def on_body(self, piece: bytes) -> None:
        self.content += piece

    def on_message_complete(self) -> None:
        self.open = False
        self.found.append(Seen(self.parser.get_method(), self.target, self.head, self.content))


def by_llhttp(data: bytes) -> list[Seen]:
    heard = _Heard()
    heard.parser = httptools.HttpRequestParser(heard)
    try:
        heard.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        assert heard.found
    assert not heard.open, "half a request is left"
    return heard.found


def by_lenient(data: bytes, *, chunks_first: bool, bare: bool) -> list[Seen]:
    """A parser that takes what it can get: bare line feeds, folded lines, odd names, whichever framing it likes better."""
    found: list[Seen] = []
    line_end = rb"\r?\n" if bare else rb"\r\n"
    while data.strip():
        data = data.lstrip(b"\r\n")
        end = re.search(line_end * 2, data)
        assert end, "half a head is left"
        head, rest = data[: end.start()], data[end.end() :]
        first, *lines = re.split(line_end, re.sub(line_end + rb"[ \t]+", b" ", head))
        method, target, _ = first.split(None, 2)
        parts = [line.partition(b":") for line in lines]
        fields = [(name.strip().replace(b"_", b"-").lower(), value.strip()) for name, _, value in parts]
        known = dict(fields)
        coded = b"chunked" in known.get(b"transfer-encoding", b"").lower()
        if coded and (chunks_first or b"content-length" not in known):
            content, rest = _dechunked(rest, line_end)
        else:
            size = int(known.get(b"content-length", b"0"))
            content, rest = rest[:size], rest[size:]
        found.append(Seen(method, target, tuple(fields), content))
        if b"upgrade" in known:
            return found
        data = rest
    return found


def _dechunked(data: bytes, line_end: bytes) -> tuple[bytes, bytes]:
    content = b""
    while True:
        line, data = re.split(line_end, data, maxsplit=1)
        size = int(line.split(b";")[0].strip() or b"0", 16)
        if not size:
            while line:
                line, data = re.split(line_end, data, maxsplit=1)
            return content, data
        content, data = content + data[:size], re.sub(rb"\A" + line_end, b"", data[size:])
