"""The codec of PostgreSQL's protocol: what it builds it reads, what does not fit is a WireError and nothing else."""

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15)  # at most 60 bytes


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


@given(st.lists(st.tuples(st.sampled_from([b"Q", b"D", b"Z"]), st.binary(max_size=40)), max_size=8), st.lists(st.integers(0)))
def test_a_stream_cut_anywhere_gives_the_same_messages(messages, places):
    stream = b"".join(wire.message(kind, body) for kind, body in messages)
    frames, found = wire.Frames(1000), []
    for piece in cut(stream, places):
        frames.add(piece)
        found += list(frames.messages())
    assert found == messages
    assert len(frames) == 0


@given(st.lists(st.tuples(st.sampled_from([b"Q", b"P"]), st.binary(max_size=40)), max_size=5))
def test_messages_taken_one_by_one_are_those_taken_together(messages):
    frames = wire.Frames(1000)
    frames.add(b"".join(wire.message(kind, body) for kind, body in messages))
    assert [frames.message() for _ in messages] == messages
    assert frames.message() is None


@pytest.mark.parametrize("length", [0, 3, 1001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_lying_length_is_named_before_anything_is_kept(length):
    frames = wire.Frames(1000)
    frames.add(b"Q" + struct.pack("!I", length))
    with pytest.raises(WireError, match=f"length {length} outside 4..1000"):
        list(frames.messages())
    frames = wire.Frames(1000)
    frames.add(b"Q" + struct.pack("!I", length))
    with pytest.raises(WireError, match=str(length)):
        frames.message()


@given(st.binary(min_size=60, max_size=400), st.lists(st.integers(0)))
def test_copy_data_past_the_limit_comes_in_parts_that_are_the_whole(data, places):
    stream = wire.message(b"d", data) + wire.message(b"c")
    frames, found = wire.Frames(50, parts=True), []
    for piece in cut(stream, places):
        frames.add(piece)
        found += list(frames.messages())
        assert len(frames) <= len(piece) + 5, "parts are given as they come"
    assert b"".join(body for kind, body in found if kind == b"d") == data
    assert found[-1] == (b"c", b"")
    assert len(frames) == 0


@pytest.mark.parametrize(("kind", "length"), [(b"Q", 1001), (b"d", wire.COPY_BYTES + 1), (b"d", 3)])
def test_only_copy_data_comes_in_parts_and_no_longer_than_a_server_takes(kind, length):
    frames = wire.Frames(1000, parts=True)
    frames.add(kind + struct.pack("!I", length))
    with pytest.raises(WireError, match=str(length)):
        frames.message()


@pytest.mark.parametrize("length", [0, 7, wire.STARTUP_BYTES + 1, 0x7FFFFFFF])
def test_a_startup_packet_of_an_impossible_length_is_refused_by_its_first_four_bytes(length):
    frames = wire.Frames(1000)
    frames.add(struct.pack("!I", length))
    with pytest.raises(WireError, match=f"startup packet length {length} outside"):
        frames.packet()


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5))
def test_startup_parameters_come_back(parameters):
    packet = wire.startup(parameters)
    frames = wire.Frames(1000)
    frames.add(packet)
    body = frames.packet()
    assert body is not None
    assert wire.code_of(body) == wire.PROTOCOL_3_0
    assert wire.startup_parameters(body) == parameters


def test_a_startup_parameter_given_twice_is_refused():
    packet = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0a\0user\0b\0\0"
    with pytest.raises(WireError, match="'user' is given twice"):
        wire.startup_parameters(packet)


def test_bytes_behind_the_startup_parameters_are_refused():
    packet = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0a\0\0more"
    with pytest.raises(WireError, match="does not end where its parameters do"):
        wire.startup_parameters(packet)


@given(st.lists(st.none() | st.binary(max_size=20), max_size=6), TEXT, TEXT)
def test_a_bind_is_read_as_it_was_built(values, portal, statement):
    body = portal.encode() + b"\0" + statement.encode() + b"\0" + struct.pack("!HH", 1, 1) + struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    body += struct.pack("!H", 0)
    assert wire.bind(body) == wire.Bind(portal, statement, (1,), tuple(values))


READERS = [
    wire.query_text,
    wire.parse,
    wire.bind,
    wire.target_of,
    wire.execute_portal,
    wire.password,
    wire.data_row,
    wire.authentication,
    wire.parameter_status,
    wire.startup_parameters,
    wire.code_of,
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_raise_a_wire_error_and_nothing_else(reader, data):
    with suppress(WireError):
        reader(data)


@given(data=st.binary(max_size=200))
def test_report_fields_never_raise(data):
    assert all(len(letter) == 1 for letter in wire.report_fields(data))


def test_a_query_with_bytes_behind_its_end_is_refused():
    with pytest.raises(WireError, match="7 bytes behind its text"):
        wire.query_text(b"SELECT 1\0DELETE\0")


def test_an_error_response_of_ours_cannot_be_ended_early_by_its_text():
    body = wire.error_response("ERROR", "42501", "a\0Mb", detail="d", hint="h", position=3)[5:]
    fields = wire.report_fields(body)
    assert fields == {"S": "ERROR", "V": "ERROR", "C": "42501", "M": "a\ufffdMb", "D": "d", "H": "h", "P": "3"}


@pytest.mark.parametrize(("tag", "rows"), [("SELECT 3", 3), ("INSERT 0 5", 5), ("BEGIN", 0), ("UPDATE 0", 0), ("x ²", 0)])
def test_rows_are_read_off_a_command_tag(tag, rows):
    assert wire.rows_of(tag) == rows
