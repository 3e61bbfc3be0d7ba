"""HTTP/2, both sides: streams, windows, ends."""

from __future__ import annotations

import logging.config

import pytest
from hpack import Decoder
from tests.protocols.http.h2_peer import GET, HELLO, POST, Peer, asking, data, reset, serving, story, window

from gatebook.protocols.http import h2
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.h2_blocks import block_of
from gatebook.protocols.http.h2_connection import CONNECTION_WINDOW, STALLED, STREAMS, WINDOW
from gatebook.protocols.http.h2_frames import BrokenConnectionError, Code, Frame, Setting
from gatebook.protocols.http.message import Data, End, Request, Response

OK = Response(200, ((b"content-type", b"text/plain"),))
ASK = Request("GET", "https", "a.test", "/", ((b"authorization", b"Bearer x"),))
WEBSOCKET = ((b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:])


def kinds(frames: list[Frame]) -> list[int]:
    return [one.kind for one in frames]


def ended(frames: list[Frame]) -> bool:
    return bool(frames[-1].flags & wire.END_STREAM)


def test_a_request_and_its_answer_are_of_one_stream() -> None:
    side, peer = serving()
    assert side.feed(peer.headers(1, GET, over=True)) == [(1, Request("GET", "https", "a.test", "/", ())), (1, End())]
    head = peer.read(side.respond(1, OK, length=5))
    assert kinds(head) == [wire.HEADERS]
    (last,) = peer.read(side.data(1, b"hello") + side.end(1))[-1:]
    assert ended([last])
    assert side.idle


def test_streams_are_answered_in_any_order() -> None:
    side, peer = serving()
    told = side.feed(peer.headers(1, POST) + peer.headers(3, GET, over=True) + data(1, b"x", over=True))
    assert [number for number, _ in told] == [1, 3, 3, 1, 1]
    for number in (3, 1):
        frames = peer.read(side.respond(number, OK, length=0) + side.end(number))
        assert {one.stream for one in frames} == {number}
    assert side.idle


def test_the_length_is_told_of_requests_with_and_without_content() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True) + peer.headers(3, POST) + peer.headers(5, (*POST, (b"content-length", b"7"))))
    assert [side.length(number) for number in (1, 3, 5)] == [0, None, 7]


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_an_answer_without_content_ends_with_its_head(method: bytes, status: int) -> None:
    side, peer = serving()
    side.feed(peer.headers(1, ((b":method", method), *GET[1:]), over=True))
    assert ended(peer.read(side.respond(1, Response(status, ()), length=5)))
    assert side.end(1) == b""


def test_trailers_end_an_answer() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=None)
    frames = peer.read(side.data(1, b"x") + side.end(1, ((b"grpc-status", b"0"), (b"content-length", b"9"))))
    assert kinds(frames) == [wire.DATA, wire.HEADERS]
    assert ended(frames)
    assert not ended(frames[:1])


def test_an_answer_of_a_head_alone_is_one_frame() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    frames = peer.read(side.respond(1, Response(200, ((b"grpc-status", b"7"),)), length=None, over=True))
    assert kinds(frames) == [wire.HEADERS]
    assert ended(frames)
    assert side.idle


def test_an_answer_is_as_long_as_it_says_in_http_2() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=5)
    with pytest.raises(MalformedError):
        side.data(1, b"hello!")


def test_a_request_is_answered_once_and_by_its_head_first() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    with pytest.raises(AssertionError):
        side.data(1, b"x")
    with pytest.raises(AssertionError):
        side.respond(1, Response(103, ()), length=0)
    side.respond(1, OK, length=None)
    with pytest.raises(AssertionError):
        side.respond(1, OK, length=None)


def test_what_the_client_has_no_window_for_waits() -> None:
    side, peer = serving({Setting.INITIAL_WINDOW_SIZE: 10})
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=None)
    assert [one.payload for one in peer.read(side.data(1, b"x" * 25))] == [b"x" * 10]
    assert side.waiting(1) == 15
    assert side.end(1) == b""
    assert side.feed(window(1, 10)) == []
    assert side.waiting(1) == 5
    assert side.feed(window(1, 5)) == []
    frames = peer.read(side.due())
    assert [len(one.payload) for one in frames] == [10, 5]
    assert ended(frames)


