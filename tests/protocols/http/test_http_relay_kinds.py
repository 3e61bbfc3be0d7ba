from __future__ import annotations

import json
from typing import Any

from tests.protocols.http.exchanges import (
    JSON,
    KEY,
    Stage,
    content,
    forwarded,
    head,
    refused,
    request,
    verdict,
)

from gatebook.model import RefusalClass, Ruling
from gatebook.protocols.http import mcp, websocket
from gatebook.protocols.http.message import Data, End, Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import (
    ClientSaid,
    Effect,
    Failed,
    Forward,
    Reply,
    TargetSaid,
)
from gatebook.protocols.relay import Answered, Covering, HangUp, Refused

# MCP ----------------------------------------------------------------------------------------------------------------------

MCP = {"dialect": Plain(Shape(mcp=mcp.Shape(paths=frozenset({"/mcp"}))))}


def call(method: str, **params: Any) -> tuple[Request, Data, End]:
    said = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()
    return request("POST", "/mcp", JSON), Data(said), End()


def test_a_refused_tool_call_is_an_answer_that_an_agent_reads() -> None:
    stage = Stage(**MCP)
    asked = stage.ask(*call("tools/call", name="wipe_ledger", arguments={}))
    effects = stage.feed(refused(asked.action))
    said = json.loads(content(effects))
    assert (head(effects).status, said["id"], said["result"]["isError"]) == (200, 7, True)
    assert "some-rule" in said["result"]["content"][0]["text"]


def test_tools_that_are_not_open_are_not_listed() -> None:
    stage = Stage(**MCP, may=lambda deed: deed.resource.name != "wipe_ledger")
    stage.ask(*call("tools/list"))
    assert forwarded(stage.allow()).get(b"accept-encoding") == b"identity"
    tools = [{"name": "find_customer"}, {"name": "wipe_ledger"}]
    answer = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"tools": tools}}).encode()
    effects = stage.answer(Response(200, (JSON,)), Data(answer[:30]), Data(answer[30:]), End())
    assert [one["name"] for one in json.loads(content(effects))["result"]["tools"]] == ["find_customer"]
    assert next(one.masked for one in effects if isinstance(one, Answered)) == {"tool": 1}


def test_a_covered_value_is_not_written_back_over_the_real_one() -> None:
    stage = Stage()
    stage.ask(request("PATCH", "/customers/1", JSON), Data(b'{"ssn": "****"}'), End())
    effects = stage.allow()
    assert not any(isinstance(one, Forward) for one in effects)
    assert (head(effects).status, json.loads(content(effects))["class"]) == (403, "fix")


# gRPC ---------------------------------------------------------------------------------------------------------------------

CALL = (b"content-type", b"application/grpc")
LISTED = ("application/grpc",)


def grpc_call(*fields: tuple[bytes, bytes]) -> Request:
    return request("POST", "/a.v1.Accounts/Get", CALL, (b"te", b"trailers"), *fields)


def ended_as(effects: list[Effect]) -> tuple[bytes, str]:
    """How a call ended: its grpc-status and its message."""
    trailers = dict(next(one.message for one in effects if isinstance(one, Reply) and isinstance(one.message, End)).trailers)
    return trailers[b"grpc-status"], trailers[b"grpc-message"].decode()


def test_a_call_is_asked_about_by_its_head_and_its_messages_go_on_as_they_come() -> None:
    stage = Stage(passes=LISTED)
    ask = stage.ask(grpc_call((b"grpc-accept-encoding", b"gzip"), (b"accept-encoding", b"gzip")))
    assert (ask.action.verb, ask.action.strictest.facts["rpc_method"]) == ("http.grpc", "Get")
    forwarded = stage.allow()
    told = next(one.message for one in forwarded if isinstance(one, Forward))
    assert isinstance(told, Request)
    assert list(told.all(b"te")) == [b"trailers"]
    assert told.get(b"grpc-accept-encoding") == b"identity"
    assert told.get(b"accept-encoding") is None
    assert [one.message for one in stage.feed(ClientSaid(Data(b"a"))) if isinstance(one, Forward)] == [Data(b"a")]
    replies = stage.answer(Response(200, (CALL,)), Data(b"b"), End(((b"grpc-status", b"0"),)))
    assert [one.message for one in replies if isinstance(one, Reply)][1:] == [Data(b"b"), End(((b"grpc-status", b"0"),))]


