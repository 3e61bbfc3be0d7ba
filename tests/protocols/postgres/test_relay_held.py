"""Statements that wait for people: one NOTICE, cancel, approval, denial, a session that changes meanwhile."""

import json
import struct

import pytest
from tests.protocols.postgres.stage import (
    CATALOG,
    SECRET,
    Stage,
    answers,
    bind,
    complete,
    description,
    error,
    hung_up,
    kinds,
    messages,
    parse,
    ready,
    row,
    sent,
    shown,
    shown_error,
)

from gatebook.model import Hold
from gatebook.protocols.postgres import wire
from gatebook.protocols.relay import Ask, Cancelled, Ended, Side, Stale, Trying, Withdraw

ALTER = wire.query("ALTER TABLE orders ADD note text")


def held(data: bytes = ALTER) -> Stage:
    stage = Stage().open()
    stage.client(data)
    stage.hold()
    return stage


def test_a_held_statement_gets_one_notice_with_the_link_and_nothing_moves():
    stage = Stage().open()
    stage.client(ALTER)
    effects = stage.hold()
    assert sent(effects) == b""
    assert kinds(shown(effects)) == "N"
    fields = wire.report_fields(messages(shown(effects))[0][1])
    assert fields["S"] == "NOTICE"
    assert "group:dba" in fields["M"]
    assert json.loads(fields["D"]) == {
        "approval": "ap-1",
        "rule": "admin-needs-dba",
        "class": "wait",
        "follow": "https://gate/approvals/ap-1",
    }
    assert "https://gate/approvals/ap-1" in fields["H"]


def test_an_approved_statement_goes_as_it_is():
    stage = held()
    assert sent(stage.allow()) == ALTER


def test_a_denied_statement_never_reaches_the_server():
    stage = held()
    assert sent(stage.refuse("denied")) == wire.execute(SECRET) + wire.SYNC


def test_what_the_client_sends_ahead_waits_behind_the_held_statement():
    stage = held()
    assert stage.client(wire.query("SELECT 1")) == []
    assert stage.relay.hungry
    stage.allow()
    effects = stage.server(complete("ALTER TABLE") + ready())
    assert [effect.action.text for effect in effects if isinstance(effect, Ask)] == ["SELECT 1"]


def test_a_client_that_sends_much_ahead_is_no_longer_read():
    stage = held()
    stage.client(wire.query("SELECT '" + "x" * 70_000 + "'"))
    assert not stage.relay.hungry


def test_cancel_withdraws_what_is_held_and_the_session_goes_on():
    stage = held()
    action = stage.asked.action
    effects = stage.feed(Cancelled())
    assert Withdraw(action) in effects
    assert b"ALTER" not in sent(effects)
    effects = stage.server(error("34000", "no portal") + ready())
    assert shown_error(effects)["C"] == "57014"
    assert kinds(shown(effects)) == "EZ"
    stage.client(wire.query("SELECT 1"))
    assert stage.asked.action is action, "one action at a time: what was asked for it is not undone yet"
    effects = stage.refuse("withdrawn")
    assert [effect.action.text for effect in effects if isinstance(effect, Ask)] == ["SELECT 1"]


def test_cancel_withdraws_what_is_tried_before_people_are_asked():
    stage = Stage().open()
    stage.client(ALTER)
    action = stage.asked.action
    assert stage.feed(Trying()) == []
    assert Withdraw(action) in stage.feed(Cancelled())
    assert shown_error(stage.server(error("34000", "no portal") + ready()))["C"] == "57014"
    assert stage.refuse("withdrawn") == []
    stage.client(ALTER)
    assert sent(stage.allow()) == ALTER


def test_what_is_only_being_decided_is_not_withdrawn_by_a_cancel():
    stage = Stage().open()
    stage.client(ALTER)
    assert stage.feed(Cancelled()) == []
    assert sent(stage.allow()) == ALTER


def test_an_approval_that_crosses_a_cancel_sends_nothing():
    stage = held()
    stage.feed(Cancelled())
    stage.effects = [effect for effect in stage.effects if isinstance(effect, Ask)]
    assert sent(stage.allow()) == b""


