"""A recording as a person reads it; and nothing that was recorded reaches a terminal but as what it is."""

from __future__ import annotations

import json
import re
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.protocols.postgres import wire
from gatebook.recording.grec import Event
from gatebook.recording.render import JsonLines, Lines, safe
from gatebook.recording.results import ROWS, Results

START = 1_700_000_000_000_000


def describe(*columns: tuple[str, int, int]) -> bytes:
    parts = [name.encode() + b"\0" + pack("!IhIhiH", 0, 0, oid, -1, -1, form) for name, oid, form in columns]
    return wire.message(b"T", pack("!H", len(parts)) + b"".join(parts))


def row(*cells: bytes | None) -> bytes:
    packed = [pack("!i", -1) if cell is None else pack("!i", len(cell)) + cell for cell in cells]
    return wire.message(b"D", pack("!H", len(cells)) + b"".join(packed))


def done(tag: str) -> bytes:
    return wire.message(b"C", tag.encode() + b"\0")


READY = wire.message(b"Z", b"I")


def asked(seq: int, text: str, **facts: object) -> tuple[str, bytes]:
    usual = {"verb": "sql.select", "ruling": "mask", "rule": "agents-read", "reason": "", "step": "run"}
    return "q", json.dumps({"seq": seq, "text": text} | usual | facts).encode()


def answered(seq: int, status: str, **facts: object) -> tuple[str, bytes]:
    return "a", json.dumps({"seq": seq, "status": status, "rows": 0, "masked": {}} | facts).encode()


def shown(*events: tuple[str, bytes], apart: int = 1500) -> str:
    """The text of events that are ``apart`` µs."""
    return "\n".join(lines(Lines(), events, apart))


