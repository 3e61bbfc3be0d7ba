"""Code of somebody's own behind types, casts and operators: what runs it without calling it is not taken for a plain read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import errors
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.parts import PostgresServer

pytestmark = pytest.mark.real

POLICY = """
@id("no-unknown")
@reason("what cannot be read may do anything")
forbid (principal, action, resource) when { context.reach == "unknown" };

@id("the-rest")
@reason("all else may be done")
permit (principal, action, resource);
"""
NOTES = "LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$BEGIN INSERT INTO own.kept VALUES (1); RETURN {}; END$$"
OWN = f"""
    DROP SCHEMA IF EXISTS own CASCADE; CREATE SCHEMA own; GRANT USAGE ON SCHEMA own TO shop_app;
    CREATE TABLE own.kept (n int);
    CREATE FUNCTION own.checks(text) RETURNS bool {NOTES.format("true")};
    CREATE DOMAIN own.checked AS text CHECK (own.checks(VALUE));
    CREATE DOMAIN own.above AS own.checked;
    CREATE TYPE own.pair AS (a int, b own.checked);
    CREATE TYPE own.mood AS ENUM ('good', 'bad');
    CREATE TYPE own.size AS ENUM ('small', 'big');
    CREATE FUNCTION own.differs(own.mood, own.mood) RETURNS bool {NOTES.format("true")};
    CREATE OPERATOR own.<> (LEFTARG = own.mood, RIGHTARG = own.mood, FUNCTION = own.differs);
    CREATE FUNCTION own.moody(own.size) RETURNS own.mood {NOTES.format("'good'")};
    CREATE CAST (own.size AS own.mood) WITH FUNCTION own.moody (own.size);
    CREATE TYPE own.plain AS ENUM ('this', 'that');
    CREATE DOMAIN own.number AS int CHECK (VALUE > 0 AND length(VALUE::text) < 9);
    CREATE TABLE own.rows (id int, mood own.mood, moods own.mood[], size own.size, plain own.plain, n own.number);
    INSERT INTO own.rows VALUES (1, 'good', '{{good,bad}}', 'big', 'this', 5);
    CREATE VIEW own.seen AS SELECT id, mood AS m FROM own.rows;
    CREATE TABLE own.texts (id int, word own.checked);
    GRANT SELECT ON own.rows, own.seen, own.texts TO shop_app; GRANT INSERT ON own.texts TO shop_app;
