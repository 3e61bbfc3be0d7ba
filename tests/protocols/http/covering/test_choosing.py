from base64 import b64encode

import pytest
from tests.protocols.http.covering.stage import DETECTORS, RULES, answer, mask_set, plan, shown

from gatebook.errors import WireError
from gatebook.masking.rules import Style
from gatebook.protocols.http.covering.choosing import Covered, Passed, Unreadable
from gatebook.protocols.http.covering.heads import covered_fields, towards_target
from gatebook.protocols.http.covering.media import MediaType, media_type, meets

NOTHING = plan(detectors=())


@pytest.mark.parametrize(
    ("kind", "by_detectors", "by_rules"),
    [
        ("application/json", Covered, Covered),
        ("application/vnd.api+json; charset=utf-8", Covered, Covered),
        ("application/problem+json", Covered, Covered),
        ("text/plain", Covered, Unreadable),
        ("text/html; charset=ISO-8859-1", Covered, Unreadable),
        ("application/xml", Covered, Unreadable),
        ("image/png", Passed, Passed),
        ("image/svg+xml", Covered, Unreadable),
        ("font/woff2", Passed, Passed),
        ("application/octet-stream", Unreadable, Unreadable),
        ("application/grpc", Unreadable, Unreadable),
        ("application/x-protobuf", Unreadable, Unreadable),
        ("application/pdf", Unreadable, Unreadable),
        ("application/json; charset=utf-7", Unreadable, Unreadable),
        ("application/json; charset=utf-16", Unreadable, Unreadable),
        ("text/plain; charset=iso-2022-jp", Unreadable, Unreadable),
        ("nonsense", Covered, Unreadable),
        (None, Covered, Unreadable),
    ],
)
def test_a_type_is_covered_or_passes_or_may_not(kind, by_detectors, by_rules):
    assert isinstance(answer(kind, DETECTORS), by_detectors)
    assert isinstance(answer(kind, RULES), by_rules)
    assert answer(kind, NOTHING, x="1").head.fields[-1] == (b"x", b"1")


def test_what_the_configuration_lists_passes_but_what_can_be_read_is_read():
    assert isinstance(answer("application/octet-stream", RULES, passes="application/octet-stream"), Passed)
    assert shown("text/html", RULES, b"<b>bob@example.com", passes="text/html") == b"<b>b***@example.com"
    assert isinstance(answer("application/json", RULES, passes="*/*"), Covered)


def test_a_drawing_is_an_image_under_a_rule_on_fields_only_where_it_is_listed_itself():
    assert shown("image/svg+xml", DETECTORS, b"<text>bob@example.com</text>") == b"<text>b***@example.com</text>"
    assert isinstance(answer("image/svg+xml; charset=utf-8", RULES), Unreadable)
    for listed in ("image/svg+xml", "*/*"):
        assert shown("image/svg+xml", RULES, b"<text>bob@example.com", passes=listed) == b"<text>b***@example.com"


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "text/csv", "application/javascript", "text/event-stream", None])
@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_a_character_set_that_only_its_reader_guesses_does_not_pass(kind, codec):
    for chosen in (DETECTORS, plan(mask_set(Style.REDACT, "ssn"))):
        choice = answer(kind, chosen)
        if isinstance(choice, Covered):
            with pytest.raises(WireError):
                choice.coverer.feed("data: bob@example.com\n\n".encode(codec)) + choice.coverer.finish()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "application/json-seq"])
def test_json_in_a_character_set_that_only_its_reader_guesses_does_not_pass(kind, codec):
    for chosen in (DETECTORS, RULES):
        choice = answer(kind, chosen)
        with pytest.raises(WireError):
            choice.coverer.feed('{"ssn":"hush"}'.encode(codec)) + choice.coverer.finish()


MADE = b64encode(b"\x08\x05\x12\x18card 4111111111111111 !\x1a\x04abcd")


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        (b"grpc-status-details-bin", MADE, b""),
        (b"x-notes-bin", MADE.rstrip(b"="), b""),
        (b"x-notes-bin", b64encode(b"fine") + b", " + MADE, b""),
        (b"x-customer-bin", b64encode(b"77"), b""),
        (b"x-notes-bin", b"card 4111111111111111", b""),
        (b"x-trace-bin", b64encode(b"\x00\x01fine"), b64encode(b"\x00\x01fine")),
    ],
)
def test_binary_metadata_is_looked_at_decoded(name, value, left):
    chosen = plan(mask_set(Style.REDACT, "x", headers=["X-Customer-Bin"]))
    masked = {}
    assert covered_fields(((name, value),), chosen, masked) == ((name, left),)
    assert bool(masked) is (left == b"")


@pytest.mark.parametrize("fields", [{"content_range": "bytes 0-1/9"}, {"status": 206}])
def test_a_part_of_a_content_may_not_pass(fields):
    found = answer("application/json", RULES, **fields)
    assert isinstance(found, Unreadable)
    assert "without Range" in found.why
    assert isinstance(answer("video/mp4", RULES, **fields), Passed)


@pytest.mark.parametrize(
    ("status", "span", "passes"),
    [(416, "bytes */9", True), (416, "bytes 0-1/9", False), (416, "bytes */*", False), (200, "bytes */9", False)],
)
def test_the_page_of_a_range_that_cannot_be_had_is_no_part(status, span, passes):
    found = answer("text/html", plan(detectors=("card",)), status=status, content_range=span)
    assert isinstance(found, Covered if passes else Unreadable)
    if passes:
        assert found.head.get(b"content-range") is None, "the length of the real content is not told"


