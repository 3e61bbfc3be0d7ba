"""The compiled twin does what the Python twin does, byte for byte: same rows, same counts, same faults."""

from __future__ import annotations

import json
import random
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.masking.pieces import PIECES, VECTORS, numberish, texts

from gatebook.errors import WireError
from gatebook.masking.detectors import NAMES, scan
from gatebook.masking.rules import Style
from gatebook.masking.table import TABLE
from gatebook.protocols.postgres import native, oids, wire
from gatebook.protocols.postgres.copying import TRAILER, CopyCover
from gatebook.protocols.postgres.reading import CopyPlan
from gatebook.protocols.postgres.rows import Column, Cover, RowCover

pytestmark = pytest.mark.skipif(native.crate is None, reason="the compiled twin is not installed")

KEY = b"k" * 32
OPEN, WHOLE = Cover(None, False), Cover(None, True)
OIDS = [
    25,
    1043,
    19,
    18,
    114,
    3802,
    142,
    17,
    20,
    1700,
    23,
    1184,
    2950,
    869,
    1009,
    1016,
    1231,
    1001,
    199,
    3807,
    1007,
    2249,
    3614,
    3906,
    16500,
    0,
]
documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts.map(lambda t: t.decode("utf-8", "replace"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "password", "card"]), inner, max_size=3)
    ),
    max_leaves=6,
).map(lambda found: json.dumps(found).encode())


@st.composite
def numerics(draw: st.DrawFn) -> bytes:
    digits = draw(st.sampled_from([b"4111111111111111", b"12345678901234", b"378282246310005", b"1"]))
    digits = digits.rjust(-(-len(digits) // 4) * 4, b"0")
    groups = [int(digits[at : at + 4]) for at in range(0, len(digits), 4)]
    count = len(groups) + draw(st.integers(0, 1)) * draw(st.integers(-1, 1))
    body = b"".join(struct.pack("!H", group) for group in groups)
    return struct.pack("!HhHH", count, len(groups) - 1, draw(st.sampled_from([0, 0, 0x4000, 0xC000, 7])), 0) + body


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    element = draw(st.sampled_from(sorted(oids.ELEMENTS)))
    values = draw(st.lists(st.one_of(st.none(), texts, numerics(), st.binary(min_size=8, max_size=8)), max_size=4))
    body = b"".join(struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in values)
    head = struct.pack("!iiI", 1, draw(st.integers(0, 1)), element) + struct.pack("!ii", len(values), 1)
    return head + body + draw(st.sampled_from([b"", b"", b"", b"x"]))


cards8 = st.sampled_from([4111111111111111, -4111111111111111, 378282246310005, 5]).map(lambda n: struct.pack("!q", n))
cells = st.one_of(
    texts, texts, numberish, documents, documents.map(lambda d: b"\x01" + d), numerics(), arrays(), cards8, st.none()
)
styles = st.sampled_from([OPEN, OPEN, OPEN, WHOLE, *(Cover(style, False) for style in Style)])
choices = st.one_of(st.just(NAMES), st.just(NAMES), st.sets(st.sampled_from(sorted(NAMES)), max_size=3).map(frozenset))


@st.composite
def results(draw: st.DrawFn) -> tuple[list[Column], list[Cover], list[list[bytes | None]]]:
    width = draw(st.integers(1, 4))
    columns = [Column("c", 0, 0, draw(st.sampled_from(OIDS)), draw(st.integers(0, 1))) for _ in range(width)]
    covers = [draw(styles) for _ in columns]
    return columns, covers, draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=4))


def body(cells: list[bytes | None]) -> bytes:
    packed = (struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells)
    return struct.pack("!H", len(cells)) + b"".join(packed)


def by_python(columns, covers, names, bodies) -> tuple[bytes, dict[str, int]]:
    cover = RowCover(columns, covers, names, KEY)
    return b"".join(wire.message(b"D", cover.cover(one)) for one in bodies), cover.masked


def by_crate(columns, covers, names, bodies) -> tuple[bytes, dict[str, int]]:
    cover, data = RowCover(columns, covers, names, KEY), b"".join(wire.message(b"D", one) for one in bodies)
    run = cover.run(data, 0)
    assert run.end == len(data), "the crate left a row to Python"
    assert run.size == len(run.messages) - 5 * len(bodies)
    return run.messages, cover.masked


@settings(max_examples=600, deadline=None)
@given(results(), choices)
def test_rows_are_covered_alike(result, names):
    columns, covers, rows = result
    bodies = [body(row) for row in rows]
    assert by_crate(columns, covers, names, bodies) == by_python(columns, covers, names, bodies)


