"""gRPC: calls by name, messages that are as long as they say, refusals that clients understand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.h2_peer import POST, asking, data, serving

from gatebook.protocols.http import h2
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.grpc import Call, Envelope, Messages, Status, called, framed, refusal, spoken, status_of
from gatebook.protocols.http.message import Data, End, Request, Response

GRPC = ((b":method", b"POST"), *POST[1:3], (b":path", b"/shop.v1.Orders/List"), (b"content-type", b"application/grpc"))


def call(target: str, method: str = "POST") -> Request:
    return Request(method, "https", "a.test", target, ((b"content-type", b"application/grpc"),))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"Application/gRPC+json; charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/grpcx", False),
        (b"application/json", False),
    ],
)
def test_content_says_whether_it_is_grpc(value: bytes, expected: bool) -> None:
    assert spoken(((b"content-type", value),)) == expected


def test_a_call_has_a_service_and_a_method() -> None:
    assert called(call("/shop.v1.Orders/List")) == Call("shop.v1.Orders", "List")


@pytest.mark.parametrize(
    "target", ["/", "/a", "/a/b/c", "/a/b?c", "/a%2fb/c", "//b", "/a/", "/shop.v1.Orders/List/", "/a/../b"]
)
def test_a_target_that_is_no_call_is_refused(target: str) -> None:
    with pytest.raises(MalformedError):
        called(call(target))


def test_a_call_is_a_post() -> None:
    with pytest.raises(MalformedError):
        called(call("/a/b", "GET"))


@given(sent=st.lists(st.tuples(st.booleans(), st.binary(max_size=50)), max_size=5), size=st.integers(1, 60), keep=st.booleans())
@settings(max_examples=150)
def test_messages_are_the_same_however_they_are_cut(sent: list[tuple[bool, bytes]], size: int, keep: bool) -> None:
    stream = b"".join(framed(content, compressed=compressed) for compressed, content in sent)
    cut = Messages(keep=keep)
    found = [one for at in range(0, len(stream), size) for one in cut.feed(stream[at : at + size])]
    cut.end()
    assert found == [Envelope(compressed, len(content), content if keep else b"") for compressed, content in sent]
    assert cut.count == len(sent)


@pytest.mark.parametrize(
    "sent",
    [b"\x02\x00\x00\x00\x00", b"\xff\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff", b"\x00\x00\x40\x00\x01"],
)
def test_a_prefix_that_lies_is_refused(sent: bytes) -> None:
    with pytest.raises(MalformedError):
        Messages(keep=True).feed(sent)


@pytest.mark.parametrize("sent", [b"\x00", b"\x00\x00\x00\x00", b"\x00\x00\x00\x00\x05", framed(b"hello")[:-1]])
def test_content_that_ends_within_a_message_is_refused(sent: bytes) -> None:
    cut = Messages(keep=False)
    cut.feed(sent)
    with pytest.raises(MalformedError, match="within"):
        cut.end()


def test_the_status_of_a_call_is_in_its_trailers() -> None:
    assert status_of(((b"grpc-status", b"7"), (b"grpc-message", b"no"))) == 7
    assert status_of(()) is None
    for values in ((b"7", b"0"), (b"x",), (b"-1",), (b"",), (b"007",)):
        with pytest.raises(MalformedError):
            status_of(tuple((b"grpc-status", value) for value in values))


def test_a_refusal_is_one_head_that_clients_understand() -> None:
    server, peer = serving()
    server.feed(peer.headers(1, GRPC) + data(1, framed(b"x"), over=True))
    sent = server.respond(
        1, refusal(Status.PERMISSION_DENIED, "blocked by no-orders: 100% sicher é\r\nevil: 1"), length=None, over=True
    )
    client, _ = asking()
    client.request(call("/shop.v1.Orders/List"), length=None)
    told = client.feed(sent)
    assert told == [
        (
            1,
            Response(
                200,
                (
                    (b"content-type", b"application/grpc"),
                    (b"grpc-status", b"7"),
                    (b"grpc-message", b"blocked by no-orders: 100%25 sicher %C3%A9%0D%0Aevil: 1"),
                ),
            ),
        ),
        (1, End()),
    ]


def test_a_stream_of_calls_goes_both_ways_with_its_trailers() -> None:
    server, client = h2.ServerSide(), h2.ClientSide()
    server.feed(client.due())
    client.feed(server.due())
    number, sent = client.request(call("/shop.v1.Orders/Watch"), length=None)
    asked, answered = Messages(keep=True), Messages(keep=True)
    seen: list[Envelope] = []
    for content in (b"one", b"two"):
        told = server.feed(sent + client.data(number, framed(content)))
        seen += [one for _, part in told if isinstance(part, Data) for one in asked.feed(part.data)]
        sent = b""
        if content == b"one":
            client.feed(server.respond(number, Response(200, ((b"content-type", b"application/grpc"),)), length=None))
        told = client.feed(server.data(number, framed(content * 2)))
        seen += [one for _, part in told if isinstance(part, Data) for one in answered.feed(part.data)]
    assert [one.data for one in seen] == [b"one", b"oneone", b"two", b"twotwo"]
    assert server.feed(client.end(number)) == [(1, End())]
    ((_, last),) = client.feed(server.end(number, ((b"grpc-status", b"0"),)))
    assert isinstance(last, End)
    assert status_of(last.trailers) == 0
    asked.end()
    answered.end()
    assert server.idle
    assert client.idle