def test_parts_of_ranges_and_unknown_codings_may_not_pass():
    assert isinstance(answer("multipart/byteranges; boundary=x", RULES), Unreadable)
    assert "coding 'compress'" in answer("application/json", RULES, content_encoding="compress").why
    assert isinstance(answer("image/png", RULES, content_encoding="compress"), Passed)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 103)])
def test_an_answer_without_content_has_a_covered_head_and_tells_no_length(method, status):
    found = answer(
        "application/json", RULES, method=method, status=status, content_length="42", etag='"x"', x_mail="bob@example.com"
    )
    assert isinstance(found, Passed)
    assert (b"x-mail", b"b***@example.com") in found.head.fields
    assert not {b"content-length", b"etag"} & {name for name, _ in found.head.fields}


def test_what_tells_of_the_real_content_is_dropped():
    found = answer(
        "application/json",
        RULES,
        content_length="9",
        etag='W/"1"',
        digest="sha-256=x",
        content_md5="x",
        accept_ranges="bytes",
        vary="x",
    )
    assert found.head.fields == (
        (b"content-type", b"application/json"),
        (b"vary", b"x"),
        (b"x-content-type-options", b"nosniff"),
    )


def test_text_in_another_character_set_is_covered_in_it():
    data = "größe bob@example.com ü".encode("latin-1")
    assert shown("text/plain; charset=latin1", DETECTORS, data) == "größe b***@example.com ü".encode("latin-1")
    data = "日本 bob@example.com 語".encode("shift_jis")
    assert shown('text/plain; charset="Shift_JIS"', DETECTORS, data, range(len(data))) == "日本 b***@example.com 語".encode(
        "shift_jis"
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("location", "https://u:hunter22@x/?mail=bob%40example.com", "https://u:<url-password>@x/?mail=b***@example.com"),
        ("location", "/a%20b", "/a%20b"),
        ("x-password", "hunter22", "<secret>"),
        ("www-authenticate", 'Bearer realm="bob@example.com"', 'Bearer realm="b***@example.com"'),
        ("x-card", "4111111111111111", "************1111"),
        ("x-csrf-token", "k3jh-9kjh23kj4h-kjh23kj4hX", "k3jh-9kjh23kj4h-kjh23kj4hX"),
        ("set-cookie", "token=eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2ln; Path=/", "token=eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2ln; Path=/"),
        ("set-cookie", "mail=bob%40example.com; Path=/", "mail=b***@example.com; Path=/"),
        ("set-cookie", "SID=abc; Path=/; HttpOnly", "SID=****; Path=/; HttpOnly"),
        ("x-customer", "anything", "****"),
        ("date", "Sat, 21 Nov 2026 14:00:00 GMT", "Sat, 21 Nov 2026 14:00:00 GMT"),
    ],
)
def test_header_fields_and_cookies_are_covered_by_rule_and_detector(name, value, expected):
    chosen = plan(mask_set(Style.REDACT, "x", headers=["X-Customer", "cookie:SID"]))
    assert covered_fields(((name.encode(), value.encode()),), chosen, {}) == ((name.encode(), expected.encode()),)


def test_a_request_asks_for_nothing_that_could_not_be_covered():
    asked = ((b"range", b"bytes=0-1"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip, dcb"), (b"if-none-match", b'"x"'))
    assert towards_target(asked) == ((b"accept", b"*/*"), (b"accept-encoding", b"gzip"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b'Text/HTML;Charset="UTF-8" ; x=y', MediaType("text/html", (("charset", "UTF-8"), ("x", "y")))),
        (b"application/json", MediaType("application/json")),
        (b"json", MediaType("")),
        (b"a/b c", MediaType("")),
        (None, MediaType("")),
    ],
)
def test_a_content_type_is_read(value, kind):
    assert media_type(value) == kind


def test_a_type_meets_its_own_name_its_kind_or_anything():
    assert meets(MediaType("image/png"), ["image/*"])
    assert meets(MediaType("image/png"), ["image/png"])
    assert meets(MediaType(""), ["*/*"])
    assert not meets(MediaType(""), ["/*", ""])
    assert not meets(MediaType("imagex/png"), ["image/*"])


@pytest.mark.parametrize(
    ("value", "shown_as"),
    [
        (b"/next?ssn=123-45-6789&n=1", b"/next?ssn=****&n=1"),
        (b"/next?n=1&%73sn=123", b"/next?n=1&%73sn=****"),
        (b"/next#ssn=123", b"/next#ssn=****"),
        (b"/login?to=%2Fnext%3Fssn%3D123%26n%3D1", b"/login?to=/next%3Fssn%3D****%26n%3D1"),
        (b"/n?customers[card]=77", b"/n?customers[card]=****"),
        (b"/next?n=1", b"/next?n=1"),
    ],
)
@pytest.mark.parametrize("name", [b"location", b"content-location", b"x-next"])
def test_a_field_rule_holds_in_the_parameters_of_an_address_in_a_field(name, value, shown_as):
    ((_, covered),) = covered_fields(((name, value),), RULES, {})
    assert covered == shown_as


def test_a_field_rule_holds_in_links_and_in_a_refresh():
    link = b'</c?page=2&ssn=123>; rel="next", </c?ssn=456>; rel="prev"'
    ((_, covered), (_, refresh)) = covered_fields(((b"link", link), (b"refresh", b"0; url=/c?ssn=123")), RULES, {})
    assert b"123" not in covered
    assert b"456" not in covered
    assert covered.count(b"rel=") == 2
    assert b"123" not in refresh
