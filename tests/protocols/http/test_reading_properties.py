"""Whatever a request holds, it is read without an error, and what is strange about it only makes it go further."""

from __future__ import annotations

import json
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.parties import PERMIT_ALL, action, at, identity, policy
from tests.protocols.http.shapes import SHAPES

from gatebook.model import Reach, Ruling, Target
from gatebook.policy.decide import decide
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.reading import FACTS, VERBS, read, wants
from gatebook.protocols.http.written import parse

API = SHAPES["api"]
CRM = Target(name="crm", protocol="http", address="crm:443")
RULES = policy(PERMIT_ALL)

methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "get", "PURGE", "\udc80", ""])
words = st.sampled_from(
    "/ // . .. %2e %2f %5c \\ %00 %25 %252e %c0%ae ; ? & = + # % customers me iam graphql mcp query {me} _method 7 é "
    "\udcff".split()
)
targets = st.one_of(st.text(max_size=60), st.lists(words, max_size=12).map(lambda parts: "/" + "".join(parts)))
types = st.sampled_from(
    [
        b"application/json",
        b"application/json; charset=utf-16",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=b",
        b"application/graphql",
        b"application/grpc",
        b"text/plain",
        b"\xff;;",
        b"",
    ]
)
names = st.sampled_from(
    [b"x-http-method-override", b"upgrade", b"origin", b"mcp-name", b"content-encoding", b"content-length", b"a"]
)
fields = st.lists(st.tuples(names, st.binary(max_size=12)), max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]),
        "id": json_values,
        "method": st.sampled_from(["tools/call", "initialize", "tools/list", "x"]) | json_values,
        "params": st.fixed_dictionaries({}, optional={"name": json_values, "arguments": json_values, "uri": json_values})
        | json_values,
        "result": json_values,
        "query": st.sampled_from(["{ me }", "mutation { a(b: $c) { ...F } }", "{", "query A { a } query B { b }"])
        | json_values,
        "variables": json_values,
        "operationName": json_values,
        "extensions": json_values,
        "amount": json_values,
    },
)
contents = (
    st.none()
    | st.binary(max_size=80)
    | (json_values | envelopes | st.lists(envelopes, max_size=3)).map(lambda value: json.dumps(value).encode())
)


def request(method: str = "GET", target: str = "/", *fields: tuple[bytes, bytes], upgrade: str = "") -> Request:
    return Request(method, "https", "crm.example:443", target, fields, upgrade)


@given(methods, targets, types, fields, contents, st.sampled_from(["", "", "", "websocket", "h2c", "\x00"]))
def test_any_request_is_read_and_every_deed_has_every_fact(
    method: str, target: str, kind: bytes, more: list[tuple[bytes, bytes]], body: bytes | None, upgrade: str
) -> None:
    one = request(method, target, (b"content-type", kind), *more, upgrade=upgrade)
    wants(one, API)
    reading = read(one, body, API)
    assert reading.deeds
    assert reading.shown.isprintable()
    assert reading.seen.replace("\n", "").isprintable()
    for deed in reading.deeds:
        assert deed.verb in VERBS
        assert all(type(deed.facts[name]) is type(value) for name, value in FACTS.items())
        assert deed.facts.keys() == FACTS.keys()
    unknown = reading.deeds[-1].verb == "http.unknown"
    assert unknown is bool(reading.deeds[0].facts["why_unknown"])
    assert unknown or not reading.fault


@given(methods, targets, types, contents)
def test_any_request_is_decided_and_what_cannot_be_said_in_cedar_is_blocked(
    method: str, target: str, kind: bytes, body: bytes | None
) -> None:
    reading = read(request(method, target, (b"content-type", kind)), body, API)
    decision = decide(
        RULES, identity=identity(), target=CRM, action=action(*reading.deeds), circumstances=at(), masks=frozenset()
    )
    assert decision.verdict.ruling in (Ruling.ALLOW, Ruling.BLOCK)
    sayable = not any("\ud800" <= one <= "\udfff" for one in f"{target}{reading.deeds[0].facts}")
    assert decision.verdict.ruling is Ruling.ALLOW or not sayable or decision.faults


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4), st.sampled_from(["GET", "DELETE"]))
def test_a_path_without_doubt_is_the_one_that_was_meant(segments: list[str], method: str) -> None:
    target = "/" + "/".join(quote(one.encode("utf-8", "surrogatepass"), safe="") for one in segments)
    (first, *rest) = read(request(method, target), b"", SHAPES["bare"]).deeds
    assert rest or first.facts["path"] == "/" + "/".join(segments)