@pytest.mark.parametrize("oid", [25, 114, 17, 1009, 3906, 16500])
def test_every_vector_is_covered_alike(oid):
    column = [Column("c", 0, 0, oid, 0)]
    for line in VECTORS:
        for cell in (line, b'{"a":"%s"}' % line, b"\\x" + line.hex().encode(), line.upper(), line + b" " + line[::-1]):
            assert by_crate(column, [OPEN], NAMES, [body([cell])]) == by_python(column, [OPEN], NAMES, [body([cell])])


@settings(max_examples=400, deadline=None)
@given(st.one_of(texts, numberish, st.lists(st.one_of(texts, numberish), max_size=8).map(b"\0\0\0\5".join)))
@example(b"")
def test_where_a_hint_holds_a_sign_does_and_hints_are_pythons(data):
    signs, hinted = native._table(NAMES).suspects(data)
    assert hinted == [detector.name for detector in scan(NAMES).suspects(data)]
    assert set(hinted) <= set(signs)


def test_a_detector_has_marks_or_is_one_of_numbers():
    assert {detector.name for detector in TABLE if not detector.marks} == {"card", "ssn", "iban", "phone"}


def test_a_long_text_of_everything_is_covered_alike():
    chosen = random.Random(7)
    for length in (300, 3_000, 70_000):
        pieces = []
        while sum(map(len, pieces)) < length:
            pieces.append(chosen.choice(PIECES + VECTORS))
        for oid, cell in ((25, b" ".join(pieces)), (16500, b"".join(pieces))):
            column = [Column("c", 0, 0, oid, 0), Column("d", 0, 0, 25, 0)]
            rows = [body([cell, b"a@example.com"])] * 2
            assert by_crate(column, [OPEN] * 2, NAMES, rows) == by_python(column, [OPEN] * 2, NAMES, rows)