def as_json(*events: tuple[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(JsonLines(), events, 1500)]


def lines(kind: Lines | JsonLines, events: tuple[tuple[str, bytes], ...], apart: int) -> list[str]:
    results, found = Results(), []
    for place, (name, data) in enumerate(events):
        for item in results.feed(Event(name, START + place * apart, data)):
            found += kind.of(item)
    for item in results.rest(START):
        found += kind.of(item)
    return found


SELECT = describe(("id", 23, 0), ("email", 25, 0)) + row(b"1", "a…@…".encode()) + row(b"22", None) + done("SELECT 2") + READY


def test_a_statement_stands_with_its_decision_its_table_and_its_time() -> None:
    text = shown(
        ("m", b'{"subject":"shop-agent","target":"shop"}'),
        asked(3, "SELECT id, email\n  FROM customers"),
        ("s", SELECT),
        answered(3, "SELECT 2", rows=2, masked={"partial": 1}),
        ("x", b'{"why":"the client went away"}'),
        apart=2000,
    )
    assert (
        text
        == """\
+0.000s  2023-11-14T22:13:20Z  subject: shop-agent  target: shop

+0.002s  #3  sql.select  mask by agents-read
  > SELECT id, email
  >   FROM customers
    id | email
    ---+------
    1  | a…@…
    22 | ∅
    (2 rows)
    SELECT 2
+0.006s  #3  SELECT 2 · 4 ms · masked partial 1

+0.008s  the session ended: the client went away"""
    )


def test_a_refusal_stands_with_its_reason_and_what_the_client_was_told() -> None:
    said = wire.error_response("ERROR", "42501", "blocked by no-delete", detail='{"class":"never"}', hint="narrow it")
    text = shown(
        asked(1, "DELETE FROM customers", verb="sql.delete", ruling="block", rule="no-delete", reason="too far"),
        ("s", said + READY),
    )
    assert "sql.delete  block by no-delete: too far" in text
    assert '    ERROR 42501: blocked by no-delete\n    DETAIL: {"class":"never"}\n    HINT: narrow it' in text


def test_json_lines_have_everything_exactly() -> None:
    found = as_json(asked(3, "SELECT 1"), ("s", SELECT), answered(3, "SELECT 2", rows=2, masked={"partial": 1}))
    assert [one["k"] for one in found] == ["q", "r", "c", "a"]
    assert found[0]["d"]["text"] == "SELECT 1"
    assert found[1] == {
        "t": 0.0015,
        "at": START + 1500,
        "k": "r",
        "d": {"columns": ["id", "email"], "rows": [["1", "a…@…"], ["22", None]], "more": False},
    }
    assert found[3]["d"] == {"seq": 3, "status": "SELECT 2", "rows": 2, "masked": {"partial": 1}, "ms": 3}


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_however_the_servers_bytes_are_cut_the_same_is_shown(size: int) -> None:
    whole = shown(("s", SELECT * 3), apart=0)
    cut = [("s", (SELECT * 3)[at : at + size]) for at in range(0, len(SELECT) * 3, size)]
    assert shown(*cut, apart=0) == whole


def test_a_long_result_is_several_tables() -> None:
    data = describe(("n", 23, 0)) + b"".join(row(b"%d" % n) for n in range(ROWS + 1)) + done(f"SELECT {ROWS + 1}")
    tables = [one["d"] for one in as_json(("s", data)) if one["k"] == "r"]
    assert [(len(one["rows"]), one["more"]) for one in tables] == [(ROWS, True), (1, False)]


def test_a_result_without_rows_shows_its_columns() -> None:
    text = shown(("s", describe(("id", 23, 0)) + done("SELECT 0") + READY))
    assert text == "    id\n    --\n    (0 rows)\n    SELECT 0"


def test_a_session_that_ends_inside_a_result_shows_what_came() -> None:
    text = shown(("s", describe(("id", 23, 0)) + row(b"7")), ("x", b'{"why":"killed"}'))
    assert "    7\n    (1 row, more follow)\n" in text


def test_rows_that_nothing_described_have_no_names_of_another_result() -> None:
    prepared = wire.message(b"t", b"\0\0") + describe(("email", 25, 0)) + READY
    (table,) = (one["d"] for one in as_json(("s", prepared + row(b"seen") + done("SELECT 1"))) if one["k"] == "r")
    assert table == {"columns": None, "rows": [["seen"]], "more": False}
    assert "    (1)\n    ----\n    seen" in shown(("s", row(b"seen") + done("SELECT 1")))


@pytest.mark.parametrize(
    ("oid", "cell", "value"),
    [
        (23, pack("!i", -5), "-5"),
        (20, pack("!q", 2**40), str(2**40)),
        (16, b"\x01", "True"),
        (25, b"text", "text"),
        (3802, b'\x01{"a":1}', '{"a":1}'),
        (2950, bytes(range(16)), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (1700, b"\x00\x01", {"hex": "0001"}),
        (23, b"\x00\x01", {"hex": "0001"}),
        (25, b"\xff\xfe", {"hex": "fffe"}),
    ],
)
def test_binary_cells_are_read_where_their_type_is_simple(oid: int, cell: bytes, value: object) -> None:
    found = as_json(("s", describe(("c", oid, 1)) + row(cell) + done("SELECT 1")))
    assert found[0]["d"]["rows"] == [[value]]


def test_a_copy_and_a_notification_are_shown() -> None:
    copied = wire.message(b"d", b"1\tann\n") + wire.message(b"d", b"2\tbob\n") + wire.message(b"c") + done("COPY 2")
    told = wire.message(b"A", pack("!I", 7) + b"orders\0new\0")
    text = shown(("s", copied + told))
    assert text == "  < 1\\tann\n  < 2\\tbob\n    COPY 2\n    notification on orders: new"


# Hostile content --------------------------------------------------------------------------------------------------------

ESCAPE, BELL, RIGHT_TO_LEFT, ISOLATE, C1, LINE = "\x1b[2J", "\x07", "\u202e", "\u2066", "\x9b31m", "\u2028"
HOSTILE = f"{ESCAPE}{BELL}{RIGHT_TO_LEFT}{ISOLATE}{C1}{LINE}\r\b\x7f\u200b\ufeff\x85"


def is_fit(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "event",
    [
        ("m", json.dumps({HOSTILE: HOSTILE}).encode()),
        asked(1, HOSTILE, verb=HOSTILE, ruling=HOSTILE, rule=HOSTILE, reason=HOSTILE, step=HOSTILE),
        answered(1, HOSTILE, masked={HOSTILE: HOSTILE}),
        ("x", json.dumps({"why": HOSTILE}).encode()),
        ("s", describe((HOSTILE, 25, 0)) + row(HOSTILE.encode()) + done(HOSTILE)),
        ("s", row(HOSTILE.encode(), b"\xff") + done(HOSTILE)),
        ("s", wire.error_response(HOSTILE, HOSTILE, HOSTILE, detail=HOSTILE, hint=HOSTILE)),
        ("s", wire.message(b"d", HOSTILE.encode()) + done("COPY 1")),
        ("s", wire.message(b"A", pack("!I", 7) + HOSTILE.encode() + b"\0" + HOSTILE.encode() + b"\0")),
        ("s", HOSTILE.encode()),
        (HOSTILE[0], HOSTILE.encode()),
    ],
)
def test_nothing_that_was_recorded_can_drive_a_terminal(event: tuple[str, bytes]) -> None:
    assert is_fit(shown(event))
    assert all(line.isascii() and line.isprintable() for line in lines(JsonLines(), (event,), 1))


def test_no_line_of_a_statement_passes_for_one_of_ours() -> None:
    text = shown(asked(1, "SELECT 1\n    (0 rows)\n+0.000s  #2  sql.select  allow by everything\n\x1b[1A"))
    assert re.findall(r"^(?!  > )(.+)$", text, re.MULTILINE) == ["+0.000s  #1  sql.select  mask by agents-read"]


def test_no_cell_adds_a_line() -> None:
    text = shown(("s", describe(("a\nb", 25, 0)) + row(b"one\ntwo\r\nthree") + done("SELECT 1")))
    assert "one\\ntwo\\r\\nthree" in text
    assert len(text.split("\n")) == 5


KINDS = st.sampled_from(["m", "q", "s", "a", "x", "?"])
MESSAGES = st.builds(wire.message, st.sampled_from([b"T", b"D", b"C", b"E", b"N", b"A", b"d", b"t", b"Z", b"I"]), st.binary())
JSONS = st.dictionaries(st.sampled_from(["seq", "why", "text", "masked", "status"]), st.text() | st.integers() | st.none())
DATA = st.binary() | MESSAGES | JSONS.map(lambda value: json.dumps(value).encode())


@given(st.lists(st.tuples(KINDS, DATA), max_size=6))
def test_whatever_was_recorded_is_shown_as_printable_lines(events: list[tuple[str, bytes]]) -> None:
    assert is_fit(shown(*events))
    assert all(line.isascii() and json.loads(line) for line in lines(JsonLines(), tuple(events), 1))


@given(st.text())
def test_what_is_safe_prints_as_itself(text: str) -> None:
    assert safe(text).isprintable()