"""


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory, world: Any) -> Iterator[LiveGateway]:
    world.plain.sql(OWN, "shop")
    gateway = LiveGateway(tmp_path_factory.mktemp("owned"), world, policies={"all": POLICY}, allows_all=True).start()
    yield gateway
    assert "Traceback" not in gateway.log
    gateway.stop()
    world.plain.sql("DROP SCHEMA own CASCADE", "shop")


@pytest.fixture
def server(owned: LiveGateway) -> PostgresServer:
    owned.world.plain.sql("TRUNCATE own.kept", "shop")
    return owned.world.plain


RUNS = [
    "SELECT 'x'::own.checked",
    "SELECT CAST('x' AS checked)",
    "SELECT 'x'::above",
    "SELECT '{x}'::own.checked[]",
    "SELECT '(1,x)'::own.pair",
    "SELECT ROW(1, 'x')::own.pair",
    "SELECT own.checked 'x'",
    'SELECT * FROM json_to_record(\'{"w": "x"}\') AS r(w own.checked)',
    'SELECT jsonb_populate_record(NULL::own.texts, \'{"word": "x"}\')',
    'SELECT pg_catalog.jsonb_populate_record(t, \'{"word": "x"}\') FROM (VALUES (1)) v LEFT JOIN own.texts t ON true',
    "SELECT json_value('{\"w\": \"x\"}', '$.w' RETURNING own.checked)",
    "SELECT * FROM xmltable('/a' PASSING ('<a><w>x</w></a>'::xml) COLUMNS w own.checked)",
    "SELECT pg_input_is_valid('x', 'own.checked')",
    "SELECT message FROM pg_input_error_info('x', 'checked')",
    "SELECT pg_input_is_valid('x', 'own.' || 'checked')",
    "SELECT id FROM own.rows WHERE mood <> 'bad'",
    "SELECT id FROM own.rows WHERE mood NOT IN ('bad')",
    "SELECT id FROM own.seen WHERE m <> 'bad'",
    "SELECT id FROM own.rows WHERE 'bad' <> ANY (moods)",
    "SELECT id FROM rows r WHERE ROW(r.mood) <> ROW('bad'::own.mood)",
    "SELECT 'good'::own.mood <> 'bad'",
    "SELECT size::own.mood FROM own.rows",
    "SELECT id FROM own.rows WHERE size::text::own.mood IS NULL OR CAST(size AS own.mood) = 'good'",
    "PREPARE p AS SELECT 'x'::own.checked",
]


@pytest.mark.parametrize("text", RUNS)
def test_what_may_run_it_counts_as_unknown(owned: LiveGateway, server: PostgresServer, text: str) -> None:
    with owned.connect(autocommit=True) as connection:
        connection.execute("SET search_path = own, public")
        with pytest.raises(errors.InsufficientPrivilege, match="no-unknown") as caught:
            connection.execute(text)
        assert re.search("somebody's own|does not name plainly", str(caught.value))
    assert server.sql("SELECT count(*) FROM own.kept", "shop") == "0"


HARMLESS = [
    "SELECT id, mood, moods, plain FROM own.rows",
    "SELECT plain FROM own.rows WHERE plain <> 'that' AND n + 1 > 3",
    "SELECT 'this'::own.plain, 5::own.number, $$2026-01-01$$::date, '{1}'::int[], 'x'::text::varchar(3)",
    "SELECT id::text, plain::text FROM own.rows ORDER BY plain",
    "SELECT count(*) FROM customers WHERE id::text <> '7'",
    "SELECT pg_input_is_valid('7', 'int4'), '(1,2)'::point, jsonb_populate_record(NULL::orders, '{\"id\": 7}')",
    "SELECT id FROM own.rows WHERE mood IS NULL AND plain = 'this'",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_surely_runs_none_does_not(owned: LiveGateway, server: PostgresServer, text: str) -> None:
    with owned.connect(autocommit=True) as connection:
        connection.execute(text)
    assert server.sql("SELECT count(*) FROM own.kept", "shop") == "0"


def test_a_table_keeps_its_own_checks(owned: LiveGateway, server: PostgresServer) -> None:
    with owned.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO own.texts VALUES (1, 'x')")
    assert server.sql("SELECT count(*) FROM own.kept", "shop") == "1"


def test_a_parameter_of_such_a_type_is_one_too(owned: LiveGateway, server: PostgresServer) -> None:
    number = int(server.sql("SELECT 'own.mood'::regtype::oid::int", "shop"))
    with owned.connect(autocommit=True) as connection:
        connection.execute("SET search_path = own, public")
        parsed = connection.pgconn.prepare(b"", b"SELECT $1 <> $2", [number, number])
        assert b"somebody's own" in parsed.error_message
        plain = int(server.sql("SELECT 'own.plain'::regtype::oid::int", "shop"))
        parsed = connection.pgconn.prepare(b"", b"SELECT $1 <> $2", [plain, plain])
        assert not parsed.error_message


def test_a_prepared_statement_is_looked_at_again_where_the_path_moved(owned: LiveGateway, server: PostgresServer) -> None:
    server.sql(
        f"CREATE FUNCTION own.age(int) RETURNS int {NOTES.format(1)}; CREATE TYPE own.date AS (a own.checked);"
        f" CREATE FUNCTION own.adds(text, int) RETURNS int {NOTES.format(1)};"
        " CREATE OPERATOR own.+ (LEFTARG = text, RIGHTARG = int, FUNCTION = own.adds)",
        "shop",
    )
    with owned.connect(autocommit=True) as connection:
        connection.execute("SET search_path = public")
        connection.execute("PREPARE p AS SELECT '2026-01-01'::date")
        connection.execute("EXECUTE p")
        connection.execute("SET search_path = own, pg_catalog")
        with pytest.raises(errors.InsufficientPrivilege, match="type date of somebody's own"):
            connection.execute("EXECUTE p")
        with pytest.raises(errors.InsufficientPrivilege, match="somebody's own"):
            connection.execute("SELECT '(x)'::date")
        connection.execute("SELECT '2026-01-01'::pg_catalog.date")
        connection.execute("SET search_path = public")
        connection.execute("EXECUTE p")
    assert server.sql("SELECT count(*) FROM own.kept", "shop") == "0"


def test_what_an_extension_brought_is_trusted_as_it_is(owned: LiveGateway, server: PostgresServer) -> None:
    server.sql("CREATE EXTENSION citext; CREATE DOMAIN mail AS citext CHECK (VALUE ~ '@')", "shop")
    try:
        with owned.connect(autocommit=True) as connection:
            assert connection.execute("SELECT 'a@b'::mail = 'A@B'::citext, 'x'::citext::text").fetchone() == (True, "x")
    finally:
        server.sql("DROP EXTENSION citext CASCADE", "shop")