def test_after_a_long_wait_the_names_are_asked_again_before_it_goes():
    stage = held(wire.query("SELECT ssn FROM customers"))
    stage.feed(Stale())
    assert sent(stage.allow()) == wire.query("SELECT ssn FROM customers")
    effects = stage.server(description(("ssn", 100, 2)) + row(b"odd-secret") + complete("SELECT 1") + ready())
    assert b"odd-secret" not in shown(effects)


def test_time_that_passes_while_the_names_are_asked_again_changes_nothing() -> None:
    stage = held()
    stage.feed(Stale())
    stage.late = 2
    assert sent(stage.allow()) == ALTER
    assert stage.late == 0


def test_a_statement_whose_names_mean_something_else_by_now_is_refused():
    stage = held(wire.query("SELECT id FROM orders"))
    stage.feed(Stale())
    before = CATALOG["orders"]
    try:
        CATALOG["orders"] = [("c", 300, 1, "other_orders", "id")]
        effects = stage.allow()
    finally:
        CATALOG["orders"] = before
    assert b"SELECT id" not in sent(effects)
    effects = stage.server(error("34000", "no portal") + ready())
    assert "changed-while-held" in shown_error(effects)["M"]


def test_a_held_bind_aborts_its_batch_when_it_is_denied():
    stage = Stage().open()
    stage.client(parse("", "ALTER TABLE orders ADD note text") + bind("", "") + wire.execute("") + wire.SYNC)
    stage.allow()
    stage.hold()
    effects = stage.refuse("denied")
    assert kinds(sent(effects)) == "ES"
    effects = stage.server(wire.message(b"1") + error("34000", "no portal") + ready())
    assert kinds(shown(effects)) == "1EZ"


def test_a_held_statement_behind_an_error_is_skipped_like_the_rest_of_its_batch():
    stage = Stage().open()
    first = parse("", "SELECT 1/0") + bind("", "") + wire.execute("")
    stage.client(wire.query("SELECT 1 FROM orders"))
    stage.allow()
    stage.server(complete("SELECT 0") + ready())
    stage.client(first + parse("", "ALTER TABLE orders ADD note text") + wire.SYNC)
    stage.allow()
    stage.allow()
    stage.hold()
    stage.server(wire.message(b"1") + wire.message(b"2") + wire.message(b"n") + error("22012", "division by zero"))
    effects = stage.allow()
    assert b"ALTER" not in sent(effects)
    assert answers(effects) == [("SKIPPED", 0)]


def test_a_session_that_ends_while_it_waits_says_why():
    stage = held()
    effects = stage.feed(Ended(Side.GATEWAY, "your token expired"))
    assert shown_error(effects)["M"] == "your token expired"
    assert hung_up(effects)


def test_the_gateways_own_options_state_purpose_and_patience_and_go_no_further():
    stage = Stage()
    options = "-c gatebook.why=OPS-12 -c gatebook.hold=answer"
    packet = wire.startup({"user": "shop-agent", "database": "shop", "options": options})
    stage.client(packet)
    effects = stage.client(wire.message(b"p", b"t\0"))
    assert (effects[0].purpose, effects[0].hold) == ("OPS-12", Hold.ANSWER)
    assert struct.unpack("!I", packet[:4])[0] == len(packet)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (f"-c gatebook.why={'x' * 201}", "at most 200 printable characters"),
        ("-c gatebook.why=OPS\u202e7", "at most 200 printable characters"),
        ("-c gatebook.why=OPS\x1b[2J", "at most 200 printable characters"),
        ("-c gatebook.hold=never", "expected wait, answer"),
    ],
)
def test_a_purpose_that_reads_otherwise_than_it_is_and_an_unknown_patience_are_refused(option: str, said: str):
    effects = Stage().client(wire.startup({"user": "shop-agent", "database": "shop", "options": option}))
    assert said in shown_error(effects)["M"]
    assert hung_up(effects)
