"""Content that comes slowly, or much of which waits for decisions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from tests.gateway.http_rigs import Rig, Ways

from gatebook.gateway.http.http2 import CONTENT_SECONDS, Http2Connection
from gatebook.gateway.http.sessions import HELD_BYTES
from gatebook.protocols.http.h2 import ClientSide
from gatebook.protocols.http.message import Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape

BEARER = (b"authorization", b"Bearer one")


def post(size: int, content: bytes) -> bytes:
    head = b"POST /http/api/x HTTP/1.1\r\nHost: gate:1\r\nAuthorization: Bearer one\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % size + content


class Calls:
    """A client of HTTP/2 on a rig."""

    def __init__(self, rig: Rig) -> None:
        self.way, self.codec = Ways(), ClientSide()
        self.connection = Http2Connection(cast(Any, rig.gateway), "http")
        self.connection.connection_made(self.way)
        self._read = 0

    def begin(self, *fields: tuple[bytes, bytes]) -> int:
        request = Request("POST", "http", "gate:1", "/http/api/x", (BEARER, *fields))
        number, data = self.codec.request(request, length=None)
        self.connection.data_received(data + self.codec.due())
        return number

    def say(self, number: int, data: bytes) -> None:
        self.connection.data_received(self.codec.data(number, data) + self.codec.due())

    def status(self) -> int | None:
        said = b"".join(self.way.came[self._read :])
        self._read = len(self.way.came)
        told = self.codec.feed(said)
        return next((one.status for _, one in told if isinstance(one, Response)), None)


def test_a_stream_of_http_2_that_sends_no_content_is_not_waited_for_longer_than_a_connection(tmp_path: Path) -> None:
    async def played() -> None:
        rig = await Rig(tmp_path, lane=False).open()
        calls = Calls(rig)
        number = calls.begin((b"content-type", b"application/json"))
        stream = calls.connection._streams[number]
        stream.tick(100.0)
        stream.tick(100.0 + CONTENT_SECONDS - 1)
        calls.say(number, b'{"a":')
        stream.tick(100.0 + CONTENT_SECONDS + 1)
        stream.tick(100.0 + CONTENT_SECONDS * 2)
        assert calls.status() is None
        stream.tick(103.0 + CONTENT_SECONDS * 2)
        assert calls.status() == 408

    asyncio.run(played())


def test_content_of_one_token_that_waits_for_decisions_has_a_limit_over_all_its_connections(tmp_path: Path) -> None:
    async def played() -> None:
        rig = await Rig(tmp_path, lane=False).open()
        session = rig.sessions["one"]
        rig.http.held[session.key.token] = HELD_BYTES - 5_000
        await rig.send(post(4_000, b" " * 3_000))
        first = rig.connection
        rig.connect()
        await rig.send(post(4_000, b" " * 3_000))
        assert b" 429 " in b"".join(rig.client.came)
        rig.connection = first
        await rig.send(b" " * 998 + b"[]")
        assert b" 200 " in b"".join(rig.clients[0].came)
        assert rig.http.held == {session.key.token: HELD_BYTES - 5_000}

    asyncio.run(played())


def test_what_may_come_in_one_request_may_wait_however_long_it_is(tmp_path: Path) -> None:
    """As a push of more than the usual limit, to a git server whose ``push_bytes`` lets it come."""

    async def played() -> None:
        rig = await Rig(tmp_path, lane=False).open()
        rig.http.spoken = Plain(Shape(body_bytes=HELD_BYTES + 10_000))
        rig.http.held[rig.sessions["one"].key.token] = HELD_BYTES - 5_000
        await rig.send(post(8_000, b" " * 7_998 + b"[]"))
        assert b" 200 " in b"".join(rig.client.came)
        rig.connect()
        await rig.send(post(16_000, b" " * 15_998 + b"[]"))
        assert b" 429 " in b"".join(rig.client.came)

    asyncio.run(played())


def test_what_leaves_in_the_middle_holds_nothing_any_more(tmp_path: Path) -> None:
    async def played() -> None:
        rig = await Rig(tmp_path, lane=False).open()
        await rig.send(post(4_000, b" " * 3_000))
        assert sum(rig.http.held.values()) == 3_000
        rig.connection.connection_lost(None)
        assert rig.http.held == {}
        calls = Calls(rig)
        number = calls.begin((b"content-type", b"application/json"))
        calls.say(number, b" " * 100)
        assert sum(rig.http.held.values()) == 100
        calls.connection.connection_lost(None)
        assert rig.http.held == {}

    asyncio.run(played())
