"""Any frames: cut anywhere they are the same, damaged they are refused, and h2, another HTTP/2, understands us."""

from __future__ import annotations

from itertools import pairwise

import h2.config
import h2.connection
import h2.events
from hpack import Decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.h2_peer import GET, HELLO, POST, Peer, data, reset, story, window

from gatebook.protocols.http import h2 as ours
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.h2_blocks import NO_TABLE, block_of
from gatebook.protocols.http.message import Data, End, Request, Response

NAME = st.text(alphabet="abcxyz-!09", min_size=1, max_size=8).map(lambda name: b"x" + name.encode())
TEXT = st.binary(max_size=12).map(lambda data: bytes(one for one in data if one in b"\t" or 32 <= one != 127).strip(b" \t"))
FIELDS = st.lists(st.tuples(NAME, TEXT), max_size=5).map(tuple)
PIECES = st.lists(st.binary(min_size=1, max_size=20_000), max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a client might send, sound or not."""
    peer = Peer()
    sent = HELLO
    for number in range(draw(st.integers(1, 8))):
        stream = draw(st.sampled_from([1, 1, 3, 5, 2 * number + 1]))
        fields = (*draw(st.sampled_from([GET, POST, (), GET[:3]])), *draw(FIELDS))
        over = draw(st.booleans())
        sent += draw(
            st.sampled_from(
                [
                    peer.headers(stream, fields, over=over),
                    data(stream, b"hello", over=over),
                    data(stream, b"", over=over),
                    reset(stream),
                    window(draw(st.sampled_from([0, stream])), draw(st.integers(0, 70_000))),
                    wire.settings({wire.Setting.INITIAL_WINDOW_SIZE: draw(st.integers(0, 70_000))}),
                    wire.frame(draw(st.integers(0, 12)), draw(st.integers(0, 255)), stream, draw(st.binary(max_size=20))),
                ]
            )
        )
    return sent


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    sent = bytearray(draw(streams()))
    for _ in range(draw(st.integers(0, 3))):
        sent[draw(st.integers(0, len(sent) - 1))] = draw(st.integers(0, 255))
    return bytes(sent)


def run(sent: bytes, cuts: list[int]) -> tuple[str, bytes]:
    side = ours.ServerSide()
    edges = [0, *sorted({cut % (len(sent) + 1) for cut in cuts}), len(sent)]
    told: list[str] = []
    for begin, end in pairwise(edges):
        try:
            told.append(story(side.feed(sent[begin:end])))
        except MalformedError as fault:
            return f"refused: {fault}", side.due()
    return " ".join(line for line in told if line), side.due()


@given(sent=damaged(), cuts=st.lists(st.integers(0, 100_000), max_size=8))
@settings(max_examples=400)
def test_frames_cut_anywhere_are_the_same_story(sent: bytes, cuts: list[int]) -> None:
    assert run(sent, cuts) == run(sent, [])


@given(sent=st.binary(max_size=300), server=st.booleans())
@settings(max_examples=300)
def test_random_frames_raise_one_error_and_no_other(sent: bytes, server: bool) -> None:
    side = ours.ServerSide() if server else ours.ClientSide()
    try:
        side.feed((HELLO if server else wire.settings({})) + sent)
    except MalformedError:
        assert side.due()


@given(block=st.binary(max_size=200))
@settings(max_examples=500)
def test_random_header_blocks_raise_one_error_and_no_other(block: bytes) -> None:
    side = ours.ServerSide()
    try:
        told = side.feed(HELLO + wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, block))
    except MalformedError:
        return
    assert told


@given(fields=st.lists(st.tuples(st.one_of(NAME, st.sampled_from([b":path", b"cookie", b"x" * 300])), st.binary(max_size=400))))
@settings(max_examples=150)
def test_header_blocks_are_read_as_they_were_written(fields: list[tuple[bytes, bytes]]) -> None:
    assert [tuple(one) for one in Decoder().decode(NO_TABLE + block_of(fields), raw=True)] == fields


class Theirs:
    """h2 as the other end, which says what it understood."""

    def __init__(self, *, client: bool) -> None:
        config = h2.config.H2Configuration(client_side=client, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.head: tuple[tuple[bytes, bytes], ...] = ()
        self.content = b""
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()
        self.over = False

    def feed(self, sent: bytes) -> bytes:
        for event in self.connection.receive_data(sent):
            if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
                self.head = tuple((bytes(name), bytes(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers = tuple((bytes(name), bytes(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                self.content += event.data or b""
                self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            elif isinstance(event, h2.events.StreamEnded):
                self.over = True
        return self.connection.data_to_send()


def settle(side: ours.ServerSide | ours.ClientSide, theirs: Theirs) -> list[object]:
    """Carry bytes to and fro until nobody has any."""
    told: list[object] = []
    waiting = theirs.connection.data_to_send()
    while True:
        for number, one in side.feed(waiting):
            told.append(one)
            if isinstance(one, Data):
                side.consumed(number, len(one.data))
        sent = side.due()
        waiting = theirs.feed(sent)
        if not sent and not waiting:
            return told


@given(fields=FIELDS, pieces=PIECES, trailers=FIELDS, known=st.booleans())
@settings(max_examples=60, deadline=None)
def test_another_http_2_reads_our_answers_as_we_wrote_them(fields, pieces, trailers, known) -> None:
    theirs, side = Theirs(client=True), ours.ServerSide()
    theirs.connection.send_headers(1, [*GET, *fields], end_stream=True)
    asked, end = settle(side, theirs)
    assert asked == Request("GET", "https", "a.test", "/", fields)
    assert end == End()
    content = b"".join(pieces)
    sent = side.respond(1, Response(200, fields), length=len(content) if known else None)
    sent += b"".join(side.data(1, piece) for piece in pieces) + side.end(1, trailers)
    waiting = theirs.feed(sent)
    while waiting:
        side.feed(waiting)
        waiting = theirs.feed(side.due())
    lines = ((b"content-length", b"%d" % len(content)),) if known else ()
    assert theirs.head == ((b":status", b"200"), *fields, *lines)
    assert (theirs.content, theirs.trailers, theirs.over) == (content, trailers, True)
    assert side.idle


@given(fields=FIELDS, pieces=PIECES, answer=PIECES)
@settings(max_examples=60, deadline=None)
def test_another_http_2_reads_our_requests_as_we_wrote_them(fields, pieces, answer) -> None:
    theirs, side = Theirs(client=False), ours.ClientSide()
    settle(side, theirs)
    content = b"".join(pieces)
    number, sent = side.request(Request("POST", "https", "a.test", "/x", fields), length=len(content))
    waiting = theirs.feed(sent + b"".join(side.data(number, piece) for piece in pieces) + side.end(number))
    while waiting:
        side.feed(waiting)
        waiting = theirs.feed(side.due())
    assert theirs.head == (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"a.test"),
        (b":path", b"/x"),
        *fields,
        (b"content-length", b"%d" % len(content)),
    )
    assert (theirs.content, theirs.over) == (content, True)
    theirs.connection.send_headers(number, [(b":status", b"200"), *fields])
    told: list[object] = []
    for piece in answer:
        for at in range(0, len(piece), 16_384):
            theirs.connection.send_data(number, piece[at : at + 16_384])
            told += settle(side, theirs)
    theirs.connection.end_stream(number)
    told += settle(side, theirs)
    assert told[0] == Response(200, fields)
    assert b"".join(one.data for one in told if isinstance(one, Data)) == b"".join(answer)
    assert told[-1] == End()
    assert side.idle
