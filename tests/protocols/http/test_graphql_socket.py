"""GraphQL over a WebSocket: each operation is decided like a POST, and nothing goes on as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.http.exchanges import KEY, PII, Stage, allowed, head, refused, request
from tests.protocols.http.talks import DIALECT, NEW, OLD, RULED, VERSION, Talk, asks

from gatebook.masking.rules import FieldPattern, MaskSet, Style
from gatebook.model import Reach, RefusalClass
from gatebook.protocols.http import graphql_socket, websocket
from gatebook.protocols.http.message import Data, End, Response
from gatebook.protocols.http.relay import Effect, Failed, Forward, Reply, Step
from gatebook.protocols.http.websocket import Text, Writer
from gatebook.protocols.relay import Answered, Covering, Refused

# What it is ----------------------------------------------------------------------------------------------------------------


def test_opening_is_reading_and_each_operation_is_decided_as_the_same_by_post() -> None:
    talk = Talk().begin()
    assert [(one.verb, one.reach) for one in talk.opening.action.deeds] == [("graphql.session", Reach.READ)]
    payload = {"query": "mutation M($n: Int) { x: pay(amount: $n) { id } }", "variables": {"n": 7}}
    (ask,) = asks(talk.say({"id": "a", "type": "subscribe", "payload": payload}))
    posted = Stage(dialect=DIALECT)
    content = json.dumps(payload).encode()
    same = posted.ask(request("POST", "/graphql", (b"content-type", b"application/json")), Data(content), End())
    assert ask.action.deeds == same.action.deeds
    assert (ask.action.verb, ask.action.seq) == ("graphql.mutation", 2)
    assert ask.action.parameters == (content,)
    assert ask.shown == same.shown


@pytest.mark.parametrize(
    ("target", "offered"),
    [
        ("/graphql", "chat"),
        ("/graphql", ""),
        ("/graphql", f"{NEW}, chat"),
        ("/elsewhere", NEW),
    ],
)
def test_what_may_become_another_conversation_is_as_unknown_as_ever(target: str, offered: str) -> None:
    stage = Stage(dialect=DIALECT)
    fields = (VERSION, (b"sec-websocket-protocol", offered.encode())) if offered else (VERSION,)
    ask = stage.ask(request("GET", target, *fields, upgrade="websocket"))
    assert [(one.verb, one.reach) for one in ask.action.deeds] == [("http.websocket", Reach.UNKNOWN)]


def test_an_opening_with_a_query_of_its_own_is_unknown_since_a_server_may_answer_it_as_a_get() -> None:
    stage = Stage(dialect=DIALECT)
    fields = (VERSION, (b"sec-websocket-protocol", NEW.encode()))
    ask = stage.ask(request("GET", "/graphql?query=mutation{pay}", *fields, upgrade="websocket"))
    assert {one.verb for one in ask.action.deeds} == {"graphql.session", "http.unknown"}


@pytest.mark.parametrize("chosen", ["", "chat"])
def test_a_target_that_chooses_no_subprotocol_of_these_is_not_spoken_to(chosen: str) -> None:
    stage = Stage(dialect=DIALECT)
    stage.ask(request("GET", "/graphql", VERSION, (b"sec-websocket-protocol", NEW.encode()), upgrade="websocket"))
    (told, _) = [one.message for one in stage.allow() if isinstance(one, Forward)]
    fields = ((b"sec-websocket-accept", websocket.accept(told.get(b"sec-websocket-key") or b"")),)  # type: ignore[union-attr]
    if chosen:
        fields = (*fields, (b"sec-websocket-protocol", chosen.encode()))
    assert head(stage.answer(Response(101, fields))).status == 502


# What goes on --------------------------------------------------------------------------------------------------------------


def test_nothing_of_an_operation_goes_on_before_its_permit_and_then_by_that_permit() -> None:
    talk = Talk().begin()
    effects = talk.start("{ me }")
    assert talk.to_target(effects) == []
    effects = talk.allow()
    assert talk.to_target(effects) == [{"id": "2", "type": "subscribe", "payload": {"query": "{ me }"}}]
    (permit,) = {id(one.permit): one.permit for one in effects if isinstance(one, Forward)}.values()
    assert permit.action.seq == 2


def test_a_refused_one_hears_why_under_its_own_id_and_the_others_go_on() -> None:
    talk = Talk().begin()
    talk.start("{ me }", "a")
    talk.allow()
    talk.start("mutation { drop }", "b")
    effects = talk.stage.feed(refused(talk.stage.asked[-1].action))
    assert talk.to_target(effects) == []
    ((said),) = talk.to_client(effects)
    assert (said["id"], said["type"]) == ("b", "error")
    (error,) = said["payload"]
    assert error["message"] == "blocked by some-rule: because"
    told = error["extensions"]["gatebook"]
    assert (told["rule"], told["class"], told["verb"], told["decision"]) == ("some-rule", "never", "graphql.mutation", "d1")
    result = {"id": "2", "type": "next", "payload": {"data": {"me": 1}}}
    assert talk.to_client(talk.hear(result)) == [{**result, "id": "a"}]


def test_one_that_waits_for_people_and_is_answered_at_once_hears_where_to_follow_it() -> None:
    talk = Talk().begin()
    (ask,) = asks(talk.start("mutation { pay }"))
    waits = refused(ask.action)
    said = Refused(ask.action, waits.verdict, RefusalClass.WAIT, "d1", approval="p1", link="https://gate/p1")
    ((told),) = talk.to_client(talk.stage.feed(said))
    found = told["payload"][0]["extensions"]["gatebook"]
    assert (found["class"], found["approval"], found["follow"]) == ("wait", "p1", "https://gate/p1")


def test_what_is_said_at_the_beginning_and_in_pings_stays_here() -> None:
    talk = Talk()
    secret = {"headers": {"Authorization": "Bearer s3cret"}, "authToken": "s3cret", "x-hasura-role": "admin"}
    effects = talk.say({"type": "connection_init", "payload": secret})
    assert talk.to_target(effects) == [{"type": "connection_init"}]
    assert not any(b"s3cret" in (one.shown or b"") for one in effects if isinstance(one, Reply))
    assert talk.to_target(talk.say({"type": "ping", "payload": {"a": 1}})) == [{"type": "ping"}]


def test_what_the_client_says_behind_an_operation_waits_for_its_decision_in_order() -> None:
    talk = Talk().begin()
    effects = talk.say(
        {"id": "a", "type": "subscribe", "payload": {"query": "{ me }"}},
        {"type": "ping"},
        {"id": "b", "type": "subscribe", "payload": {"query": "{ you }"}},
    )
    assert len(asks(effects)) == 1
    assert talk.to_target(effects) == []
    effects = talk.allow()
    assert [one["type"] for one in talk.to_target(effects)] == ["subscribe", "ping"]
    assert [one.action.seq for one in asks(effects)] == [3]
    assert [one["id"] for one in talk.to_target(talk.allow())] == ["3"]


# Answers -------------------------------------------------------------------------------------------------------------------


def test_an_answer_is_covered_by_the_masks_of_its_own_operation() -> None:
    talk = Talk().begin()
    talk.start("{ person { x: ssn } }", "a")
    talk.allow(RULED)
    talk.start("{ person { x } }", "b")
    talk.allow()
    payload = {"data": {"person": {"x": "123-45-6789"}}}
    first, second = talk.to_client(
        talk.hear({"id": "2", "type": "next", "payload": payload}, {"id": "3", "type": "next", "payload": payload})
    )
    assert first["id"] == "a"
    assert first["payload"]["data"]["person"]["x"] != "123-45-6789"
    assert (second["id"], second["payload"]) == ("b", payload)


@pytest.mark.parametrize("chosen", [NEW, OLD])
def test_results_errors_and_what_belongs_to_no_operation_are_covered(chosen: str) -> None:
    kinds = ("data", "start") if chosen == OLD else ("next", "subscribe")
    talk = Talk(chosen).begin()
    card = "4111111111111111"
    shown = talk.hear({"type": "connection_ack", "payload": {"ssn": "123-45-6789", "card": card}})
    talk.say({"id": "a", "type": kinds[1], "payload": {"query": "{ person { ssn } }"}})
    talk.allow(RULED)
    shown += talk.hear({"id": "2", "type": kinds[0], "payload": {"data": {"person": {"ssn": "123-45-6789", "card": card}}}})
    shown += talk.hear({"id": "2", "type": "error", "payload": [{"message": f"no card {card} of {KEY.decode()}"}]})
    told = json.dumps(talk.to_client(shown))
    assert "123-45-6789" not in told
    assert card not in told
    assert KEY.decode() not in told
    for one in shown:
        assert not isinstance(one, Reply) or b"123-45-6789" not in (one.shown or b"")
    (answered,) = [one for one in shown if isinstance(one, Answered)]
    assert (answered.action.seq, answered.status) == (2, "error")
    assert answered.masked["redact"] == 1


def test_a_rule_on_a_path_of_the_answer_holds_here_as_by_post() -> None:
    ruled = MaskSet("deep", (), Style.REDACT, fields=(FieldPattern.parse("data.person.ssn"),))
    covering = Covering({"pii": PII, "deep": ruled}, frozenset({"pii", "deep"}), frozenset(), b"k" * 32)
    talk = Talk(covering=covering).begin()
    talk.start("{ person { ssn } }")
    talk.allow(frozenset({"deep"}))
    (told,) = talk.to_client(talk.hear({"id": "2", "type": "next", "payload": {"data": {"person": {"ssn": "123-45-6789"}}}}))
    assert told["payload"]["data"]["person"]["ssn"] != "123-45-6789"


def test_numbers_come_as_their_target_wrote_them() -> None:
    talk = Talk().begin()
    talk.start("{ a }")
    talk.allow()
    data = Writer().say(Text(b'{"payload": {"data": {"a": 1.10, "b": 12345678901234567890.0}} , "type":"next","id":"2"}'))
    effects = talk.stage.answer(Data(data))
    told = b"".join(one.message.data for one in effects if isinstance(one, Reply) and isinstance(one.message, Data))
    assert b'{"data": {"a": 1.10, "b": 12345678901234567890.0}}' in told


def test_a_late_answer_is_never_taken_for_that_of_another_operation_under_the_same_id() -> None:
    talk = Talk().begin()
    talk.start("{ person { x: ssn } }", "a")
    talk.allow(RULED)
    effects = talk.say({"id": "a", "type": "complete"})
    assert talk.to_target(effects)[-1] == {"id": "2", "type": "complete"}
    assert [one.status for one in effects if isinstance(one, Answered)] == ["ended by the client"]
    talk.start("{ person { x } }", "a")
    talk.allow(RULED)
    late = {"id": "2", "type": "next", "payload": {"data": {"person": {"x": "123-45-6789"}}}}
    assert talk.to_client(talk.hear(late)) == []


def test_fields_under_names_that_nobody_can_tell_are_refused_under_a_rule_on_fields() -> None:
    talk = Talk().begin()
    talk.start("{ x: ssn }", doc_id="7")
    effects = talk.allow(RULED)
    assert talk.to_target(effects) == []
    ((told),) = talk.to_client(effects)
    assert told["payload"][0]["extensions"]["gatebook"]["class"] == "fix"
    assert [one.status for one in effects if isinstance(one, Answered)] == ["403"]


def test_a_result_in_parts_ends_its_operation_where_a_rule_covers_fields() -> None:
    talk = Talk().begin()
    talk.start("{ person { ... @defer { ssn } } }", "a")
    talk.allow(RULED)
    part = {
        "id": "2",
        "type": "next",
        "payload": {"incremental": [{"path": ["person"], "data": {"ssn": "1"}}], "hasNext": False},
    }
    effects = talk.hear(part)
    assert [(one["id"], one["type"]) for one in talk.to_client(effects)] == [("a", "error")]
    assert talk.to_target(effects)[-1] == {"id": "2", "type": "complete"}
    assert talk.to_client(talk.hear(part)) == []
    talk.start("{ person { ... @defer { ssn } } }", "a")
    talk.allow()
    assert talk.to_client(talk.hear({**part, "id": "3"})) == [{**part, "id": "a"}]


@pytest.mark.parametrize("said", [b"nonsense", b'{"type":"surprise"}', b'{"type":"next","type":"next","id":"2"}', b"[]"])
def test_what_the_target_says_that_cannot_be_read_ends_it(said: bytes) -> None:
    talk = Talk().begin()
    effects = talk.stage.answer(Data(Writer().say(Text(said))))
    assert talk.to_client(effects)[0].code == 4500
    assert talk.stage.relay.step is Step.OVER


# The older subprotocol ------------------------------------------------------------------------------------------------------


def test_the_older_subprotocol_starts_before_the_word_of_the_target_as_its_clients_do() -> None:
    talk = Talk(OLD)
    effects = talk.say({"type": "connection_init", "payload": {}}, {"id": "1", "type": "start", "payload": {"query": "{ me }"}})
    assert len(asks(effects)) == 1
    assert talk.to_target([*effects, *talk.allow()])[1]["type"] == "start"
    assert talk.to_client(talk.hear({"type": "ka"})) == [{"type": "ka"}]
    effects = talk.say({"id": "1", "type": "stop"}, {"type": "connection_terminate", "payload": None})
    assert [one["type"] for one in talk.to_target(effects)] == ["stop", "connection_terminate"]


def test_a_refusal_of_the_older_subprotocol_is_one_error() -> None:
    talk = Talk(OLD)
    talk.say({"type": "connection_init"}, {"id": "1", "type": "start", "payload": {"query": "{ me }"}})
    ((told),) = talk.to_client(talk.stage.feed(refused(talk.stage.asked[-1].action)))
    assert (told["type"], told["payload"]["extensions"]["gatebook"]["rule"]) == ("error", "some-rule")


# Whatever is said -----------------------------------------------------------------------------------------------------------

_ID = st.sampled_from(["a", "b", "2", "3", ""])
_TYPES = st.sampled_from(["connection_init", "ping", "pong", "subscribe", "start", "complete", "stop", "data", "next"])
_PAYLOADS = st.sampled_from([None, {}, [], {"query": "{ me }"}, {"query": "mutation { pay }"}, {"query": "{"}, "x"])
_MESSAGES = st.fixed_dictionaries({"type": _TYPES}, optional={"id": _ID, "payload": _PAYLOADS})


@given(st.lists(st.tuples(_MESSAGES, st.booleans()), max_size=12), st.sampled_from([NEW, OLD]))
def test_only_what_was_permitted_reaches_the_target_whatever_is_said(said: list[tuple[Any, bool]], chosen: str) -> None:
    talk = Talk(chosen).begin()
    permitted: list[str] = []
    started: list[str] = []
    for message, yes in said:
        effects = talk.say(message)
        while asks(effects) and talk.stage.relay.step is not Step.OVER:
            (ask,) = asks(effects)
            if yes:
                permitted.append(str(ask.action.seq))
            told = talk.stage.feed(allowed(ask.action) if yes else refused(ask.action))
            started += _started(talk, effects)
            effects = told
        started += _started(talk, effects)
    assert started == permitted


def _started(talk: Talk, effects: list[Effect]) -> list[str]:
    return [one["id"] for one in talk.to_target(effects) if isinstance(one, dict) and one["type"] in ("subscribe", "start")]


@given(st.binary(max_size=200))
def test_no_message_makes_its_reader_fail_in_another_way(data: bytes) -> None:
    try:
        said = graphql_socket.read(data)
    except ValueError:
        return
    assert json.loads(data)["type"] == said.type


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=12,
    ),
    st.text(min_size=1, max_size=20),
    st.sampled_from([None, 1]),
)
def test_a_message_is_read_as_it_was_meant_however_it_is_spaced(payload: Any, named: str, indent: int | None) -> None:
    said = graphql_socket.read(json.dumps({"payload": payload, "id": named, "type": "x"}, indent=indent).encode())
    assert (said.id, said.type) == (named, "x")
    assert json.loads(said.payload or b"null") == payload
    again = graphql_socket.read(graphql_socket.message(said.type, said.id, said.payload))
    assert again == said


def test_one_that_was_let_go_and_cannot_be_sent_has_an_answer_and_the_others_go_on() -> None:
    talk = Talk().begin()
    talk.start("{ me }", "a")
    talk.allow()
    (ask,) = asks(talk.start("{ you }", "b"))
    effects = talk.stage.feed(Failed(503, "its token endpoint says 500", allowed(ask.action).permit))
    assert talk.to_target(effects) == []
    ((told),) = talk.to_client(effects)
    assert (told["id"], told["type"], told["payload"][0]["message"]) == ("b", "error", "its token endpoint says 500")
    assert [(one.action.seq, one.status) for one in effects if isinstance(one, Answered)] == [(ask.action.seq, "503")]
    result = {"id": "2", "type": "next", "payload": {"data": {"me": 1}}}
    assert talk.to_client(talk.hear(result)) == [{**result, "id": "a"}]
    assert asks(talk.start("{ you }", "b"))
