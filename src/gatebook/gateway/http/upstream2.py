"""Connections to targets by HTTP/2, for calls of gRPC: many calls at a time on each, and each call as an errand sees it.

Kept apart by target and role, as those of HTTP/1.1. A connection carries so few calls at once that clients who do not read
never fill its window: nobody's call waits for another's client. That a target speaks HTTP/2 is proved by its settings before
anything is asked of it: inside TLS by ALPN too, on loopback by prior knowledge (RFC 9113, section 3.3).
"""

from __future__ import annotations

import asyncio
from typing import cast

from gatebook.config import WebTarget
from gatebook.gateway.http.upstream import IDLE_SECONDS, UNSENT_BYTES, Answers, DialError, Origins
from gatebook.gateway.reads import Reader
from gatebook.protocols.http import grpc
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.h2 import ClientSide, Reset, Room
from gatebook.protocols.http.h2_connection import CONNECTION_WINDOW
from gatebook.protocols.http.h2_frames import Code
from gatebook.protocols.http.h2_streams import WINDOW, Happening
from gatebook.protocols.http.message import Data, End, Message, Request, Response

CALLS = CONNECTION_WINDOW * 3 // 4 // WINDOW  # a quarter of the window may be passed on, and not yet be given back
CONNECTIONS = 64  # of one target and role
SETTINGS_SECONDS = 10.0
GOODBYE_SECONDS = 5.0
ALPN = ("h2",)
_CUT = "it closed the connection before its answer was complete"


class Multiplexed(Reader):
    """One connection to a target, by HTTP/2. Lives in one event loop."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.full = False
        self.codec = ClientSide()
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, Call] = {}
        self._out: list[bytes] = []
        self._closed = False
        self._idle_since = asyncio.get_running_loop().time()

    # asyncio.BufferedProtocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != ALPN[0]:
            self._transport.abort()
            self._lost("it does not speak HTTP/2, which gRPC needs")
            return
        self.push()

    def data_received(self, data: bytes) -> None:
        """Bytes of the target."""
        if self._closed:
            return
        try:
            told = self.codec.feed(data)
        except MalformedError as error:
            self._lost(f"its answer is not HTTP/2: {error}")
            return
        if self.codec.settled and not self.greeted.done():
            self.greeted.set_result(None)
        self._tell(told)

    def _tell(self, told: list[Happening]) -> None:
        for at, (number, one) in enumerate(told):
            call = self._calls.get(number)
            if call is None:
                continue
            if isinstance(one, Response) and told[at + 1 : at + 2] == [(number, End())] and grpc.is_only(one):
                head, trailers = grpc.parted(one)
                call.hear(head)
                told[at + 1] = number, End(trailers)
            else:
                call.hear(one)
        self.push()
        if self.codec.draining and not self._calls:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost(_CUT)

    def pause_writing(self) -> None:
        """The target does not read."""
        self._fill(True)

    def resume_writing(self) -> None:
        """The target reads again."""
        self._fill(False)

    def _fill(self, full: bool) -> None:
        self.full = full
        for call in list(self._calls.values()):
            call.hear(Room())

    def _lost(self, why: str) -> None:
        if self._closed:
            return
        calls = list(self._calls.values())
        self.close()
        if not self.greeted.done():
            self.greeted.set_exception(DialError(why))
            self.greeted.exception()  # whoever dialled may have gone
        for call in calls:
            call.hear(Reset(Code.INTERNAL_ERROR, why))

    # What calls say -------------------------------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Whether another call may begin now."""
        return not self._closed and self.codec.reusable and len(self._calls) < CALLS

    def begin(self, call: Call, request: Request) -> int:
        """A call's stream."""
        number, data = self.codec.request(request, length=None)
        self._calls[number] = call
        self._out.append(data)
        return number

    def add(self, data: bytes) -> None:
        """What a call had the codec write: sent in this order."""
        self._out.append(data)

    def push(self) -> None:
        """One write for all that is due."""
        data = b"".join((*self._out, self.codec.due()))
        self._out.clear()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def leave(self, number: int) -> None:
        """A call is over; what of its stream is still open is ended."""
        if self._calls.pop(number, None) is None:
            return
        self._out.append(self.codec.reset(number))
        self._idle_since = asyncio.get_running_loop().time()
        self.push()
        if self.codec.draining and not self._calls:
            self.close()

    # Its life -------------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more, and nothing under way on it."""
        return self._closed

    def tick(self) -> None:
        """About once a second."""
        if self._closed:
            return
        self._tell(self.codec.tick())
        if not self._calls and asyncio.get_running_loop().time() - self._idle_since > IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        """End it, with a word to the target. What is under way on it ends."""
        if self._closed:
            return
        self._closed = True
        self._out.append(self.codec.drain())
        self.push()
        self._calls.clear()
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._transport.abort)


