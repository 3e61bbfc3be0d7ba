"""psycopg 3 through the gateway, inside verified TLS: the extended protocol, pipelines, transactions, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.pq import TransactionStatus
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
DELETE_ALL = "DELETE FROM customers"


@pytest.fixture(params=["shop", "shop-tls"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection(gateway: LiveGateway, target: str) -> Iterator[Connection]:
    with gateway.connect(database=target, autocommit=True) as made:
        yield made


def log_of(gateway: LiveGateway, target: str) -> str:
    server = gateway.world.tls if target == "shop-tls" else gateway.world.plain
    assert server is not None
    return server.server_log()


def refusal(caught: pytest.ExceptionInfo[errors.InsufficientPrivilege]) -> dict[str, Any]:
    assert caught.value.sqlstate == "42501"
    assert caught.value.diag.message_hint
    return dict(json.loads(caught.value.diag.message_detail or ""))


def test_the_connection_is_inside_verified_tls(connection: Connection) -> None:
    assert connection.pgconn.ssl_in_use


def test_a_certificate_of_another_authority_is_not_believed(gateway: LiveGateway, tmp_path: Any) -> None:
    from gatebook.cli.demo.certificates import Authority

    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        gateway.connect(sslrootcert=str(Authority(tmp_path / "other").path))


def test_parameters_travel_apart_from_the_text(connection: Connection) -> None:
    row = connection.execute("SELECT name, ssn, %s::text FROM customers WHERE id = %s", ("it's", 1)).fetchone()
    assert row is not None
    assert row[0] == "Ada Quill"
    assert row[1] != "987-65-4320"
    assert row[2] == "it's"


@pytest.mark.parametrize("binary", [False, True])
def test_masked_columns_never_show_in_either_format(connection: Connection, binary: bool) -> None:
    cursor = connection.cursor(binary=binary)
    rows = cursor.execute("SELECT id, ssn AS a, card AS b, email AS c FROM customers ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(1, 9))
    shown = json.dumps([[str(value) for value in row[1:]] for row in rows])
    for value in ("987-65-43", "4242424242424242", "378282246310005", "ada.quill", "bram.hollis"):
        assert value not in shown


def test_numbers_dates_and_arrays_come_in_their_own_types(connection: Connection) -> None:
    for binary in (False, True):
        row = (
            connection.cursor(binary=binary)
            .execute("SELECT id, amount, placed, ARRAY[1, 2] FROM orders WHERE id = 5")
            .fetchone()
        )
        assert row is not None
        assert (row[0], str(row[1]), row[2].year, row[3]) == (5, "24.00", 2025, [1, 2])


def test_a_prepared_statement_is_covered_each_time_it_runs(connection: Connection) -> None:
    for number in range(1, 9):
        row = connection.execute("SELECT id, card FROM customers WHERE id = %s", (number,), prepare=True).fetchone()
        assert row is not None
        assert row[0] == number
        assert row[1].startswith("***")


def test_executemany_in_a_pipeline_changes_each_row(connection: Connection) -> None:
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.executemany("UPDATE orders SET status = %s WHERE id = %s", [("paid", 1), ("paid", 3), ("paid", 5)])
        assert cursor.rowcount == 3
        cursor.execute("SELECT count(*) FROM orders WHERE status = 'paid' AND id IN (1, 3, 5)")
        assert cursor.fetchone() == (3,)


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (DELETE_ALL, "no-delete-without-where"),
        ("UPDATE orders SET amount = %(n)s", "no-update-without-where"),
        ("DROP TABLE notes", "no-drop"),
        ("ALTER TABLE notes ADD COLUMN more text", "admin-needs-dba"),
        ("DO $$ BEGIN END $$", "unknown-needs-dba"),
    ],
)
def test_a_refusal_is_an_insufficient_privilege_with_everything_a_program_needs(
    gateway: LiveGateway, connection: Connection, target: str, statement: str, rule: str, prepare: bool
) -> None:
    mark = len(log_of(gateway, target))
    with pytest.raises(errors.InsufficientPrivilege, match="blocked by") as caught:
        connection.execute(statement, {"n": 1} if "%(n)s" in statement else None, prepare=prepare)
    said = refusal(caught)
    assert said["rule"] == rule
    assert said["class"] in {"never", "ask", "wait", "fix"}
    assert said["decision"]
    assert connection.execute("SELECT 1").fetchone() == (1,)
    seen = log_of(gateway, target)[mark:]
    if prepare and rule.endswith("needs-dba"):  # made ready, so that people are asked about its parameters; never run
        seen = "\n".join(line for line in seen.splitlines() if "execute " in line)
    assert statement.partition("%")[0] not in seen


def test_a_refusal_in_a_transaction_aborts_it_exactly_as_an_error_would(connection: Connection) -> None:
    for statement, kind in ((DELETE_ALL, errors.InsufficientPrivilege), ("SELECT 1/0", errors.DivisionByZero)):
        connection.execute("BEGIN")
        connection.execute("UPDATE orders SET amount = 7 WHERE id = 2")
        with pytest.raises(kind):
            connection.execute(statement)
        assert connection.info.transaction_status == TransactionStatus.INERROR
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.execute("ROLLBACK")
        assert connection.info.transaction_status == TransactionStatus.IDLE
        assert connection.execute("SELECT amount::text FROM orders WHERE id = 2").fetchone() == ("64.00",)


def test_a_nested_transaction_rolls_back_to_its_savepoint_after_a_refusal(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("UPDATE orders SET amount = 8 WHERE id = 2")
        with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(DELETE_ALL)
        assert connection.execute("SELECT amount::text FROM orders WHERE id = 2").fetchone() == ("8.00",)


def _three_in_a_pipeline(connection: Connection) -> None:
    with connection.pipeline() as pipeline:
        connection.execute("UPDATE orders SET amount = 9 WHERE id = 2")
        connection.execute(DELETE_ALL)
        connection.execute("UPDATE orders SET amount = 10 WHERE id = 2")
        pipeline.sync()


def test_a_refusal_in_a_pipeline_undoes_its_implicit_transaction(
    gateway: LiveGateway, connection: Connection, target: str
) -> None:
    mark = len(log_of(gateway, target))
    with pytest.raises(errors.InsufficientPrivilege):
        _three_in_a_pipeline(connection)
    assert connection.execute("SELECT amount::text FROM orders WHERE id = 2").fetchone() == ("64.00",)
    assert connection.execute("SELECT count(*) FROM customers").fetchone() == (8,)
    assert DELETE_ALL not in log_of(gateway, target)[mark:]


def test_answers_in_a_pipeline_are_covered_by_their_own_questions(connection: Connection) -> None:
    with connection.pipeline():
        ids = connection.execute("SELECT id FROM customers ORDER BY id")
        cards = connection.execute("SELECT card FROM customers ORDER BY id")
        names = connection.execute("SELECT name FROM customers ORDER BY id")
    assert ids.fetchall() == [(number,) for number in range(1, 9)]
    assert all(row[0].startswith("***") for row in cards.fetchall())
    assert names.fetchone() == ("Ada Quill",)


def test_a_server_side_cursor_is_covered_page_by_page(gateway: LiveGateway, target: str) -> None:
    with gateway.connect(database=target) as made, made.cursor(name="pages") as cursor:
        cursor.itersize = 3
        cursor.execute("SELECT id, ssn FROM customers ORDER BY id")
        rows = list(cursor)
    assert [row[0] for row in rows] == list(range(1, 9))
    assert not [row for row in rows if row[1].startswith("987")]


def test_streamed_rows_are_covered_one_by_one(connection: Connection) -> None:
    seen = list(connection.cursor().stream("SELECT id, card FROM customers ORDER BY id"))
    assert [row[0] for row in seen] == list(range(1, 9))
    assert all(row[1].startswith("***") for row in seen)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT 1/0", errors.DivisionByZero),
        ("SELECT * FROM nowhere", errors.UndefinedTable),
        ("SELECT nothing FROM orders", errors.UndefinedColumn),
        ("INSERT INTO orders (customer_id, item, amount, placed) VALUES (999, 'x', 1, now())", errors.ForeignKeyViolation),
        ("UPDATE customers SET city = NULL WHERE id = 1", errors.NotNullViolation),
    ],
)
def test_an_error_of_the_server_keeps_its_sqlstate_and_the_session(
    connection: Connection, statement: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        connection.execute(statement)
    assert "ada.quill" not in f"{caught.value} {getattr(caught.value, 'diag', None) and caught.value.diag.message_detail}"
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_names_are_quoted_as_the_client_says(connection: Connection) -> None:
    statement = sql.SQL("SELECT {} FROM {}").format(sql.Identifier("ssn"), sql.Identifier("public", "customers"))
    assert all(not row[0].startswith("987") for row in connection.execute(statement).fetchall())


def test_settings_a_client_may_set_are_set_and_those_it_may_not_are_refused(connection: Connection) -> None:
    connection.execute("SET statement_timeout = '5s'")
    assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)
    for statement in ("SET session_replication_role = replica", "SET row_security = off", "SET ROLE postgres"):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_what_the_gateway_relies_on_cannot_be_switched_off(connection: Connection) -> None:
    for statement in (
        "SET standard_conforming_strings = off",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
    ):
        with pytest.raises(psycopg.Error):
            connection.execute(statement)


def test_startup_options_are_decided_like_set(gateway: LiveGateway, target: str) -> None:
    with gateway.connect(database=target, options="-c statement_timeout=4s") as made:
        assert made.execute("SHOW statement_timeout").fetchone() == ("4s",)
    with pytest.raises(psycopg.OperationalError, match=r"blocked|refused"):
        gateway.connect(database=target, options="-c session_replication_role=replica")


def test_a_database_that_the_target_does_not_list_is_as_unknown_as_any(gateway: LiveGateway, target: str) -> None:
    with gateway.connect(database=f"{target}/shop") as made:
        assert made.execute("SELECT current_database()").fetchone() == ("shop",)
    with pytest.raises(psycopg.OperationalError, match="or there is no such target"):
        gateway.connect(database=f"{target}/postgres")


def test_the_session_is_tagged_for_the_targets_own_log(gateway: LiveGateway, target: str) -> None:
    with gateway.connect(database=target, application_name="billing") as made:
        shown = made.execute("SHOW application_name").fetchone()
        session = gateway.sessions("--live", "--target", target)[0]["id"]
    assert shown is not None
    assert shown[0].startswith(f"gatebook:{session}")


def test_one_hundred_sessions_after_each_other_leave_nothing_behind(gateway: LiveGateway) -> None:
    for _ in range(100):
        with gateway.connect() as made:
            assert made.execute("SELECT 1").fetchone() == (1,)
    assert gateway.sessions("--live") == []
