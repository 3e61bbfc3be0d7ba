"""WebSockets between two sides: strict frames, whole texts, an opening that agrees to nothing new. After Autobahn's cases."""

from __future__ import annotations

import itertools
from itertools import pairwise

import pytest
import wsproto.frame_protocol as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.message import Fields, Request, Response
from gatebook.protocols.http.websocket import (
    CONTROL_BYTES,
    Binary,
    Close,
    Closing,
    Heard,
    Ping,
    Pong,
    Reader,
    SocketError,
    Text,
    Writer,
    accept,
    agreed,
    answer,
    asked,
    masked,
    offered,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
OURS = b"AAAAAAAAAAAAAAAAAAAAAA=="
MASK = b"\x37\xfa\x21\x3d"


def frame(first: int, payload: bytes = b"", *, mask: bytes = b"") -> bytes:
    """One frame as short as it can be."""
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65_536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + (mask + masked(payload, mask) if mask else payload)


def joined(heard: list[Heard]) -> list[Heard]:
    """Pieces of one binary message as one."""
    found: list[Heard] = []
    for one in heard:
        before = found[-1] if found else None
        if isinstance(one, Binary) and isinstance(before, Binary) and not before.last:
            found[-1] = Binary(before.data + one.data, one.last)
        else:
            found.append(one)
    return found


TEXT, BINARY, CONT, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A
SOUND: dict[str, tuple[bytes, list[Heard]]] = {
    "1.1.1 no text": (frame(TEXT), [Text(b"")]),
    "1.1.2 text": (frame(TEXT, b"*" * 125), [Text(b"*" * 125)]),
    "1.1.3 text of 126": (frame(TEXT, b"*" * 126), [Text(b"*" * 126)]),
    "1.1.6 text of 65535": (frame(TEXT, b"*" * 65_535), [Text(b"*" * 65_535)]),
    "1.1.7 text of 65536": (frame(TEXT, b"*" * 65_536), [Text(b"*" * 65_536)]),
    "1.2.1 no binary": (frame(BINARY), [Binary(b"", True)]),
    "1.2.7 binary of 65536": (frame(BINARY, b"\xfe" * 65_536), [Binary(b"\xfe" * 65_536, True)]),
    "2.1 ping of nothing": (frame(PING), [Ping(b"")]),
    "2.4 ping of 125": (frame(PING, b"\xfe" * 125), [Ping(b"\xfe" * 125)]),
    "2.7 pong unasked": (frame(PONG), [Pong(b"")]),
    "5.3 text in two": (frame(0x01, b"frag") + frame(CONT, b"ment"), [Text(b"fragment")]),
    "5.6 ping within a text": (frame(0x01, b"a") + frame(PING, b"p") + frame(CONT, b"b"), [Ping(b"p"), Text(b"ab")]),
    "5.8 ping within a text, in three": (
        frame(0x01, b"a") + frame(0x00) + frame(PING) + frame(CONT, b"b"),
        [Ping(b""), Text(b"ab")],
    ),
    "binary in three": (frame(0x02, b"a") + frame(0x00, b"b") + frame(CONT, b"c"), [Binary(b"abc", True)]),
    "binary with an empty end": (frame(0x02, b"a") + frame(CONT), [Binary(b"a", True)]),
    "6.2.4 a character in two frames": (frame(0x01, "κ".encode()[:1]) + frame(CONT, "κ".encode()[1:]), [Text("κ".encode())]),
    "7.1.1 close": (frame(TEXT, b"hi") + frame(CLOSE, b"\x03\xe8"), [Text(b"hi"), Close(1000)]),
    "7.1.4 text behind the close": (frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"hi"), [Close(1000)]),
    "7.3.1 close of nothing": (frame(CLOSE), [Close(1005)]),
    "7.3.4 close with a reason": (frame(CLOSE, b"\x03\xe8bye"), [Close(1000, b"bye")]),
    "7.7.X codes": (frame(CLOSE, (4999).to_bytes(2, "big")), [Close(4999)]),
}
LIES: dict[str, tuple[bytes, Closing]] = {
    "2.5 ping of 126": (frame(PING, b"x" * 126), Closing.PROTOCOL_ERROR),
    "3.1 reserved bit 3": (frame(0x91, b"x"), Closing.PROTOCOL_ERROR),
    "3.2 reserved bit 2": (frame(0xA1, b"x"), Closing.PROTOCOL_ERROR),
    "3.4 reserved bit 1, as compression has it": (frame(0xC1, b"x"), Closing.PROTOCOL_ERROR),
    "3.7 reserved bits of a close": (frame(0xF8), Closing.PROTOCOL_ERROR),
    "4.1.1 opcode 3": (frame(0x83), Closing.PROTOCOL_ERROR),
    "4.2.1 opcode 11": (frame(0x8B), Closing.PROTOCOL_ERROR),
    "5.1 ping in pieces": (frame(0x09, b"x"), Closing.PROTOCOL_ERROR),
    "5.9 continuation of nothing": (frame(CONT, b"x"), Closing.PROTOCOL_ERROR),
    "5.15 continuation behind the end": (frame(0x01) + frame(CONT) + frame(0x00), Closing.PROTOCOL_ERROR),
    "5.18 text within a text": (frame(0x01, b"a") + frame(TEXT, b"b"), Closing.PROTOCOL_ERROR),
    "binary within a text": (frame(0x01, b"a") + frame(BINARY, b"b"), Closing.PROTOCOL_ERROR),
    "text within a binary": (frame(0x02, b"a") + frame(TEXT, b"b"), Closing.PROTOCOL_ERROR),
    "6.3.1 not UTF-8": (frame(TEXT, b"\xce\xba\xed\xa0\x80"), Closing.BAD_DATA),
    "6.4.1 not UTF-8, in pieces": (frame(0x01, b"\xf4\x90") + frame(CONT, b"\x80\x80"), Closing.BAD_DATA),
    "6.14 half a character": (frame(TEXT, b"\xce"), Closing.BAD_DATA),
    "overlong": (frame(TEXT, b"\xc0\xaf"), Closing.BAD_DATA),
    "7.3.2 close of one byte": (frame(CLOSE, b"a"), Closing.PROTOCOL_ERROR),
    "7.3.6 close of 126": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), Closing.PROTOCOL_ERROR),
    "7.5.1 close with a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xce\xed\xa0\x80"), Closing.BAD_DATA),
    **{
        f"7.9 close code {code}": (frame(CLOSE, code.to_bytes(2, "big")), Closing.PROTOCOL_ERROR)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "length in too many bytes": (b"\x81\x7e\x00\x05hello", Closing.PROTOCOL_ERROR),
    "length in far too many bytes": (b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xffhello", Closing.PROTOCOL_ERROR),
    "length below zero": (b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", Closing.PROTOCOL_ERROR),
    "a text that never ends": (b"\x81\x7f\x00\x00\x00\x00\xff\xff\xff\xff", Closing.TOO_BIG),
    "texts that add up": ((frame(0x01, b"x" * 600_000) + frame(CONT, b"x" * 600_000)), Closing.TOO_BIG),
    "a mask where none is due": (frame(TEXT, b"x", mask=MASK), Closing.PROTOCOL_ERROR),
}


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("size", [1_000_000, 1_000, 1])
def test_sound_frames_are_heard(name: str, size: int) -> None:
    sent, expected = SOUND[name]
    side = Reader(of_client=False)
    heard = [one for piece in cut(sent, size if len(sent) < 5_000 else max(size, 1_000)) for one in side.feed(piece)]
    assert joined(heard) == expected


@pytest.mark.parametrize("name", LIES)
def test_lies_end_the_socket_with_their_code(name: str) -> None:
    sent, closing = LIES[name]
    side = Reader(of_client=False)
    with pytest.raises(SocketError) as fault:
        side.feed(sent)
    assert fault.value.closing == closing
    with pytest.raises(SocketError):
        side.feed(b"")


def test_a_client_masks_what_it_sends() -> None:
    side = Reader(of_client=True)
    assert side.feed(frame(TEXT, b"Hello", mask=MASK)) == [Text(b"Hello")]
    assert joined([one for piece in cut(frame(BINARY, b"abcdefghij", mask=MASK), 3) for one in side.feed(piece)]) == [
        Binary(b"abcdefghij", True)
    ]
    with pytest.raises(SocketError, match="without its mask"):
        side.feed(frame(TEXT, b"Hello"))


def test_the_example_of_the_standard_is_read_and_written() -> None:
    assert Reader(of_client=True).feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [Text(b"Hello")]
    assert Writer(lambda: MASK).say(Text(b"Hello")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert Writer().say(Text(b"Hello")) == bytes.fromhex("810548656c6c6f")


def test_a_text_in_many_pieces_goes_on_as_one_frame() -> None:
    side = Reader(of_client=False)
    sent = frame(0x01) + frame(0x00, b"x") * 1_000 + frame(CONT)
    (text,) = side.feed(sent)
    assert Writer().say(text) == frame(TEXT, b"x" * 1_000)


def test_a_binary_message_passes_in_pieces_and_is_not_held() -> None:
    side, on = Reader(of_client=False), Writer()
    sent = b"\x82\x7f" + (1 << 40).to_bytes(8, "big")
    assert side.feed(sent) == []
    assert side.feed(b"x" * 100_000) == [Binary(b"x" * 100_000, False)]
    assert on.say(Binary(b"a", False)) + on.say(Ping(b"")) + on.say(Binary(b"b", True)) == (
        frame(0x02, b"a") + frame(PING) + frame(CONT, b"b")
    )


def test_nothing_is_written_behind_a_close() -> None:
    on = Writer()
    assert on.say(Close(1000, b"bye")) == frame(CLOSE, b"\x03\xe8bye")
    with pytest.raises(AssertionError):
        on.say(Ping(b""))


def test_a_long_reason_is_cut_between_characters() -> None:
    said = Writer().say(Close(1008, ("é" * 200).encode()))
    assert len(said) <= 2 + CONTROL_BYTES
    assert Reader(of_client=False).feed(said) == [Close(1008, ("é" * 61).encode())]


def test_a_code_that_nobody_may_send_is_not_sent() -> None:
    assert Writer().say(Close(1005)) == frame(CLOSE)
    with pytest.raises(AssertionError):
        Writer().say(Close(1006))


HEARD = st.lists(
    st.one_of(
        st.text(max_size=300).map(lambda text: Text(text.encode())),
        st.binary(max_size=300).map(lambda data: Binary(data, True)),
        st.binary(max_size=CONTROL_BYTES).map(Ping),
        st.binary(max_size=CONTROL_BYTES).map(Pong),
    ),
    max_size=6,
)


@given(said=HEARD, client=st.booleans(), cuts=st.lists(st.integers(0, 2_000), max_size=6))
@settings(max_examples=200)
def test_what_is_written_is_read_again_however_it_is_cut(said: list[Heard], client: bool, cuts: list[int]) -> None:
    keys = (bytes([number % 256] * 3 + [7]) for number in itertools.count())
    on = Writer((lambda: next(keys)) if client else None)
    sent = b"".join(on.say(one) for one in said)
    side = Reader(of_client=client)
    edges = [0, *sorted({at % (len(sent) + 1) for at in cuts}), len(sent)]
    assert joined([one for begin, end in pairwise(edges) for one in side.feed(sent[begin:end])]) == said


@given(said=HEARD, client=st.booleans())
@settings(max_examples=100)
def test_another_websocket_reads_what_we_write(said: list[Heard], client: bool) -> None:
    on = Writer((lambda: MASK) if client else None)
    reader = theirs.FrameProtocol(client=not client, extensions=[])
    reader.receive_bytes(b"".join(on.say(one) for one in said))
    found: list[Heard] = []
    for one in reader.received_frames():
        data = one.payload.encode() if isinstance(one.payload, str) else bytes(one.payload)
        match one.opcode:
            case theirs.Opcode.PING:
                found.append(Ping(data))
            case theirs.Opcode.PONG:
                found.append(Pong(data))
            case theirs.Opcode.TEXT:
                found.append(Text(data))
            case _:
                found.append(Binary(data, one.message_finished))
    assert found == said


@given(data=st.binary(max_size=300), client=st.booleans(), at=st.integers(0, 300))
@settings(max_examples=300)
def test_random_frames_of_a_websocket_raise_one_error(data: bytes, client: bool, at: int) -> None:
    stories = []
    for pieces in ([data], [data[:at], data[at:]]):
        side = Reader(of_client=client)
        heard: list[Heard] = []
        try:
            for piece in pieces:
                heard += side.feed(piece)
            stories.append(joined(heard))
        except SocketError as fault:
            stories.append([str(fault)])
    assert stories[0] == stories[1]


# The opening -----------------------------------------------------------------------------------------------------------


def opening(*more: tuple[bytes, bytes], method: str = "GET", upgrade: str = "websocket", key: bytes | None = KEY) -> Request:
    keys: Fields = ((b"sec-websocket-key", key),) if key is not None else ()
    fields = ((b"origin", b"https://a.test"), *keys, (b"sec-websocket-version", b"13"), *more)
    return Request(method, "https", "a.test", "/s", fields, upgrade)


def test_an_opening_has_a_key() -> None:
    assert asked(opening()) == KEY
    assert accept(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert asked(opening(key=None)) == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (opening(upgrade="h2c"), 501),
        (opening(upgrade="spdy/3.1"), 501),
        (opening(upgrade=""), 501),
        (opening(method="POST"), 400),
        (opening(key=b"short"), 400),
        (opening(key=b"dGhlIHNhbXBsZSBub25jZR=="), 400),
        (opening((b"sec-websocket-key", KEY)), 400),
        (opening((b"sec-websocket-version", b"8")), 426),
        (opening((b"sec-websocket-protocol", b"a, b, a")), 400),
        (opening((b"sec-websocket-protocol", b"a b")), 400),
    ],
)
def test_an_opening_that_is_not_sound_is_refused(request_: Request, status: int) -> None:
    with pytest.raises(MalformedError) as fault:
        asked(request_)
    assert fault.value.status == status


def test_the_target_hears_no_offer_of_extensions_and_a_key_of_ours() -> None:
    asks = opening((b"sec-websocket-extensions", b"permessage-deflate"), (b"sec-websocket-protocol", b"chat, super"))
    assert offered(asks.fields, OURS) == (
        (b"origin", b"https://a.test"),
        (b"sec-websocket-protocol", b"chat, super"),
        (b"sec-websocket-key", OURS),
        (b"sec-websocket-version", b"13"),
    )


def test_the_client_gets_the_answer_to_its_own_key() -> None:
    asks = opening((b"sec-websocket-protocol", b"chat, super"))
    said = Response(101, ((b"sec-websocket-accept", accept(OURS)), (b"sec-websocket-protocol", b"super"), (b"x", b"y")))
    assert agreed(asks, said, OURS) == b"super"
    assert answer(said.fields, KEY) == Response(
        101, ((b"sec-websocket-protocol", b"super"), (b"x", b"y"), (b"sec-websocket-accept", accept(KEY)))
    )
    assert agreed(asks, Response(101, ()), b"") == b""


@pytest.mark.parametrize(
    "more",
    [
        ((b"sec-websocket-accept", b"x"),),
        (),
        ((b"sec-websocket-accept", accept(OURS)), (b"sec-websocket-accept", accept(OURS))),
        ((b"sec-websocket-accept", accept(OURS)), (b"sec-websocket-extensions", b"permessage-deflate")),
        ((b"sec-websocket-accept", accept(OURS)), (b"sec-websocket-protocol", b"other")),
        ((b"sec-websocket-accept", accept(OURS)), (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-protocol", b"chat")),
    ],
)
def test_a_target_agrees_to_what_was_offered_and_nothing_else(more: Fields) -> None:
    with pytest.raises(MalformedError):
        agreed(opening((b"sec-websocket-protocol", b"chat")), Response(101, more), OURS)
