"""Connections by HTTP/2 that calls share: a target played by the codec's other side, without a network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

import pytest

from gatebook.config import HttpTarget
from gatebook.gateway.dial import Trust
from gatebook.gateway.http.upstream import DialError, Origins
from gatebook.gateway.http.upstream2 import ALPN, CALLS, Call, Calls, Multiplexed
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.h2 import Reset, ServerSide
from gatebook.protocols.http.h2_frames import Code
from gatebook.protocols.http.h2_streams import WINDOW
from gatebook.protocols.http.message import Data, End, Message, Request, Response

GRPC = (b"content-type", b"application/grpc")
ASKED = Request("POST", "http", "127.0.0.1:50051", "/a.B/C", (GRPC, (b"te", b"trailers")))


class Socket:
    """A transport to the target; what is written to it is heard at once."""

    def __init__(self, target: Target, alpn: str | None) -> None:
        self.target, self.alpn, self.closing = target, alpn, False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_extra_info(self, name: str) -> Any:
        assert name == "ssl_object"
        return self if self.alpn is not None else None

    def selected_alpn_protocol(self) -> str | None:
        return self.alpn

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.target.hear(data)

    def close(self) -> None:
        self.closing = True

    abort = close


class Target:
    """What a target hears, and says;."""

    def __init__(self, alpn: str | None = None) -> None:
        self.codec = ServerSide("http")
        self.heard: list[tuple[int, Any]] = []
        self.connection = Multiplexed("http://127.0.0.1:50051")
        self.socket = Socket(self, alpn)

    def hear(self, data: bytes) -> None:
        self.heard += self.codec.feed(data)

    def begin(self) -> Target:
        self.connection.connection_made(cast(asyncio.Transport, self.socket))
        self.say(self.codec.due())
        return self

    def say(self, data: bytes) -> None:
        self.connection.data_received(data)


class Asker:
    """Who asks."""

    def __init__(self, target: Target) -> None:
        self.call = Call(target.connection)
        self.said: list[Message] = []
        self.gone = ""
        self.flows = 0

    def ask(self, *messages: Data | End) -> Asker:
        self.call.ask(self, ASKED)
        for one in messages:
            self.call.send(one)
        self.call.push()
        return self

    def from_target(self, message: Message) -> None:
        self.said.append(message)

    def target_gone(self, why: str) -> None:
        self.gone = why

    def flow(self) -> None:
        self.flows += 1


async def test_a_call_is_asked_and_answered_with_its_trailers() -> None:
    target = Target().begin()
    asker = Asker(target).ask(Data(b"hello"), End())
    assert [(number, type(one)) for number, one in target.heard] == [(1, Request), (1, Data), (1, End)]
    assert target.heard[0][1].get(b"te") == b"trailers"
    target.say(target.codec.respond(1, Response(200, (GRPC,)), length=None))
    target.say(target.codec.data(1, b"yes") + target.codec.end(1, ((b"grpc-status", b"0"),)))
    assert asker.said == [Response(200, (GRPC,)), Data(b"yes"), End(((b"grpc-status", b"0"),))]


async def test_an_answer_that_is_trailers_only_becomes_a_head_and_trailers() -> None:
    target = Target().begin()
    asker = Asker(target).ask(End())
    only = Response(200, (GRPC, (b"grpc-status", b"5"), (b"grpc-message", b"no such"), (b"x-cost", b"1")))
    target.say(target.codec.respond(1, only, length=None, over=True))
    assert asker.said == [Response(200, (GRPC,)), End(only.fields[1:])]


async def test_a_reset_ends_one_call_and_no_other() -> None:
    target = Target().begin()
    first, second = Asker(target).ask(), Asker(target).ask()
    target.say(target.codec.reset(1, Code.REFUSED_STREAM))
    assert (first.gone, second.gone) == ("it ended the call (REFUSED_STREAM)", "")
    assert target.connection.reusable


async def test_behind_a_farewell_no_call_begins_and_those_it_names_go_on() -> None:
    target = Target().begin()
    first, second = Asker(target).ask(End()), Asker(target).ask(End())
    target.say(wire.goaway(1, Code.NO_ERROR))
    assert (first.gone, second.gone) == ("", "it ended the call (REFUSED_STREAM)")
    assert not target.connection.reusable
    target.say(target.codec.respond(1, Response(200, (GRPC,)), length=None, over=True))
    assert first.said == [Response(200, (GRPC,)), End()]
    first.call.close()
    assert target.connection.closed
    assert target.socket.closing


async def test_who_leaves_has_the_target_stop() -> None:
    target = Target().begin()
    asker = Asker(target).ask(Data(b"a"))
    asker.call.close()
    assert target.heard[-1] == (1, Reset(Code.CANCEL))
    target.say(target.codec.respond(1, Response(200, (GRPC,)), length=None))
    assert (asker.said, asker.gone) == ([], "")


async def test_a_connection_that_is_lost_or_speaks_something_else_ends_its_calls() -> None:
    for happens, why in (
        (lambda one: one.connection.connection_lost(None), "it closed the connection"),
        (lambda one: one.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "its answer is not HTTP/2"),
    ):
        target = Target().begin()
        askers = [Asker(target).ask() for _ in range(3)]
        happens(target)
        assert all(one.gone.startswith(why) for one in askers)
        assert target.connection.closed
        assert target.socket.closing


async def test_clients_that_do_not_read_take_the_window_of_nobody_else() -> None:
    target = Target().begin()
    askers = [Asker(target).ask(End()) for _ in range(CALLS)]
    assert not target.connection.reusable
    last = askers.pop()
    for number, one in enumerate(askers):
        one.call.read(False)
        stream = 2 * number + 1
        target.say(target.codec.respond(stream, Response(200, (GRPC,)), length=None))
        target.say(target.codec.data(stream, b"x" * (2 * WINDOW)))
        assert target.codec.waiting(stream) == WINDOW
    stream = 2 * len(askers) + 1
    target.say(target.codec.respond(stream, Response(200, (GRPC,)), length=None))
    for _ in range(100):
        target.say(target.codec.data(stream, b"y" * 50_000))
        target.say(target.codec.due())
    assert target.codec.waiting(stream) == 0
    assert sum(len(one.data) for one in last.said if isinstance(one, Data)) == 5_000_000
    askers[0].call.read(True)
    target.say(target.codec.due())
    assert sum(len(one.data) for one in askers[0].said if isinstance(one, Data)) == 2 * WINDOW


async def test_a_call_is_full_while_its_target_takes_no_more() -> None:
    target = Target().begin()
    asker = Asker(target).ask(Data(b"a" * (2 * WINDOW)))
    assert asker.call.full
    target.say(target.codec.consumed(1, WINDOW))
    assert not asker.call.full
    assert asker.flows == 1
    target.connection.pause_writing()
    assert (asker.call.full, asker.flows) == (True, 2)


async def test_a_call_on_a_connection_that_was_just_closed_is_told_so() -> None:
    target = Target().begin()
    asker = Asker(target)
    target.connection.close()
    asker.ask(Data(b"a"), End())
    assert asker.gone == ""
    await asyncio.sleep(0)
    assert asker.gone.startswith("it closed the connection")


# Dialling -----------------------------------------------------------------------------------------------------------------


class Dialled:
    """Origins where a connection is there at once; ``targets`` are those that were dialled."""

    def __init__(self, alpn: str | None = None, greets: bytes | None = None) -> None:
        self.targets: list[Target] = []
        self.alpn, self.greets = alpn, greets

    async def dial(self, _: HttpTarget, role: str, __: Callable[[str], Multiplexed], alpn: tuple[str, ...]) -> Multiplexed:
        assert alpn == ALPN
        await asyncio.sleep(0)
        made = Target(self.alpn)
        self.targets.append(made)
        if self.greets is None:
            made.begin()
        else:
            made.connection.connection_made(cast(asyncio.Transport, made.socket))
            made.say(self.greets)
        return made.connection


CONFIGURED = cast(HttpTarget, type("Configured", (), {"name": "calls"}))


def calls_of(dialled: Dialled) -> Calls:
    return Calls(cast(Origins, dialled))


async def test_of_many_calls_that_begin_at_once_one_dials_for_all_that_fit() -> None:
    dialled = Dialled()
    calls = calls_of(dialled)

    async def begin(role: str) -> Call:
        call = await calls.dial(CONFIGURED, role)
        call.ask(Asker(dialled.targets[-1]), ASKED)
        return call

    await asyncio.gather(*(begin("agent") for _ in range(CALLS)))
    assert len(dialled.targets) == 1
    assert calls.take("calls", "agent") is None
    await asyncio.gather(begin("agent"), begin("agent"), begin("admin"))
    assert len(dialled.targets) == 3
    calls.close()
    assert all(one.connection.closed for one in dialled.targets)
    calls.tick()


async def test_a_target_that_does_not_speak_http2_is_told_apart_and_not_kept() -> None:
    for dialled, why in (
        (Dialled(greets=b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not HTTP/2"),
        (Dialled(alpn="http/1.1", greets=b""), "does not speak HTTP/2, which gRPC needs"),
    ):
        calls = calls_of(dialled)
        with pytest.raises(DialError, match=why):
            await calls.dial(CONFIGURED, "agent")
        assert calls.take("calls", "agent") is None
        assert dialled.targets[0].socket.closing
        if dialled.alpn:
            assert dialled.targets[0].heard == []


def test_the_context_for_calls_is_another_than_that_for_requests() -> None:
    class Tls:
        mode, ca, cert, key, name = "require", None, None, None, None

    named = type("Named", (), {"tls": Tls(), "target": CONFIGURED, "certificate": staticmethod(lambda _: (None, None))})
    trust = Trust()
    first, second = trust.context(cast(Any, named)), trust.context(cast(Any, named), ALPN)
    assert isinstance(first, ssl.SSLContext)
    assert first is not second
    assert trust.context(cast(Any, named), ALPN) is second
