"""Connections to HTTP targets, kept while they are of use.

A connection carries one request at a time, and another one only when the last answer ended exactly where its head said, with
not a byte behind it: what a target says too much would be taken for the next answer. Connections are kept apart by target and
role, since some targets tie a login to a connection. A target of several origins is dialled at the next one where one does not
answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit

import structlog

from gatebook.config import WebTarget
from gatebook.config.targets import origin_place
from gatebook.errors import WireError
from gatebook.gateway.dial import DIAL_SECONDS, DialError, Trust, fault
from gatebook.gateway.reads import Reader
from gatebook.protocols.http.h1 import ClientSide
from gatebook.protocols.http.message import Data, End, Message, Request, Response

IDLE_SECONDS = 20.0  # a connection is kept for the next request; servers close theirs after 60 and more
IDLE_CONNECTIONS = 32  # of one target and role
UNSENT_BYTES = 65_536  # towards the target, before the client is no longer read

log = structlog.get_logger("gatebook.http")
_Made = TypeVar("_Made", bound=Reader)


class Answers(Protocol):
    """Who asked: hears the answer, in order, and then ``gone`` if it did not end."""

    def from_target(self, message: Message) -> None:
        """A message of the target."""
        ...

    def target_gone(self, why: str) -> None:
        """The connection is of no use any more, and the answer not complete."""
        ...

    def flow(self) -> None:
        """The target takes more, or no more."""
        ...


class Flying(Protocol):
    """What went past the codec, and waits for its answer."""

    def answered(self, data: bytes) -> None:
        """Bytes of the target. What is not the whole answer it has somebody else read, who asks from then on."""
        ...

    def give_back(self) -> object:
        """Have somebody else ask from now on."""
        ...


class Upstream(Reader):
    """One connection to a target, by HTTP/1.1. Owned by a pool while idle, else by who asks."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.fresh = True  # no request was answered on it yet
        self.full = self._tunnel = False
        self._codec = ClientSide()
        self._transport: asyncio.Transport | None = None
        self._answers: Answers | None = None
        self._flight: Flying | None = None
        self._reads = True
        self._out: list[bytes] = []
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        open_still = self._transport is not None and not self._transport.is_closing()
        return open_still and not self._tunnel and self._codec.reusable

    # What is asked --------------------------------------------------------------------------------------------------------

    def ask(self, answers: Answers, request: Request, length: int | None) -> None:
        """Send the head of a request; ``length`` as the codec has it."""
        self._answers = answers
        self._out.append(self._codec.request(request, length=length))

    def send(self, message: Data | End) -> None:
        """Send what belongs to it."""
        if self._tunnel:
            self._out.append(message.data if isinstance(message, Data) else b"")
        else:
            self._out.append(self._codec.data(message.data) if isinstance(message, Data) else self._codec.end(message.trailers))

    def push(self) -> None:
        """One write for all that was said."""
        if self._out:
            data, self._out = b"".join(self._out), []
            if data and self._transport is not None and not self._transport.is_closing():
                self._transport.write(data)

    # Past the codec -------------------------------------------------------------------------------------------------------

    def fly(self, flight: Flying, data: bytes) -> None:
        """Send a whole request, as the codec would have written it."""
        self._flight = flight
        if self._transport is not None:
            self._transport.write(data)

    def landed(self) -> None:
        """Its answer was whole, and nothing came behind it."""
        self._flight, self.fresh = None, False

    def take_over(self, answers: Answers, request: Request, length: int | None) -> None:
        """From now on the codec reads what answers a request that was sent past it: it writes it, to nobody."""
        self._flight, self._answers = None, answers
        self._codec.request(request, length=length)

    def took(self, message: Data | End) -> None:
        """The same of what belongs to it."""
        if isinstance(message, Data):
            self._codec.data(message.data)
        else:
            self._codec.end(message.trailers)

    # What is answered -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the target."""
        if self._flight is not None:
            self._flight.answered(data)
            return
        answers = self._answers
        if answers is None:
            self.close()  # it speaks without having been asked
            return
        if self._tunnel:
            answers.from_target(Data(data))
            return
        try:
            messages = self._codec.feed(data)
        except WireError as error:
            self._lost(f"its answer is not HTTP: {error}")
            return
        self._hand_over(answers, messages)

    def eof_received(self) -> None:
        """The target has said all that it will say."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: an answer that ends with it may be complete by that."""
        self._give_back()
        self._transport = None  # which knows this object, and has places to read and to write to
        answers = self._answers
        if answers is None:
            return
        if self._tunnel:
            answers.from_target(End())
            return
        try:
            messages = self._codec.closed()
        except WireError as error:
            self._lost(f"it closed the connection before its answer was complete: {error}")
            return
        self._hand_over(answers, messages)
        if self._answers is not None:
            self._lost("it closed the connection before its answer was complete")

    def _hand_over(self, answers: Answers, messages: list[Message]) -> None:
        for message in messages:
            if self._answers is not answers:
                return
            if isinstance(message, Response):
                if self.fresh:
                    self._spare()
                self.fresh = self.fresh and message.status < 200
                self._tunnel = message.status == 101
            answers.from_target(message)
        if self._tunnel and (rest := self._codec.rest()) and self._answers is answers:
            answers.from_target(Data(rest))

    def _spare(self) -> None:
        """Nothing is written: by that OpenSSL frees 16 KiB to write to, which a target's tickets had it take after the request.

        An answer may be a stream, behind which nothing is asked for hours.
        """
        secured = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if secured is not None:
            with contextlib.suppress(ssl.SSLError):
                secured.write(b"")

    def _lost(self, why: str) -> None:
        answers, self._answers = self._answers, None
        self.close()
        if answers is not None:
            answers.target_gone(why)

    def pause_writing(self) -> None:
        """The target does not read."""
        self.full = True
        self._give_back()
        if self._answers is not None:
            self._answers.flow()

    def _give_back(self) -> None:
        if self._flight is not None:
            self._flight.give_back()

    def resume_writing(self) -> None:
        """The target reads again."""
        self.full = False
        if self._answers is not None:
            self._answers.flow()

    def read(self, wanted: bool) -> None:
        """Go on reading the target, or stop."""
        if wanted is self._reads or self._transport is None or self._transport.is_closing():
            return
        self._reads = wanted
        (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def let_go(self) -> None:
        """Nobody asks on it any more."""
        self._answers = None
        self._out.clear()
        self.read(True)

    def close(self) -> None:
        """End it. What comes until then is nobody's."""
        self._answers = self._flight = None
        if self._transport is not None:
            self._transport.abort()


class Origins:
    """Dials targets, each at the next of its origins. Used from one event loop."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._turn = itertools.count()

    async def dial(self, target: WebTarget, role: str, made: Callable[[str], _Made], alpn: tuple[str, ...] = ()) -> _Made:
        """A new connection, made for its origin. Raises DialError with a sentence fit for the client."""
        origins = target.origins
        first = next(self._turn) % len(origins)
        why = ""
        for origin in (*origins[first:], *origins[:first]):
            try:
                return await self._dial(target, role, origin, made, alpn)
            except DialError as error:
                why = str(error)
                log.warning("an origin cannot be reached", target=target.name, origin=origin, why=why)
        raise DialError(f"target {target.name} {why}")

    async def _dial(
        self, target: WebTarget, role: str, origin: str, made: Callable[[str], _Made], alpn: tuple[str, ...]
    ) -> _Made:
        loop = asyncio.get_running_loop()
        host, _, port = origin_place(origin).rpartition(":")
        host = host.strip("[]")
        context = self._trust.context(target, alpn, role) if urlsplit(origin).scheme == "https" else None
        name = (target.tls.name or host) if context is not None else None
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                _, found = await loop.create_connection(
                    lambda: made(origin), host, int(port), ssl=context, server_hostname=name
                )
        except OSError as error:
            raise DialError(fault(error)) from error
        return found


class Pool:
    """Connections of one process to its HTTP targets. Used from one event loop."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._idle: dict[tuple[str, str], list[Upstream]] = {}

    def take(self, target: str, role: str) -> Upstream | None:
        """A connection that is idle, if there is one: the one that was used last."""
        kept = self._idle.get((target, role), [])
        while kept:
            found = kept.pop()
            if found.reusable:
                return found
            found.close()
        return None

    async def dial(self, target: WebTarget, role: str) -> Upstream:
        """A new connection. Raises DialError with a sentence fit for the client."""
        return await self._origins.dial(target, role, Upstream)

    def give_back(self, target: str, role: str, upstream: Upstream) -> None:
        """Keep a connection for the next request, if one may follow on it."""
        upstream.let_go()
        kept = self._idle.setdefault((target, role), [])
        if not upstream.reusable or len(kept) >= IDLE_CONNECTIONS:
            upstream.close()
            return
        upstream.idle_since = asyncio.get_running_loop().time()
        kept.append(upstream)

    def tick(self) -> None:
        """About once a second: end what was idle for long."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        for key, kept in list(self._idle.items()):
            for one in [one for one in kept if one.idle_since < oldest or not one.reusable]:
                kept.remove(one)
                one.close()
            if not kept:
                del self._idle[key]

    def close(self) -> None:
        """End all that is idle."""
        for kept in self._idle.values():
            for one in kept:
                one.close()
        self._idle.clear()


__all__ = ["DialError", "Origins", "Pool", "Upstream"]