def test_the_driver_is_told_when_there_is_room_again() -> None:
    side, peer = serving({Setting.INITIAL_WINDOW_SIZE: 0})
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=None)
    side.data(1, b"hello")
    assert side.feed(window(1, 4)) == []
    assert side.feed(window(1, 4)) == [(1, h2.Room())]
    assert side.waiting(1) == 0


def test_the_connections_window_is_shared_in_turn() -> None:
    side, peer = serving({Setting.INITIAL_WINDOW_SIZE: 1_000_000})
    for number in (1, 3):
        side.feed(peer.headers(number, GET, over=True))
        side.respond(number, OK, length=None)
        side.data(number, b"x" * 100_000)
    peer.read(side.due())
    side.feed(window(0, 65_536))
    sent = [(one.stream, len(one.payload)) for one in peer.read(side.due())]
    assert {number for number, _ in sent} == {1, 3}
    assert sum(size for _, size in sent) == 65_536


def test_a_window_may_shrink_below_nothing() -> None:
    side, peer = serving({Setting.INITIAL_WINDOW_SIZE: 100})
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=None)
    side.data(1, b"x" * 100)
    side.feed(wire.settings({Setting.INITIAL_WINDOW_SIZE: 50}) + window(1, 50))
    peer.read(side.due())
    assert side.data(1, b"y") == b""
    assert side.feed(window(1, 1)) == [(1, h2.Room())]


def test_a_client_may_send_no_more_than_was_passed_on() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, POST))
    piece = data(1, b"x" * 16_384)
    for _ in range(WINDOW // 16_384):
        side.feed(piece)
    assert side.due() == b""
    with pytest.raises(BrokenConnectionError) as fault:
        side.feed(piece)
    assert fault.value.code == Code.FLOW_CONTROL_ERROR


def test_what_was_passed_on_may_be_sent_again() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, POST))
    for _ in range(200):
        side.feed(data(1, b"x" * 16_384))
        side.consumed(1, 16_384)
    assert not side.idle


def test_what_came_for_a_stream_that_ended_is_no_burden_on_the_others() -> None:
    side, peer = serving()
    for number in range(1, 3 * CONNECTION_WINDOW // 16_384, 2):
        side.feed(peer.headers(number, POST) + data(number, b"x" * 16_384))
        side.reset(number)
        side.feed(data(number, b"y" * 16_384))


def test_padding_is_taken_off_and_given_back() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, POST))
    padded = wire.frame(wire.DATA, wire.PADDED, 1, b"\xff" + b"x" + bytes(255))
    for _ in range(2 * WINDOW // 257):
        assert side.feed(padded) == [(1, Data(b"x"))]


def test_a_head_may_come_in_pieces() -> None:
    side, peer = serving()
    block = peer.headers(1, GET)[9:]
    pieces = [block[:5], block[5:6], block[6:]]
    sent = wire.frame(wire.HEADERS, wire.END_STREAM, 1, pieces[0]) + wire.frame(wire.CONTINUATION, 0, 1, pieces[1])
    assert story(side.feed(sent + wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1, pieces[2]))) == "request GET a.test / end"


def test_a_long_head_is_sent_in_pieces() -> None:
    side, peer = asking()
    fields = tuple((b"x-%d" % number, b"y" * 1_000) for number in range(40))
    _, sent = side.request(Request("GET", "https", "a.test", "/", fields), length=0, over=True)
    frames = peer.read(sent)
    assert kinds(frames) == [wire.HEADERS, *[wire.CONTINUATION] * (len(frames) - 1)]
    server, _ = serving()
    told = server.feed(sent)
    assert told[0] == (1, Request("GET", "https", "a.test", "/", fields))


