from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests import make

from gatebook.db import engine, migrate, writing
from gatebook.db.store import request_kill
from gatebook.gateway import store
from gatebook.model import Resource, Ruling

OTHER = make.SESSION_ID[:-1] + "2"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database = engine(f"sqlite:///{tmp_path / 'gatebook.db'}")
    migrate(database)
    with writing(database) as opened:
        yield opened
    database.dispose()


def opened(connection: Connection, **changes: object) -> None:
    store.open_session(connection, session=make.session(**changes), role="shop_app")


def acted(connection: Connection, seq: int, ruling: Ruling = Ruling.ALLOW) -> None:
    action = make.action("DELETE FROM customers", make.deed("sql.delete"), seq=seq)
    verdict = make.verdict(ruling, rule="no-delete", reason="no WHERE")
    store.add_action(
        connection, session=make.SESSION_ID, action=action, verdict=verdict, text_="covered", decision=f"d{seq}", at=make.NOW
    )


def only(connection: Connection) -> store.SessionRow:
    (row,) = store.list_sessions(connection)
    return row


def test_a_session_is_listed_as_it_was_opened(connection: Connection) -> None:
    opened(connection, purpose="ticket 7")
    row = only(connection)
    assert (row.subject, row.kind, row.target, row.role, row.purpose) == ("shop-agent", "agent", "shop", "shop_app", "ticket 7")
    assert (row.closed_at, row.actions, row.refused) == (None, 0, 0)


def test_a_live_session_counts_its_actions_as_they_come(connection: Connection) -> None:
    opened(connection)
    for seq, ruling in enumerate(Ruling, 1):
        acted(connection, seq, ruling)
    assert (only(connection).actions, only(connection).refused) == (4, 2)


def test_a_closed_session_keeps_the_counts_it_closed_with(connection: Connection) -> None:
    opened(connection)
    store.close_session(connection, session=make.SESSION_ID, at=9, reason="client left", counts=(7, 3), sizes=(10, 20))
    row = only(connection)
    assert (row.closed_at, row.close_reason, row.actions, row.refused, row.bytes_in, row.bytes_out) == (
        9,
        "client left",
        7,
        3,
        10,
        20,
    )


def test_an_action_is_read_back_with_its_answer(connection: Connection) -> None:
    opened(connection)
    acted(connection, 1)
    acted(connection, 2, Ruling.BLOCK)
    store.finish_action(connection, session=make.SESSION_ID, seq=1, status="DELETE 3", rows=3)
    first, second = store.actions_of(connection, make.SESSION_ID)
    assert (first.verb, first.reach, first.text, first.status, first.rows) == ("sql.delete", "write", "covered", "DELETE 3", 3)
    assert first.resources == (Resource(kind="table", name="public.customers"),)
    assert (second.ruling, second.rule, second.reason, second.status) == ("block", "no-delete", "no WHERE", None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, 2),
        ({"live": True}, 1),
        ({"target": "shop"}, 1),
        ({"target": "nowhere"}, 0),
        ({"subject": "shop-agent"}, 2),
        ({"live": True, "target": "shop"}, 0),
        ({"limit": 1}, 1),
    ],
)
def test_a_listing_holds_what_was_asked_for(connection: Connection, asked: dict[str, object], found: int) -> None:
    opened(connection)
    opened(connection, id=OTHER, target=make.target(name="vault"), opened_at=make.NOW + 1)
    store.close_session(connection, session=make.SESSION_ID, at=9, reason="", counts=(0, 0), sizes=(0, 0))
    rows = store.list_sessions(connection, **asked)  # type: ignore[arg-type]
    assert len(rows) == found
    assert [row.opened_at for row in rows] == sorted((row.opened_at for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("prefix", "found"), [(make.SESSION_ID, 1), (OTHER, 1), ("0199", 2), ("%", 0), ("", 2), ("x' OR 1=1 --", 0)]
)
def test_a_session_is_found_by_the_beginning_of_its_id(connection: Connection, prefix: str, found: int) -> None:
    opened(connection)
    opened(connection, id=OTHER)
    assert len(store.find_session(connection, prefix)) == found


def test_the_first_to_ask_for_a_kill_stands_in_the_book(connection: Connection) -> None:
    opened(connection)
    assert request_kill(connection, session=make.SESSION_ID, at=1, by="operator:ann", reason="leaking")
    assert request_kill(connection, session=make.SESSION_ID, at=2, by="operator:bob", reason="me too")
    assert store.kills_requested(connection) == [(make.SESSION_ID, "operator:ann", "leaking")]


def test_a_closed_session_cannot_be_killed(connection: Connection) -> None:
    opened(connection)
    store.close_session(connection, session=make.SESSION_ID, at=9, reason="", counts=(0, 0), sizes=(0, 0))
    assert not request_kill(connection, session=make.SESSION_ID, at=1, by="operator:ann", reason="late")
    assert store.kills_requested(connection) == []


def test_sessions_of_a_gateway_that_died_are_closed_with_their_counts(connection: Connection) -> None:
    opened(connection)
    acted(connection, 1)
    acted(connection, 2, Ruling.BLOCK)
    assert store.close_abandoned(connection, process="1/1", at=9, reason="gateway crashed") == 1
    row = only(connection)
    assert (row.closed_at, row.close_reason, row.actions, row.refused) == (9, "gateway crashed", 2, 1)
    assert store.close_abandoned(connection, process="1/1", at=10, reason="again") == 0


def test_only_the_sessions_of_the_process_that_died_are_closed(connection: Connection) -> None:
    opened(connection)
    for process in ("1/2", "1/11", "1", "11/1", "11/"):
        assert store.close_abandoned(connection, process=process, at=9, reason="gateway crashed") == 0
    assert only(connection).closed_at is None


def test_a_gateway_that_begins_closes_what_all_of_its_processes_left_open(connection: Connection) -> None:
    opened(connection)
    assert store.close_abandoned(connection, process="1/", at=9, reason="gateway crashed") == 1


def test_a_cancel_request_waits_for_its_process_alone_and_not_for_ever(connection: Connection) -> None:
    store.add_cancel(connection, digest=b"a", home=1, process=2, at=5)
    store.add_cancel(connection, digest=b"a", home=1, process=2, at=6)
    store.add_cancel(connection, digest=b"b", home=1, process=3, at=7)
    assert store.count_cancels(connection) == 2
    assert store.cancels_for(connection, 1, 2) == [b"a"]
    assert store.cancels_for(connection, 2, 2) == []
    store.forget_cancels(connection, before=6)
    assert store.cancels_for(connection, 1, 2) == []
    store.remove_cancel(connection, b"b")
    assert store.count_cancels(connection) == 0