def test_a_refused_call_hears_it_as_its_status_and_what_to_do_next() -> None:
    stage = Stage()
    ask = stage.ask(grpc_call())
    effects = stage.feed(refused(ask.action))
    assert not any(isinstance(one, Forward) for one in effects)
    assert isinstance(effects[0], Reply)
    assert effects[0].message == Response(200, (CALL,))
    assert ended_as(effects) == (b"7", "blocked by some-rule: because")


def test_a_call_that_is_held_hears_where_to_follow_it() -> None:
    stage = Stage()
    ask = stage.ask(grpc_call())
    held = Refused(ask.action, verdict(Ruling.APPROVE), RefusalClass.WAIT, "d1", approval="a1", link="https://book/a1")
    assert ended_as(stage.feed(held)) == (b"14", "blocked by some-rule: because. Follow it at https://book/a1")


def test_a_call_whose_target_is_gone_is_unavailable_before_its_answer_and_in_it() -> None:
    stage = Stage(passes=LISTED)
    stage.ask(grpc_call())
    stage.allow()
    assert ended_as(stage.feed(Failed(502, "target a: it closed"))) == (b"14", "target a: it closed")
    stage = Stage(passes=LISTED)
    stage.ask(grpc_call())
    stage.allow()
    stage.answer(Response(200, (CALL,)), Data(b"\0\0\0"))
    effects = stage.feed(Failed(502, "target a: it closed"))
    assert ended_as(effects)[0] == b"14"
    assert isinstance(effects[-1], Answered)
    assert effects[-1].status.startswith("cut: ")
    assert stage.feed(TargetSaid(Data(b"more"))) == []


def test_an_answer_to_a_call_that_is_not_grpcs_is_cut_and_does_not_look_whole() -> None:
    stage = Stage()
    stage.ask(grpc_call())
    stage.allow()
    stage.answer(Response(200, (JSON,)), Data(b"{"))
    assert isinstance(stage.feed(Failed(502, "it closed"))[-1], HangUp)


def test_messages_that_nobody_can_read_do_not_pass_unless_they_are_listed_and_never_compressed_beside_a_credential() -> None:
    for passes, opening in (((), (CALL,)), (LISTED, (CALL, (b"grpc-encoding", b"gzip")))):
        stage = Stage(passes=passes)
        stage.ask(grpc_call())
        stage.allow()
        status, why = ended_as(stage.answer(Response(200, opening)))
        assert status == b"7"
        assert "the target's answer cannot be passed on" in why


PAY = request("POST", "/shop.v1.Shop/Pay", (b"content-type", b"application/grpc"), (b"te", b"trailers"))


def test_a_call_that_is_held_is_kept_whole_and_goes_on_as_it_was_approved() -> None:
    stage = Stage(held=lambda _deeds: True)
    assert stage.feed(ClientSaid(PAY), ClientSaid(Data(b"\0\0\0\0\3pay"))) == []
    ask = stage.ask(End())
    assert ask.action.parameters == (b"\0\0\0\0\3pay",)
    assert ask.fault == ""
    told = [one.message for one in stage.allow() if isinstance(one, Forward)]
    assert told[1:] == [Data(b"\0\0\0\0\3pay"), End()]


def test_a_call_that_is_held_and_does_not_end_is_put_to_nobody() -> None:
    stage = Stage(held=lambda _deeds: True)
    stage.ask(PAY, Data(b"\0\0\0\7\xd0" + b"x" * 2_000))
    assert "nobody could say yes" in stage.asked[-1].fault


