"""Statements under a ceiling on live clients: what is over it is undone before they hear success, all else is as direct."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.protocols.postgres import wire

pytestmark = pytest.mark.real

MOST = 3
CHANGES = "insert, update, delete, merge, copy_in, truncate"
POLICY = f"""
@id("few-rows")
@most_rows("{MOST}")
permit (
  principal,
  action in [{", ".join(f'Action::"sql.{name}"' for name in CHANGES.split(", "))}],
  resource
)
when {{ principal.kind == "agent" }};
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory, world: Any) -> Iterator[LiveGateway]:
    bare = {"name": "bare", "address": f"127.0.0.1:{world.plain.port}", "tls": {"mode": "disable"}, "masks": []}
    folder = tmp_path_factory.mktemp("counting")
    gateway = LiveGateway(folder, world, policies={"ceilings": POLICY}, extra_targets=[bare]).start()
    yield gateway
    assert "Traceback" not in gateway.log
    gateway.stop()
    gateway.verified()


@pytest.fixture(autouse=True)
def things(world: Any) -> Iterator[None]:
    """A table of ten rows, as it is before each test; its children go with it, and a note of whatever a trigger saw."""
    world.plain.sql(
        """DROP TABLE IF EXISTS parts, things, kept; SET ROLE shop_app;
        CREATE TABLE things (id int PRIMARY KEY, n int NOT NULL, body text);
        CREATE TABLE parts (id int PRIMARY KEY, thing int REFERENCES things ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE kept (id int, n int, body text);
        INSERT INTO things SELECT i, i, 'thing ' || i FROM generate_series(1, 10) i;
        INSERT INTO parts SELECT i, i FROM generate_series(1, 10) i""",
        "shop",
    )
    yield
    world.plain.sql("DROP TABLE IF EXISTS parts, things, kept", "shop")


def now(world: Any, query: str = "SELECT count(*), sum(n) FROM things") -> str:
    return str(world.plain.sql(query, "shop"))


def refused(caught: pytest.ExceptionInfo[psycopg.Error]) -> dict[str, Any]:
    assert caught.value.sqlstate == "42501", caught.value
    said = dict(json.loads(caught.value.diag.message_detail or ""))
    assert said["rule"] == "few-rows", caught.value
    assert said["class"] == "fix"
    return said


WRITES = [
    ("UPDATE things SET n = n + 1 WHERE id <= {}", "UPDATE {}"),
    ("DELETE FROM things WHERE id <= {}", "DELETE {}"),
    ("INSERT INTO kept SELECT * FROM things WHERE id <= {}", "INSERT 0 {}"),
    (
        "MERGE INTO things t USING kept k ON t.id = k.id + 100 WHEN NOT MATCHED BY SOURCE AND t.id <= {} THEN DELETE",
        "MERGE {}",
    ),
]
SAVED = "SELECT (SELECT array_agg((id, n) ORDER BY id) FROM things)::text || (SELECT count(*) FROM kept)"


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("text", "tag"), WRITES)
def test_up_to_the_ceiling_it_is_done_and_above_it_undone(
    counting: LiveGateway, world: Any, text: str, tag: str, inside: bool, extended: bool
) -> None:
    before = now(world, SAVED)
    more = {} if extended else {"cursor_factory": psycopg.ClientCursor}
    with counting.connect(autocommit=not inside, **more) as connection:
        if inside:
            connection.execute("SELECT 1")
        with pytest.raises(errors.InsufficientPrivilege, match="more than 3 rows; it was undone") as caught:
            connection.execute(text.format(MOST + 1), prepare=extended or None)
        said = refused(caught)
        assert said["most_rows"] == MOST
        assert str(MOST + 1) not in json.dumps(said | {"decision": ""})
        status = connection.info.transaction_status
        assert status is (TransactionStatus.INTRANS if inside else TransactionStatus.IDLE)
        assert now(world, SAVED) == before
        done = connection.execute(text.format(MOST), prepare=extended or None)
        assert done.statusmessage == tag.format(MOST)
        assert connection.info.transaction_status is status
    assert now(world, SAVED) != before
    ends = [entry["status"] for entry in counting.entries("answer")]
    assert "UNDONE" in ends
    assert tag.format(MOST) in ends


def test_what_was_done_before_in_the_transaction_stands(counting: LiveGateway, world: Any) -> None:
    with counting.connect() as connection:
        connection.execute("UPDATE things SET n = 1000 WHERE id = 1")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DELETE FROM things WHERE id > 1")
        connection.execute("UPDATE things SET n = 2000 WHERE id = 2")
        connection.commit()
    assert now(world, "SELECT n FROM things WHERE id < 4 ORDER BY id") == "1000\n2000\n3"


