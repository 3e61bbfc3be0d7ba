"""The session's tag in application_name: whatever the client sets, the target sees the tag first."""

import pytest
from tests.protocols.postgres.stage import (
    SESSION,
    Stage,
    asked,
    bind,
    complete,
    kinds,
    messages,
    parse,
    question,
    ready,
    sent,
    shown,
    shown_error,
)

from gatebook.protocols.postgres import tagged, wire
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.relay import Own

TAG = f"gatebook:{SESSION.id}"


def report(value):
    return wire.message(b"S", f"application_name\0{value}\0".encode())


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("", TAG),
        ("psql", f"{TAG} psql"),
        ("a" * 100, f"{TAG} " + "a" * 17),
        ("naïve\n\t\x00app", f"{TAG} na?ve???app"),
        ("it's \\ 100%", f"{TAG} it's \\ 100%"),
        ("gatebook:another", f"{TAG} gatebook:another"),
    ],
)
def test_the_clients_value_stands_behind_the_tag_as_far_as_there_is_room(own, kept):
    assert tagged.value(SESSION.id, own) == kept
    assert len(kept.encode()) <= 63


@pytest.mark.parametrize(
    ("text", "sent_as"),
    [
        ("SET application_name = 'job'", f"SET application_name = '{TAG} job'"),
        ("set Application_Name to job", f"SET application_name = '{TAG} job'"),
        ('SET SESSION "application_name" TO \'it\'\'s\';', f"SET application_name = '{TAG} it''s';"),
        ("SET LOCAL application_name = $$job$$", f"SET LOCAL application_name = '{TAG} job'"),
        ("SET application_name = E'a\\'b'", f"SET application_name = '{TAG} a''b'"),
        ("BEGIN; SET application_name = 'ü'; SELECT 'ü'", f"BEGIN;  SET application_name = '{TAG} ?'; SELECT 'ü'"),
        ("/* é */ SET application_name='a';SET application_name='b'",
         f"/* é */  SET application_name = '{TAG} a'; SET application_name = '{TAG} b'"),
        ("RESET application_name", "RESET application_name"),
        ("SET application_name TO DEFAULT", "SET application_name TO DEFAULT"),
        ("DISCARD ALL", "DISCARD ALL"),
    ],
)  # fmt: skip
def test_a_set_is_sent_with_the_tag_in_front(text, sent_as):
    stage = Stage().open()
    stage.client(wire.query(text))
    assert stage.asked.action.text == text
    assert wire.query_text(messages(sent(stage.allow()))[0][1]) == sent_as
    assert [tree.deeds[0].facts["setting"] for tree in read(sent_as).statements] == [
        tree.deeds[0].facts["setting"] for tree in read(text).statements
    ]


def test_a_prepared_set_is_sent_with_the_tag_in_front():
    stage = Stage().open()
    stage.client(parse("naïve", "SET application_name = 'job'"))
    found = wire.parse(messages(sent(stage.allow()))[0][1])
    assert (found.name, found.text) == ("naïve", f"SET application_name = '{TAG} job'")
    stage.client(bind("", "naïve"))
    assert stage.asked.action.text == "SET application_name = 'job'"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT set_config('application_name', 'me', false)",
        "SET application_name = 7",
        "SET application_name = a, b",
        "SELECT pg_catalog.set_config('APPLICATION_NAME', 'me', true) FROM orders",
        "SET application_name = 'a'; SELECT set_config('application_name', 'me', false)",
    ],
)
def test_a_value_that_cannot_be_written_anew_is_refused_in_words(text):
    stage = Stage().open()
    stage.client(wire.query(text))
    effects = stage.allow()
    assert b"application_name" not in sent(effects).lower()
    error = shown_error(stage.server(wire.error_response("ERROR", "34000", "no portal") + ready()))
    assert "carries the session's tag" in error["M"]


def ran(stage, text, *reports):
    stage.client(wire.query(text))
    stage.allow()
    return stage.server(b"".join(report(one) for one in reports) + complete("SELECT 1") + ready())


def tags(effects):
    return [question(one.data) for one in effects if isinstance(one, Own) and one.kind == "tag"]


def test_a_tag_that_something_took_away_is_put_back_and_the_client_hears_only_of_the_value():
    stage = Stage().open()
    effects = ran(stage, "SELECT harmless_looking()", "mine alone")
    assert tags(effects) == [f"SET application_name = '{TAG} mine alone'"]
    assert kinds(shown(effects)) == "SCZ"
    later = stage.client(wire.query("SELECT 1"))
    assert later == []
    effects = stage.server(report(f"{TAG} mine alone") + asked())
    assert kinds(shown(effects)) == "S"
    assert stage.asked.action.text == "SELECT 1"


def test_a_tag_that_stays_is_left_alone():
    assert tags(ran(Stage().open(), "SELECT 1", f"{TAG} x")) == []


def test_a_server_that_reports_without_end_is_answered_once_for_each_request():
    stage = Stage().open()
    assert len(tags(ran(stage, "SELECT 1", "mine"))) == 1
    assert tags(stage.server(report("mine") + asked())) == []
    assert len(tags(ran(stage, "SELECT 1", "mine"))) == 1


def test_in_a_transaction_that_failed_the_tag_waits_for_its_end():
    stage = Stage().open()
    stage.client(wire.query("SELECT harmless_looking()"))
    stage.allow()
    effects = stage.server(report("mine") + wire.error_response("ERROR", "22012", "division by zero") + ready(b"E"))
    assert tags(effects) == []
    assert len(tags(ran(stage, "ROLLBACK"))) == 1
