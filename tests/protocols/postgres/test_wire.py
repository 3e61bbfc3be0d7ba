"""The codec of PostgreSQL's protocol: what it builds it reads, what does not fit is a WireError and nothing else."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15)  # at most 60 bytes


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