@given(st.integers(min_value=0, max_value=63), st.sampled_from("/iam /IAM /iam/users /search /live".split()))
def test_no_spelling_of_a_path_goes_less_far_than_the_plain_one(bits: int, path: str) -> None:
    spelled = "".join(f"%{ord(one):02x}" if bits >> number & 1 and one != "/" else one for number, one in enumerate(path))
    for method in ("GET", "POST", "PURGE"):
        plain, other = (read(request(method, one), b"", API) for one in (path, spelled))
        assert furthest(other) == furthest(plain)


def furthest(reading: object) -> Reach:
    return max((deed.reach for deed in reading.deeds), key=lambda reach: reach.rank)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_content_that_was_not_read_says_so(method: str) -> None:
    reading = read(request(method, "/customers/7", (b"content-length", b"99")), None, SHAPES["bare"])
    assert [deed.facts["body_read"] for deed in reading.deeds] == [False]
    assert reading.deeds[0].facts["size"] == 99


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/graphql", b"application/json"),
        ("/mcp", b"application/json"),
        ("/payments", b"application/json"),
        ("/files", b"multipart/form-data; boundary=b"),
        ("/files", b"application/x-www-form-urlencoded"),
    ],
)
def test_content_that_was_not_read_is_a_doubt_where_it_means_something(path: str, kind: bytes) -> None:
    one = request("POST", path, (b"content-type", kind), (b"content-length", b"5000000"))
    assert wants(one, API)
    assert read(one, None, API).deeds[-1].verb == "http.unknown"
    assert read(one, None, API).fault == ""


def nested(brackets: int, rest: bytes) -> bytes:
    return b"[" * brackets + rest


@pytest.mark.parametrize(
    "body",
    [
        nested(65, b'"' + b'\\"' * 400_000),
        nested(65, b'"\\' * 300_000),
        nested(65, b'"' * 900_001),
        b"[]" * 400_000,
        b"[" + b"{}," * 200_000 + b"1]",
        b'{"a":' + b"1" * 900_000 + b"}",
        b'{"a":1' + b"0" * 5_000 + b"}",
        b'"' + b"\\u0061" * 150_000 + b'"',
    ],
    ids=range(8),
)
@pytest.mark.parametrize("path", ["/payments", "/graphql", "/mcp"])
def test_no_content_takes_long_to_read(path: str, body: bytes) -> None:
    one = request("POST", path, (b"content-type", b"application/json"))
    begun = process_time()
    read(one, body, API)
    assert process_time() - begun < 2


@pytest.mark.parametrize(
    "target",
    [
        "/" + "%41" * 5_000,
        "/" + "a/" * 8_000,
        "/?" + "a=%26&" * 2_500,
        "/?" + "%" * 15_000,
        "/" + "a" * 16_000,
        "/?" + ";" * 15_000,
    ],
    ids=range(6),
)
@pytest.mark.parametrize(
    "kind", [b"a/b" + b";a=b" * 5_000, b"a/b" + b' ;\t"' * 250, b"a/" + b"b" * 900, b'a/b;a="' + b"b" * 900]
)
def test_no_head_takes_long_to_read(target: str, kind: bytes) -> None:
    begun = process_time()
    read(request("POST", target, (b"content-type", kind)), b"", API)
    assert process_time() - begun < 1


def test_people_see_the_whole_request_with_its_secrets_covered() -> None:
    body = b'{"name": "Ann", "card": "4111111111111111"}\x1b[2J'
    one = request("POST", "/customers?password=hunter2secret&next=%E2%80%AEgpj", (b"content-type", b"text/plain"))
    seen = read(one, body, SHAPES["bare"]).seen
    assert "Ann" in seen
    assert "4111111111111111" not in seen
    assert "hunter2secret" not in seen
    assert "\\x1b" in seen
    assert "\\u202e" in seen
    assert f"{len(body)} bytes, sha256 " in seen


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("GET /v1/API-Keys/7", {"v1", "v", "1", "api-keys", "api", "keys", "7"}),
        ("GET /serviceAccounts", {"serviceaccounts", "service", "accounts"}),
        ("GET /service_accounts:list", {"service_accounts:list", "service", "accounts", "list"}),
        ("POST /Users.V2/ListAPITokens", {"users.v2", "users", "v", "2", "listapitokens", "list", "api", "tokens"}),
    ],
)
def test_words_are_those_of_every_way_to_write_them_together(text: str, words: set[str]) -> None:
    reading = read(*parse(text.encode()), SHAPES["lenient"])
    assert reading.deeds[0].facts["words"] == words