def test_a_client_that_gives_up_is_heard_and_later_answers_go_nowhere() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    assert side.feed(reset(1)) == [(1, h2.Reset(Code.CANCEL))]
    assert side.respond(1, OK, length=5) + side.data(1, b"hello") + side.end(1) == b""
    assert side.idle


def test_streams_past_the_most_are_refused() -> None:
    side, peer = serving()
    for number in range(STREAMS):
        side.feed(peer.headers(2 * number + 1, GET, over=True))
    peer.read(side.due())
    assert side.feed(peer.headers(2 * STREAMS + 1, GET, over=True)) == []
    (refused,) = peer.read(side.due())
    assert (refused.kind, refused.stream, refused.payload) == (wire.RST_STREAM, 201, wire.u32(Code.REFUSED_STREAM))


def test_a_connection_that_drains_serves_what_it_has() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, POST))
    (farewell,) = peer.read(side.drain())
    assert (farewell.kind, farewell.payload) == (wire.GOAWAY, wire.u32(1) + wire.u32(0))
    assert side.drain() == b""
    assert side.feed(peer.headers(3, POST) + data(3, b"x", over=True) + reset(3)) == []
    assert story(side.feed(data(1, b"hello", over=True))) == "content hello end"
    side.respond(1, OK, length=0)
    side.end(1)
    assert side.idle


def test_a_target_that_says_farewell_still_answers_what_it_has() -> None:
    side, peer = asking()
    for _ in range(2):
        side.request(ASK, length=0, over=True)
    told = side.feed(wire.goaway(1, Code.NO_ERROR))
    assert told == [(3, h2.Reset(Code.REFUSED_STREAM))]
    assert not side.reusable
    assert story(side.feed(peer.headers(1, ((b":status", b"200"),)) + data(1, b"hello", over=True))) == (
        "answer 200 content hello end"
    )
    assert side.idle


def test_an_answer_is_read_with_its_length_and_trailers() -> None:
    side, peer = asking()
    number, sent = side.request(ASK, length=0, over=True)
    assert ended(peer.read(sent))
    head = peer.headers(number, ((b":status", b"200"), (b"content-length", b"5")))
    told = side.feed(head + data(1, b"hello") + peer.headers(1, ((b"x-sum", b"1"),), over=True))
    assert story(told) == "answer 200 content hello end x-sum=1"
    assert side.length(number) == 5
    assert side.reusable


@pytest.mark.parametrize(
    ("fields", "content", "expected"),
    [
        (((b":status", b"200"), (b"content-length", b"9")), b"hello", "answer 200 reset"),
        (((b":status", b"200"), (b"content-length", b"1")), b"hello", "answer 200 reset"),
        (((b":status", b"200"), (b"content-length", b"9")), None, "answer 200 reset"),
        (((b":status", b"101"),), None, "reset"),
        (((b":status", b"099"),), None, "reset"),
        (((b":status", b"20"),), None, "reset"),
        (((b":status", b"2000"),), None, "reset"),
        (((b":status", b"+20"),), None, "reset"),
        ((), None, "reset"),
        (((b":status", b"200"), (b":status", b"200")), None, "reset"),
        (((b":status", b"200"), (b"x", b"a\r\nb: c")), None, "reset"),
        (((b":status", b"200"), (b"transfer-encoding", b"chunked")), None, "reset"),
        (((b":status", b"204"), (b"content-length", b"1")), None, "reset"),
        (((b":status", b"204"),), b"x", "answer 204 reset"),
        (((b":status", b"103"),), None, "reset"),
        (((b":path", b"/"), (b":status", b"200")), None, "reset"),
    ],
)
def test_an_answer_that_lies_is_not_whole(
    fields: tuple[tuple[bytes, bytes], ...], content: bytes | None, expected: str
) -> None:
    side, peer = asking()
    side.request(ASK, length=0, over=True)
    sent = peer.headers(1, fields, over=content is None)
    assert story(side.feed(sent + (b"" if content is None else data(1, content, over=True)))) == expected
    assert side.idle


