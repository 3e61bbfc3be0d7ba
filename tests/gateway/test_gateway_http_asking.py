"""What the gateway asks for itself: a whole answer or none, on a kept connection or a new one, and never without an end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gatebook.config import HttpTarget
from gatebook.gateway.http.asking import ANSWER_BYTES, UnansweredError, ask
from gatebook.gateway.http.upstream import Origins, Pool, Upstream
from gatebook.protocols.http.message import Request, Response

TARGET = HttpTarget.model_construct(name="api", origins=("http://api.internal",))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Secured:
    """The TLS of a connection, as far as an Upstream writes to it past its transport."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Played:
    """A server that says what it is told to, one answer for each request, and closes instead of an empty one."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.heard, self.lines = list(answers), b"", list[Line]()
        self.pool = Pool(cast(Origins, self))
        self.secured: Secured | None = None

    async def dial(self, _target: Any, _role: str, made: Any, _alpn: Any = ()) -> Upstream:
        line = Line(self, made("http://api.internal"))
        self.lines.append(line)
        return line.upstream


class Line:
    """The transport of one connection, as far as an Upstream sees one."""

    def __init__(self, server: Played, upstream: Upstream) -> None:
        self.server, self.upstream, self.closed = server, upstream, False
        upstream.connection_made(cast(asyncio.Transport, self))

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_extra_info(self, name: str) -> Secured | None:
        assert name == "ssl_object"
        return self.server.secured

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        self.server.heard += data
        if self.server.answers:
            asyncio.get_running_loop().call_soon(self.say, self.server.answers.pop(0))

    def say(self, answer: bytes) -> None:
        if answer:
            self.upstream.data_received(answer)
        else:
            self.closed = True
            self.upstream.connection_lost(None)

    def abort(self) -> None:
        self.closed = True


async def asked(server: Played, content: bytes = b"", method: str = "GET") -> tuple[Response, bytes]:
    async with asyncio.timeout(10):
        return await ask(server.pool, cast(Any, TARGET), "agent", Request(method, "https", "api", "/x", ()), content)


async def test_an_answer_comes_whole_and_its_connection_is_kept() -> None:
    server = Played(OK, OK)
    head, content = await asked(server)
    assert (head.status, content) == (200, b"{}")
    await asked(server, b'{"a":1}', "PATCH")
    assert len(server.lines) == 1
    assert b"host: api.internal" in server.heard.lower()
    assert server.heard.endswith(b'\r\n\r\n{"a":1}')


async def test_what_a_kept_connection_does_not_answer_is_asked_again_once() -> None:
    server = Played(OK, b"", OK)
    await asked(server)
    assert (await asked(server))[1] == b"{}"
    assert len(server.lines) == 2


async def test_an_answer_that_is_cut_is_none() -> None:
    for answer in (b"", OK[:-1], b"HTTP/1.1 200 OK\r\nContent"):
        server = Played(answer)
        if answer:
            asyncio.get_running_loop().call_later(0.01, lambda server=server: server.lines[0].say(b""))
        with pytest.raises(UnansweredError, match="closed the connection"):
            await asked(server)


async def test_what_is_no_answer_is_none() -> None:
    with pytest.raises(UnansweredError, match="closed the connection"):
        await asked(Played(b"SSH-2.0-nothing\r\n\r\n"))


async def test_an_answer_without_an_end_is_none() -> None:
    server = Played(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + bytes(ANSWER_BYTES + 1))
    with pytest.raises(UnansweredError, match="longer than"):
        await asked(server)
    assert server.pool.take("api", "agent") is None
    assert server.lines[0].closed


async def test_who_no_longer_waits_leaves_no_connection_behind() -> None:
    server = Played()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asked(server)
    assert server.pool.take("api", "agent") is None
    assert server.lines[0].closed


async def test_inside_tls_nothing_is_written_once_so_that_its_buffer_is_freed() -> None:
    server = Played(OK, OK)
    server.secured = Secured()
    await asked(server)
    await asked(server)
    assert len(server.lines) == 1
    assert server.secured.written == [b""]
