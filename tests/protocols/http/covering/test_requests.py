import json
from urllib.parse import urlencode

import pytest
from tests.protocols.http.covering.stage import DETECTORS, RULES, TOKENS, covering, mask_set, plan
from tests.protocols.http.covering.test_codings import coded

from gatebook.masking.detectors import cover_text
from gatebook.masking.rules import Style
from gatebook.masking.tokens import seal, token_key
from gatebook.protocols.http.covering.plan import plan_of
from gatebook.protocols.http.covering.requests import shown_request
from gatebook.protocols.http.covering.resolving import ELSEWHERE, FOREIGN, HIDDEN, WRITTEN_BACK, resolve
from gatebook.protocols.http.message import Request

SSN = b"123-45-6789"
TOKEN = seal(SSN, TOKENS).decode()
FOREIGN_TOKEN = seal(SSN, token_key(b"m" * 32, "somebody", "else")).decode()
SETS = plan(
    mask_set(Style.TOKEN, "ssn", "customer.pin", name="tokens"),
    mask_set(Style.REDACT, "secret_ssn", "vault"),
    mask_set(Style.PARTIAL, "mild"),
)


def request(method: str = "PUT", target: str = "/customers/7", kind: str = "application/json", **fields: str) -> Request:
    named = ((name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    return Request(method, "https", "shop.example", target, ((b"content-type", kind.encode()), *named))


# Shown --------------------------------------------------------------------------------------------------------------------


def test_a_request_is_shown_with_query_fields_and_content_covered():
    asked = request(
        "POST",
        "/a/bob@example.com?ssn=1&q=4111111111111111",
        authorization="Bearer abc",
        cookie="sid=hush; b=hush",
        x_api_key="hush",
        x_note="bob@example.com",
    )
    assert shown_request(asked, b'{"ssn":"hush","n":1}', RULES).splitlines() == [
        "POST /a/b***@example.com?ssn=****&q=************1111",
        "content-type: application/json",
        "authorization: Bearer ****",
        "cookie: sid=****; b=****",
        "x-api-key: ****",
        "x-note: b***@example.com",
        "",
        '{"ssn":"****","n":1}',
    ]


def test_only_the_beginning_of_a_content_is_shown_with_a_digest_of_all():
    content = json.dumps([{"ssn": "hush", "n": number} for number in range(10_000)]).encode()
    shown = shown_request(request(), content, RULES, most=1_000)
    assert "hush" not in shown
    assert len(shown) < 1_500
    assert "sha256:" in shown
    assert f"{len(content)} bytes" in shown


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b'{"ssn":hush}'),
        ("application/octet-stream", b"hush"),
        ("text/plain", b"ssn: hush"),
        ("application/json", b'{"a":"\xffhush"}'),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nhush"),
        ("application/json; charset=utf-16", b"hush"),
    ],
)
def test_a_content_that_cannot_be_read_is_shown_by_its_digest(kind, content):
    shown = shown_request(request(kind=kind), content, RULES)
    assert "hush" not in shown
    assert f"<unread> ({len(content)} bytes, sha256:" in shown


def test_a_coded_content_is_read_and_an_unread_one_is_said_to_be():
    asked = request(content_encoding="gzip")
    assert '{"a":"b***@example.com"}' in shown_request(asked, coded(b'{"a":"bob@example.com"}', ("gzip",)), DETECTORS)
    assert "<unread>" in shown_request(asked, b"no gzip", DETECTORS)
    assert shown_request(request(), None, DETECTORS).endswith("<unread>")
    assert "b***@" in shown_request(request(kind="text/plain"), b"bob@example.com", DETECTORS)


# Resolved -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"ssn":"%s","n":1}', '{"ssn":"123-45-6789","n":1}'),
        ('{"a":[{"SSN" : "%s"}]}', '{"a":[{"SSN" : "123-45-6789"}]}'),
        ('{"customer":{"pin":"%s"}}', '{"customer":{"pin":"123-45-6789"}}'),
        ('{"secret_ssn":"%s"}', '{"secret_ssn":"123-45-6789"}'),
        ('{"ssn":["%s"]}', None),
        ('{"mild":"%s"}', None),
        ('{"note":"%s"}', None),
        ('{"vault":{"x":"%s"}}', None),
        ('["%s"]', None),
    ],
)
def test_a_token_is_resolved_only_into_a_field_under_the_same_or_a_stricter_mask(content, expected):
    found = resolve(request(), (content % TOKEN).encode(), SETS)
    if expected is None:
        assert (found.refusal, found.content.decode()) == (ELSEWHERE, content % TOKEN)
    else:
        assert (found.refusal, found.content.decode(), found.values) == ("", expected, (SSN,))
    assert "123-45" not in repr(found)


