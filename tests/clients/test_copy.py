"""COPY by real clients: psql's \\copy, psycopg in both formats, and pg_dump."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.servers import system_programs

from gatebook.cli.demo.clients import run
from gatebook.cli.demo.parts import PostgresServer, wheel_programs

pytestmark = pytest.mark.real

TABLES = """
DROP SCHEMA IF EXISTS copying CASCADE;
CREATE SCHEMA copying AUTHORIZATION shop_app;
SET ROLE shop_app;
CREATE TABLE copying.plain (id integer PRIMARY KEY, note text, paid numeric, at timestamptz, raw bytea, tags text[], doc jsonb);
INSERT INTO copying.plain VALUES
  (1, E'tab\\there, "quoted", back\\\\slash', 12.50, '2025-03-02 09:14:00+00', '\\x00ff', '{a,"b c",NULL}', '{"a": [1, 2]}'),
  (2, E'line\\nfeed\\rreturn', NULL, NULL, NULL, NULL, NULL),
  (3, '', 0, 'infinity', '', '{}', '{}'),
  (4, E'\\\\N', 1, NULL, '\\x5c', '{NULL}', '"x"'),
  (5, E'\\\\.', 1, NULL, NULL, NULL, NULL);
CREATE TABLE copying.shifted (gone text, a text, ssn text, twice text GENERATED ALWAYS AS (a || a) STORED, tail text);
ALTER TABLE copying.shifted DROP COLUMN gone;
INSERT INTO copying.shifted (a, ssn, tail) VALUES ('left', 'hidden-1', 'right'), ('left', NULL, 'right');
CREATE TABLE copying.taken (id integer, email text, note text);
"""


@pytest.fixture(params=["shop", "shop-tls"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(world: World, target: str) -> Iterator[PostgresServer]:
    found = world.tls if target == "shop-tls" else world.plain
    assert found is not None
    found.sql(TABLES, "shop")
    yield found
    found.sql("DROP SCHEMA copying CASCADE", "shop")


@pytest.fixture
def connection(gateway: LiveGateway, target: str, server: PostgresServer) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with gateway.connect(database=target, autocommit=True) as made:
        yield made


def copied(connection: psycopg.Connection[tuple[Any, ...]], statement: str, *, extended: bool = False) -> bytes:
    with connection.cursor() as cursor, cursor.copy(statement, () if extended else None) as copy:
        return b"".join(bytes(piece) for piece in copy)


FORMATS = ["", "(FORMAT csv)", "(FORMAT csv, HEADER, FORCE_QUOTE *)", "(FORMAT csv, DELIMITER '|', NULL 'nil', ESCAPE '\\')"]
FORMATS += ["(DELIMITER ';', NULL '')", "(HEADER)", "(FORMAT binary)"]


@pytest.mark.parametrize("options", FORMATS)
def test_a_table_without_masked_columns_is_copied_byte_for_byte(
    connection: psycopg.Connection[tuple[Any, ...]], gateway: LiveGateway, target: str, server: PostgresServer, options: str
) -> None:
    statement = f"COPY copying.plain TO STDOUT {options}"
    direct_settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "dbname": "shop",
        "user": "shop_app",
        "password": "app-of-the-shop",
    }
    with psycopg.connect(**direct_settings) as direct:
        wanted = copied(direct, statement)
    assert copied(connection, statement) == wanted


@pytest.mark.parametrize("extended", [False, True])
def test_masked_columns_of_a_table_are_covered_in_their_style(
    connection: psycopg.Connection[tuple[Any, ...]], extended: bool
) -> None:
    data = copied(connection, "COPY customers (id, ssn, name, card, joined) TO STDOUT (FORMAT csv, HEADER)", extended=extended)
    rows = list(csv.reader(io.StringIO(data.decode())))
    assert rows[0] == ["id", "ssn", "name", "card", "joined"]
    assert rows[1] == ["1", "***-**-4320", "Ada Quill", "************4242", "2023-02-11"]
    assert len(rows) == 9


def test_dropped_and_generated_columns_shift_nothing(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    assert copied(connection, "COPY copying.shifted TO STDOUT") == b"left\th****\tright\nleft\t\\N\tright\n"
    assert copied(connection, "COPY copying.shifted (tail, ssn) TO STDOUT") == b"right\th****\nright\t\\N\n"


def test_what_a_query_makes_of_masked_columns_is_covered_whole(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    data = copied(connection, "COPY (SELECT id, upper(ssn), name, card || '' FROM customers WHERE id = 1) TO STDOUT")
    assert data == b"1\t****\tAda Quill\t****\n"


def test_what_detectors_find_is_covered_in_copies_too(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    for statement in (
        "COPY notes TO STDOUT",
        "COPY notes TO STDOUT (FORMAT binary)",
        "COPY (SELECT * FROM notes) TO STDOUT (FORMAT binary)",
    ):
        data = copied(connection, statement)
        assert b"4111 1111 1111 1111" not in data
        assert b"AKIAIOSFODNN7EXAMPLE" not in data
        assert b"Prefers parcels in the afternoon." in data


def test_rows_in_binary_are_read_by_their_types(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY customers (id, ssn, joined) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int4", "text", "date"])
        rows = list(copy.rows())
    assert rows[0] == (1, "***-**-4320", datetime.date(2023, 2, 11))
    assert len(rows) == 8
    query = "COPY (SELECT id, amount, placed, item FROM orders WHERE id = 1) TO STDOUT (FORMAT binary)"
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(["int4", "numeric", "timestamptz", "text"])
        (row,) = copy.rows()
    assert (row[0], row[1], row[3]) == (1, Decimal("18.50"), "Field notebook, dotted")


@pytest.mark.parametrize("options", ["", "(FORMAT binary)"])
def test_rows_are_copied_in_as_they_are(
    connection: psycopg.Connection[tuple[Any, ...]], server: PostgresServer, options: str
) -> None:
    rows = [(1, "a@example.com", "tab\there"), (2, None, "line\nfeed"), (3, "", "\\N")]
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY copying.taken FROM STDIN {options}") as copy:
            copy.set_types(["int4", "text", "text"])
            for row in rows:
                copy.write_row(row)
        assert cursor.rowcount == 3
    found = server.sql(
        "SELECT count(*), count(email), max(email), string_agg(note, '|' ORDER BY id) FROM copying.taken", "shop"
    )
    assert found.strip("\n") == "3|2|a@example.com|tab\there|line\nfeed|\\N"


def test_a_copy_in_of_megabytes_arrives_whole(connection: psycopg.Connection[tuple[Any, ...]], gateway: LiveGateway) -> None:
    line = b"7\tx@example.com\t" + b"n" * 1000 + b"\n"
    with connection.cursor() as cursor:
        with cursor.copy("COPY copying.taken FROM STDIN") as copy:
            for _ in range(200):
                copy.write(line * 50)
        assert cursor.rowcount == 10_000


def test_a_copy_in_that_its_client_gives_up_leaves_nothing(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    class ChangedMindError(Exception):
        pass

    def half(cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        with cursor.copy("COPY copying.taken FROM STDIN") as copy:
            copy.write(b"1\ta\tb\n")
            raise ChangedMindError

    with connection.cursor() as cursor, pytest.raises(ChangedMindError):
        half(cursor)
    assert connection.execute("SELECT count(*) FROM copying.taken").fetchone() == (0,)


@pytest.mark.parametrize("extended", [False, True])
def test_bad_data_is_an_error_that_does_not_quote_it(connection: psycopg.Connection[tuple[Any, ...]], extended: bool) -> None:
    def send(cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        with cursor.copy("COPY copying.taken FROM STDIN", () if extended else None) as copy:
            copy.write(b"not-a-number\tsecret@example.com\tx\n")

    with connection.cursor() as cursor, pytest.raises(errors.InvalidTextRepresentation) as caught:
        send(cursor)
    said = f"{caught.value} {caught.value.diag.context} {caught.value.diag.message_detail}"
    assert "secret@" not in said
    assert "not-a-number" not in said
    assert connection.execute("SELECT count(*) FROM copying.taken").fetchone() == (0,)


def test_a_copy_in_a_transaction_ends_with_it(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    with connection.transaction(force_rollback=True):
        with connection.cursor() as cursor, cursor.copy("COPY copying.taken FROM STDIN") as copy:
            copy.write(b"1\ta\tb\n")
        assert connection.execute("SELECT count(*) FROM copying.taken").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM copying.taken").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    ["COPY customers TO STDOUT (ENCODING 'latin1')", "COPY customers TO STDOUT (FORMAT 'json')"],
)
def test_what_cannot_be_covered_is_refused_in_words(connection: psycopg.Connection[tuple[Any, ...]], statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="is not carried"):
        connection.execute(statement)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_files_and_programs_of_the_server_are_not_reached_by_copy(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    for statement in ("COPY customers TO '/tmp/x'", "COPY customers TO PROGRAM 'cat'", "COPY customers FROM '/etc/passwd'"):
        with pytest.raises(errors.InsufficientPrivilege, match="blocked by"):
            connection.execute(statement)


@pytest.mark.parametrize("way", [pytest.param((False, "shop"), id="clear"), pytest.param((True, "shop-tls"), id="tls")])
def test_psqls_copy_writes_covered_files_and_reads_plain_ones(
    gateway: LiveGateway, world: World, tmp_path: Path, way: tuple[bool, str]
) -> None:
    tls, database = way
    server = world.tls if tls else world.plain
    assert server is not None
    server.sql(TABLES, "shop")
    out, back = tmp_path / "customers.csv", tmp_path / "taken.csv"
    answer = gateway.psql("-c", f"\\copy customers to '{out}' csv header", database=database, tls=tls)
    assert answer.status == 0, answer.output
    assert "COPY 8" in answer.output
    assert "987-65-4320" not in out.read_text()
    assert "***-**-4320" in out.read_text()
    back.write_text('1,a@example.com,"two\nlines"\n2,,"a ""b"""\n')
    answer = gateway.psql("-c", f"\\copy copying.taken from '{back}' csv", database=database, tls=tls)
    assert "COPY 2" in answer.output, answer.output
    assert server.sql("SELECT id, email IS NULL FROM copying.taken ORDER BY id", "shop").split() == ["1|f", "2|t"]
    answer = gateway.psql(
        "-f", "-", database=database, tls=tls, stdin="COPY copying.taken FROM STDIN;\n3\tx\ty\n\\.\nSELECT 'on';\n"
    )
    assert "COPY 1" in answer.output
    assert "on" in answer.output
    server.sql("DROP SCHEMA copying CASCADE", "shop")