def test_an_error_of_its_own_ends_the_transaction_as_ever(counting: LiveGateway, world: Any) -> None:
    before = now(world, SAVED)
    for more in ({}, {"cursor_factory": psycopg.ClientCursor}):
        with counting.connect(**more) as connection:
            connection.execute("UPDATE things SET n = 1000 WHERE id = 1")
            with pytest.raises(errors.DivisionByZero):
                connection.execute("UPDATE things SET n = 1 / (id - 1) WHERE id = 1")
            assert connection.info.transaction_status is TransactionStatus.INERROR
            with pytest.raises(errors.InFailedSqlTransaction):
                connection.execute("UPDATE things SET n = 0 WHERE id = 1")
            connection.rollback()
            connection.execute("SELECT 1")
    for more in ({}, {"cursor_factory": psycopg.ClientCursor}):
        with counting.connect(autocommit=True, **more) as connection:
            with pytest.raises(errors.DivisionByZero):
                connection.execute("UPDATE things SET n = 1 / (id - 1) WHERE id = 1")
            assert connection.info.transaction_status is TransactionStatus.IDLE
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert now(world, SAVED) == before


@pytest.mark.parametrize("more", [{}, {"cursor_factory": psycopg.ClientCursor}])
def test_what_returning_gives_is_shown_only_when_it_stands(counting: LiveGateway, world: Any, more: dict[str, Any]) -> None:
    with counting.connect(autocommit=True, **more) as connection:
        done = connection.execute("UPDATE things SET n = n + 1 WHERE id <= 3 RETURNING id, body")
        assert sorted(done.fetchall()) == [(1, "thing 1"), (2, "thing 2"), (3, "thing 3")]
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DELETE FROM things WHERE id > 0 RETURNING id, body")
    assert now(world, "SELECT count(*) FROM things") == "10"


def test_a_deferred_constraint_fails_at_the_end_as_without_a_ceiling(counting: LiveGateway, world: Any) -> None:
    for number, more in ((51, {}), (52, {"cursor_factory": psycopg.ClientCursor})):
        with counting.connect(autocommit=True, **more) as connection:
            with pytest.raises(errors.ForeignKeyViolation):
                connection.execute("INSERT INTO parts VALUES (50, 50)")
            assert connection.info.transaction_status is TransactionStatus.IDLE
            assert connection.execute(f"INSERT INTO parts VALUES ({number}, 1)").statusmessage == "INSERT 0 1"
    assert now(world, "SELECT string_agg(id::text, ',' ORDER BY id) FROM parts WHERE id >= 50") == "51,52"


