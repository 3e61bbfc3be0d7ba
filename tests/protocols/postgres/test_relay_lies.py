"""A server that lies about its rows, in the midst of many: those before are shown, covered, of the lie nothing is, and it ends.

Rows go by the compiled twin where it is there, in runs that are cut by reads; so each lie comes in one read with the rows
before it, and cut.
"""

from __future__ import annotations

import struct

import pytest
from tests.protocols.postgres.stage import Stage, complete, description, hung_up, messages, ready, row, shown

from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.frames import ROW_BYTES
from gatebook.protocols.relay import FromServer

SSN = b"987-65-4320"
COLUMNS = description(("id", 100, 1), ("ssn", 100, 2))
ROWS = 500


def cell(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("!i", len(value) if length is None else length) + value


def lie(count: int, *cells: bytes) -> bytes:
    return wire.message(b"D", struct.pack("!H", count) + b"".join(cells))


LIES = {
    "fewer columns than described": lie(1, cell(SSN)),
    "more columns than described": lie(3, cell(b"1"), cell(SSN), cell(SSN)),
    "a count of columns beyond those there": lie(65_535, cell(b"1"), cell(SSN)),
    "a cell past the end of its row": lie(2, cell(b"1"), cell(SSN, len(SSN) + 1)),
    "a cell of a gigabyte": lie(2, cell(b"1"), cell(SSN, 2**30)),
    "a cell of less than nothing": lie(2, cell(b"1"), cell(SSN, -2)),
    "bytes behind the last cell": lie(2, cell(b"1"), cell(SSN, 2)),
    "a row that ends in a length": lie(2, cell(b"1"), b"\0\0"),
    "a row of nothing": wire.message(b"D"),
    "a row of less than its length": b"D" + struct.pack("!I", 3) + SSN,
    "a row longer than any": b"D" + struct.pack("!I", ROW_BYTES + 1) + SSN,
    "a row over the limit": b"D" + struct.pack("!I", wire.SERVER_BYTES + 1) + SSN,
    "data of a COPY": wire.message(b"d", b"1\t" + SSN + b"\n"),
    "a COPY that nobody asked for": wire.message(b"H", b"\0\0\2\0\0\0\0") + wire.message(b"d", b"1\t" + SSN + b"\n"),
}


def begun() -> Stage:
    stage = Stage().open()
    stage.client(wire.query("SELECT id, ssn FROM customers"))
    stage.allow()
    stage.effects.clear()
    return stage


def number(value: int) -> bytes:
    return row(str(value).encode(), SSN)


@pytest.mark.parametrize("read", [10**9, 4099, 61, 1], ids=["in one read", "in large reads", "in small reads", "byte by byte"])
@pytest.mark.parametrize("what", LIES)
def test_of_a_lie_in_the_midst_of_rows_nothing_is_shown(what: str, read: int) -> None:
    stage = begun()
    count = ROWS if read > 1 else 5
    data = COLUMNS + b"".join(map(number, range(count))) + LIES[what] + number(7) + complete("SELECT 1") + ready()
    for at in range(0, len(data), read):
        stage.feed(FromServer(data[at : at + read]))
    said = shown(stage.effects)
    assert SSN not in said
    assert hung_up(stage.effects)
    kinds = [kind for kind, _ in messages(said)]
    assert kinds == [b"T", *[b"D"] * count, b"E"]
    assert b"C08P01\0" in messages(said)[-1][1]
    assert stage.feed(FromServer(number(8))) == []


def test_a_row_is_refused_by_the_length_it_says_before_it_is_kept() -> None:
    stage = begun()
    stage.feed(FromServer(COLUMNS + number(1) + b"D" + struct.pack("!I", wire.SERVER_BYTES + 1)))
    (*_, (kind, body)) = messages(shown(stage.effects))
    assert kind == b"E"
    assert b"the gateway takes 67108864; select fewer columns or parts of them" in body


@pytest.mark.parametrize("second", [description(("id", 100, 1)), description(("id", 100, 1), ("ssn", 0, 0))])
def test_a_second_description_counts_for_the_rows_behind_it_alone(second: bytes) -> None:
    stage = begun()
    stage.feed(FromServer(COLUMNS + number(1) + second + number(2) + complete("SELECT 2") + ready()))
    assert SSN not in shown(stage.effects)