class Call:
    """One request on a connection, and its answer. Owned by who asks; offers what ``Upstream`` does."""

    fresh = True  # what was asked may have been done: it is not asked anew

    def __init__(self, connection: Multiplexed) -> None:
        self._connection = connection
        self._answers: Answers | None = None
        self._number = 0
        self._unread = 0  # bytes of content that the target was not told to go on for
        self._reads = True

    @property
    def origin(self) -> str:
        """Where it goes."""
        return self._connection.origin

    def ask(self, answers: Answers, request: Request) -> None:
        """Send the head of a request."""
        self._answers = answers
        if self._connection.reusable:
            self._number = self._connection.begin(self, request)
        else:
            asyncio.get_running_loop().call_soon(self.hear, Reset(Code.REFUSED_STREAM, _CUT))

    def send(self, message: Data | End) -> None:
        """Send what belongs to it."""
        codec = self._connection.codec
        said = (
            codec.data(self._number, message.data) if isinstance(message, Data) else codec.end(self._number, message.trailers)
        )
        self._connection.add(said)

    def push(self) -> None:
        """One write for all that was said."""
        self._connection.push()

    @property
    def full(self) -> bool:
        """Whether the target takes no more."""
        return self._connection.full or self._connection.codec.waiting(self._number) > 0

    def read(self, wanted: bool) -> None:
        """Go on reading the target, or stop: it sends more only once what it sent was passed on."""
        self._reads = wanted
        if wanted and self._unread:
            count, self._unread = self._unread, 0
            self._connection.add(self._connection.codec.consumed(self._number, count))
            self._connection.push()

    def hear(self, one: Message | Reset | Room) -> None:
        """What became of it."""
        answers = self._answers
        if answers is None:
            return
        match one:
            case Reset(code, why):
                self.close()
                answers.target_gone(why or f"it ended the call ({_named(code)})")
            case Room():
                answers.flow()
            case Data(data):
                self._unread += len(data)
                answers.from_target(one)
                self.read(self._reads)
            case Response() | End():
                answers.from_target(one)
            case Request():
                raise AssertionError("a target that asks")

    def close(self) -> None:
        """Nobody waits for it any more."""
        self._answers = None
        if self._number:
            number, self._number = self._number, 0
            self._connection.leave(number)


def _named(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return str(code)


class Calls:
    """Connections of one process that calls share. Used from one event loop."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._kept: dict[tuple[str, str], list[Multiplexed]] = {}
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    def take(self, target: str, role: str) -> Call | None:
        """A call on a connection that stands, if one has room for it."""
        found = next((one for one in self._kept.get((target, role), ()) if one.reusable), None)
        return Call(found) if found is not None else None

    async def dial(self, target: WebTarget, role: str) -> Call:
        """A call, on a new connection if need be: of many that begin at once, one dials. Raises DialError."""
        key = target.name, role
        async with self._turns.setdefault(key, asyncio.Lock()):
            if (found := self.take(*key)) is not None:
                return found
            kept = self._kept.setdefault(key, [])
            if len(kept) >= CONNECTIONS:
                raise DialError(f"target {target.name} has {CONNECTIONS * CALLS} calls of this role under way; wait for some")
            made = await self._origins.dial(target, role, Multiplexed, ALPN)
            try:
                async with asyncio.timeout(SETTINGS_SECONDS):
                    await made.greeted
            except (TimeoutError, DialError) as error:
                made.close()
                why = str(error) or f"did not speak HTTP/2, which gRPC needs, within {SETTINGS_SECONDS:.0f} s"
                raise DialError(f"target {target.name}: {why}") from None
            kept.append(made)
            return Call(made)

    def tick(self) -> None:
        """About once a second: end what was idle for long."""
        for key, kept in list(self._kept.items()):
            for one in list(kept):
                one.tick()
                if one.closed:
                    kept.remove(one)
            if not kept:
                del self._kept[key]  # its turn stays: somebody may be waiting for it

    def close(self) -> None:
        """End all."""
        for kept in self._kept.values():
            for one in kept:
                one.close()
            kept.clear()