def test_the_book_tells_rows_and_bytes_of_a_copy(
    connection: psycopg.Connection[tuple[Any, ...]], gateway: LiveGateway, target: str
) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY copying.taken FROM STDIN") as copy:
        copy.write(b"1\ta@example.com\tx\n2\tb@example.com\ty\n")
    book = gateway.book_bytes()
    assert b"a@example.com" not in book
    assert b"COPY 2" in book


@pytest.mark.parametrize("way", [pytest.param((False, "shop"), id="clear"), pytest.param((True, "shop-tls"), id="tls")])
def test_pg_dump_of_a_table_without_masked_columns_is_what_it_is_without_a_gateway(
    gateway: LiveGateway, world: World, way: tuple[bool, str]
) -> None:
    tls, database = way
    server = world.tls if tls else world.plain
    assert server is not None
    server.sql(TABLES, "shop")
    program = str((system_programs() if tls else wheel_programs()) / "pg_dump")
    settings = gateway.psql_environment(database=database, **(gateway.tls_settings() if tls else {}))
    answer = run([program, "--enable-row-security", "--no-subscriptions", "-t", "copying.plain"], settings)
    direct = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGDATABASE": "shop",
        "PGUSER": "shop_app",
        "PGPASSWORD": "app-of-the-shop",
    }
    wanted = run([program, "--enable-row-security", "--no-subscriptions", "-t", "copying.plain"], direct)
    server.sql("DROP SCHEMA copying CASCADE", "shop")
    assert answer.status == 0, answer.output
    assert without_keys(answer.output) == without_keys(wanted.output)


def without_keys(dump: str) -> list[str]:
    """The dump without the random key that newer versions put into it."""
    return [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
