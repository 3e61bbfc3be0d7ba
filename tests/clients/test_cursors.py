"""Cursors by real clients: DECLARE and FETCH, past the end of a transaction and backwards; and notifications in psycopg."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(params=["shop", "shop-tls"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection(gateway: LiveGateway, target: str) -> Iterator[Connection]:
    with gateway.connect(database=target, autocommit=True) as made:
        yield made


def ssns(rows: list[tuple[Any, ...]]) -> list[str]:
    return [row[0] for row in rows]


def test_a_cursor_of_a_transaction_is_covered_at_every_fetch(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("DECLARE c SCROLL CURSOR FOR SELECT ssn, id FROM customers ORDER BY id")
        assert ssns(connection.execute("FETCH 2 FROM c").fetchall()) == ["***-**-4320", "***-**-4321"]
        assert ssns(connection.execute("FETCH LAST FROM c").fetchall()) == ["***-**-4327"]
        assert ssns(connection.execute("FETCH BACKWARD 1 FROM c").fetchall()) == ["***-**-4326"]
        connection.execute("MOVE ABSOLUTE 0 IN c")
        assert len(connection.execute("FETCH ALL FROM c").fetchall()) == 8
        connection.execute("CLOSE c")


@pytest.mark.parametrize("expression", ["upper(ssn)", "ssn", "c::text", "to_jsonb(c)"])
def test_what_a_cursor_makes_of_masked_columns_is_covered(connection: Connection, expression: str) -> None:
    with connection.transaction():
        connection.execute(f"DECLARE made CURSOR FOR SELECT {expression}, 1 FROM customers c ORDER BY id")
        rows = connection.execute("FETCH ALL FROM made").fetchall()
    assert len(rows) == 8
    assert "987-65" not in str(rows)


@pytest.mark.parametrize("expression", ["ssn || ''", "(SELECT max(ssn) FROM customers)"])
def test_a_cursor_over_what_masked_values_decide_is_refused_to_agents(connection: Connection, expression: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no-probing-masked"):
        connection.execute(f"DECLARE made CURSOR WITH HOLD FOR SELECT {expression}, 1 FROM customers c ORDER BY id")


def test_a_cursor_with_hold_is_covered_after_its_transaction(connection: Connection) -> None:
    connection.execute("DECLARE held CURSOR WITH HOLD FOR SELECT upper(ssn), id FROM customers ORDER BY id")
    rows = connection.execute("FETCH 3 FROM held").fetchall()
    rows += connection.execute("FETCH ALL FROM held").fetchall()
    connection.execute("CLOSE held")
    assert len(rows) == 8
    assert "987-65" not in str(rows)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("withhold", [False, True])
def test_named_cursors_of_psycopg_are_covered_page_by_page(
    gateway: LiveGateway, target: str, binary: bool, withhold: bool
) -> None:
    with gateway.connect(database=target) as made, made.cursor(name="pages", withhold=withhold, scrollable=True) as cursor:
        cursor.execute("SELECT ssn, id, joined FROM customers WHERE id > %s ORDER BY id", (0,), binary=binary)
        first = cursor.fetchmany(3)
        if withhold:
            made.commit()
        rest = cursor.fetchall()
        cursor.scroll(0, mode="absolute")
        again = cursor.fetchone()
    assert [row[1] for row in first + rest] == list(range(1, 9))
    assert all(row[0].startswith("***-**-") for row in first + rest)
    assert again == first[0]


def test_a_cursor_in_binary_is_covered(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("DECLARE b BINARY CURSOR FOR SELECT ssn, id FROM customers ORDER BY id")
        row = connection.execute("FETCH 1 FROM b").fetchone()
    assert row is not None
    assert "987-65" not in str(row)


def test_a_cursor_that_is_gone_is_the_servers_own_error(connection: Connection) -> None:
    with pytest.raises(errors.InvalidCursorName):
        connection.execute("FETCH 1 FROM nobody")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_write_through_a_cursor_is_decided_like_any_other(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("DECLARE w CURSOR FOR SELECT id FROM orders WHERE id = 2 FOR UPDATE")
        connection.execute("FETCH 1 FROM w")
        changed = connection.execute("UPDATE orders SET amount = 9 WHERE CURRENT OF w")
        assert changed.rowcount == 1


def test_payloads_of_notifications_are_covered(gateway: LiveGateway, connection: Connection, target: str) -> None:
    connection.execute("LISTEN news")
    with gateway.connect(database=target, autocommit=True) as other:
        other.execute("NOTIFY news, 'her card: 4242 4242 4242 4242'")
        other.execute("SELECT pg_notify(%s, %s)", ("news", "write to ada.quill@example.com"))
        other.execute("NOTIFY news")
    heard = [note.payload for note in connection.notifies(timeout=10, stop_after=3)]
    assert heard[0].startswith("her card: ")
    assert "4242 4242 4242" not in heard[0]
    assert "ada.quill" not in heard[1]
    assert heard[2] == ""
    connection.execute("UNLISTEN *")


def test_ones_own_notification_is_covered_too(connection: Connection) -> None:
    connection.execute("LISTEN mine")
    connection.execute("NOTIFY mine, 'ada.quill@example.com'")
    (note,) = connection.notifies(timeout=10, stop_after=1)
    assert "ada.quill" not in note.payload
