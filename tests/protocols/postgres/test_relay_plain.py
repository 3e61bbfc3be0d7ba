"""What only reads goes a shorter way, in larger steps: with the effects that it has message by message."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.postgres.stage import (
    Stage,
    answers,
    bind,
    complete,
    description,
    error,
    kinds,
    messages,
    parse,
    ready,
    row,
    sent,
    shown,
)

from gatebook.protocols.postgres import wire
from gatebook.protocols.relay import Answered, Ask, Effect, HangUp, Own, ToClient, ToServer

READS = "SELECT total FROM orders WHERE id = $1"
MASKED = "SELECT ssn FROM customers WHERE id = $1"
WRITES = "UPDATE orders SET total = 1 WHERE id = $1"
DESCRIBE, SYNC = wire.describe("P", ""), wire.SYNC
BOUND = wire.message(b"2")
TOTAL, SSN = description(("total", 200, 2)), description(("ssn", 100, 2))


def execute(limit: int = 0) -> bytes:
    return wire.message(b"E", b"\0" + struct.pack("!I", limit))


def batch(statement: str = "reads", value: bytes = b"7", limit: int = 0) -> bytes:
    return bind("", statement, value) + DESCRIBE + execute(limit) + SYNC


def prepared() -> Stage:
    stage = Stage().open()
    for name, text in (("reads", READS), ("masked", MASKED), ("writes", WRITES)):
        stage.client(parse(name, text))
        stage.allow()
        stage.client(SYNC)
        stage.server(wire.message(b"1") + ready())
    stage.effects.clear()
    return stage


def told(effects: list[Effect]) -> list[object]:
    """What was done, with bytes to the client put together where nothing stands between them.

    Of a session that a broken target ends, what was due to the client in the same read goes with it: there only what was done
    counts, and the last words.
    """
    found: list[object] = []
    for effect in effects:
        match effect:
            case ToClient(data):
                if found and isinstance(found[-1], bytes):
                    data = found.pop() + data
                found.append(data)
            case ToServer(permit, data):
                found.append(("server", permit.action.seq, data))
            case Own(kind, data):
                found.append((kind, data))
            case Answered(action, status, rows, size, masked):
                found.append(("answered", action.seq, status, rows, size, masked))
            case Ask(action, columns, line):
                found.append(("ask", action, columns, line))
            case HangUp(why):
                found.append(("hang up", why))
            case _:
                found.append(type(effect))
    if any(isinstance(effect, HangUp) for effect in effects):
        last = [body for kind, body in messages(shown(effects)) if kind == b"E"][-1]
        found = [*sorted(repr(one) for one in found if not isinstance(one, bytes)), wire.report_fields(last)]
    return found


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


def play(client: bytes, server: list[bytes], cuts: list[int], verdicts: list[bool]) -> tuple[list[object], object]:
    """All that happens when both sides' bytes come in these pieces; the server answers what it was sent, in its order."""
    stage, turn = prepared(), 0
    for piece in pieces(client, cuts):
        stage.client(piece)
        while stage.effects and isinstance(stage.effects[-1], Ask):
            allowed, turn = (not verdicts or verdicts[turn % len(verdicts)]), turn + 1
            stage.allow() if allowed else stage.refuse()
    for piece in pieces(b"".join(server), cuts):
        stage.server(piece)
    return told(stage.effects), state(stage)


def state(stage: Stage) -> object:
    """What is known of the session when all is done; nothing counts in one that is over."""
    if any(isinstance(effect, HangUp) for effect in stage.effects):
        return None
    known = stage.relay._answers
    flags = known.status, known.block, known.own_block, known.skipping, known.unsynced, known._touched
    return flags, str(known.batch), sorted(known.portals), sorted(known.prepared), known.catalog.version, len(known._queue)