def test_content_to_head_ends_the_stream() -> None:
    side, peer = asking()
    side.request(Request("HEAD", "https", "a.test", "/", ()), length=0, over=True)
    told = side.feed(peer.headers(1, ((b":status", b"200"), (b"content-length", b"5"))) + data(1, b"hello", over=True))
    assert story(told) == "answer 200 reset"


def test_an_answer_to_head_has_its_length_and_no_content() -> None:
    side, peer = asking()
    side.request(Request("HEAD", "https", "a.test", "/", ()), length=0, over=True)
    assert story(side.feed(peer.headers(1, ((b":status", b"200"), (b"content-length", b"5")), over=True))) == "answer 200 end"
    assert side.length(1) == 5


def test_informational_answers_come_before_the_one_that_counts() -> None:
    side, peer = asking()
    side.request(ASK, length=0, over=True)
    hints = peer.headers(1, ((b":status", b"103"),))
    assert story(side.feed(hints * 2 + peer.headers(1, ((b":status", b"200"),), over=True))) == (
        "answer 103 answer 103 answer 200 end"
    )
    side.request(ASK, length=0, over=True)
    assert story(side.feed(peer.headers(3, ((b":status", b"103"),)) * 17)).endswith("reset")


def test_a_target_that_closes_before_the_end_has_not_answered() -> None:
    side, peer = asking()
    side.request(ASK, length=0, over=True)
    side.feed(peer.headers(1, ((b":status", b"200"),)))
    assert not side.idle  # as the driver sees when the connection is lost
    assert side.feed(reset(1, Code.NO_ERROR)) == [(1, h2.Reset(Code.NO_ERROR))]


def test_a_target_says_how_many_streams_it_takes() -> None:
    side, _ = asking({Setting.MAX_CONCURRENT_STREAMS: 1})
    side.request(ASK, length=0, over=True)
    assert not side.reusable
    with pytest.raises(AssertionError):
        side.request(ASK, length=0, over=True)


def test_one_request_goes_out_before_the_target_has_said_how_many_it_takes() -> None:
    side = h2.ClientSide()
    assert side.reusable
    side.request(ASK, length=0, over=True)
    assert not side.reusable
    side.feed(wire.settings({}))
    assert side.reusable


def test_a_websocket_is_a_get_whichever_version_carries_it() -> None:
    side, peer = serving()
    assert story(side.feed(peer.headers(1, WEBSOCKET))) == "request GET a.test / websocket"
    answer = side.respond(1, Response(101, ((b"sec-websocket-accept", b"x"),)), length=None)
    target, _ = asking({Setting.ENABLE_CONNECT_PROTOCOL: 1})
    target.request(Request("GET", "https", "a.test", "/", ((b"sec-websocket-key", b"x"),), "websocket"), length=None)
    told = target.feed(answer)
    assert told == [(1, Response(101, ()))]
    assert story(side.feed(data(1, b"\x81\x80"))) == "content \x81\x80"


def test_a_websocket_that_is_refused_is_no_websocket() -> None:
    target, peer = asking({Setting.ENABLE_CONNECT_PROTOCOL: 1})
    target.request(Request("GET", "https", "a.test", "/", (), "websocket"), length=None)
    assert story(target.feed(peer.headers(1, ((b":status", b"403"),), over=True))) == "answer 403 end"


def test_a_target_without_websockets_over_http_2_is_asked_for_none() -> None:
    side, _ = asking()
    assert not side.tunnels
    with pytest.raises(AssertionError):
        side.request(Request("GET", "https", "a.test", "/", (), "websocket"), length=None)


@pytest.mark.parametrize("name", [b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"])
def test_framing_is_written_by_the_codec_alone_in_http_2(name: bytes) -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    with pytest.raises(AssertionError):
        side.respond(1, Response(200, ((name, b"5"),)), length=0)
    with pytest.raises(AssertionError):
        asking()[0].request(Request("GET", "https", "a.test", "/", ((name, b"5"),)), length=0)


def test_fields_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # as uvicorn does
    side, _ = asking()
    _, sent = side.request(ASK, length=0, over=True)
    serving()[0].feed(sent)
    assert caplog.text == ""


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"set-cookie", b"x-api-key"])
def test_secrets_are_marked_for_no_table(name: bytes) -> None:
    (field,) = Decoder().decode(block_of([(name, b"x")]), raw=True)
    assert tuple(field) == (name, b"x")
    assert not field.indexable


