"""What ends GraphQL over a WebSocket, and what bounds it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.http.exchanges import allowed
from tests.protocols.http.talks import OLD, Talk, asks

from gatebook.protocols.http import websocket
from gatebook.protocols.http.graphql_socket import ID_CHARACTERS, OPEN_BYTES, OPERATIONS
from gatebook.protocols.http.message import Data
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import ClientSaid, Step
from gatebook.protocols.http.websocket import Binary, Close, Ping, Text, Writer
from gatebook.protocols.relay import Answered, Ended, HangUp, Side, Withdraw


def closed(talk: Talk, *messages: Any) -> int:
    """The code with which it ends, where nothing of these goes on and nobody is asked."""
    before = len(talk.stage.asked)
    effects = talk.say(*messages)
    assert len(talk.stage.asked) == before
    assert all(isinstance(one, Close) for one in talk.to_target(effects))
    ((last),) = talk.to_client(effects)
    assert isinstance(last, Close)
    assert talk.stage.relay.step is Step.OVER
    assert talk.stage.feed(ClientSaid(Data(b"more"))) == []
    return last.code


SUBSCRIBE: dict[str, Any] = {"id": "a", "type": "subscribe", "payload": {"query": "{ me }"}}


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b"[]",
        b"7",
        b'{"type":"ping","type":"subscribe"}',
        b'{"id":"a","type":"subscribe","payload":{"query":"{ me }","query":"mutation { pay }"}}',
        b'{"type":"ping","payload":NaN}',
        b"[" * 100_000,
        {"type": "surprise"},
        {"type": "start", "id": "a", "payload": {"query": "{ me }"}},
        {"Type": "subscribe", "type": "ping"},
        {"type": 7},
        {**SUBSCRIBE, "id": 7},
        {**SUBSCRIBE, "id": ""},
        {**SUBSCRIBE, "id": "a" * (ID_CHARACTERS + 1)},
        {"type": "subscribe", "payload": {"query": "{ me }"}},
        {"type": "subscribe", "id": "a"},
        {**SUBSCRIBE, "payload": "{ me }"},
        {**SUBSCRIBE, "extra": 1},
        {"type": "complete"},
    ],
)
def test_what_is_no_message_ends_it(said: Any) -> None:
    assert closed(Talk().begin(), said) == 4400


def test_an_operation_before_the_connection_is_acknowledged_ends_it() -> None:
    assert closed(Talk(), SUBSCRIBE) == 4401
    talk = Talk()
    talk.say({"type": "connection_init"})
    assert closed(talk, SUBSCRIBE) == 4401
    early = Talk()
    early.hear({"type": "connection_ack"})  # which nobody asked for
    assert closed(early, SUBSCRIBE) == 4401
    assert closed(Talk(OLD), {**SUBSCRIBE, "type": "start"}) == 4401


def test_a_second_beginning_and_a_second_operation_of_one_id_end_it() -> None:
    assert closed(Talk().begin(), {"type": "connection_init"}) == 4429
    talk = Talk().begin()
    talk.start("{ me }")
    talk.allow()
    effects = talk.say(SUBSCRIBE)
    assert talk.to_client(effects)[0].code == 4409
    assert [one.status for one in effects if isinstance(one, Answered) and one.action.seq == 2] == ["cut"]


def test_two_operations_of_one_id_at_once_are_one_and_then_the_end() -> None:
    talk = Talk().begin()
    talk.say(SUBSCRIBE, SUBSCRIBE)
    effects = talk.allow()
    assert talk.to_client(effects)[0].code == 4409
    assert len(talk.stage.asked) == 2


def test_binary_and_oversize_messages_end_it() -> None:
    talk = Talk().begin()
    assert talk.to_client(talk.raw(Binary(b"{}", last=True)))[0].code == 4400
    large = Talk().begin()
    assert large.to_client(large.say({**SUBSCRIBE, "payload": {"query": "x" * websocket.TEXT_BYTES}}))[0].code == 1009


def test_more_operations_than_one_connection_may_have_are_refused_one_by_one() -> None:
    talk = Talk().begin()
    for number in range(OPERATIONS):
        talk.start("{ me }", str(number))
        talk.allow()
    effects = talk.start("{ me }", "more")
    assert asks(effects) == []
    ((told),) = talk.to_client(effects)
    assert (told["id"], told["type"]) == ("more", "error")
    talk.hear({"id": "2", "type": "complete"})
    assert len(asks(talk.start("{ me }", "more"))) == 1


def test_what_operations_under_way_ask_is_bounded() -> None:
    talk = Talk(dialect=Plain(Shape(graphql=frozenset({"/graphql"})))).begin()
    large = {"a": "x" * (OPEN_BYTES // 2)}
    talk.start("{ me }", "a", variables=large)
    talk.allow()
    effects = talk.start("{ me }", "b", variables=large)
    assert asks(effects) == []
    ((told),) = talk.to_client(effects)
    assert (told["id"], told["type"]) == ("b", "error")


def test_what_waits_for_a_decision_is_bounded() -> None:
    talk = Talk().begin()
    talk.start("{ me }")
    assert talk.stage.relay.hungry
    talk.raw(Ping(b"x" * 100), *[Text(b"y" * 1000)] * 70)
    assert not talk.stage.relay.hungry
    for _ in range(40):
        effects = talk.raw(Text(b"y" * 60_000))
        if talk.stage.relay.step is Step.OVER:
            break
    assert talk.to_client(effects)[0].code == 4400
    assert [one.action.seq for one in effects if isinstance(one, Withdraw)] == [2]


def test_a_client_that_closes_waits_for_nobody() -> None:
    talk = Talk().begin()
    talk.start("mutation { pay }")
    effects = talk.raw(Close(1000))
    assert [one.action.seq for one in effects if isinstance(one, Withdraw)] == [2]
    assert talk.stage.feed(allowed(talk.stage.asked[-1].action)) == []


@pytest.mark.parametrize("asking", [True, False])
def test_what_is_under_way_ends_with_the_client_and_with_the_session(asking: bool) -> None:
    for side in (Side.CLIENT, Side.SERVER, Side.GATEWAY):
        talk = Talk().begin()
        talk.start("{ me }")
        if not asking:
            talk.allow()
        effects = talk.stage.feed(Ended(side, "it is over"))
        assert [one.action.seq for one in effects if isinstance(one, Withdraw)] == ([2] if asking else [])
        ended = [one.action.seq for one in effects if isinstance(one, Answered)]
        assert ended == ([1] if asking else [2, 1])
        assert side == Side.GATEWAY or any(isinstance(one, HangUp) for one in effects)
        assert talk.stage.relay.step is Step.OVER


def test_a_request_of_a_batch_is_none() -> None:
    talk = Talk().begin()
    assert closed(talk, {"id": "a", "type": "subscribe", "payload": [{"query": "{ me }"}]}) == 4400


def test_many_small_messages_in_one_piece_cost_little() -> None:
    talk = Talk().begin()
    effects = talk.raw(*[Ping(b"")] * 40_000)
    assert len(talk.to_target(effects)) == 40_000
    told = talk.stage.answer(Data(Writer().say(Ping(b"")) * 40_000))
    assert len(talk.to_client(told)) == 40_000
