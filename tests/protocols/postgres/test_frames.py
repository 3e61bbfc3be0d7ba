"""Streams cut into frames, however they come: the same messages, nothing copied twice, and lengths that lie refused at once."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.frames import COPY_BYTES, SMALL_BYTES, STARTUP_BYTES, Frames

LONG = 20_000


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


@given(st.lists(st.tuples(st.sampled_from([b"Q", b"D", b"Z"]), st.binary(max_size=40)), max_size=8), st.lists(st.integers(0)))
def test_a_stream_cut_anywhere_gives_the_same_messages(messages, places):
    stream = b"".join(wire.message(kind, body) for kind, body in messages)
    frames, found = Frames(1000), []
    for piece in cut(stream, places):
        frames.add(piece)
        found += list(frames.messages())
    assert found == messages
    assert len(frames) == 0


@given(st.lists(st.tuples(st.sampled_from([b"Q", b"P"]), st.binary(max_size=40)), max_size=5))
def test_messages_taken_one_by_one_are_those_taken_together(messages):
    frames = Frames(1000)
    frames.add(b"".join(wire.message(kind, body) for kind, body in messages))
    assert [frames.message() for _ in messages] == messages
    assert frames.message() is None


@pytest.mark.parametrize("length", [0, 3, 1001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_lying_length_is_named_before_anything_is_kept(length):
    frames = Frames(1000)
    frames.add(b"Q" + struct.pack("!I", length))
    with pytest.raises(WireError, match=f"length {length} outside 4..1000"):
        list(frames.messages())
    frames = Frames(1000)
    frames.add(b"Q" + struct.pack("!I", length))
    with pytest.raises(WireError, match=str(length)):
        frames.message()


@pytest.mark.parametrize("length", [0, 7, STARTUP_BYTES + 1, 0x7FFFFFFF])
def test_a_startup_packet_of_an_impossible_length_is_refused_by_its_first_four_bytes(length):
    frames = Frames(1000)
    frames.add(struct.pack("!I", length))
    with pytest.raises(WireError, match=f"startup packet length {length} outside"):
        frames.packet()


@given(
    st.lists(st.integers(0, 3 * SMALL_BYTES), max_size=8),
    st.lists(st.integers(1, 3 * SMALL_BYTES), max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_what_is_read_late_or_by_its_rest_is_the_same(sizes, places, reads):
    messages = [(b"D", bytes([number]) * size) for number, size in enumerate(sizes)]
    frames, found = Frames(LONG), b""
    for piece, read in zip(cut(b"".join(wire.message(*one) for one in messages), places), [*reads, True], strict=False):
        frames.add(piece)
        if read:
            found += b"".join(wire.message(*one) for one in frames.messages())
    data, at = frames.rest()
    while (end := whole(data, at)) > at:
        found += data[at:end]
        frames.skip(end)
        data, at = frames.rest()
    assert found == b"".join(wire.message(*one) for one in messages)
    assert len(frames) == 0


def whole(data: bytes, at: int) -> int:
    """Behind the messages that stand whole in the data."""
    while len(data) - at > 4 and (end := at + 1 + int.from_bytes(data[at + 1 : at + 5])) <= len(data):
        at = end
    return at


def test_a_read_that_ends_within_a_message_is_not_copied_for_it():
    frames = Frames(LONG)
    stream = wire.message(b"D", b"x" * 90) * 1000
    first, second = stream[:50_050], stream[50_050:]
    frames.add(first)
    assert frames.rest() == (first, 0)
    frames.skip(49_970)
    frames.add(second)
    assert frames.rest() == (stream[49_970:50_065], 0)
    frames.skip(95)
    assert frames.rest()[0] is second


@given(st.binary(min_size=60, max_size=400), st.lists(st.integers(0)))
def test_copy_data_past_the_limit_comes_in_parts_that_are_the_whole(data, places):
    stream = wire.message(b"d", data) + wire.message(b"c")
    frames, found = Frames(50, parts=True), []
    for piece in cut(stream, places):
        frames.add(piece)
        found += list(frames.messages())
        assert len(frames) <= len(piece) + 5, "parts are given as they come"
    assert b"".join(body for kind, body in found if kind == b"d") == data
    assert found[-1] == (b"c", b"")
    assert len(frames) == 0


@pytest.mark.parametrize(("kind", "length"), [(b"Q", 1001), (b"d", COPY_BYTES + 1), (b"d", 3)])
def test_only_copy_data_comes_in_parts_and_no_longer_than_a_server_takes(kind, length):
    frames = Frames(1000, parts=True)
    frames.add(kind + struct.pack("!I", length))
    with pytest.raises(WireError, match=str(length)):
        frames.message()
