from __future__ import annotations

import json

import pytest
from tests.protocols.http.exchanges import (
    JSON,
    KEY,
    Stage,
    content,
    forwarded,
    head,
    played,
    refused,
    request,
    verdict,
)

from gatebook.model import Permit, RefusalClass, Ruling
from gatebook.protocols.http import h1, h2
from gatebook.protocols.http.checks import FIELDS
from gatebook.protocols.http.message import Data, End, Fields, Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import (
    ClientSaid,
    Continue,
    Failed,
    Forward,
    Reply,
)
from gatebook.protocols.relay import Answered, Ask, Covering, Ended, HangUp, Refused, Side, Withdraw

NO_RULES = Covering({}, frozenset(), frozenset({"card"}), b"k" * 32)

# Asking -------------------------------------------------------------------------------------------------------------------


def test_nothing_goes_to_the_target_before_it_may() -> None:
    stage = Stage()
    stage.ask(request(), End())
    assert [type(one) for one in stage.story] == [Ask]
    assert [type(one) for one in stage.allow()] == [Forward, Forward]


def test_the_target_gets_the_gateways_credential_and_nothing_the_client_says_of_other_hops() -> None:
    stage = Stage()
    said = (
        (b"x-api-key", b"mine"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x_forwarded_for", b"10.0.0.1"),
        (b"x-real-ip", b"10.0.0.1"),
    )
    stage.ask(request("GET", "/customers/1", *said, (b"accept", b"*/*")), End())
    fields = forwarded(stage.allow()).fields
    assert [value for name, value in fields if name == b"x-api-key"] == [KEY]
    assert [value for name, value in fields if name.replace(b"_", b"-") == b"x-forwarded-for"] == [b"192.0.2.7"]
    assert (b"accept", b"*/*") in fields
    assert (b"gatebook-session", b"s1") in fields


def test_content_is_read_before_a_decision_and_goes_on_whole() -> None:
    stage = Stage()
    assert stage.feed(ClientSaid(request("POST", "/customers", JSON))) == []
    assert stage.relay.hungry
    asked = stage.ask(Data(b'{"name":'), Data(b'"Ada"}'), End())
    assert not stage.relay.hungry
    assert asked.action.parameters == (b'{"name":"Ada"}',)
    effects = stage.allow()
    assert [one.message for one in effects if isinstance(one, Forward)][1:] == [Data(b'{"name":"Ada"}'), End()]
    assert next(one.length for one in effects if isinstance(one, Forward)) == len(b'{"name":"Ada"}')


def test_long_content_is_decided_about_unread_and_flows_on_in_pieces() -> None:
    stage = Stage()
    stage.ask(request("POST", "/upload", (b"content-type", b"application/octet-stream"), (b"content-length", b"5000")))
    assert stage.asked[-1].action.parameters == ()
    assert "not read" in stage.asked[-1].fault
    assert stage.feed(ClientSaid(Data(b"early"))) == []
    assert not stage.relay.hungry
    effects = stage.allow()
    assert [one.message for one in effects if isinstance(one, Forward)][1:] == [Data(b"early")]
    assert stage.relay.hungry
    assert [type(one) for one in stage.feed(ClientSaid(Data(b"more")), ClientSaid(End()))] == [Forward, Forward]


def test_content_that_turns_out_longer_than_said_room_is_decided_about_unread() -> None:
    stage = Stage()
    stage.ask(request("POST", "/customers", JSON), Data(b"a" * 600), Data(b"b" * 600))
    assert stage.asked[-1].action.parameters == ()
    effects = stage.allow()
    assert sum(len(one.message.data) for one in effects if isinstance(one, Forward) and isinstance(one.message, Data)) == 1200


def test_a_client_that_waits_is_told_to_go_on_only_where_its_content_is_wanted() -> None:
    waits = (b"expect", b"100-continue")
    stage = Stage()
    assert [type(one) for one in stage.feed(ClientSaid(request("POST", "/customers", JSON, waits)))] == [Continue]
    late = Stage()
    late.ask(request("POST", "/upload", (b"content-type", b"image/png"), (b"content-length", b"5000"), waits))
    assert [type(one) for one in late.story] == [Ask]
    assert type(late.allow()[-1]) is Continue
    never = Stage()
    never.ask(request("POST", "/upload", (b"content-type", b"image/png"), (b"content-length", b"5000"), waits))
    effects = never.feed(refused(never.asked[-1].action))
    assert Continue not in [type(one) for one in effects]


def test_a_yes_is_bound_to_all_that_could_change_what_a_request_means() -> None:
    def exact(*fields: tuple[bytes, bytes], method: str = "POST", target: str = "/x") -> str:
        return Stage().ask(request(method, target, *fields), End()).action.text

    assert exact() != exact(method="PUT")
    assert exact() != exact(target="/y")
    assert exact() != exact((b"x-dry-run", b"true"))
    assert exact((b"user-agent", b"a"), (b"traceparent", b"b")) == exact((b"user-agent", b"c"))


def test_a_yes_is_not_bound_to_fields_that_do_not_go_on_and_keeps_the_order_of_those_that_do() -> None:
    def exact(*fields: tuple[bytes, bytes], authority: str = "a.example") -> str:
        asked = Request("POST", "https", authority, "/rows", tuple(fields))
        return Stage().ask(asked, End()).action.text

    dry = (b"prefer", b"tx=rollback")
    assert exact(dry) != exact(dry, (b"connection", b"prefer"))
    assert "prefer" not in exact(dry, (b"connection", b"prefer"))
    assert exact((b"account", b"A"), (b"account", b"B")) != exact((b"account", b"B"), (b"account", b"A"))
    assert exact(authority="a.example") != exact(authority="b.example")
    assert exact((b"baggage", b"version=canary")) != exact()


def test_under_a_path_a_client_does_not_choose_the_host_that_the_target_hears() -> None:
    stage = Stage(base="/http/billing")
    stage.ask(Request("GET", "https", "attacker.example", "/reset", ()), End())
    fields = forwarded(stage.allow()).fields
    assert [value for name, value in fields if name == b"x-forwarded-host"] == [b"billing.internal"]


@pytest.mark.parametrize(
    "name", [b"x-webauth-user", b"x_auth_request_email", b"x-ms-client-principal", b"cf-access-jwt-assertion"]
)
def test_nobody_says_who_they_are_by_the_fields_of_another_gateway(name: bytes) -> None:
    stage = Stage()
    stage.ask(request("GET", "/a", (name, b"admin")), End())
    assert forwarded(stage.allow()).get(name) is None


# Refusing -----------------------------------------------------------------------------------------------------------------


def test_a_refusal_is_a_problem_that_a_program_can_read() -> None:
    stage = Stage()
    asked = stage.ask(request("DELETE"), End())
    effects = stage.feed(refused(asked.action))
    said = json.loads(content(effects))
    assert (head(effects).status, head(effects).get(b"content-type")) == (403, b"application/problem+json")
    assert (said["rule"], said["class"], said["decision"], said["verb"]) == ("some-rule", "never", "d1", "http.delete")
    assert stage.feed(ClientSaid(Data(b"more"))) == []


def test_what_waits_for_people_says_when_to_send_it_again() -> None:
    stage = Stage()
    asked = stage.ask(request("DELETE"), End())
    waits = Refused(
        asked.action, verdict(Ruling.APPROVE), RefusalClass.WAIT, "d1", approval="a1", link="https://gate/approvals/a1"
    )
    effects = stage.feed(waits)
    assert head(effects).get(b"retry-after") == b"10"
    assert json.loads(content(effects))["follow"] == "https://gate/approvals/a1"


def test_who_goes_away_while_people_are_asked_withdraws() -> None:
    stage = Stage()
    stage.ask(request("DELETE"), End())
    assert [type(one) for one in stage.feed(Ended(Side.CLIENT, "the client went away"))] == [Withdraw, HangUp]
    assert stage.feed(Ended(Side.CLIENT, "again")) == []


def test_head_gets_no_content_with_its_problem() -> None:
    stage = Stage()
    asked = stage.ask(request("HEAD"), End())
    assert content(stage.feed(refused(asked.action))) == b""


# Answering ----------------------------------------------------------------------------------------------------------------


def test_an_answer_is_covered_by_rule_and_by_detector_under_its_own_permit() -> None:
    said = b'{"ssn": "536-22-8726", "note": "card 4111111111111111"}'
    response = Response(200, (JSON, (b"content-length", str(len(said)).encode()), (b"etag", b'"abc"')))
    effects = played("GET", response, Data(said[:20]), Data(said[20:]), End(), masks=frozenset({"pii"}))
    covered = json.loads(content(effects))
    assert "536-22-8726" not in str(covered)
    assert "4111111111111111" not in str(covered)
    assert head(effects).get(b"etag") is None
    (answered,) = (one for one in effects if isinstance(one, Answered))
    assert answered.status == "200"
    assert answered.masked == {"redact": 1, "card": 1}


def test_a_field_of_graphql_is_covered_under_any_alias() -> None:
    stage = Stage(dialect=Plain(Shape(body_bytes=1000, graphql=frozenset({"/graphql"}))))
    query = b'{"query": "{ customer { x: ssn ...Rest } } fragment Rest on Customer { y: ssn name: id }"}'
    stage.ask(request("POST", "/graphql", JSON), Data(query), End())
    stage.allow(frozenset({"pii"}))
    said = b'{"data": {"customer": {"x": "hush", "y": "hush", "name": "seen"}}}'
    effects = stage.answer(Response(200, (JSON,)), Data(said), End())
    assert json.loads(content(effects)) == {"data": {"customer": {"x": "****", "y": "****", "name": "seen"}}}


def test_an_answer_whose_fields_a_rule_covers_is_asked_for_whole() -> None:
    stage = Stage()
    stage.ask(request("GET", "/a", (b"range", b"bytes=0-9"), (b"if-none-match", b'"x"')), End())
    told = forwarded(stage.allow(frozenset({"pii"})))
    assert told.get(b"range") is None
    assert told.get(b"if-none-match") is None


PROOFS = ((b"if-none-match", b'"x"'), (b"if-match", b'"x"'), (b"want-digest", b"sha-256"), (b"a-im", b"vcdiff"))


def test_a_guess_of_what_detectors_look_through_is_not_proved() -> None:
    stage = Stage(covering=NO_RULES)
    stage.ask(request("GET", "/a", *PROOFS, (b"if-modified-since", b"x")), End())
    told = forwarded(stage.allow())
    assert not {name for name, _ in told.fields} & {name for name, _ in PROOFS}
    assert told.get(b"if-modified-since") == b"x", "when it changed says nothing of what it is"


@pytest.mark.parametrize("covering", [NO_RULES, None])
def test_who_writes_under_a_condition_does_not_write_without_it(covering: Covering | None) -> None:
    stage = Stage(**({"covering": covering} if covering else {}))
    conditions = ((b"if-none-match", b"*"), (b"if-match", b'"x"'), (b"if-unmodified-since", b"x"))
    stage.ask(request("PUT", "/a", *conditions, (b"content-length", b"0")), End())
    told = forwarded(stage.allow(frozenset({"pii"})))
    assert set(conditions) <= set(told.fields)


def test_the_gateways_own_credential_does_not_come_back() -> None:
    response = Response(200, (JSON, (b"x-echo", KEY)))
    effects = played("GET", response, Data(b'{"you sent": "' + KEY + b'"}'), End())
    assert KEY not in content(effects)
    assert KEY not in str(head(effects)).encode()


def test_an_answer_that_cannot_be_read_is_replaced_by_a_problem() -> None:
    effects = played("GET", Response(200, ((b"content-type", b"application/x-protobuf"),)), masks=frozenset({"pii"}))
    assert head(effects).status == 502
    assert "passes" in json.loads(content(effects))["detail"]


def test_an_answer_that_turns_out_damaged_is_cut_and_does_not_look_whole() -> None:
    effects = played("GET", Response(200, (JSON,)), Data(b'{"ssn": '), Data(b"]"), End(), masks=frozenset({"pii"}))
    assert type(effects[-1]) is HangUp
    assert not any(isinstance(one, Reply) and isinstance(one.message, End) for one in effects)
    assert next(one.status for one in effects if isinstance(one, Answered)).startswith("cut: ")


def test_a_target_that_fails_is_told_as_what_http_calls_it() -> None:
    stage = Stage()
    stage.ask(request(), End())
    stage.allow()
    effects = stage.feed(Failed(504, "target billing did not answer"))
    assert head(effects).status == 504
    assert [one.status for one in effects if isinstance(one, Answered)] == ["504"]


ELSEWHERE = [
    # what the target says -> where the client is sent; None: nowhere
    (b"/customers/2", b"/customers/2"),
    (b"../2", b"../2"),
    (b"https://billing.internal/customers/2?a=b", b"https://billing.targets.example.org/customers/2?a=b"),
    (b"https://BILLING.internal", b"https://billing.targets.example.org/"),
    (b"//billing.internal/x", b"https://billing.targets.example.org/x"),
    (b"https://billing.targets.example.org/x", b"https://billing.targets.example.org/x"),
    (b"https://login.example.com/x", b"https://login.example.com/x"),
    (b"https://evil.example/x", None),
    (b"//evil.example/x", None),
    (b"///evil.example/x", None),
    (b"\\\\evil.example/x", None),
    (b"/\\evil.example/x", None),
    (b"https://billing.internal@evil.example/", None),
    (b"https://billing.internal.evil.example/", None),
    (b"javascript:alert(1)", None),
    (b"https://[::1", None),
    (b"https://billing.internal/\xff", None),
    (b"https://svc:" + KEY + b"@other.example/", None),
]  # fmt: skip


@pytest.mark.parametrize(("said", "sent"), ELSEWHERE)
def test_a_redirect_leads_to_the_target_or_where_the_configuration_says(said: bytes, sent: bytes | None) -> None:
    effects = played("GET", Response(302, ((b"location", said),)), End(), elsewhere=frozenset({"login.example.com"}))
    if sent is None:
        assert head(effects).status == 502
        assert head(effects).get(b"location") is None
    else:
        assert head(effects).get(b"location") == sent


@pytest.mark.parametrize(
    "said", [b"0;http://evil.example/", b"0; url=http://evil.example/?a=/x", b"1,http://evil.example/", b"x;y"]
)
def test_a_refresh_leads_nowhere_else_either(said: bytes) -> None:
    effects = played("GET", Response(200, ((b"refresh", said), (b"content-length", b"0"))), End())
    assert head(effects).status == 502
    assert b"evil" not in content(effects)


@pytest.mark.parametrize(
    "fields", [((b"content-type", b"application/" + KEY),), ((b"content-type", b"text/plain; charset=" + KEY),)]
)
def test_an_error_does_not_say_the_credential_that_the_target_said(fields: Fields) -> None:
    effects = played("GET", Response(200, fields), Data(b"x"), End())
    assert KEY not in content(effects)


def test_under_a_path_a_target_cannot_speak_for_its_neighbours() -> None:
    fields: Fields = ((b"set-cookie", b"a=b; Domain=example.org"), (b"location", b"/x"), (b"content-security-policy", b"none"))
    effects = played("GET", Response(302, fields), End(), base="/http/billing")
    assert (b"location", b"/http/billing/x") in head(effects).fields
    assert [value for name, value in head(effects).fields if name == b"content-security-policy"] == [b"sandbox"]
    assert head(effects).get(b"set-cookie") is None


def test_on_its_own_host_a_targets_cookies_are_its_own_alone() -> None:
    fields: Fields = ((b"set-cookie", b"a=b; Domain=example.org; Secure"), (b"set-cookie", b"__Host-gatebook=x"))
    effects = played("GET", Response(204, fields), End())
    assert [value for name, value in head(effects).fields if name == b"set-cookie"] == [b"a=b; Secure"]


def test_a_target_cannot_change_the_protocol_unasked() -> None:
    assert head(played("GET", Response(101, ()))).status == 502


def test_early_answers_are_not_passed_on() -> None:
    effects = played("GET", Response(103, ((b"link", b"</x>"),)), Response(200, ((b"content-length", b"0"),)), End())
    assert head(effects).status == 200


def test_an_ended_session_is_told_so_while_it_can_be() -> None:
    stage = Stage()
    stage.ask(request(), End())
    stage.allow()
    assert head(stage.feed(Ended(Side.GATEWAY, "your token expired"))).status == 401
    begun = Stage()
    begun.ask(request(), End())
    begun.allow()
    begun.answer(Response(200, ((b"content-type", b"text/plain"),)), Data(b"so far"))
    assert type(begun.feed(Ended(Side.GATEWAY, "your token expired"))[-1]) is HangUp


def test_a_permit_is_what_each_message_to_the_target_carries() -> None:
    stage = Stage()
    stage.ask(request("POST", "/x", JSON), Data(b"{}"), End())
    assert all(isinstance(one.permit, Permit) for one in stage.allow() if isinstance(one, Forward))


def test_a_client_with_as_many_fields_as_it_may_have_reaches_its_target_by_either_version() -> None:
    call = ((b"content-type", b"application/grpc"), *((b"x-%d" % number, b"1") for number in range(FIELDS - 1)))
    stage = Stage(base="/http/billing")
    stage.ask(request("POST", "/shop.v1.Orders/Get", *call))
    told = forwarded(stage.allow())
    assert len(told.fields) > FIELDS
    assert b"x-126: 1" in h1.ClientSide().request(told, length=None)
    assert h2.ClientSide().request(told, length=None)


def test_an_answer_with_as_many_fields_as_it_may_have_reaches_its_client_by_http_2() -> None:
    fields = ((b"content-type", b"text/plain"), *((b"x-%d" % number, b"1") for number in range(FIELDS - 1)))
    answer = head(played("GET", Response(200, fields), Data(b"a"), End(), base="/http/billing", covering=NO_RULES))
    assert len(answer.fields) > FIELDS
    asking, answering = h2.ClientSide(), h2.ServerSide("https")
    told = answering.feed(asking.request(request(), length=0, over=True)[1] + asking.due())
    assert answering.respond(told[0][0], answer, length=1)