BROKEN = {
    "not http/2": (b"GET / HTTP/1.1\r\n\r\n", Code.PROTOCOL_ERROR),
    "no settings first": (wire.PREFACE + wire.frame(wire.PING, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
    "too long": (HELLO + b"\x00\x40\x01" + bytes(6), Code.FRAME_SIZE_ERROR),
    "data of nothing": (HELLO + data(1, b"x"), Code.PROTOCOL_ERROR),
    "data of stream 0": (HELLO + data(0, b"x"), Code.PROTOCOL_ERROR),
    "end of nothing": (HELLO + reset(1), Code.PROTOCOL_ERROR),
    "window of nothing": (HELLO + window(1, 1), Code.PROTOCOL_ERROR),
    "window by nothing": (HELLO + window(0, 0), Code.PROTOCOL_ERROR),
    "window too wide": (HELLO + window(0, 2**31 - 1), Code.FLOW_CONTROL_ERROR),
    "even stream": (HELLO + Peer().headers(2, GET), Code.PROTOCOL_ERROR),
    "pushed": (HELLO + wire.frame(wire.PUSH_PROMISE, wire.END_HEADERS, 1, wire.u32(2)), Code.PROTOCOL_ERROR),
    "continuation of nothing": (HELLO + wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1), Code.PROTOCOL_ERROR),
    "frame in a block": (HELLO + Peer().headers(1, GET, whole=False) + wire.frame(wire.PING, 0, 0, bytes(8)), Code(1)),
    "other stream in a block": (HELLO + Peer().headers(1, GET, whole=False) + wire.frame(wire.CONTINUATION, 4, 3), Code(1)),
    "padding too long": (HELLO + Peer().headers(1, POST) + wire.frame(wire.DATA, wire.PADDED, 1, b"\x05abc"), Code(1)),
    "not compressed": (HELLO + wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), Code.COMPRESSION_ERROR),
    "table too large": (HELLO + wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x3f\xe1\xff\x03\x82"), Code.COMPRESSION_ERROR),
    "ping cut short": (HELLO + wire.frame(wire.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
    "settings cut short": (HELLO + wire.frame(wire.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
    "settings of a stream": (HELLO + wire.frame(wire.SETTINGS, 0, 1, bytes(6)), Code.PROTOCOL_ERROR),
    "window setting": (HELLO + wire.settings({Setting.INITIAL_WINDOW_SIZE: 2**31}), Code.FLOW_CONTROL_ERROR),
    "frame setting": (HELLO + wire.settings({Setting.MAX_FRAME_SIZE: 1}), Code.PROTOCOL_ERROR),
    "data behind the end": (HELLO + Peer().headers(1, GET, over=True) + data(1, b"x"), Code.STREAM_CLOSED),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_against_the_protocol_ends_the_connection(name: str) -> None:
    sent, code = BROKEN[name]
    side = h2.ServerSide()
    Peer().read(side.due())
    with pytest.raises(BrokenConnectionError) as fault:
        side.feed(sent)
    assert fault.value.code == code
    farewell = Peer().read(side.due())[-1]
    assert (farewell.kind, farewell.payload[4:]) == (wire.GOAWAY, wire.u32(code))
    with pytest.raises(BrokenConnectionError):
        side.feed(b"")


def test_a_stream_whose_window_stays_shut_is_ended() -> None:
    side, peer = serving({Setting.INITIAL_WINDOW_SIZE: 0})
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, OK, length=None)
    side.data(1, b"hello")
    told = [one for _ in range(STALLED + 1) for one in side.tick()]
    assert [number for number, _ in told] == [1]
    assert side.idle