def test_a_call_that_nobody_holds_flows_at_once() -> None:
    stage = Stage()
    assert "nobody could say yes" in stage.ask(PAY).fault


# Parts --------------------------------------------------------------------------------------------------------------------


def part(kind: bytes, **changes: Any) -> Stage:
    stage = Stage(**changes)
    stage.ask(request("GET", "/export", (b"range", b"bytes=10-19"), (b"if-range", b"Fri, 20 Nov 2026 10:00:00 GMT")), End())
    assert forwarded(stage.allow()).get(b"range") == b"bytes=10-19"
    stage.answer(Response(206, ((b"content-type", kind), (b"content-range", b"bytes 10-19/100"))))
    return stage


def test_a_part_of_what_passes_unread_passes() -> None:
    stage = part(b"image/png")
    assert head(stage.answer(Data(b"0123456789"), End()) + stage.story).status == 206


def test_of_what_must_be_looked_through_the_whole_is_asked_for_instead() -> None:
    stage = part(b"text/plain")
    told = [one.message for one in stage.story if isinstance(one, Forward) and isinstance(one.message, Request)]
    assert [one.get(b"range") for one in told] == [b"bytes=10-19", None]
    assert told[1].get(b"if-range") is None
    effects = stage.answer(Response(200, ((b"content-type", b"text/plain"),)), Data(b"card 4111111111111111"), End())
    assert head(effects).status == 200
    assert b"4111111111111111" not in content(effects)


def test_a_target_that_gives_nothing_but_parts_is_not_asked_for_ever() -> None:
    stage = part(b"text/plain")
    effects = stage.answer(Response(206, ((b"content-type", b"text/plain"),)))
    assert head(effects).status == 502


def test_a_part_of_what_somebody_guesses_the_content_to_be_is_asked_for_whole() -> None:
    stage = Stage(covering=Covering({}, frozenset(), frozenset({"card"}), b"k" * 32))
    stage.ask(request("GET", "/export", (b"range", b"bytes=10-19"), (b"if-range", b'"abc"')), End())
    told = forwarded(stage.allow())
    assert told.get(b"range") is told.get(b"if-range") is None


# WebSockets ---------------------------------------------------------------------------------------------------------------


def opened(*early: bytes, **changes: Any) -> Stage:
    """A WebSocket of HTTP/2, which has no key and no end, with what the client says before it stands."""
    stage = Stage(**changes)
    stage.ask(request("GET", "/live", (b"sec-websocket-version", b"13"), upgrade="websocket"))
    stage.feed(*(ClientSaid(Data(one)) for one in early))
    effects = stage.allow()
    assert [one.length for one in effects if isinstance(one, Forward) and isinstance(one.message, Request)] == [0]
    assert not any(isinstance(one, Forward) and isinstance(one.message, Data) for one in effects)
    key = websocket.accept(forwarded(effects).get(b"sec-websocket-key") or b"")
    stage.answer(Response(101, ((b"sec-websocket-accept", key),)))
    return stage


def frame(opcode: int, data: bytes) -> bytes:
    return bytes((0x80 | opcode, len(data))) + data


def test_what_is_said_before_a_websocket_stands_goes_through_it_like_the_rest() -> None:
    masked = bytes((0x81, 0x85)) + b"\0\0\0\0" + b"hello"
    stage = opened(masked)
    told = [one.message for one in stage.story if isinstance(one, Forward) and isinstance(one.message, Data)]
    assert len(told) == 1
    assert told[0].data != masked


def test_the_credential_does_not_come_back_in_a_binary_message_a_ping_or_a_close() -> None:
    stage = opened(passes=("application/octet-stream",))
    for data in (frame(2, b"a" + KEY + b"b"), frame(9, KEY), frame(8, b"\x03\xe8" + KEY)):
        assert KEY not in content(stage.answer(Data(data)))
