"""The door of HTTP clients: one connection each, its requests in turn.

By ALPN or by the first bytes a client speaks HTTP/2 or HTTP/1.1 (RFC 9113, section 3). What it said wrong is answered once, and
the connection closed: nothing behind it is read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, assert_never, cast

import structlog

from gatebook.config import Config, GitTarget, HttpTarget, KubernetesTarget, WebTarget
from gatebook.config.shapes import cluster_shape_of, digest_of, server_shape_of, shape_of
from gatebook.gateway.dial import Trust
from gatebook.gateway.doorway import TlsError, secure
from gatebook.gateway.http.browsers import Browsers
from gatebook.gateway.http.credentials import Credentials
from gatebook.gateway.http.exchange import Exchange
from gatebook.gateway.http.http2 import CONTENT_SECONDS, GOODBYE_SECONDS, IDLE_SECONDS, SLOW, UNSENT_BYTES, Http2Connection
from gatebook.gateway.http.sessions import HttpSession, Key, Sessions
from gatebook.gateway.http.shortcut import Flight, Shortcut
from gatebook.gateway.http.upstream import Origins, Pool
from gatebook.gateway.http.upstream2 import Calls
from gatebook.gateway.reads import Reader
from gatebook.identity.browsers import BrowserSignIns
from gatebook.protocols.git import dialect as git
from gatebook.protocols.http import door, refusal
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.dialect import Dialect
from gatebook.protocols.http.door import Knock
from gatebook.protocols.http.h1 import ServerSide
from gatebook.protocols.http.h2 import PREFACE
from gatebook.protocols.http.message import Data, End, Message, Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.kubernetes import status
from gatebook.protocols.kubernetes.dialect import Kubernetes
from gatebook.protocols.relay import Refused

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

HEAD_SECONDS = 30.0  # for a client to say the head of its first request, and of each that follows
KEPT_BYTES = 65_536  # of requests behind the one that is answered
HTTP_ALPN = ["h2", "http/1.1"]

log = structlog.get_logger("gatebook.http")


class Http:
    """What the HTTP connections of one process share. Used from one event loop."""

    def __init__(self, gateway: Gateway, config: Config, trust: Trust, browsers: BrowserSignIns) -> None:
        origins = Origins(trust)
        self.browsers = Browsers(config, browsers, gateway.clock)
        self.pool, self.calls, self.credentials = Pool(origins), Calls(origins), Credentials()
        self.domain = config.listeners.http.domain or "" if config.listeners.http is not None else ""
        self.flying = 0  # bytes of answers that the lanes of all connections have
        self._sessions = Sessions(gateway)
        self.held: dict[bytes, int] = {}  # bytes of content that wait for decisions, by token
        spoken = [one for one in config.targets if isinstance(one, WebTarget)]
        self._protocols = {one.name: one.protocol for one in spoken}
        self._dialects = {one.name: _dialect(one) for one in spoken}
        self._meanings = {one.name: digest_of(one) for one in spoken}

    def find(self, key: Key) -> HttpSession | None:
        """A live session."""
        return self._sessions.find(key)

    async def open(self, key: Key, knock: Knock, address: str) -> HttpSession | Refused:
        """A session that begins, or why it may not. Raises GatebookError."""
        return await self._sessions.open(key, knock, address)

    def forget(self, session: HttpSession) -> None:
        """A session has ended."""
        self._sessions.forget(session)

    def tick(self) -> None:
        """About once a second: end connections to targets that were idle for long."""
        self.pool.tick()
        self.calls.tick()

    def close(self) -> None:
        """End all connections to targets that nobody asks on."""
        self.pool.close()
        self.calls.close()

    def dialect(self, target: str) -> Dialect:
        """How a target is spoken to."""
        return self._dialects[target]

    def meaning(self, target: str) -> str:
        """A digest of what says what requests to a target mean."""
        return self._meanings[target]

    def protocol(self, target: str) -> str:
        """Which kind of target has this name; that of HTTP APIs where none has it."""
        return self._protocols.get(target, "http")

    def said(self, protocol: str) -> Callable[[refusal.Problem], tuple[Response, bytes]]:
        """How clients of such targets hear of what goes wrong before their request is any session's."""
        return _SAID[protocol]


def _dialect(target: WebTarget) -> Dialect:
    match target:
        case HttpTarget():
            return Plain(shape_of(target))
        case KubernetesTarget():
            return Kubernetes(cluster_shape_of(target))
        case GitTarget():
            return git.Git(server_shape_of(target))
        case _:
            assert_never(target)


_SAID = {"http": refusal.Problem.said, "kubernetes": status.said, "git": git.said}


