"""What goes past the relay in compiled code leaves behind what it would have by the relay: bytes, book and recording."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.rigs import MASKED, READS, WRITES, Rig
from tests.ledger.books import FailingDisk, entries, intact
from tests.protocols.postgres.stage import SESSION

from gatebook.model import Reach
from gatebook.protocols.postgres import native, wire
from gatebook.protocols.relay import Stale

SEVENTH = SESSION.id, 7
TEXTS = {"reads": READS, "masked": MASKED, "writes": WRITES}
VALUES = (
    b"7", b"8", b"none", b"many", b"card", b"long", b"odd", b"null", b"late", b"early", b"notice", b"told", b"other", b"lies",
    b"inside", b"", b"\0\0\0\7", b"\xff\xfe", b"caf\xc3\xa9", b"4111 1111 1111 1111", b"tab\there", b'say "it"\\',
    b"***-**-4320", b"x" * 300, b"+49 30 123456789", b"h:0011223344556677",
)  # fmt: skip
compiled = pytest.mark.skipif(native.crate is None, reason="the compiled twin is not installed")


def bound(statement: str, *values: bytes | None, form: int = 0) -> bytes:
    cells = b"".join(b"\xff" * 4 if one is None else struct.pack("!I", len(one)) + one for one in values)
    body = b"\0" + statement.encode() + b"\0" + struct.pack("!HHH", 1, form, len(values)) + cells + b"\0\0"
    return wire.message(b"B", body)


def batch(statement: str, *values: bytes | None, describes: bool = True, limit: int = 0, form: int = 0) -> bytes:
    execute = wire.message(b"E", b"\0" + struct.pack("!I", limit))
    describe = wire.describe("P", "") if describes else b""
    return bound(statement, *values, form=form) + describe + execute + wire.SYNC


def query(number: int, word: str = "total") -> bytes:
    return wire.query(f"SELECT {word} FROM orders WHERE id = {number}")


BATCHES = st.builds(
    batch,
    st.sampled_from(["reads", "reads", "reads", "masked", "writes", "unknown"]),
    st.sampled_from(VALUES) | st.none() | st.binary(max_size=8),
    describes=st.booleans(),
    limit=st.sampled_from([0, 0, 0, 1]),
    form=st.sampled_from([0, 0, 1]),
)
QUERIES = st.builds(query, st.integers(0, 10**10), st.sampled_from(["total", "total", "ssn", "total, id"]))
TEXT = st.sampled_from(
    [
        wire.query("BEGIN"),
        wire.query("COMMIT"),
        wire.query("SELECT 'a' FROM orders"),
        wire.query("SELECT ssn FROM customers"),
        wire.query("SELECT total FROM orders -- with a comment"),
        wire.message(b"C", b"Sreads\0") + wire.SYNC,
        wire.message(b"P", b"reads\0" + MASKED.encode() + b"\0\0\0") + wire.SYNC,
        wire.message(b"P", b"reads\0" + READS.encode() + b"\0\0\0") + wire.SYNC,
        wire.message(b"H"),
        wire.SYNC,
    ]
)
EVENTS = st.sampled_from(["stale", "tick", "minute", "granted", "erased", "hold", "hold", "go", "cancel", "kill"])
STEPS = st.lists(BATCHES | BATCHES | QUERIES | TEXT | EVENTS | st.just(batch("reads", b"7") * 2), min_size=1, max_size=12)


def happen(rig: Rig, what: str) -> None:
    """Something that is no bytes."""
    match what:
        case "stale":
            rig.connection.signal(Stale())
        case "tick":
            rig.connection.tick()
        case "minute":
            rig.gateway.clock.ahead += 61_000_000
        case "granted":
            rig.gateway.granted.now = None if rig.gateway.granted.now else Reach.READ
        case "erased":
            rig.gateway.commitments.erased += 1  # as if a salt were; entries must stay comparable
        case "hold" | "go":
            rig.holds = what == "hold"
        case "cancel":
            rig.connection.cancel()
        case "kill":
            rig.connection.end("an operator wants it")


async def told(folder: Path, steps: list[bytes | str], cuts: list[int], back: list[int], *, lane: bool) -> tuple[object, ...]:
    """All that a session of these steps leaves behind."""
    rig = await Rig(folder, lane=lane).open()
    await rig.prepare(**TEXTS)
    for step in steps:
        if isinstance(step, str):
            happen(rig, step)
            await rig.settle()
        else:
            await rig.send(step, cuts, back)
    rig.holds = False
    await rig.settle(back)
    actions = [(*key[1:], row.status, row.rows, row.text_, row.decided) for key, row in rig.gateway.rows._actions.items()]
    state = rig.connection._relay._answers.batch if rig.connection._relay is not None else None
    await rig.close()
    intact(folder / "ledger")
    return rig.shown, rig.heard, rig.written(), rig.recorded(), sorted(map(str, actions)), rig.connection._sent, str(state)


def both(steps: list[bytes | str], cuts: list[int], back: list[int]) -> tuple[tuple[object, ...], tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        return (
            asyncio.run(told(Path(one), steps, cuts, back, lane=True)),
            asyncio.run(told(Path(other), steps, cuts, back, lane=False)),
        )


SAME: list[bytes | str] = [batch("reads", b"7")] * 3
STORIES: dict[str, list[bytes | str]] = {
    "the same again": [batch("reads", b"7")] * 5,
    "every value": [batch("reads", value) for value in (b"7", b"7", *VALUES, b"7")],
    "nulls and two values": [batch("reads", None)] * 3 + [batch("reads", b"7", None, b"")] * 3,
    "without a Describe": [batch("reads", b"7")] * 3 + [batch("reads", b"8", describes=False)] * 3,
    "a limit on rows": [batch("reads", b"7")] * 3 + [batch("reads", b"many", limit=1)] * 2,
    "masked ones between": [batch("reads", b"7"), batch("masked", b"7")] * 4,
    "writes between": [batch("reads", b"7"), batch("writes", b"7")] * 3,
    "another meaning under the name": [
        *[batch("reads", b"7")] * 3,
        wire.message(b"C", b"Sreads\0") + wire.message(b"P", b"reads\0" + MASKED.encode() + b"\0\0\0") + wire.SYNC,
        *[batch("reads", b"7")] * 3,
    ],
    "a name that is gone": [*[batch("reads", b"7")] * 3, wire.message(b"C", b"Sreads\0") + wire.SYNC, batch("reads", b"7")],
    "queries of other numbers": [query(number) for number in (1, 2, 3, 44, 555, 6666, 4111111111111111, 77, 10**10, 8)],
    "queries of other columns": [query(1), query(2), query(3), query(4, "ssn"), query(5, "id"), query(6)],
    "a query that is always the same": [wire.query("SELECT 'a' FROM orders")] * 4,
    "a transaction": [*[batch("reads", b"7")] * 3, wire.query("BEGIN"), batch("reads", b"7"), wire.query("COMMIT")] * 2,
    "time passes": [*[batch("reads", b"7")] * 3, "stale", *[batch("reads", b"7")] * 3, "minute", *[batch("reads", b"7")] * 3],
    "a grant comes and goes": [*[batch("reads", b"7")] * 3, "granted", *[batch("reads", b"7")] * 3, "granted"],
    "a salt is erased": [*[batch("reads", b"7")] * 3, "erased", *[batch("reads", b"7")] * 3],
    "another meaning under the name while an answer is due": [
        *[batch("reads", b"7")] * 3,
        "hold",
        batch("reads", b"7"),
        wire.message(b"C", b"Sreads\0") + wire.message(b"P", b"reads\0" + MASKED.encode() + b"\0\0\0") + wire.SYNC,
        batch("reads", b"7"),
        "go",
        batch("reads", b"7"),
    ],
    "much happens while an answer is due": [
        *[one for what in ("stale", "tick", "minute", "cancel") for one in (*SAME, "hold", batch("reads", b"8"), what, "go")],
        *SAME,
    ],
    "an end while an answer is due": [*SAME, "hold", batch("reads", b"7"), "kill"],
    "an error in the midst of a pipeline": [
        *SAME,
        "hold",
        *[batch("reads", value) for value in (b"7", b"late", b"7")],
        "go",
    ],
    "one behind the other": [batch("reads", b"7")] * 3 + [batch("reads", b"7") * 3, batch("reads", b"early") + query(3)],
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(("cuts", "back"), [([], []), ([20], []), ([], [7, 60]), ([30, 31], [11, 50])])
def test_what_is_left_behind_is_the_same(story, cuts, back):
    one, other = both(STORIES[story], cuts, back)
    assert one == other


@settings(max_examples=60, deadline=None)
@given(STEPS, st.lists(st.integers(0, 300), max_size=3), st.lists(st.integers(0, 300), max_size=3), st.booleans())
def test_whatever_comes_what_is_left_behind_is_the_same(steps, cuts, back, cut):
    one, other = both([*[batch("reads", b"7")] * 3, *steps], cuts if cut else [], back if cut else [])
    assert one == other


async def ready(folder: Path, disk: FailingDisk | None = None) -> Rig:
    """A session whose next statement goes past the relay."""
    rig = await Rig(folder, lane=True, disk=disk).open()
    await rig.prepare(**TEXTS)
    for _ in range(3):
        await rig.send(batch("reads", b"7"))
    return rig


@compiled
async def test_what_came_before_goes_past_the_relay_and_what_did_not_does_not(tmp_path):
    rig = await ready(tmp_path)
    before = rig.taken
    for value in (b"7", b"8", b"none", None):
        await rig.send(batch("reads", value))
    assert rig.taken == before + 4
    for other in (batch("masked", b"7"), batch("writes", b"7"), batch("reads", b"***-**-4320"), bound("reads", b"7")):
        await rig.send(other)
    assert rig.taken == before + 4
    await rig.close()


@compiled
async def test_a_query_of_another_number_goes_past_the_relay_where_the_reading_is_shared(tmp_path):
    rig = await ready(tmp_path)
    for number in range(6):
        await rig.send(query(number))
    before = rig.taken
    for number in range(6, 10):
        await rig.send(query(number))
    assert rig.taken == before + 4
    await rig.send(query(10, "ssn"))
    assert rig.taken == before + 4
    await rig.close()


@compiled
@pytest.mark.parametrize("fails", ["write", "kept"])
async def test_where_the_book_cannot_be_written_nothing_is_sent_and_the_session_ends(tmp_path, fails):
    disk = FailingDisk()
    rig = await ready(tmp_path, disk)
    heard, disk.error, disk.fails = rig.heard, errno.ENOSPC, fails
    await rig.send(batch("reads", b"7"))
    assert rig.heard == heard + wire.TERMINATE
    assert b"the disk is full" in rig.shown
    assert rig.connection._finished
    disk.fails = None
    await rig.close()
    assert [one["type"] for one in rig.written() if one.get("action") == 7] == ["action"] * (fails == "kept")


@compiled
async def test_where_the_answers_entry_cannot_be_written_the_session_ends(tmp_path):
    disk = FailingDisk()
    rig = await ready(tmp_path, disk)
    rig.holds = True
    await rig.send(batch("reads", b"7"))
    disk.fails, rig.holds = "write", False
    await rig.settle()
    assert rig.connection._finished
    assert b"the book cannot be written" in rig.shown
    await rig.close()


@compiled
async def test_what_cannot_be_recorded_does_not_leave_and_the_session_ends(tmp_path):
    rig = await ready(tmp_path)
    rig.holds = True
    await rig.send(batch("reads", b"many"))
    shown, rig.holds = rig.shown, False
    os.close(rig.recorder._file)
    rig.recorder._file = -1
    await rig.settle()
    assert b"the recording cannot be written" in rig.shown.removeprefix(shown)
    assert b"SELECT 20" not in rig.shown
    assert rig.connection._finished
    await rig.close()


@compiled
async def test_what_is_long_on_its_way_gets_its_row_before_its_answer(tmp_path):
    rig = await ready(tmp_path)
    rig.holds = True
    await rig.send(batch("reads", b"7"))
    assert SEVENTH not in rig.gateway.rows._actions
    rig.gateway.clock.ahead += 600_000
    rig.connection.tick()
    assert rig.gateway.rows._actions[SEVENTH].status is None
    rig.holds = False
    await rig.settle()
    assert rig.gateway.rows._actions[SEVENTH].status == "SELECT 1"
    await rig.close()


@compiled
async def test_each_session_has_its_own_lane(tmp_path):
    one, other = await ready(tmp_path / "one"), await Rig(tmp_path / "other", lane=True).open()
    await other.prepare(reads=MASKED)
    await other.send(batch("reads", b"7"))
    assert (one.taken > 0, other.taken) == (True, 0)
    await one.close()
    await other.close()


@compiled
async def test_every_identifier_is_another_one_of_its_own_time(tmp_path):
    rig = await ready(tmp_path)
    for _ in range(100):
        await rig.send(batch("reads", b"7"))
    assert rig.taken > 100
    await rig.close()
    found = [json.loads(entry) for entry in entries(tmp_path / "ledger")]
    made = [one["id"] for one in found] + [one["decision"] for one in found if "decision" in one]
    assert len(set(made)) == len(made) > 300
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in made)
    assert all(int(one["id"][:13].replace("-", ""), 16) == one["time"] // 1000 for one in found)


@compiled
async def test_a_fault_of_ours_past_the_relay_ends_the_session(tmp_path):
    rig = await ready(tmp_path)
    heard = rig.heard
    rig.connection._recent = rig.connection._shortcut._recent = None  # whatever comes of it
    await rig.send(batch("reads", b"7"))
    assert rig.connection._finished
    assert rig.heard == heard
    await rig.close()


@compiled
async def test_what_is_bound_never_goes_by_the_lane_to_where_a_detector_finds_it(tmp_path):
    rig = await ready(tmp_path)
    before = rig.taken
    for value in (b"4111 1111 1111 1111", b"ada@example.com", b"123-45-6789"):
        await rig.send(batch("reads", value))
    assert rig.taken == before
    await rig.close()
    texts = [one["text"] for one in rig.written() if one["type"] == "action"]
    assert [text for text in texts if "4111" in text or "ada@" in text or "123-45" in text] == []