ANSWER = BOUND + TOTAL + row(b"5") + complete("SELECT 1") + ready()
STORIES = {
    "a row": (batch(), [ANSWER]),
    "no row": (batch(), [BOUND + TOTAL + complete("SELECT 0") + ready()]),
    "many rows": (batch(), [BOUND + TOTAL + row(b"5") * 20 + complete("SELECT 20") + ready()]),
    "a masked row": (batch("masked"), [BOUND + SSN + row(b"123-45-6789") * 2 + complete("SELECT 2") + ready()]),
    "a write": (batch("writes"), [BOUND + wire.message(b"n") + complete("UPDATE 1") + ready()]),
    "some rows at a time": (batch(limit=1), [BOUND + TOTAL + row(b"5") + wire.message(b"s") + ready(b"T")]),
    "one batch behind the other": (
        batch() + batch("masked"),
        [ANSWER, BOUND + SSN + row(b"x") + complete("SELECT 1") + ready()],
    ),
    "in a transaction": (batch(), [BOUND + TOTAL + row(b"5") + complete("SELECT 1") + ready(b"T")]),
    "an error at the bind": (batch(), [error("22P02", "invalid input syntax") + ready()]),
    "an error at a row": (batch(), [BOUND + TOTAL + error("22012", "division by zero") + ready(b"E")]),
    "a notice between": (
        batch(),
        [BOUND + wire.message(b"N", b"SNOTICE\0Mhello\0\0") + TOTAL + complete("SELECT 0") + ready()],
    ),
    "a row that nobody described": (batch(), [BOUND + row(b"5") + complete("SELECT 1") + ready()]),
    "a copy that nobody asked for": (batch(), [BOUND + TOTAL + wire.message(b"H", b"\0\0\0") + ready()]),
    "another command's end": (batch(), [BOUND + TOTAL + complete("DELETE 5") + ready()]),
    "an end without its Sync": (bind("", "reads", b"7") + DESCRIBE + execute(), [ANSWER]),
    "without a Describe": (bind("", "reads", b"7") + execute() + SYNC, [ANSWER]),
    "a Flush between": (bind("", "reads", b"7") + DESCRIBE + wire.message(b"H") + execute() + SYNC, [ANSWER]),
    "executed twice": (
        bind("", "reads", b"7") + DESCRIBE + execute() + execute() + SYNC,
        [BOUND + TOTAL + row(b"5") + complete("SELECT 1") + complete("SELECT 0") + ready()],
    ),
    "a Query": (
        wire.query("SELECT total FROM orders"),
        [TOTAL + row(b"5") * 3 + complete("SELECT 3") + ready()],
    ),
    "a masked Query": (wire.query("SELECT ssn FROM customers"), [SSN + row(b"123-45-6789") + complete("SELECT 1") + ready()]),
    "two results of one Query": (
        wire.query("SELECT total FROM orders"),
        [TOTAL + row(b"5") + complete("SELECT 1") + SSN + row(b"123-45-6789") + complete("SELECT 1") + ready()],
    ),
    "a Query that fails": (wire.query("SELECT total FROM orders"), [TOTAL + error("22012", "division by zero") + ready()]),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("verdicts", [[], [False], [True, False]], ids=["allowed", "refused", "the second refused"])
def test_byte_by_byte_the_effects_are_the_same(story, verdicts):
    client, server = STORIES[story]
    longest = max(len(client), sum(map(len, server)))
    assert play(client, server, [], verdicts) == play(client, server, list(range(longest)), verdicts)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(STORIES)), st.lists(st.integers(0, 400), max_size=6), st.lists(st.booleans(), max_size=3))
def test_however_both_sides_bytes_are_cut_the_effects_are_the_same(story, cuts, verdicts):
    client, server = STORIES[story]
    assert play(client, server, cuts, verdicts) == play(client, server, [], verdicts)


def test_what_most_drivers_send_goes_on_with_one_answer_to_one_question():
    stage = prepared()
    stage.client(batch())
    assert [type(effect) for effect in stage.effects] == [Ask]
    assert stage.asked.action.parameters == (b"7",)
    assert sent(stage.allow()) == batch()
    assert shown(stage.server(ANSWER)) == ANSWER
    assert answers(stage.effects) == [("SELECT 1", 1)]


def test_what_is_not_answered_yet_has_an_end_on_the_short_way_too():
    stage = prepared()
    sends = []
    for _ in range(6):
        stage.client(batch(value=b"7" * 1_000_000))
        sends.append(kinds(sent(stage.allow())) if isinstance(stage.effects[-1], Ask) else "waits")
    assert sends == ["BDES"] * 4 + ["BDH", "waits"]
    stage.server(ANSWER * 4)
    assert not stage.relay._asking.free
    stage.server(BOUND + TOTAL)  # the columns that the gateway asked for: now nothing is owed
    assert isinstance(stage.effects[-1], Ask)
    assert stage.asked.action.seq == 9, "three were prepared, five bound before"


def test_what_stands_behind_a_refused_bind_is_skipped_up_to_its_sync():
    stage = prepared()
    stage.client(batch())
    assert kinds(sent(stage.refuse())) == "ES"  # the Execute that must fail, and the Sync
    assert not stage.relay._client


def test_a_bind_of_a_covered_value_takes_the_long_way_and_keeps_it_as_text():
    stage = prepared()
    stage.client(batch("masked", b"***-**-4320"))
    assert stage.asked.action.parameters == (b"***-**-4320",)
    assert sent(stage.allow()) == batch("masked", b"***-**-4320")


def test_a_permit_that_comes_when_the_catalog_is_old_covers_what_it_covered():
    stage = prepared()
    stage.client(batch("masked"))
    stage.relay._answers.catalog.forget()
    stage.allow()
    effects = stage.server(BOUND + SSN + row(b"123-45-6789") + complete("SELECT 1") + ready())
    assert b"123-45-6789" not in shown(effects)