@pytest.mark.parametrize(
    "text",
    [
        "WITH gone AS (DELETE FROM things WHERE id < 9 RETURNING *) SELECT count(*) FROM gone",
        "WITH gone AS (DELETE FROM things WHERE id < 9 RETURNING *) INSERT INTO kept SELECT * FROM gone LIMIT 1",
        "EXPLAIN ANALYZE DELETE FROM things WHERE id < 9",
        "DELETE FROM things WHERE id < 3; DELETE FROM things WHERE id = 3",
        "SELECT 1; UPDATE things SET n = 0 WHERE id < 9",
        "COPY (DELETE FROM things WHERE id < 9 RETURNING id) TO STDOUT",
    ],
)
def test_what_cannot_be_counted_does_not_run(counting: LiveGateway, world: Any, text: str) -> None:
    before = now(world, SAVED)
    with counting.connect(autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute(text)
        refused(caught)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert now(world, SAVED) == before


def test_prepared_statements_are_counted_when_they_run(counting: LiveGateway, world: Any) -> None:
    with counting.connect(autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("PREPARE few (int) AS DELETE FROM things WHERE id <= $1")
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            connection.execute("EXECUTE few (4)")
        refused(caught)
        assert connection.execute("EXECUTE few (2)").statusmessage == "DELETE 2"
        connection.execute("DEALLOCATE ALL")
    assert now(world, "SELECT count(*) FROM things") == "8"


def copied(cursor: psycopg.Cursor[Any], *numbers: int, fails: bool = False) -> None:
    with cursor.copy("COPY kept (id) FROM STDIN") as copy:
        for number in numbers:
            copy.write_row((number // (not fails),))


def batch(connection: psycopg.Connection[Any], *texts: str) -> None:
    with connection.pipeline():
        for text in texts:
            connection.execute(text)


@pytest.mark.parametrize("rows", [3, 4])
def test_rows_of_a_copy_are_counted(counting: LiveGateway, world: Any, rows: int) -> None:
    with counting.connect(autocommit=True) as connection:
        cursor = connection.cursor()
        if rows > MOST:
            with pytest.raises(errors.InsufficientPrivilege, match="more than 3 rows"):
                copied(cursor, *range(rows))
        else:
            copied(cursor, *range(rows))
            assert cursor.statusmessage == f"COPY {rows}"
        assert connection.info.transaction_status is TransactionStatus.IDLE
        with pytest.raises(ZeroDivisionError):
            copied(cursor, 77, fails=True)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert now(world, "SELECT count(*) FROM kept") == str(rows if rows <= MOST else 0)


def test_a_batch_is_all_or_nothing_as_at_the_server(counting: LiveGateway, world: Any) -> None:
    with counting.connect(autocommit=True) as connection:
        with connection.pipeline() as pipeline:
            done = [connection.execute("UPDATE things SET n = 50 WHERE id = %s", (number,)) for number in (1, 2)]
            read = connection.execute("SELECT n FROM things WHERE id = 1")
            pipeline.sync()
            assert [one.statusmessage for one in done] == ["UPDATE 1", "UPDATE 1"]
            assert read.fetchone() == (50,)
        assert connection.info.transaction_status is TransactionStatus.IDLE
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            batch(
                connection,
                "UPDATE things SET n = 60 WHERE id = 3",
                "UPDATE things SET n = 60 WHERE id > 3",
                "UPDATE things SET n = 60 WHERE id = 4",
            )
        refused(caught)
        assert connection.info.transaction_status is TransactionStatus.IDLE
        with pytest.raises(errors.DivisionByZero):
            batch(connection, "UPDATE things SET n = 70 WHERE id = 3", "SELECT 1 / 0", "UPDATE things SET n = 70 WHERE id = 4")
        assert connection.info.transaction_status is TransactionStatus.IDLE
        assert connection.execute("UPDATE things SET n = 80 WHERE id = 10").statusmessage == "UPDATE 1"
    assert now(world, "SELECT string_agg(n::text, ',' ORDER BY id) FROM things") == "50,50,3,4,5,6,7,8,9,80"


def test_a_batch_may_begin_a_transaction(counting: LiveGateway, world: Any) -> None:
    with counting.connect(autocommit=True) as connection:
        connection.execute("SELECT n FROM things WHERE id = 3")  # in the midst of a batch the catalog is not asked
        with pytest.raises(errors.InsufficientPrivilege) as caught:
            batch(connection, "BEGIN", "UPDATE things SET n = 60 WHERE id = 3", "UPDATE things SET n = 60 WHERE id > 3")
        refused(caught)
        assert connection.info.transaction_status is TransactionStatus.INTRANS
        connection.execute("COMMIT")
        with pytest.raises(errors.InsufficientPrivilege, match="Sync"):
            batch(connection, "UPDATE things SET n = 61 WHERE id = 3", "BEGIN")
        assert connection.info.transaction_status is TransactionStatus.IDLE
    assert now(world, "SELECT n FROM things WHERE id = 3") == "60"


def test_a_portal_in_parts_is_not_counted_so_it_is_undone(counting: LiveGateway, world: Any) -> None:
    before, raw = now(world), Raw(counting)
    raw.send(b"P", b"\0DELETE FROM things WHERE id < 4 RETURNING id\0\0\0")
    raw.send(b"B", b"\0\0" + bytes(6))
    raw.send(b"E", b"\0" + (1).to_bytes(4))
    raw.send(b"S", b"")
    kinds, error = raw.until_ready()
    assert (kinds, "in parts" in error) == ("12EZ", True)
    assert now(world) == before
    raw.send(b"P", b"\0DELETE FROM things WHERE id < 4\0\0\0")
    raw.send(b"B", b"\0\0" + bytes(6))
    raw.send(b"E", b"\0" + (1).to_bytes(4))  # as drivers do that want no rows
    raw.send(b"S", b"")
    assert raw.until_ready() == ("12CZ", "")
    raw.socket.close()
    assert now(world, "SELECT count(*) FROM things") == "7"


def test_a_client_that_leaves_in_the_midst_has_done_nothing(counting: LiveGateway, world: Any) -> None:
    before = now(world)
    raw = Raw(counting)
    raw.send(b"P", b"\0DELETE FROM things WHERE id < 4\0\0\0")
    raw.send(b"B", b"\0\0" + bytes(6))
    raw.send(b"E", b"\0" + bytes(4))
    raw.send(b"H", b"")
    assert raw.message()[0] + raw.message()[0] + raw.message()[0] == b"12C"
    raw.socket.close()
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%raw%'"
    assert wait_until(lambda: now(world, running) == "0", 5)
    assert now(world) == before


def test_a_cancelled_statement_is_undone(counting: LiveGateway, world: Any) -> None:
    before = now(world)
    with counting.connect(autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        world.plain.sql(SLOW, "shop")
        timer = threading.Timer(1.0, connection.cancel)
        timer.start()
        with pytest.raises(errors.QueryCanceled):
            connection.execute("UPDATE things SET n = 0 WHERE id = 1")
        timer.join()
        assert connection.info.transaction_status is TransactionStatus.IDLE
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert now(world) == before


def test_a_million_rows_are_undone_as_ten_are(counting: LiveGateway, world: Any) -> None:
    world.plain.sql("INSERT INTO things SELECT i, 0, 'x' FROM generate_series(11, 1000000) i", "shop")
    kilobytes = counting.memory_kilobytes
    with counting.connect(autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("UPDATE things SET n = 7 WHERE id > 0 RETURNING *")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert now(world, "SELECT count(*) FROM things WHERE n = 7 AND id > 10") == "0"
    assert counting.memory_kilobytes - kilobytes < 60_000


SLOW = """CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION slow()"""


class Raw:
    """A client that says exactly what it is told, over the extended protocol."""

    def __init__(self, gateway: LiveGateway, target: str = "shop") -> None:
        self.socket: socket.socket = gateway.raw()
        self._frames = wire.Frames(wire.SERVER_BYTES)
        self.socket.sendall(
            wire.startup({"user": "shop_app", "database": target, "application_name": "raw", "options": HEARS_AT_ONCE})
        )
        while (found := self.message())[0] != b"Z":
            if found[0] == b"R" and found[1] == b"\0\0\0\3":
                self.send(b"p", gateway.mint().encode() + b"\0")

    def send(self, kind: bytes, body: bytes) -> None:
        self.socket.sendall(wire.message(kind, body))

    def message(self) -> tuple[bytes, bytes]:
        while (found := self._frames.message()) is None:
            data = self.socket.recv(65536)
            assert data, "the gateway hung up"
            self._frames.add(data)
        return found

    def until_ready(self) -> tuple[str, str]:
        """The kinds of what came up to ReadyForQuery, and the message of the error among them."""
        kinds, said = "", ""
        while not kinds.endswith("Z"):
            kind, body = self.message()
            kinds += kind.decode()
            said = wire.report_fields(body)["M"] if kind == b"E" else said
        return kinds, said


def test_a_prepared_statement_that_is_swapped_after_it_was_decided_changes_nothing(counting: LiveGateway, world: Any) -> None:
    raw = Raw(counting, "bare")
    raw.send(b"Q", b"PREPARE few AS INSERT INTO kept (id) VALUES (1)\0")
    assert raw.until_ready() == ("CZ", "")
    raw.send(b"P", b"x\0EXECUTE few\0\0\0")
    raw.send(b"B", b"x\0x\0" + bytes(6))
    many = b"INSERT INTO kept (id) SELECT i FROM generate_series(1, 9) i RETURNING 1"
    for text in (b"DEALLOCATE few", b"PREPARE few AS WITH g AS (" + many + b") SELECT 1"):
        raw.send(b"P", b"\0" + text + b"\0\0\0")
        raw.send(b"B", b"\0\0" + bytes(6))
        raw.send(b"E", b"\0" + bytes(4))
    raw.send(b"E", b"x\0" + bytes(4))
    raw.send(b"S", b"")
    kinds, error = raw.until_ready()
    assert "E" in kinds
    assert "few-rows" in error
    raw.socket.close()
    assert now(world, "SELECT count(*) FROM kept") == "0"


@pytest.mark.parametrize("bound_first", [True, False])
def test_nor_one_that_read_when_it_was_decided_and_writes_when_it_runs(
    counting: LiveGateway, world: Any, bound_first: bool
) -> None:
    before, raw = now(world), Raw(counting, "bare")
    raw.send(b"Q", b"SELECT id FROM public.things WHERE id > 0 LIMIT 0\0")  # what the names mean is known from here on
    assert raw.until_ready() == ("TCZ", "")
    raw.send(b"Q", b"PREPARE few AS SELECT 1\0")
    assert raw.until_ready() == ("CZ", "")
    if bound_first:
        raw.send(b"P", b"x\0EXECUTE few\0\0\0")
        raw.send(b"B", b"x\0x\0" + bytes(6))
    for text in (
        b"DEALLOCATE few",
        b"PREPARE few AS DELETE FROM public.things WHERE id > 0",
        *([] if bound_first else [b"EXECUTE few"]),
    ):
        raw.send(b"P", b"\0" + text + b"\0\0\0")
        raw.send(b"B", b"\0\0" + bytes(6))
        raw.send(b"E", b"\0" + bytes(4))
    if bound_first:
        raw.send(b"E", b"x\0" + bytes(4))
    raw.send(b"S", b"")
    kinds, error = raw.until_ready()
    raw.socket.close()
    assert now(world) == before, (kinds, error)
    assert "few" in error or "portal 'x'" in error
