"""What costs a peer nothing is counted, and ends the connection before it costs us."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.protocols.http.h2_peer import GET, POST, Peer, data, reset, serving, window

from gatebook.protocols.http import h2
from gatebook.protocols.http import h2_frames as wire
from gatebook.protocols.http.checks import HEAD_BYTES
from gatebook.protocols.http.h2_connection import CONNECTION_WINDOW, WINDOW
from gatebook.protocols.http.h2_frames import BrokenConnectionError, Code, Setting
from gatebook.protocols.http.message import Data, Response

FLOODS: dict[str, Callable[[Peer, int], bytes]] = {
    "rapid reset": lambda peer, n: peer.headers(2 * n + 1, GET, over=True) + reset(2 * n + 1),
    "made to reset by lies": lambda peer, n: peer.headers(2 * n + 1, (*GET, (b"content-length", b"5")), over=True),
    "made to reset by windows": lambda peer, n: peer.headers(2 * n + 1, POST) + window(2 * n + 1, 2**31 - 1),
    "malformed": lambda peer, n: peer.headers(2 * n + 1, (*GET, (b"X", b"")), over=True),
    "streams that are refused": lambda peer, n: peer.headers(2 * n + 1, POST),
    "pings": lambda peer, n: wire.frame(wire.PING, 0, 0, bytes(8)),
    "pongs": lambda peer, n: wire.frame(wire.PING, wire.ACK, 0, bytes(8)),
    "settings": lambda peer, n: wire.settings({}),
    "settings that widen": lambda peer, n: wire.settings({Setting.INITIAL_WINDOW_SIZE: 65_535 + n % 2}) * 1,
    "acknowledgements": lambda peer, n: wire.frame(wire.SETTINGS, wire.ACK, 0),
    "priorities": lambda peer, n: wire.frame(wire.PRIORITY, 0, 1, bytes(5)),
    "unknown frames": lambda peer, n: wire.frame(0x42, 0, 0, b""),
    "windows": lambda peer, n: window(0, 1),
    "empty data": lambda peer, n: (peer.headers(1, POST) if n == 0 else b"") + data(1, b""),
    "padding alone": lambda peer, n: (
        (peer.headers(1, POST) if n == 0 else b"") + wire.frame(wire.DATA, wire.PADDED, 1, b"\x01\x00")
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection(name: str) -> None:
    side, peer = serving()
    sent = 0

    def flood() -> None:
        nonlocal sent
        for number in range(20_000):
            sent += 1
            side.feed(FLOODS[name](peer, number))
            side.due()

    with pytest.raises(BrokenConnectionError) as fault:
        flood()
    assert fault.value.code == Code.ENHANCE_YOUR_CALM
    assert sent <= wire.CONTROL + 1
    (farewell,) = peer.read(side.due())[-1:]
    assert farewell.kind == wire.GOAWAY


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_in_one_read_is_stopped_on_the_way(name: str) -> None:
    side, peer = serving()
    sent = b"".join(FLOODS[name](peer, number) for number in range(5_000))
    begun = time.process_time()
    with pytest.raises(BrokenConnectionError):
        side.feed(sent)
    assert time.process_time() - begun < 1
    assert len(side.due()) < 100_000


@pytest.mark.parametrize("name", ["pings", "settings", "priorities", "windows", "rapid reset"])
def test_the_same_over_time_is_no_flood(name: str) -> None:
    side, peer = serving()
    for number in range(600):
        side.feed(FLOODS[name](peer, number))
        side.due()
        if number % 50 == 0:
            assert side.tick() == []


def test_windows_for_what_was_sent_are_no_flood() -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, over=True))
    side.respond(1, Response(200, ()), length=None)
    for _ in range(5_000):
        side.data(1, b"x" * 100)
        side.feed(window(1, 100) + window(0, 100))
        side.due()


@pytest.mark.parametrize("piece", [b"", b"x", b"x" * 16_000])
def test_a_head_without_end_is_cut_off(piece: bytes) -> None:
    side, peer = serving()
    side.feed(peer.headers(1, GET, whole=False))
    with pytest.raises(BrokenConnectionError) as fault:
        [side.feed(wire.frame(wire.CONTINUATION, 0, 1, piece)) for _ in range(1_000)]
    assert fault.value.code == Code.ENHANCE_YOUR_CALM


def test_a_head_that_grows_when_unpacked_is_refused() -> None:
    side, peer = serving()
    value = (b"x-bomb", b"y" * 3_900)
    assert len(side.feed(peer.headers(1, (*GET, value), over=True))) == 2
    block = peer.encoder.encode([*GET, *[value] * 3_000])
    assert len(block) < 4_000
    with pytest.raises(BrokenConnectionError) as fault:
        side.feed(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 3, block))
    assert fault.value.code == Code.ENHANCE_YOUR_CALM
    assert len(value[1]) * 3_000 > 100 * HEAD_BYTES


@pytest.mark.parametrize("block", [b"\x82" * 1_000, b"\x3f\xe1\x1f\x20" * 4_000, b"\x20\x3f\xe1\x1f\x20\x82"])
def test_a_block_that_is_work_and_no_head_ends_the_connection(block: bytes) -> None:
    side, _ = serving()
    with pytest.raises(BrokenConnectionError) as fault:
        side.feed(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, block))
    assert fault.value.code == Code.ENHANCE_YOUR_CALM


def test_a_table_may_be_changed_twice_before_the_fields() -> None:
    side, peer = serving()
    block = b"\x20\x3f\xe1\x1f" + peer.headers(1, GET)[9:]
    assert len(side.feed(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, 1, block))) == 2


def test_settings_that_widen_every_stream_are_counted_one_by_one() -> None:
    side, peer = serving()
    for number in range(1, 200, 2):
        side.feed(peer.headers(number, POST))
    many = b"".join(wire.settings({Setting.INITIAL_WINDOW_SIZE: 65_535 + number % 2})[9:] for number in range(2_000))
    begun = time.process_time()
    with pytest.raises(BrokenConnectionError):
        side.feed(wire.frame(wire.SETTINGS, 0, 0, many))
    assert time.process_time() - begun < 1


def test_what_we_send_is_kept_in_no_table_whatever_the_peer_offers() -> None:
    side, peer = serving({Setting.HEADER_TABLE_SIZE: 2**32 - 1})
    sent = []
    for number in (1, 3, 5):
        side.feed(peer.headers(number, GET, over=True))
        sent.append(side.respond(number, Response(200, ((b"x-note", b"y" * 200),)), length=0)[9:])
    assert sent[0] == b"\x20" + sent[1]
    assert sent[1] == sent[2]


def test_memory_is_bounded_by_the_windows() -> None:
    side, peer = serving()
    kept = 0

    def send_all() -> None:
        nonlocal kept
        for number in range(1, 200, 2):
            side.feed(peer.headers(number, POST))
            for _ in range(WINDOW // 16_384):
                kept += sum(len(one.data) for _, one in side.feed(data(number, b"x" * 16_384)) if isinstance(one, Data))

    with pytest.raises(BrokenConnectionError) as fault:
        send_all()
    assert fault.value.code == Code.FLOW_CONTROL_ERROR
    assert kept == CONNECTION_WINDOW


def test_a_preface_that_trickles_in_is_a_preface() -> None:
    side = h2.ServerSide()
    for one in wire.PREFACE + wire.settings({}):
        assert side.feed(bytes([one])) == []
    with pytest.raises(BrokenConnectionError):
        h2.ServerSide().feed(b"PRI * HTTP/1")
