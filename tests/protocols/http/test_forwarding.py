"""What of a head is passed on, and in whose name."""

from __future__ import annotations

import pytest

from gatebook.protocols.http.forwarding import (
    forwardable,
    forwarded,
    owned,
    via,
    without,
    without_cookies,
    without_owned,
)


def names(fields: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    return [name.decode() for name, _ in fields]


def given(*names: str, connection: str = "") -> tuple[tuple[bytes, bytes], ...]:
    fields = tuple((name.encode(), b"1") for name in names)
    return (*fields, (b"connection", connection.encode())) if connection else fields


def test_what_is_of_one_connection_is_not_passed_on() -> None:
    fields = given(
        "host", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
        "transfer-encoding", "content-length", "upgrade", "http2-settings", "expect", "accept", connection="close",
    )  # fmt: skip
    assert names(forwardable(fields)) == ["accept"]


def test_a_client_may_have_its_own_fields_dropped() -> None:
    assert names(forwardable(given("hop", "accept", connection="Hop, close"))) == ["accept"]


@pytest.mark.parametrize(
    "name",
    ["authorization", "cookie", "content-type", "content-encoding", "x-forwarded-for", "gatebook-subject",
     "x-http-method-override", "origin", "if-match", "mcp-session-id", "impersonate-user", "sec-websocket-key", "set-cookie",
     "cache-control"],
)  # fmt: skip
def test_connection_cannot_drop_what_a_decision_or_a_target_rests_on(name: str) -> None:
    assert names(forwardable(given(name, connection=f"close, {name}"))) == [name]


def test_trailers_may_be_asked_for_and_nothing_else() -> None:
    assert forwardable(((b"te", b"trailers"),)) == ((b"te", b"trailers"),)
    assert forwardable(((b"te", b"gzip, trailers"),)) == ()


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "x_forwarded_for", "x-forwarded-anything", "forwarded", "x-real-ip", "x_real_ip", "gatebook-subject",
     "gatebook_subject", "x-original-url", "x-rewrite-url", "x-remote-user", "x-host", "true-client-ip"],
)  # fmt: skip
def test_a_client_does_not_say_what_is_the_gateways_to_say(name: str) -> None:
    assert owned(name.encode())
    assert without_owned(given(name, "accept")) == given("accept")


def test_the_gateway_says_who_asks() -> None:
    fields = forwarded((), client="2001:db8::1", scheme="https", authority="a.test:8443")
    assert dict(fields) == {
        b"x-forwarded-for": b"2001:db8::1",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"a.test:8443",
        b"x-real-ip": b"2001:db8::1",
        b"forwarded": b'for="[2001:db8::1]";host="a.test:8443";proto=https',
    }
    with pytest.raises(AssertionError):
        forwarded(given("x-forwarded-for"), client="::1", scheme="https", authority="a.test")


def test_a_field_is_gone_in_every_spelling() -> None:
    assert without(given("x-api-key", "x_api_key", "accept"), b"x-api-key") == given("accept")


def test_cookies_of_the_gateway_go_neither_way() -> None:
    ours = b"__Host-gatebook"
    fields = (
        (b"cookie", b"a=1; __Host-gatebook-session=x;b=2; =__Host-gatebook-session=y"),
        (b"cookie", b"__Host-gatebook-session=x"),
        (b"set-cookie", b"__Host-gatebook-session=evil; Path=/"),
        (b"set-cookie", b"=__Host-gatebook-session=evil"),
        (b"set-cookie", b"c=3"),
    )
    assert without_cookies(fields, ours) == ((b"cookie", b"a=1; b=2"), (b"set-cookie", b"c=3"))


def test_the_gateway_stands_behind_those_before_it() -> None:
    assert via(((b"via", b"1.0 a"), (b"x", b"y"), (b"via", b"1.1 b")), "2") == (
        (b"x", b"y"),
        (b"via", b"1.0 a, 1.1 b, 2 gatebook"),
    )
