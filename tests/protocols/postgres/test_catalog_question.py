"""The catalog question on real servers."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from gatebook.cli.demo.parts import PostgresServer
from gatebook.protocols.postgres import catalog_views
from gatebook.protocols.postgres.catalog import ANYWHERE, ASKED_FOR, MEANINGFUL, answers, question, short_question
from gatebook.protocols.postgres.reading import Relation

pytestmark = pytest.mark.real


@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_all_settings_are_told_whole(request: pytest.FixtureRequest, server: str) -> None:
    """A column that holds names first would cut each at 63 bytes."""
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        connection.execute("SET search_path = public, " + ", ".join(f"a_schema_of_a_long_name_{number}" for number in range(9)))
        rows: list[tuple[Any, ...]] = connection.execute(question([ANYWHERE])).fetchall()
    _, path, settings = answers([[str(cell).encode() for cell in row] for row in rows if row[0] == "s"])
    assert [line.partition("=")[0] for line in settings.splitlines()] == [*sorted(MEANINGFUL), "current_user", *ASKED_FOR]
    assert path.endswith("a_schema_of_a_long_name_8")


@pytest.mark.parametrize("own_code", [False, True])
@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_no_server_takes_it_for_work_that_is_worth_compiling(
    request: pytest.FixtureRequest, server: str, own_code: bool
) -> None:
    """Past an estimate of ``jit_above_cost`` a server with LLVM compiles for seconds what runs for milliseconds."""
    names = [Relation(None, name) for name in ("orders", "customers", "pg_views", "nowhere")]
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        ((above,),) = connection.execute("SHOW jit_above_cost").fetchall()
        (((plan,),),) = connection.execute(f"EXPLAIN (FORMAT JSON) {question(names, own_code=own_code)}").fetchall()
    assert plan["Plan"]["Total Cost"] < int(above) / 4


def test_whose_types_are_behind_others_is_told_however_they_are_made_of_each_other(plain_postgres: PostgresServer) -> None:
    made = """
        CREATE SCHEMA nested; SET search_path = nested;
        CREATE FUNCTION checks(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 > 0';
        CREATE DOMAIN checked AS int CHECK (checks(VALUE)); CREATE DOMAIN above AS checked;
        CREATE TABLE held (a above, b checked[], c int); CREATE TYPE span AS RANGE (subtype = checked);
        CREATE TABLE outermost (h held, s span[]); CREATE TYPE plain AS (a int, b text);
    """
    with psycopg.connect(plain_postgres.dsn("shop")) as connection:
        connection.execute(made)
        rows = connection.execute(question([ANYWHERE], own_code=True)).fetchall()
        connection.rollback()
    types, columns = zip(*[(row[5], row[6]) for row in rows if row[0] == "h" and row[4] == "checks"], strict=True)
    assert {"checked", "above", "held", "span", "outermost", "_checked", "_span", "_held"} <= {*types}
    assert {"a", "b", "h", "s"} <= {*columns}
    assert "plain" not in types


@pytest.mark.parametrize("own_code", [False, True])
def test_a_role_that_may_not_run_the_servers_own_conversion_of_numbers_gets_an_answer(
    plain_postgres: PostgresServer, own_code: bool
) -> None:
    """One that fails takes the client's transaction with it."""
    revoked = "REVOKE ALL ON FUNCTION pg_catalog.int8(integer) FROM PUBLIC; CREATE ROLE bereft; SET ROLE bereft"
    names = [ANYWHERE, Relation("pg_catalog", "pg_views")]
    with psycopg.connect(plain_postgres.dsn("shop")) as connection:
        connection.execute(revoked)
        rows = connection.execute(question(names, own_code=own_code)).fetchall()
        found, _, _ = answers([[None if cell is None else str(cell).encode() for cell in row] for row in rows])
        for text in (short_question(names), catalog_views.question([found[1]])):
            assert connection.execute(text).fetchall()
        connection.rollback()
    assert {"schemaname", "viewname"} <= {*found[1].columns.values()}
