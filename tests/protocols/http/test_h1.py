"""HTTP/1.1, both sides: what is asked, what is answered, and when a connection is good for more."""

from __future__ import annotations

import pytest

from gatebook.protocols.http import h1
from gatebook.protocols.http.checks import FIELDS, HEAD_BYTES, TARGET_BYTES, MalformedError
from gatebook.protocols.http.framing import EXTENSION_BYTES, TRAILERS
from gatebook.protocols.http.message import Data, End, Request, Response

GET = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
OK = Response(200, ((b"content-type", b"text/plain"),))
ASK = Request("GET", "http", "a.test", "/", ((b"accept", b"*/*"),))
WEBSOCKET = b"GET /s HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def serving(data: bytes = GET) -> h1.ServerSide:
    side = h1.ServerSide()
    side.feed(data)
    return side


def asking(request: Request = ASK, length: int | None = 0) -> h1.ClientSide:
    side = h1.ClientSide()
    side.request(request, length=length)
    if length == 0:
        side.end()
    return side


def test_a_request_is_a_head_and_an_end() -> None:
    side = h1.ServerSide("https")
    assert side.idle
    assert side.feed(GET) == [Request("GET", "https", "a.test", "/a", ((b"host", b"a.test"),)), End()]
    assert side.complete
    assert not side.idle
    assert side.length == 0


def test_an_answer_of_a_known_length_says_it() -> None:
    side = serving()
    assert side.respond(OK, length=5) == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n"
    assert side.data(b"hello") + side.end() == b"hello"
    assert side.keeps_alive


def test_an_answer_of_an_unknown_length_is_in_chunks() -> None:
    side = serving()
    assert b"\r\ntransfer-encoding: chunked\r\n\r\n" in side.respond(OK, length=None)
    sent = side.data(b"hello") + side.data(b"") + side.end(((b"x-sum", b"1"), (b"content-length", b"9")))
    assert sent == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"


