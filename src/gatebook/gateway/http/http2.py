"""A client of HTTP/2: many requests at a time on one connection, each an exchange of its own."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import structlog

from gatebook.gateway.http.exchange import Exchange
from gatebook.gateway.reads import Reader
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.h2 import Reset, Room, ServerSide
from gatebook.protocols.http.h2_frames import Code
from gatebook.protocols.http.message import Data, End, Message, Request, Response
from gatebook.protocols.http.relay import Failed

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

CONTENT_SECONDS = 60.0  # without a byte of content that is waited for, by whichever version
SLOW = Failed(HTTPStatus.REQUEST_TIMEOUT, f"no content came within {CONTENT_SECONDS:.0f} s")
IDLE_SECONDS = 75.0  # of a connection between two requests, by whichever version
UNSENT_BYTES = 65_536  # towards the client, before the target is no longer read
GOODBYE_SECONDS = 5.0
TICK_SECONDS = 1.0

log = structlog.get_logger("gatebook.http")


class Http2Connection(Reader):
    """One client. Lives in one event loop."""

    def __init__(self, gateway: Gateway, scheme: str) -> None:
        self._gateway, self._codec = gateway, ServerSide(scheme)
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._address = ""
        self._closing = self._inside = False
        self._idle_since = 0.0
        self._ticking: asyncio.TimerHandle | None = None
        self.full = False

    # asyncio.BufferedProtocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here, and was let in."""
        self._transport = client = cast(asyncio.Transport, transport)
        client.set_write_buffer_limits(high=UNSENT_BYTES)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        loop = asyncio.get_running_loop()
        self._idle_since = loop.time()
        self._ticking = loop.call_later(TICK_SECONDS, self._tick)
        self.push()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._closing:
            return
        try:
            told = self._codec.feed(data)
        except MalformedError as error:
            log.info("not HTTP", client=self._address, why=str(error))
            self._close()
            return
        for number, one in told:
            self._hear(number, one)
        self.push()

    def _hear(self, number: int, one: Message | Reset | Room) -> None:
        match one:
            case Request():
                self._streams[number] = stream = Stream(self, number)
                stream.begin(one, self._gateway, self._address)
            case Reset():
                found = self._streams.pop(number, None)
                if found is not None:
                    found.gone()
            case Room():
                if (found := self._streams.get(number)) is not None:
                    found.room()
            case Data() | End():
                if (found := self._streams.get(number)) is not None:
                    found.heard(one)
            case Response():
                raise AssertionError("a client that answers")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._closing = True
        self._transport = None
        if self._ticking is not None:
            self._ticking.cancel()
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.gone()
        self._gateway.leave_http(self)

    def pause_writing(self) -> None:
        """The client does not read."""
        self.full = True
        for stream in list(self._streams.values()):
            stream.room()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.full = False
        for stream in list(self._streams.values()):
            stream.room()

    # What streams say -----------------------------------------------------------------------------------------------------

    @property
    def codec(self) -> ServerSide:
        """The codec, which streams say their part to."""
        return self._codec

    def write(self, data: bytes) -> None:
        """Send what is due."""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def push(self) -> None:
        """One write for all that is due."""
        self.write(self._codec.due())

    def proved(self) -> None:
        """One of its tokens is good: from now on it counts as its session's."""
        if not self._inside:
            self._inside = True
            self._gateway.proved_http(self)

    def done(self, number: int) -> None:
        """A stream is over."""
        self._streams.pop(number, None)
        self._idle_since = asyncio.get_running_loop().time()
        if self._closing and not self._streams:
            self._close()

    def stop(self) -> None:
        """The gateway stops: what is under way was ended, and nothing more begins."""
        self.write(self._codec.drain())
        self._closing = True
        if not self._streams:
            self._close()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for number, one in self._codec.tick():
            self._hear(number, one)
        for stream in list(self._streams.values()):
            stream.tick(loop.time())
        self.push()
        if not self._streams and loop.time() - self._idle_since > IDLE_SECONDS:
            self.write(self._codec.drain())
            self._close()
            return
        self._ticking = loop.call_later(TICK_SECONDS, self._tick)

    def _close(self) -> None:
        self.push()
        self._closing = True
        if self._ticking is not None:
            self._ticking.cancel()
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.gone()
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._transport.abort)


class Stream:
    """One request of it, as its exchange sees its client."""

    def __init__(self, connection: Http2Connection, number: int) -> None:
        self._connection, self._number = connection, number
        self._exchange: Exchange | None = None
        self._unread = 0  # bytes of content that the exchange has, and the client was not told to go on for
        self._whole = self._over = False
        self._since = 0.0  # when its content was waited for and none had come

    def begin(self, request: Request, gateway: Gateway, address: str) -> None:
        """A request came."""
        self._exchange = Exchange(gateway, self, address)
        self._exchange.begin(request, gateway.http.domain)

    def heard(self, message: Data | End) -> None:
        """More of it."""
        if isinstance(message, Data):
            self._unread += len(message.data)
            self._since = 0.0
        else:
            self._whole = True
        if self._exchange is not None:
            self._exchange.from_client(message)
        self.flow()

    def gone(self) -> None:
        """The client wants no more of it."""
        exchange, self._exchange, self._over = self._exchange, None, True
        if exchange is not None:
            exchange.client_gone()

    def tick(self, now: float) -> None:
        """About once a second: a client whose content is waited for sends some."""
        if self._whole or self._exchange is None or not self._exchange.waits:
            self._since = 0.0
        elif not self._since:
            self._since = now
        elif now - self._since > CONTENT_SECONDS:
            self._exchange.signal(SLOW)

    def room(self) -> None:
        """The client takes more, or no more."""
        if self._exchange is not None:
            self._exchange.flow()

    # The exchange's client ------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the client does not take what was said."""
        return self._connection.full or self._connection.codec.waiting(self._number) > 0

    def proved(self) -> None:
        """It showed a token that is good."""
        self._connection.proved()

    def respond(self, response: Response, length: int | None) -> None:
        """Say the head of the answer."""
        self._connection.write(self._connection.codec.respond(self._number, response, length=length))

    def proceed(self) -> None:
        """Have it send its content."""
        self._connection.write(self._connection.codec.informational(self._number, 100))

    def say(self, message: Data | End) -> None:
        """Say what belongs to the answer."""
        codec = self._connection.codec
        if isinstance(message, Data):
            self._connection.write(codec.data(self._number, message.data))
            return
        self._connection.write(codec.end(self._number, message.trailers))
        if not self._whole:
            self._connection.write(codec.reset(self._number, Code.NO_ERROR))

    def push(self) -> None:
        """All that was said is on its way already."""

    def cut(self, why: str) -> None:
        """The answer will not be complete, and must not look so."""
        self._connection.write(self._connection.codec.reset(self._number, Code.INTERNAL_ERROR))

    def done(self, exchange: Exchange) -> None:
        """The exchange is over."""
        if not self._over:
            self._over = True
            self._exchange = None
            self._connection.done(self._number)

    def flow(self) -> None:
        """The client sends more only once what it sent was passed on."""
        if self._unread and self._exchange is not None and self._exchange.hungry:
            count, self._unread = self._unread, 0
            self._connection.write(self._connection.codec.consumed(self._number, count))
