"""Values that are written in base64, as those of Kubernetes' Secrets: covered within it, and resolved within it."""

import json
from base64 import b64decode, b64encode

import pytest
from tests.protocols.http.covering.stage import TOKENS, covering, fed, plan

from gatebook.masking.rules import FieldPattern, MaskSet, Style
from gatebook.masking.tokens import seal
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.native import python_walk, walk
from gatebook.protocols.http.covering.resolving import ELSEWHERE, WRITTEN_BACK, resolve
from gatebook.protocols.http.message import Request

SECRET = b"correct horse battery"
TOKEN = seal(SECRET, TOKENS) or b""
SET = MaskSet(
    "tokens",
    (),
    Style.TOKEN,
    (FieldPattern(("data", *FieldPattern.parse("a.*").parts[1:]), base64=True), FieldPattern.parse("stringData.*")),
)
PLAN = plan(SET, detectors=())
REQUEST = Request("POST", "https", "prod", "/api/v1/namespaces/other/secrets", ((b"content-type", b"application/json"),))


def written(value: bytes) -> str:
    return b64encode(value).decode()


def secret(value: bytes, annotation: str = "") -> bytes:
    made = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": written(value)}}
    if annotation:
        made["metadata"] |= {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": annotation}}  # type: ignore[operator]
    return json.dumps(made).encode()


@pytest.mark.parametrize("make", [walk, python_walk], ids=["compiled", "python"])
def test_what_is_in_base64_is_covered_within_it_and_stays_base64(make):
    inner = json.dumps({"kind": "Secret", "data": {"password": written(SECRET)}})
    shown = json.loads(fed(JsonCover(PLAN, make=make), secret(SECRET, inner)))
    assert b64decode(shown["data"]["password"]) == TOKEN
    again = json.loads(shown["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert b64decode(again["data"]["password"]) == TOKEN


def test_a_redacted_value_is_base64_too():
    redacting = plan(MaskSet("hidden", (), Style.REDACT, SET.fields), detectors=())
    shown = json.loads(fed(JsonCover(redacting), secret(SECRET)))
    assert b64decode(shown["data"]["password"]) == b"****"
    assert resolve(REQUEST, secret(b"****"), redacting).refusal == WRITTEN_BACK


def test_what_is_no_base64_where_it_should_be_is_covered_whole():
    shown = json.loads(fed(JsonCover(PLAN), b'{"data":{"password":"not base64!"}}'))
    assert b64decode(shown["data"]["password"]) == b"****"


def test_tokens_within_base64_are_resolved_also_in_a_document_inside_of_a_string():
    inner = json.dumps({"kind": "Secret", "data": {"password": written(TOKEN)}})
    found = resolve(REQUEST, secret(TOKEN, inner), PLAN)
    assert found.refusal == ""
    sent = json.loads(found.content)
    assert b64decode(sent["data"]["password"]) == SECRET
    again = json.loads(sent["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert b64decode(again["data"]["password"]) == SECRET
    assert found.values == (SECRET,)


def test_a_token_is_plain_where_values_are_plain():
    content = json.dumps({"stringData": {"password": TOKEN.decode()}}).encode()
    assert json.loads(resolve(REQUEST, content, PLAN).content)["stringData"]["password"] == SECRET.decode()


@pytest.mark.parametrize(
    "body", [{"metadata": {"labels": {"x": TOKEN.decode()}}}, {"spec": {"env": [{"value": TOKEN.decode()}]}}]
)
def test_a_token_anywhere_else_is_refused_also_within_a_string(body):
    assert resolve(REQUEST, json.dumps(body).encode(), PLAN).refusal == ELSEWHERE
    nested = json.dumps({"metadata": {"annotations": {"x": json.dumps(body)}}}).encode()
    assert resolve(REQUEST, nested, PLAN).refusal == ELSEWHERE


def test_bytes_that_are_no_text_go_round():
    raw = bytes(range(256))
    sealed = seal(raw, TOKENS)
    shown = json.loads(fed(JsonCover(PLAN), secret(raw)))
    assert b64decode(shown["data"]["password"]) == sealed
    assert b64decode(json.loads(resolve(REQUEST, secret(sealed or b""), PLAN).content)["data"]["password"]) == raw


def test_the_covering_of_other_tests_is_without_base64():
    assert not plan().tree.writes_base64
    assert PLAN.tree.writes_base64
    assert covering(SET).tokens["tokens"] == (TOKENS,)