@pytest.mark.parametrize(
    "piece",
    [
        b"4242 4242 4242 4241 ",
        b"token:aaaaaaaaaaaaaaa1 ",
        b"bob@example.com, ",
        b"the quick fox ",
        b"\\x3432343234323432 ",
        b'"\\u0040",',
    ],
)
@pytest.mark.parametrize("oid", [25, 114, 17, 1016])
@pytest.mark.parametrize("size", [60_000, 400_000, 1_000_000, 20_000_000])
def test_what_is_too_much_work_is_unread_alike(piece, oid, size):
    columns = [Column("c", 0, 0, oid, 0), Column("d", 0, 0, 25, 0)]
    rows = [body([piece * (size // len(piece)), b"a@example.com"])]
    assert by_crate(columns, [OPEN] * 2, NAMES, rows) == by_python(columns, [OPEN] * 2, NAMES, rows)


# Faults -----------------------------------------------------------------------------------------------------------------------


@given(results(), st.integers(0), st.integers(-3, 3), st.integers(0, 255))
def test_a_damaged_row_is_left_to_python_or_covered_alike(result, place, shift, byte):
    columns, covers, rows = result
    damaged = bytearray(body(rows[0]))
    damaged[place % len(damaged)] = byte
    damaged = damaged[: len(damaged) + min(shift, 0)] + bytes(max(shift, 0))
    python, crate = RowCover(columns, covers, NAMES, KEY), RowCover(columns, covers, NAMES, KEY)
    message = wire.message(b"D", bytes(damaged))
    run = crate.run(message, 0)
    try:
        expected = wire.message(b"D", python.cover(bytes(damaged)))
    except WireError:
        assert (run.end, run.messages, crate.masked) == (0, b"", {})
    else:
        assert (run.messages, crate.masked) == (expected, python.masked)


def test_a_run_ends_before_what_is_no_row_or_not_whole():
    cover = RowCover([Column("c", 0, 0, 25, 0)], [OPEN], NAMES, KEY)
    row = wire.message(b"D", body([b"x"]))
    for behind in (wire.message(b"C", b"SELECT 1\0"), row[:-1], row[:3], b"", b"D\0\0\0\0", struct.pack("!cI", b"D", 2**31)):
        run = cover.run(row + row + behind, 0)
        assert (run.end, run.messages) == (2 * len(row), row + row)


# COPY -------------------------------------------------------------------------------------------------------------------------

FORMS = [
    CopyPlan(False, None, (), "text", delimiter=b"\t", null=rb"\N"),
    CopyPlan(False, None, (), "text", delimiter=b"|", null=b""),
    CopyPlan(False, None, (), "csv", delimiter=b",", null=b"", quote=b'"', escape=b'"'),
    CopyPlan(False, None, (), "csv", delimiter=b";", null=b"NULL", quote=b"'", escape=b"\\"),
    CopyPlan(False, None, (), "binary"),
]


def by_feeding(plan, types, covers, bodies, *, whole: bool) -> tuple[bytes, dict[str, int], bool]:
    """What a copy's messages become, with or without the compiled twin; and whether that did any."""
    cover, out, helped = CopyCover(plan, types, covers, NAMES, KEY), [], False
    if plan.format == "binary":
        cover.feed(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    data, at = b"".join(wire.message(b"d", one) for one in bodies), 0
    while at < len(data):
        if whole and cover.runs:
            run = cover.run(data, at)
            out.append(run.messages)
            helped, at = helped or run.end > at, run.end
            if at == len(data):
                break
        size = struct.unpack_from("!I", data, at + 1)[0] + 1
        covered = cover.feed(data[at + 5 : at + size])
        out.append(wire.message(b"d", covered) if covered else b"")
        at += size
    return b"".join(out), cover.masked, helped


def written(plan, row) -> bytes:
    """A row as the server writes it."""
    if plan.format == "binary":
        return body(row)
    if plan.format == "text":
        letters = {
            8: b"\\b",
            12: b"\\f",
            10: b"\\n",
            13: b"\\r",
            9: b"\\t",
            11: b"\\v",
            92: b"\\\\",
            plan.delimiter[0]: b"\\" + plan.delimiter,
        }
        shown = [plan.null if cell is None else b"".join(letters.get(byte, bytes([byte])) for byte in cell) for cell in row]
    else:
        marks = {plan.quote[0], plan.escape[0]}
        shown = [
            plan.null
            if cell is None
            else plan.quote + b"".join(plan.escape * (byte in marks) + bytes([byte]) for byte in cell) + plan.quote
            if cell == plan.null or any(mark in cell for mark in (plan.delimiter, plan.quote, b"\n", b"\r"))
            else cell
            for cell in row
        ]
    return plan.delimiter.join(shown) + b"\n"


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(FORMS), results())
def test_copied_rows_are_covered_alike(plan, result):
    columns, covers, rows = result
    types, bodies = [column.type_oid for column in columns], [written(plan, row) for row in rows]
    output, masked, helped = by_feeding(plan, types, covers, bodies, whole=True)
    assert (output, masked) == by_feeding(plan, types, covers, bodies, whole=False)[:2]
    assert helped


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FORMS), results(), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_copied_rows_cut_anywhere_are_covered_alike(plan, result, sizes):
    columns, covers, rows = result
    data, bodies, number = b"".join(written(plan, row) for row in rows), [], 0
    while data:
        size = sizes[number % len(sizes)]
        bodies.append(data[:size])
        data, number = data[size:], number + 1
    types = [column.type_oid for column in columns]
    found = by_feeding(plan, types, covers, bodies, whole=True)
    assert found[:2] == by_feeding(plan, types, covers, bodies, whole=False)[:2]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.lists(
        st.one_of(
            texts,
            st.lists(st.sampled_from([b'"', b"'", b"\\", b"\n", b",", b";", b"|", b"a", b"\r", TRAILER]), max_size=12).map(
                b"".join
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_a_copy_that_no_server_writes_fails_alike(plan, bodies):
    def outcome(whole):
        try:
            return by_feeding(plan, [25, 25], [OPEN, WHOLE], bodies, whole=whole)[:2]
        except WireError as fault:
            return str(fault)

    assert outcome(True) == outcome(False)


@pytest.mark.parametrize(
    "detector", [one for one in TABLE if any(len(mark) > 1 for mark in one.marks)], ids=lambda one: one.name
)
def test_a_mark_is_a_sign_wherever_it_stands(detector):
    table = native._table(NAMES)
    for mark in detector.marks:
        for before in (*range(70), 4_000):
            for data in (
                b"-_key"[: before % 6] + b"x" * before + mark,
                b"-" * before + mark.upper() + b"_",
                mark * 2 + b" " * before,
            ):
                assert detector.name in table.suspects(data)[0], (mark, data)


NUMBERS = (
    b"4242424242424242",
    b"+4915112345678",
    b"078-05-1120",
    b"(555) 555-0100",
    b"DE89370400440532013000",
    b"GB29 NWBK 6016 1331 9268 19",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_a_sign_wherever_it_stands(number):
    table = native._table(NAMES)
    expected = {one.name for one in scan(NAMES).suspects(number)}
    assert expected
    for before in (*range(140), 4_000):
        for around in (b"x", b"\0", b"7x", b"A."):
            data = (around * 4_000)[:before] + b"," + number + b"," + around * (before % 70)
            assert expected <= set(table.suspects(data)[0]), data
