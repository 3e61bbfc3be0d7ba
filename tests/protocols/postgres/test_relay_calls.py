"""Function call messages: those of large objects are decided as the SELECT they stand for, and their answers covered as its."""

import struct

import pytest
from tests.protocols.postgres.stage import (
    COVERING,
    SECRET,
    Stage,
    answers,
    bind,
    complete,
    error,
    hung_up,
    kinds,
    messages,
    parse,
    ready,
    sent,
    shown,
    shown_error,
)

from gatebook.masking.detectors import NAMES
from gatebook.protocols.postgres import calls, wire

LOREAD, LO_OPEN = 954, 952
CARD = b"card 4242 4242 4242 4242 and more"
BAD_EXECUTE = wire.execute(SECRET)


def call(oid: int, *values: bytes | None, form: int = 1) -> bytes:
    body = struct.pack("!IHHH", oid, 1, 1, len(values))
    for value in values:
        body += b"\xff\xff\xff\xff" if value is None else struct.pack("!I", len(value)) + value
    return wire.message(b"F", body + struct.pack("!H", form))


def answer(value: bytes | None) -> bytes:
    return wire.message(b"V", b"\xff\xff\xff\xff" if value is None else struct.pack("!I", len(value)) + value)


INT = struct.Struct("!i").pack


def test_it_is_decided_as_the_select_that_calls_the_function_with_what_it_is_given():
    stage = Stage().open()
    stage.client(call(LO_OPEN, INT(42), INT(0x20000)))
    action = stage.asked.action
    assert action.text == "SELECT pg_catalog.lo_open($1, $2)"
    assert [deed.verb for deed in action.deeds] == ["sql.select", "sql.server"]
    assert action.parameters == (INT(42), INT(0x20000))
    assert action.forms == ("binary 26", "binary 23")
    assert sent(stage.allow()) == call(LO_OPEN, INT(42), INT(0x20000))
    effects = stage.server(answer(INT(0)) + ready())
    assert shown(effects) == answer(INT(0)) + ready()
    assert answers(effects) == [("CALLED", 1)]


@pytest.mark.parametrize("form", [0, 1])
def test_what_a_large_object_holds_is_looked_at_by_detectors(form):
    assert COVERING.detectors == NAMES
    stage = Stage().open()
    given = CARD if form else b"\\x" + CARD.hex().encode()
    stage.client(call(LOREAD, INT(0), INT(4096), form=form))
    stage.allow()
    effects = stage.server(answer(given) + ready())
    assert kinds(shown(effects)) == "VZ"
    assert CARD not in shown(effects)
    assert CARD.hex().encode() not in shown(effects)


def test_a_refused_one_never_reaches_the_server_and_ends_as_a_query_does():
    stage = Stage().open()
    stage.client(call(LOREAD, INT(0), INT(10)))
    assert sent(stage.refuse()) == BAD_EXECUTE + wire.SYNC
    effects = stage.server(error("34000", "no such portal") + ready())
    assert shown_error(effects)["C"] == "42501"
    assert kinds(shown(effects)) == "EZ"


def test_an_error_of_it_is_shown_with_its_readyforquery():
    stage = Stage().open()
    stage.client(call(LO_OPEN, INT(42), INT(1)))
    stage.allow()
    effects = stage.server(error("42704", "large object 42 does not exist") + ready())
    assert kinds(shown(effects)) == "EZ"
    assert answers(effects) == [("ERROR 42704", 0)]


def test_in_the_middle_of_a_batch_it_waits_for_what_came_before():
    stage = Stage().open()
    stage.client(parse("", "SELECT 1"))
    stage.allow()
    stage.client(bind("", "") + wire.execute("") + call(LO_OPEN, INT(1), INT(1)))
    stage.allow()
    asks = len([effect for effect in stage.effects if type(effect).__name__ == "Ask"])
    stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n") + complete("SELECT 1"))
    assert len([effect for effect in stage.effects if type(effect).__name__ == "Ask"]) == asks + 1
    assert sent(stage.allow()) == call(LO_OPEN, INT(1), INT(1))


@pytest.mark.parametrize(("oid", "values"), [(1, ()), (LOREAD, (INT(0),)), (764, (b"/etc/passwd",)), (1598, ())])
def test_another_function_or_another_number_of_arguments_is_not_carried(oid, values):
    stage = Stage().open()
    stage.client(call(oid, *values))
    assert stage.asked.fault == calls.NOT_CARRIED
    assert sent(stage.allow()) == BAD_EXECUTE + wire.SYNC


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\x03",
        struct.pack("!IHH", LOREAD, 0, 1),
        struct.pack("!IHHH", LOREAD, 0, 0, 2),
        struct.pack("!IHH", LOREAD, 0, 0) + b"\0\0\0",
    ],
)
def test_a_damaged_one_ends_the_session(body):
    assert hung_up(Stage().open().client(wire.message(b"F", body)))


@pytest.mark.parametrize("lie", [wire.message(b"V", b"\0\0"), answer(INT(1)) * 2, wire.message(b"V", b"\0\0\0\x09short")])
def test_a_server_that_answers_otherwise_ends_the_session(lie):
    stage = Stage().open()
    stage.client(call(LO_OPEN, INT(1), INT(1)))
    stage.allow()
    assert hung_up(stage.server(lie))


def test_an_answer_to_a_call_that_nobody_made_ends_the_session():
    stage = Stage().open()
    stage.client(wire.query("SELECT 1"))
    stage.allow()
    effects = stage.server(answer(b"secret"))
    assert hung_up(effects)
    assert b"secret" not in shown(effects)
    assert "V" not in [kind.decode() for kind, _ in messages(shown(effects))]