class HttpConnection(Reader):
    """One client, by HTTP/1.1. Lives in one event loop."""

    def __init__(self, gateway: Gateway, certificate: ssl.SSLContext | None) -> None:
        self._gateway, self._certificate = gateway, certificate
        self._scheme = "http" if certificate is None else "https"
        self._codec = ServerSide(self._scheme)
        self._plain: asyncio.Transport | None = None  # before its TLS begins
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._shortcut = Shortcut(gateway, self, self._scheme)
        self._whole = b""  # the request that is answered, if it came at once and alone
        self._behind = b""  # an answer that waits for the disk
        self._address = ""
        self._out: list[bytes] = []
        self._reads = True
        self._closing = self._tunnel = False
        self._first = True
        self._inside = False
        self._patience: asyncio.TimerHandle | None = None
        self._asked = False  # by the lane, since patience began
        self.full = False

    # asyncio.BufferedProtocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here, and is counted before it may have a handshake done for it."""
        client = cast(asyncio.Transport, transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        why = self._gateway.admit_http(self, self._address)
        if self._certificate is None:
            self._begin(client)
            if why:
                self._refuse(*refusal.Problem(503, why, fields=((b"retry-after", b"1"),)).said())
        elif why:
            client.abort()
        else:
            self._plain = client
            self._wait(self._gateway.login_seconds)

    async def _secure(self, plain: asyncio.Transport, certificate: ssl.SSLContext, begun: bytes) -> None:
        try:
            secured = await secure(plain, self, certificate, self._gateway.login_seconds, begun, alpn="")
        except TlsError as error:
            log.info("no TLS", client=self._address, why=str(error))
            plain.abort()
            self._gateway.leave_http(self)
            return
        except Exception:
            log.exception("no TLS", client=self._address)
            plain.abort()
            self._gateway.leave_http(self)
            return
        if self._closing:
            secured.abort()
        elif secured.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            self._speak_http2(secured)
        else:
            self._begin(secured)

    def _begin(self, client: asyncio.Transport) -> None:
        """The client may speak."""
        self._transport = client
        client.set_write_buffer_limits(high=UNSENT_BYTES)
        self._wait(HEAD_SECONDS)

    def _speak_http2(self, client: asyncio.Transport) -> Http2Connection:
        """From here on the connection is another's."""
        other = Http2Connection(self._gateway, self._scheme)
        self._gateway.hand_over_http(self, other)
        self._wait(0)
        self._closing, self._transport = True, None
        client.set_protocol(other)
        other.connection_made(client)
        return other

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._closing:
            return
        if self._plain is not None and self._certificate is not None:
            plain, self._plain = self._plain, None
            self._wait(0)
            plain.pause_reading()
            self._gateway.spawn(self._secure(plain, self._certificate, data))
            return
        if self._first and self._transport is not None and data.startswith(PREFACE[:14]):
            self._speak_http2(self._transport).data_received(data)
            return
        self._first = False
        if self._tunnel and self._exchange is not None:
            self._exchange.from_client(Data(data))
            self.flow()
            return
        if self._shortcut.lands:
            self._behind += data
            if len(self._behind) > KEPT_BYTES and self._transport is not None:
                self._transport.pause_reading()
            return
        rests = self._exchange is None and self._codec.idle
        if rests and self._shortcut.request(data):
            self._asked = True
            return
        self._shortcut.give_back()
        if self._exchange is not None:
            self._wait(CONTENT_SECONDS)
        try:
            messages = self._codec.feed(data)
            self._whole = data if rests and self._codec.keeps_alive and not self._codec.kept else b""
            self._take(messages)
        except MalformedError as error:
            self._malformed(error)

    def _take(self, messages: list[Message]) -> None:
        """A request that is answered at once is over before the rest of it is here, which must not go to the one behind it."""
        whose = self._exchange
        for message in messages:
            if isinstance(message, Request):
                self._wait(CONTENT_SECONDS)
                self._exchange = whose = Exchange(self._gateway, self, self._address)
                whose.begin(message, self._gateway.http.domain)
            elif whose is not None and whose is self._exchange:
                whose.from_client(message)
        self.flow()

    def eof_received(self) -> bool:
        """The client says no more; its answer may still come, so it stays open where one is under way."""
        self._shortcut.give_back()
        if self._shortcut.lands:
            return True
        return self._exchange is not None and self._codec.complete and not self._tunnel

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._shortcut.give_back()
        self._shortcut.drop("the client went away")
        self._closing = True
        self._wait(0)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        self._transport = None
        self._gateway.leave_http(self)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._shortcut.give_back()
        self.full = True
        if self._exchange is not None:
            self._exchange.flow()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.full = False
        if self._exchange is not None:
            self._exchange.flow()

    def stop(self) -> None:
        """The gateway stops: what is under way was ended, and nothing more begins."""
        self._shortcut.give_back()
        if self._plain is not None:
            self._plain.abort()
        if self._exchange is None and not self._shortcut.lands:
            self._close()
        self._closing = True

    # What exchanges say ---------------------------------------------------------------------------------------------------

    def proved(self) -> None:
        """Its token is good: from now on it counts as its session's."""
        if not self._inside:
            self._inside = True
            self._gateway.proved_http(self)

    def respond(self, response: Response, length: int | None) -> None:
        """The head of the answer."""
        self._out.append(self._codec.respond(response, length=length))
        if response.status == 101:
            self._tunnel = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def proceed(self) -> None:
        """Have the client send its content."""
        self._out.append(self._codec.informational(100))

    def say(self, message: Data | End) -> None:
        """What belongs to the answer."""
        if self._tunnel:
            self._out.append(message.data if isinstance(message, Data) else b"")
        else:
            self._out.append(self._codec.data(message.data) if isinstance(message, Data) else self._codec.end(message.trailers))

    def _go_on(self) -> None:
        """What a client said behind the opening of a WebSocket."""
        rest = self._codec.rest()
        if rest and self._exchange is not None:
            self._exchange.from_client(Data(rest))

    def push(self) -> None:
        """One write for all that was said."""
        if self._out:
            data, self._out = b"".join(self._out), []
            if data and self._transport is not None and not self._transport.is_closing():
                self._transport.write(data)

    def cut(self, why: str) -> None:
        """The answer will not be complete: the connection is reset, so that no client takes it for whole."""
        self._closing = True
        self._out.clear()
        if self._transport is not None:
            self._transport.abort()

    def done(self, exchange: Exchange) -> None:
        """The answer is out; the next request of this client may begin."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        whole, self._whole = self._whole, b""
        if self._closing or self._transport is None:
            return
        self._shortcut.session = exchange.session
        if whole:
            self._shortcut.learn(whole, exchange)
        if self._tunnel or not self._codec.keeps_alive:
            self._close()
            return
        self._wait(IDLE_SECONDS)
        try:
            self._take(self._codec.next())
        except MalformedError as error:
            self._malformed(error)

    # What the lane says -----------------------------------------------------------------------------------------------------

    def tell(self, pieces: tuple[bytes, ...]) -> None:
        """The answer, or a part of it."""
        if self._transport is None or self._transport.is_closing():
            return
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)

    def landed(self) -> None:
        """What came of the client meanwhile is next."""
        behind, self._behind = self._behind, b""
        if behind and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self.data_received(behind)

    def become(self, flight: Flight) -> Exchange:
        """The codec takes in what came past it, and an exchange goes on with it."""
        self._codec.feed(flight.data)
        self._exchange = exchange = Exchange(self._gateway, self, self._address)
        exchange.take_over(flight)
        return exchange

    def fail(self, data: bytes, why: str) -> None:
        """A request that came past the codec is not answered."""
        self._codec.feed(data)
        self._exchange = exchange = Exchange(self._gateway, self, self._address)
        exchange.fail(why)

    def flow(self) -> None:
        """Read the client only while more of it is wanted."""
        if self._transport is None or self._transport.is_closing():
            return
        exchange = self._exchange
        waits = self._codec.complete and not self._tunnel and self._codec.kept <= KEPT_BYTES
        wanted = exchange is None or exchange.hungry or waits
        if wanted is not self._reads:
            self._reads = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    # What goes wrong ------------------------------------------------------------------------------------------------------

    def _malformed(self, error: MalformedError) -> None:
        """What it sends is no HTTP that everybody reads alike: it is told so, if it can be, and nothing more is read."""
        log.info("not HTTP", client=self._address, why=str(error))
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        if self._codec.answering:
            self.cut(str(error))
        else:
            said = self._gateway.http.said(door.protocol_of_line(self._codec.refused))
            self._refuse(*said(refusal.Problem(error.status, str(error))))

    def _refuse(self, head: Response, content: bytes) -> None:
        fields = (*head.fields, (b"content-length", str(len(content)).encode()))
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        first = f"HTTP/1.1 {head.status} {HTTPStatus(head.status).phrase}\r\n".encode()
        self._out = [first, lines, b"connection: close\r\n\r\n", content]
        self._close()

    def _wait(self, seconds: float) -> None:
        """So long for the client to do its next part; 0: no longer."""
        self._asked = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if seconds:
            self._patience = asyncio.get_running_loop().call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._patience = None
        if self._plain is not None:
            self._plain.abort()
        elif self._asked or self._shortcut.flight is not None:
            self._asked = False
            self._wait(IDLE_SECONDS)
        elif self._exchange is None:
            self._close()
        elif self._exchange.hungry and not self._codec.complete and not self._tunnel:
            self._exchange.signal(SLOW)

    def _close(self) -> None:
        """Who still sends would be reset, and never read what was said: so all that comes is read away for a while."""
        self.push()
        self._closing = True
        self._wait(0)
        if self._transport is None:
            return
        if self._codec.complete or self._codec.idle:
            self._transport.close()
        else:
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()
        asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._transport.abort)
