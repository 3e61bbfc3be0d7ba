"""The openings of streams: what may go on of a client's, what a target may agree to, and where a token is found."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from tests.protocols.http.covering.stage import DETECTORS

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.subprotocols import BEARER, bearer
from gatebook.protocols.http.websocket import accept
from gatebook.protocols.kubernetes.channels import CommandSocket, PortSocket
from gatebook.protocols.kubernetes.opening import SPDY, Opening, Purpose
from gatebook.protocols.kubernetes.pipes import CommandPipe, PortPipe, TunnelledPipe

KEY, OURS = b"dGhlIHNhbXBsZSBub25jZQ==", b"YWFhYWFhYWFhYWFhYWFhYQ=="
TUNNELLED = b"SPDY/3.1+portforward.k8s.io"
PLAN: Plan = DETECTORS


def random(count: int) -> bytes:
    return b"a" * count


def socket(listed: bytes, query: str = "command=ls&tty=true", *more: tuple[bytes, bytes], method: str = "GET") -> Request:
    fields = ((b"sec-websocket-protocol", listed), (b"sec-websocket-key", KEY), (b"sec-websocket-version", b"13"), *more)
    return Request(method, "https", "k8s", f"/api/v1/namespaces/a/pods/p/exec?{query}", fields, "websocket")


def spdy(*listed: bytes, query: str = "command=ls", method: str = "POST") -> Request:
    fields = tuple((b"x-stream-protocol-version", one) for one in listed)
    return Request(method, "https", "k8s", f"/api/v1/namespaces/a/pods/p/exec?{query}", fields, SPDY)


def opening(request: Request, purpose: Purpose = Purpose.EXEC) -> Opening:
    return Opening(request, purpose, random)


def test_of_the_subprotocols_only_known_ones_go_on() -> None:
    made = opening(
        socket(b"v5.channel.k8s.io, base64.channel.k8s.io,v4.channel.k8s.io, x", "", (b"sec-websocket-extensions", b"y"))
    )
    assert made.protocols == (b"v5.channel.k8s.io", b"v4.channel.k8s.io")
    told = made.offered(((b"accept", b"*/*"), (b"sec-websocket-protocol", b"x"), (b"sec-websocket-key", KEY)))
    assert told == (
        (b"accept", b"*/*"),
        (b"sec-websocket-protocol", b"v5.channel.k8s.io, v4.channel.k8s.io"),
        (b"sec-websocket-key", OURS),
        (b"sec-websocket-version", b"13"),
    )
    made = opening(spdy(b"v4.channel.k8s.io, v3.channel.k8s.io", b"channel.k8s.io"))
    assert made.offered(((b"x-stream-protocol-version", b"v9"),)) == ((b"x-stream-protocol-version", b"v4.channel.k8s.io"),)


@pytest.mark.parametrize(
    ("request_", "purpose", "status"),
    [
        (socket(b""), Purpose.EXEC, 403),
        (socket(b"base64.channel.k8s.io"), Purpose.EXEC, 403),
        (socket(b"v4.base64.channel.k8s.io"), Purpose.EXEC, 403),
        (socket(TUNNELLED), Purpose.EXEC, 403),
        (socket(b"v5.channel.k8s.io"), Purpose.PORT_FORWARD, 403),
        (socket(b"v4.channel.k8s.io, v4.channel.k8s.io"), Purpose.EXEC, 400),
        (socket(b",".join(b"v%d" % one for one in range(17))), Purpose.EXEC, 400),
        (socket(b"v4.channel.k8s.io", method="POST"), Purpose.EXEC, 400),
        (socket(b"v4.channel.k8s.io, " + BEARER + b"abc"), Purpose.EXEC, 400),
        (socket(b"v4.channel.k8s.io", "name=x"), Purpose.PORT_FORWARD, 400),
        (socket(b"v4.channel.k8s.io", "&".join(["ports=1"] * 65)), Purpose.PORT_FORWARD, 400),
        (spdy(), Purpose.EXEC, 403),
        (spdy(b"v3.channel.k8s.io"), Purpose.ATTACH, 403),
        (spdy(b"v4.channel.k8s.io", method="DELETE"), Purpose.EXEC, 400),
        (spdy(b"v4.channel.k8s.io"), Purpose.PORT_FORWARD, 403),
        (Request("GET", "https", "k8s", "/", (), "h2c"), Purpose.EXEC, 400),
        (Request("GET", "https", "k8s", "/", (), ""), Purpose.EXEC, 400),
    ],
)  # fmt: skip
def test_an_opening_that_is_not_sound_or_not_understood_is_refused(request_: Request, purpose: Purpose, status: int) -> None:
    with pytest.raises(MalformedError) as fault:
        opening(request_, purpose)
    assert fault.value.status == status


def told(made: Opening, request: Request) -> Request:
    return Request(request.method, "https", "k8s", request.target, made.offered(request.fields), request.upgrade)


def agreeing(*protocols: bytes, key: bytes = OURS) -> Response:
    return Response(101, ((b"sec-websocket-accept", accept(key)), *((b"sec-websocket-protocol", one) for one in protocols)))


@pytest.mark.parametrize(
    ("request_", "purpose", "answer", "kind", "fields"),
    [
        (socket(b"v5.channel.k8s.io"), Purpose.EXEC, agreeing(b"v5.channel.k8s.io"), CommandSocket,
         ((b"sec-websocket-protocol", b"v5.channel.k8s.io"), (b"sec-websocket-accept", accept(KEY)))),
        (socket(b"v4.channel.k8s.io"), Purpose.ATTACH, agreeing(b"v4.channel.k8s.io"), CommandSocket,
         ((b"sec-websocket-protocol", b"v4.channel.k8s.io"), (b"sec-websocket-accept", accept(KEY)))),
        (socket(TUNNELLED), Purpose.PORT_FORWARD, agreeing(TUNNELLED), TunnelledPipe,
         ((b"sec-websocket-protocol", TUNNELLED), (b"sec-websocket-accept", accept(KEY)))),
        (socket(b"v4.channel.k8s.io", "ports=80&ports=81"), Purpose.PORT_FORWARD, agreeing(b"v4.channel.k8s.io"), PortSocket,
         ((b"sec-websocket-protocol", b"v4.channel.k8s.io"), (b"sec-websocket-accept", accept(KEY)))),
        (spdy(b"v4.channel.k8s.io"), Purpose.EXEC, Response(101, ((b"x-stream-protocol-version", b"v4.channel.k8s.io"),)),
         CommandPipe, ((b"x-stream-protocol-version", b"v4.channel.k8s.io"),)),
        (spdy(b"portforward.k8s.io"), Purpose.PORT_FORWARD,
         Response(101, ((b"x-stream-protocol-version", b"portforward.k8s.io"),)), PortPipe,
         ((b"x-stream-protocol-version", b"portforward.k8s.io"),)),
    ],
)  # fmt: skip
def test_what_was_agreed_says_what_carries_the_streams(
    request_: Request, purpose: Purpose, answer: Response, kind: type, fields: Fields
) -> None:
    made = opening(request_, purpose)
    made.agreed(told(made, request_), answer)
    assert made.answer(answer.fields) == Response(101, fields)
    assert type(made.passage(PLAN, ())) is kind


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (socket(b"v5.channel.k8s.io"), agreeing()),
        (socket(b"v5.channel.k8s.io"), agreeing(b"v4.channel.k8s.io")),
        (socket(b"v5.channel.k8s.io"), agreeing(b"v5.channel.k8s.io", b"v5.channel.k8s.io")),
        (socket(b"v5.channel.k8s.io"), agreeing(b"v5.channel.k8s.io", key=KEY)),
        (spdy(b"v4.channel.k8s.io"), Response(101, ())),
        (spdy(b"v4.channel.k8s.io"), Response(101, ((b"x-stream-protocol-version", b"v2.channel.k8s.io"),))),
    ],
)
def test_a_target_agrees_to_what_was_offered_and_nothing_more(request_: Request, answer: Response) -> None:
    made = opening(request_)
    with pytest.raises(MalformedError):
        made.agreed(told(made, request_), answer)
    with pytest.raises(AssertionError):
        made.passage(PLAN, ())


@pytest.mark.parametrize(
    ("query", "tty"), [("tty=true", True), ("tty=1", True), ("tty=", True), ("tty=FALSE", False), ("", False)]
)
def test_a_terminal_is_what_the_server_takes_for_one(query: str, tty: bool) -> None:
    assert opening(socket(b"v5.channel.k8s.io", query)).tty is tty


# Tokens -------------------------------------------------------------------------------------------------------------------


def coded(token: bytes) -> bytes:
    return BEARER + urlsafe_b64encode(token).rstrip(b"=")


def test_a_token_among_the_subprotocols_is_found_and_taken_out() -> None:
    token, rest = bearer(socket(b"v4.channel.k8s.io, " + coded(b"gbt_secret-token") + b" , v5.channel.k8s.io"))
    assert token == "gbt_secret-token"
    assert list(rest.all(b"sec-websocket-protocol")) == [b"v4.channel.k8s.io, v5.channel.k8s.io"]
    assert bearer(rest) == ("", rest)
    alone = bearer(socket(coded(b"abc")))[1]
    assert alone.get(b"sec-websocket-protocol") is None


@pytest.mark.parametrize(
    "listed",
    [coded(b"a") + b", " + coded(b"b"), BEARER, BEARER + b"abc=", BEARER + b"YW!Jj", BEARER + b"YW/j", coded(b"a b"),
     coded(b"a\n"), coded(b"\xff\xfe"), BEARER + b"a" * 20_000],
)  # fmt: skip
def test_what_is_no_token_there_is_refused_and_never_shown(listed: bytes) -> None:
    with pytest.raises(MalformedError) as fault:
        bearer(socket(listed))
    assert listed[len(BEARER) :].decode("latin-1")[:20] not in str(fault.value) or listed == BEARER


def test_a_token_in_two_places_is_refused() -> None:
    with pytest.raises(MalformedError):
        bearer(socket(coded(b"abc"), "", (b"authorization", b"Bearer other")))