def test_a_token_in_a_form_or_a_query_is_resolved_by_the_name_of_its_field():
    form = urlencode({"ssn": TOKEN, "customer[pin]": TOKEN, "a": "x y"}).encode()
    found = resolve(request("POST", kind="application/x-www-form-urlencoded"), form, SETS)
    assert found.content == b"ssn=123-45-6789&customer%5Bpin%5D=123-45-6789&a=x+y"
    assert resolve(request("GET", f"/find?ssn={TOKEN}&a=1"), b"", SETS).target == "/find?ssn=123-45-6789&a=1"
    assert resolve(request("GET", f"/find?sort={TOKEN}"), b"", SETS).refusal == ELSEWHERE


def test_escapes_do_not_hide_a_token():
    hidden = TOKEN.replace("gbk_", "g\\u0062k\\u005f")
    assert resolve(request(), f'{{"ssn":"{hidden}"}}'.encode(), SETS).values == (SSN,)
    assert resolve(request(), f'{{"note":"{hidden}"}}'.encode(), SETS).refusal == ELSEWHERE
    assert resolve(request("GET", f"/?note={TOKEN.replace('g', '%67', 1)}"), b"", SETS).refusal == ELSEWHERE


def test_a_token_of_somebody_else_or_a_changed_one_is_refused():
    for token in (FOREIGN_TOKEN, TOKEN[:-2] + ("AA" if TOKEN[-2:] != "AA" else "BB")):
        assert resolve(request(), json.dumps({"ssn": token}).encode(), SETS).refusal == FOREIGN


@pytest.mark.parametrize(
    "value", ["****", "a****", "************1111", "***-**-6789", "b***@example.com", "h:0123456789abcdef", "<phone>"]
)
def test_a_covered_value_is_not_written_back(value):
    content = json.dumps({"any": value}).encode()
    assert resolve(request(), content, DETECTORS).refusal == WRITTEN_BACK
    assert resolve(request("GET"), content, DETECTORS).refusal == ""
    form = urlencode({"any": value}).encode()
    assert resolve(request("POST", kind="application/x-www-form-urlencoded"), form, DETECTORS).refusal == WRITTEN_BACK


SAMPLES = [
    "mail ada.brown@example.com now",
    "postgres://u:hunter2secret@h/db",
    "key AKIA" + "Q3EGRZL7XK2M5T4B end",
    "password=hunter2hunter x",
    'password: "hunter2hunter"',
    "Authorization: Bearer abcdefghijklmnop",
    "card 4111 1111 1111 1111 ok",
    "ssn 536-22-8726 ok",
    "token: ghp_" + "a1B2" * 9,
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_a_text_with_a_covered_value_in_it_does_not_replace_one(text):
    covered = cover_text(text)
    assert covered != text
    content, real = (json.dumps({"any": one}).encode() for one in (covered, text))
    assert resolve(request("PUT"), content, DETECTORS).refusal == WRITTEN_BACK
    assert resolve(request("PUT"), real, DETECTORS).refusal == ""
    assert resolve(request("POST"), content, DETECTORS).refusal == "", "a report may speak of it"
    assert resolve(request("POST"), content, DETECTORS, within=True).refusal == WRITTEN_BACK
    assert resolve(request("GET"), content, DETECTORS, within=True).refusal == ""


@pytest.mark.parametrize(
    "text",
    ["a *** b", "<b>x</b>", "<my-element>", "the <secret> of it", "<email>a</email>", "1 ** 2", "user:****", "x <url> y"],
)
def test_a_text_that_only_looks_alike_is_written(text):
    content = json.dumps({"any": text}).encode()
    assert resolve(request("PUT"), content, DETECTORS, within=True).refusal == ""


@pytest.mark.parametrize("value", ["*", "** bold **", "<b>", "<br>", "see **** there", "h:12", "gbk_short", 7, None, True])
def test_what_is_only_like_a_covered_value_passes(value):
    content = json.dumps({"any": value, "ssn": "987-65-4321"}).encode()
    assert resolve(request(), content, SETS) == resolve(request(), content, plan(detectors=()))
    assert resolve(request(), content, SETS).content == content


def test_a_token_where_nobody_reads_it_is_refused_when_it_stands_for_something():
    for kind, fields in (("text/plain", {}), ("application/json", {"content_encoding": "gzip"}), ("multipart/form-data", {})):
        assert resolve(request(kind=kind, **fields), f"x {TOKEN} y".encode(), SETS).refusal == HIDDEN
        assert resolve(request(kind=kind, **fields), f"x {FOREIGN_TOKEN} y".encode(), SETS).refusal == ""
    assert resolve(request(), f'{{"ssn":"{TOKEN}"'.encode(), SETS).refusal == HIDDEN


def test_what_a_token_stands_for_is_covered_when_the_target_says_it_back():
    found = resolve(request(), json.dumps({"ssn": TOKEN}).encode(), SETS)
    sets = covering(mask_set(Style.TOKEN, "ssn", name="tokens"), detectors=())
    again = plan_of(sets, {"tokens"}, found.values)
    assert again.needles.cover(b"no customer 123-45-6789", {}) == b"no customer ****"
