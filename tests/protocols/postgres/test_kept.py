"""What a session may keep by name, and what it may send ahead of answers: neither grows without an end."""

import gc

import pytest
from tests.protocols.postgres.stage import Stage, bind, complete, hung_up, kinds, parse, ready, sent, shown

from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.expected import Portal, Prepared
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.relay import Ask, Ended, Side

MEGABYTE = bytes(1_048_576)


def prepared(stage: Stage) -> Stage:
    stage.client(parse("", "SELECT $1"))
    stage.allow()
    stage.server(wire.message(b"1"))
    return stage


def bound(stage: Stage, portal: str, value: bytes) -> str:
    """Bind and Flush, answered by the server; why the session ended, if it did."""
    stage.client(bind(portal, "", value) + wire.message(b"H"))
    effects = stage.allow()
    if not hung_up(effects):
        stage.server(wire.message(b"2") + wire.message(b"n"))
    return hung_up(effects)


def test_portals_hold_so_many_bytes_of_parameters_and_no_more():
    stage = prepared(Stage().open())
    assert not any(bound(stage, f"p{number}", MEGABYTE) for number in range(16))
    assert "hold 17825792 bytes, of 16777216 that may be; close some" in bound(stage, "p16", MEGABYTE)


def test_a_portal_that_is_closed_or_bound_again_makes_room():
    stage = prepared(Stage().open())
    for number in range(40):
        name = f"p{number % 8}"
        assert not bound(stage, name, MEGABYTE)
        if number % 2:
            stage.client(wire.message(b"C", b"P" + name.encode() + b"\0"))
            stage.server(wire.message(b"3"))


def test_the_unnamed_portal_may_be_bound_as_often_as_one_likes():
    stage = prepared(Stage().open())
    assert not any(bound(stage, "", MEGABYTE) for _ in range(40))


@pytest.mark.parametrize("text", ["SELECT '{name}{long}'", "PREPARE {name} AS SELECT '{long}'"])
def test_prepared_statements_hold_so_many_bytes_of_text_and_no_more(text):
    stage, why = Stage().open(), ""
    for number in range(20):
        why = why or statement(stage, f"s{number}", text.format(name=f"s{number}", long="x" * 1_000_000))
    assert "may be; close some" in why


def statement(stage: Stage, name: str, text: str) -> str:
    stage.client(wire.query(text) if text.startswith("PREPARE") else parse(name, text))
    effects = stage.allow()
    if not hung_up(effects):
        effects = stage.server(complete("PREPARE") + ready() if text.startswith("PREPARE") else wire.message(b"1"))
    return hung_up(effects)


OWED = {"P": wire.message(b"1"), "B": wire.message(b"2"), "D": wire.message(b"n"), "E": complete("SELECT 0"), "S": ready()}


def test_many_large_binds_in_one_batch_wait_for_answers_and_all_of_them_run():
    stage = prepared(Stage().open())
    effects = stage.client((bind("", "", MEGABYTE) + wire.execute("")) * 12 + wire.SYNC)
    owed, unanswered, most, ran = "", 0, 0, 0
    while "S" not in owed:
        if any(isinstance(effect, Ask) for effect in effects):
            effects = stage.allow()
            unanswered += 1
            ran += 1
        else:
            assert owed.endswith("H")  # the server was told to answer
            effects = stage.server(b"".join(OWED[kind] for kind in owed if kind in OWED))
            owed, unanswered = "", 0
        owed += kinds(sent(effects))
        most = max(most, unanswered)
    assert (ran, most) == (12, 4)
    stage.server(b"".join(OWED[kind] for kind in owed))
    assert kinds(shown(stage.effects)) == "1" + "2C" * 12 + "Z"


def test_while_answers_are_waited_for_the_client_is_not_read():
    stage = prepared(Stage().open())
    stage.client(bind("", "", MEGABYTE * 5))
    stage.allow()
    assert not stage.relay.hungry
    stage.server(OWED["B"] + OWED["D"])
    assert stage.relay.hungry


@pytest.mark.parametrize("ends", [Side.CLIENT, Side.SERVER, Side.GATEWAY])
def test_what_a_session_keeps_is_gone_with_it_and_waits_for_no_collector(ends: str) -> None:
    """Large values in a ring stay until the interpreter looks for rings, which hundreds of megabytes do not make it do."""
    gc.collect()
    before = kept_objects()
    gc.disable()
    try:
        stage = Stage().open()
        stage.client(parse("named", "SELECT id FROM orders WHERE id = $1"))
        stage.allow()
        stage.client(bind("portal", "named", b"x" * 1000))
        stage.allow()
        assert kept_objects() > before
        stage.feed(Ended(ends, "it is over"))
        del stage
        assert kept_objects() == before
    finally:
        gc.enable()


def kept_objects() -> int:
    return sum(isinstance(one, Answers | Portal | Prepared | PostgresRelay) for one in gc.get_objects())