def test_an_answer_in_http_1_0_ends_with_the_connection() -> None:
    side = serving(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
    assert side.respond(OK, length=None) == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    assert side.data(b"hello") + side.end(((b"x-sum", b"1"),)) == b"hello"
    assert not side.keeps_alive


@pytest.mark.parametrize("length", [5, None])
def test_an_answer_to_head_has_no_content(length: int | None) -> None:
    side = serving(GET.replace(b"GET", b"HEAD"))
    head = side.respond(OK, length=length)
    assert (b"content-length: 5" in head) == (length == 5)
    assert b"chunked" not in head
    with pytest.raises(MalformedError):
        side.data(b"hello")
    assert side.end() == b""
    assert side.keeps_alive


@pytest.mark.parametrize(("status", "length"), [(204, 0), (204, None), (304, None), (304, 7)])
def test_an_answer_without_content_has_none_in_any_framing(status: int, length: int | None) -> None:
    side = serving()
    head = side.respond(Response(status, ()), length=length)
    assert (b"content-length" in head) == (status == 304 and length == 7)
    assert b"chunked" not in head
    assert side.end() == b""


def test_an_answer_is_as_long_as_it_says() -> None:
    side = serving()
    side.respond(OK, length=5)
    with pytest.raises(MalformedError, match="1 bytes more"):
        side.data(b"hello!")
    side.data(b"hell")
    with pytest.raises(MalformedError, match="1 bytes less"):
        side.end()


def test_a_pipelined_request_waits_for_its_turn() -> None:
    side = h1.ServerSide()
    assert len(side.feed(GET + GET.replace(b"/a", b"/b"))) == 2
    assert side.feed(b"") == []
    with pytest.raises(AssertionError):
        side.next()
    side.respond(OK, length=0)
    side.end()
    asked, end = side.next()
    assert isinstance(asked, Request)
    assert (asked.target, end) == ("/b", End())
    assert not side.answering


def test_what_is_pipelined_has_a_bound() -> None:
    side = serving()
    assert side.kept == 0
    side.feed(b"x" * h1.KEPT_BYTES)
    assert side.kept == h1.KEPT_BYTES
    with pytest.raises(MalformedError, match="not answered yet"):
        side.feed(b"x")


def test_nothing_follows_a_request_that_was_answered_before_it_was_whole() -> None:
    side = serving(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50\r\n\r\nGET /admin")
    assert b"connection: close" in side.respond(Response(403, ()), length=0)
    side.end()
    side.feed(b"x" * 40)
    assert side.complete
    assert not side.keeps_alive
    with pytest.raises(AssertionError):
        side.next()


def test_a_client_that_is_refused_can_be_told_so_and_nothing_else() -> None:
    side = h1.ServerSide()
    with pytest.raises(MalformedError) as fault:
        side.feed(b"GET /a b HTTP/1.1\r\n\r\n")
    told = side.respond(Response(fault.value.status, ()), length=0)
    assert told == b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    side.end()
    assert not side.keeps_alive
    with pytest.raises(MalformedError):
        side.feed(GET)


def test_a_client_that_waits_is_told_to_go_on() -> None:
    side = serving(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert side.informational(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert side.feed(b"ok") == [Data(b"ok"), End()]
    with pytest.raises(AssertionError):
        side.informational(101)


def test_http_1_0_hears_nothing_informational() -> None:
    assert serving(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").informational(103, ((b"link", b"</a>"),)) == b""


def test_an_upgrade_gives_up_what_came_behind_it() -> None:
    side = serving(WEBSOCKET + b"\x81\x80")
    answer = side.respond(Response(101, ((b"sec-websocket-accept", b"x"),)), length=None)
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert answer.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert b"content-length" not in answer
    assert side.rest() == b"\x81\x80"
    assert side.rest() == b""
    assert not side.keeps_alive


def test_an_upgrade_that_is_refused_is_the_last_of_its_connection() -> None:
    side = serving(WEBSOCKET + GET)
    assert b"connection: close" in side.respond(Response(403, ()), length=0)
    side.end()
    assert not side.keeps_alive


def test_an_upgrade_that_nobody_asked_for_is_not_answered() -> None:
    with pytest.raises(AssertionError):
        serving().respond(Response(101, ()), length=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"a\r\nevil: 1"),
        (b"x", b"a\nevil: 1"),
        (b"x\r\nevil", b"1"),
        (b"x", b"a\0"),
        (b"x y", b"1"),
        (b"", b"1"),
        (b"x:", b""),
    ],
)
def test_a_field_that_would_be_two_is_not_written(name: bytes, value: bytes) -> None:
    with pytest.raises(MalformedError):
        serving().respond(Response(200, ((name, value),)), length=0)
    with pytest.raises(MalformedError):
        h1.ClientSide().request(Request("GET", "http", "a.test", "/", ((name, value),)), length=0)


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"])
def test_framing_is_written_by_the_codec_alone(name: bytes) -> None:
    with pytest.raises(AssertionError):
        serving().respond(Response(200, ((name, b"5"),)), length=0)
    with pytest.raises(AssertionError):
        h1.ClientSide().request(Request("GET", "http", "a.test", "/", ((name, b"5"),)), length=0)


@pytest.mark.parametrize(
    ("method", "authority", "target"),
    [
        ("GET", "a.test", "/ HTTP/1.1\r\nevil: 1\r\n"),
        ("GET", "a.test", "/\u010a\u4e2d"),
        ("GET /x HTTP/1.1\r\n", "a.test", "/"),
        ("CONNECT", "a.test", "a.test:443"),
        ("TRACE", "a.test", "/"),
        ("GET", "a.test\r\nevil: 1", "/"),
        ("GET", "a.test", "http://b.test/"),
        ("GET", "a.test", "*"),
        ("GET", "a.test", "/" + "x" * TARGET_BYTES),
    ],
)
def test_a_request_that_would_be_read_as_another_is_not_written(method: str, authority: str, target: str) -> None:
    with pytest.raises(MalformedError):
        h1.ClientSide().request(Request(method, "http", authority, target, ()), length=0)


def test_content_of_an_unknown_length_is_sent_in_chunks() -> None:
    side = h1.ClientSide()
    head = side.request(Request("POST", "http", "a.test", "/", ()), length=None)
    assert head == b"POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n"
    assert side.data(b"hello") + side.end() == b"5\r\nhello\r\n0\r\n\r\n"


def test_a_connection_serves_one_request_after_the_other() -> None:
    side = asking()
    for _ in range(3):
        assert side.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")[1:] == [Data(b"ok"), End()]
        assert side.reusable
        side.request(ASK, length=0)
        assert not side.reusable
        side.end()


def test_a_connection_is_not_good_for_another_request_while_one_is_sent() -> None:
    side = asking(Request("POST", "http", "a.test", "/", ()), 5)
    side.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert side.complete
    assert not side.reusable
    with pytest.raises(AssertionError):
        side.request(ASK, length=0)
    side.data(b"hello")
    side.end()
    assert side.reusable


def test_bytes_that_answer_no_request_are_nobodys_answer() -> None:
    with pytest.raises(MalformedError, match="no request"):
        h1.ClientSide().feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    side = asking()
    side.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(MalformedError, match="no request"):
        side.feed(b"H")
    assert not side.reusable


def test_a_target_changes_protocol_where_it_was_asked_to() -> None:
    side = asking(Request("GET", "http", "a.test", "/", (), "websocket"))
    (changed,) = side.feed(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00")
    assert isinstance(changed, Response)
    assert changed.status == 101
    assert side.rest() == b"\x81\x00"
    assert not side.reusable


@pytest.mark.parametrize("other", [b"h2c", b"websocket, h2c", b""])
def test_a_target_changes_to_no_other_protocol(other: bytes) -> None:
    side = asking(Request("GET", "http", "a.test", "/", (), "websocket"))
    with pytest.raises(MalformedError, match="nobody asked for"):
        side.feed(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: " + other + b"\r\n\r\n")


def test_informational_answers_have_a_bound() -> None:
    side = asking()
    with pytest.raises(MalformedError, match="informational"):
        side.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (h1.INFORMATIONAL + 1))


def test_an_idle_connection_that_closes_tells_of_no_answer() -> None:
    side = asking()
    side.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert side.closed() == []
    assert not side.reusable


def head(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


CHUNKED = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(b"x: " + b"y" * HEAD_BYTES), 431),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nx: " + b"y" * HEAD_BYTES, 431),
        (head(*[b"x: y"] * FIELDS), 431),
        (b"GET /" + b"x" * TARGET_BYTES + b" HTTP/1.1\r\nHost: a.test\r\n\r\n", 414),
        (CHUNKED + b"1;" + b"x" * 2_000, 400),
        (CHUNKED + (b"1;" + b"x" * 1_000 + b"\r\ny\r\n") * (EXTENSION_BYTES // 1_000 + 1), 400),
        (CHUNKED + b"0\r\n" + b"x: y\r\n" * (TRAILERS + 1) + b"\r\n", 431),
        (CHUNKED + b"0\r\nx: " + b"y" * 10_000, 431),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 1_000])
def test_everything_that_grows_has_a_bound(data: bytes, status: int, size: int) -> None:
    side = h1.ServerSide()
    with pytest.raises(MalformedError) as fault:
        [side.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert fault.value.status == status


def test_a_refusal_does_not_show_what_may_be_a_credential() -> None:
    for data in (
        head(b"Authorization: Bearer hunter2\x00"),
        head(b"Authorization : Bearer hunter2"),
        head(b"Cookie: hunter2", b" folded"),
        b"GET http://u:hunter2@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET /?token=hunter2 x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        head(b"Content-Length: hunter2"),
    ):
        with pytest.raises(MalformedError) as fault:
            h1.ServerSide().feed(data)
        assert "hunter2" not in str(fault.value)


def test_a_head_that_trickles_in_is_looked_at_once() -> None:
    side = h1.ServerSide()
    data = head(*[b"x: " + b"y" * 200] * 100)
    found = [message for at in range(len(data)) for message in side.feed(data[at : at + 1])]
    assert len(found) == 2
