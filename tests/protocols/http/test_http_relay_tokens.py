"""What rules are asked about where a request holds tokens, and what the answer must not say back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.protocols.http.covering.stage import TOKENS, covering, mask_set
from tests.protocols.http.exchanges import JSON, Stage, content, forwarded, head, request

from gatebook.masking.rules import Style
from gatebook.masking.tokens import seal
from gatebook.protocols.http import mcp
from gatebook.protocols.http.bodyfacts import BodyFact, JsonPath
from gatebook.protocols.http.known import Known
from gatebook.protocols.http.message import Data, End, Request, Response
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.relay import Forward
from gatebook.protocols.relay import Ask

IBAN = "DE89370400440532013000"
SETS = covering(mask_set(Style.TOKEN, "iban", "name", "pin", "operationName", "_method"))
IBAN_OUT = BodyFact(name="to", path=JsonPath.parse("$.iban"))
DIALECT = Plain(Shape(facts=(IBAN_OUT,), body_bytes=10_000))
FORM = (b"content-type", b"application/x-www-form-urlencoded")


def token(value: str) -> str:
    made = seal(value.encode(), TOKENS)
    assert made is not None
    return made.decode()


def asked(said: Request, body: bytes = b"", **shape: Any) -> tuple[Stage, Ask]:
    stage = Stage(covering=SETS, dialect=Plain(Shape(facts=(IBAN_OUT,), body_bytes=10_000, **shape)))
    return stage, stage.ask(said, *([Data(body)] if body else []), End())


def sent(stage: Stage) -> bytes:
    return b"".join(one.message.data for one in stage.allow() if isinstance(one, Forward) and isinstance(one.message, Data))


def test_a_rule_sees_the_value_that_the_target_gets_and_not_its_token() -> None:
    stage, ask = asked(request("POST", "/payments", JSON), json.dumps({"iban": token(IBAN)}).encode())
    assert ask.action.deeds[0].facts["body"] == {f"to={IBAN}"}
    assert IBAN.encode() in sent(stage)


@pytest.mark.parametrize("target", [f"/payments?iban={token(IBAN)}&n=1", f"/payments?n=1&%69ban={token(IBAN)}"])
def test_a_rule_sees_the_value_of_a_parameter(target: str) -> None:
    stage, ask = asked(request("GET", target))
    assert f"iban={IBAN}" in ask.action.deeds[0].facts["parameters"]
    assert IBAN in forwarded(stage.allow()).target


def test_a_rule_sees_the_values_of_a_tool_s_arguments_and_of_a_form_and_of_graphql() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pay", "arguments": {"iban": token(IBAN)}}}
    _, ask = asked(request("POST", "/mcp", JSON), json.dumps(call).encode(), mcp=mcp.Shape(paths=frozenset({"/mcp"})))
    assert ask.action.deeds[0].facts["arguments"] == {f"iban={IBAN}"}
    _, ask = asked(request("POST", "/payments", FORM), f"iban={token(IBAN)}".encode())
    assert ask.action.deeds[0].facts["body"] == {f"to={IBAN}"}
    query = {"query": "mutation($iban: String) { pay(to: $iban) }", "variables": {"iban": token(IBAN)}}
    _, ask = asked(request("POST", "/graphql", JSON), json.dumps(query).encode(), graphql=frozenset({"/graphql"}))
    assert ask.action.deeds[0].facts["arguments"] == {f"pay.to={IBAN}"}


def test_a_request_that_comes_again_is_decided_by_its_value_again() -> None:
    known = Known()
    body = json.dumps({"iban": token(IBAN)}).encode()
    found = []
    for _ in range(2):
        stage = Stage(covering=SETS, dialect=DIALECT, known=known)
        found.append(stage.ask(request("POST", "/payments", JSON), Data(body), End()).action.deeds)
        assert IBAN.encode() in sent(stage)
    assert found[0] is found[1]
    assert found[0][0].facts["body"] == {f"to={IBAN}"}


def test_nothing_that_is_written_down_or_shown_has_the_value() -> None:
    body = json.dumps({"iban": token(IBAN)}).encode()
    stage, ask = asked(request("POST", f"/payments?iban={token(IBAN)}", JSON), body)
    assert stage.asked == [ask]
    assert IBAN not in ask.action.text + ask.shown + ask.seen
    assert IBAN.encode() not in b"".join(value or b"" for value in ask.action.parameters)
    assert IBAN not in str([deed.resource for deed in ask.action.deeds])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": token("drop_all"), "arguments": {}}}),
        ("/graphql", {"query": "query a { x } mutation b { y }", "operationName": token("b")}),
    ],
)
def test_a_token_that_would_change_what_is_done_is_refused_and_put_to_nobody(path: str, body: dict[str, Any]) -> None:
    shape = {"mcp": mcp.Shape(paths=frozenset({"/mcp"})), "graphql": frozenset({"/graphql"})}
    stage, ask = asked(request("POST", path, JSON), json.dumps(body).encode(), **shape)
    assert ask.fault
    effects = stage.allow()
    assert head(effects).status == 403
    assert not any(isinstance(one, Forward) for one in effects)


def test_what_may_not_be_resolved_is_put_to_nobody() -> None:
    _, ask = asked(request("POST", "/payments", JSON), json.dumps({"note": token(IBAN)}).encode())
    assert "token" in ask.fault


def test_a_value_stands_percent_encoded_in_a_query_whatever_is_in_it() -> None:
    stage, _ = asked(request("GET", f"/s?name={token('Bob <b@x> & co/é #1')}"))
    assert forwarded(stage.allow()).target == "/s?name=Bob%20%3Cb%40x%3E%20%26%20co%2F%C3%A9%20%231"
    stage, _ = asked(request("POST", "/s", FORM), f"name={token('a=b&c<>')}".encode())
    assert sent(stage) == b"name=a%3Db%26c%3C%3E"


def test_a_query_that_its_values_make_too_long_is_refused_in_words() -> None:
    stage, ask = asked(request("GET", "/s?" + "&".join(["name=" + token("é" * 500)] * 10)))
    assert "longer than" in ask.fault
    assert head(stage.allow()).status == 403


@pytest.mark.parametrize(
    "body", [b'{"error":"no pin 1234 here"}', b'{"sent":"1234"}', b'{"sent":1234}', rb'{"sent":"\u0031234"}']
)
def test_a_short_value_that_is_said_back_is_covered_where_it_is_a_word(body: bytes) -> None:
    stage, _ = asked(request("GET", f"/s?pin={token('1234')}"))
    stage.allow()
    effects = stage.answer(Response(200, (JSON,)), Data(body[:-4]), Data(body[-4:] + b'{"other":"12345"}'), End())
    assert b"1234" not in content(effects).replace(b"12345", b"")
    assert b"12345" in content(effects)
