"""The catalog question on real servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gatebook.cli.demo.parts import PostgresServer
from gatebook.protocols.postgres import catalog_views
from gatebook.protocols.postgres.catalog import ANYWHERE, ASKED_FOR, MEANINGFUL, Known, answers, question, short_question
from gatebook.protocols.postgres.reading import Relation

pytestmark = pytest.mark.real


def as_sent(rows: list[tuple[Any, ...]]) -> list[list[bytes | None]]:
    return [[None if cell is None else str(cell).encode() for cell in row] for row in rows]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_all_settings_are_told_whole(request: pytest.FixtureRequest, server: str, plain: bool) -> None:
    """A column that holds names first would cut each at 63 bytes."""
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        connection.execute("SET search_path = public, " + ", ".join(f"a_schema_of_a_long_name_{number}" for number in range(9)))
        rows: list[tuple[Any, ...]] = connection.execute(question([ANYWHERE], plain=plain)).fetchall()
    _, path, settings = answers([[str(cell).encode() for cell in row] for row in rows if row[0] == "s"])
    assert [line.partition("=")[0] for line in settings.splitlines()] == [*sorted(MEANINGFUL), "current_user", *ASKED_FOR]
    assert path.endswith("a_schema_of_a_long_name_8")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("own_code", [False, True])
@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_no_server_takes_it_for_work_that_is_worth_compiling(
    request: pytest.FixtureRequest, server: str, own_code: bool, plain: bool
) -> None:
    """Past an estimate of ``jit_above_cost`` a server with LLVM compiles for seconds what runs for milliseconds."""
    names = [Relation(None, name) for name in ("orders", "customers", "pg_views", "nowhere")]
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        ((above,),) = connection.execute("SHOW jit_above_cost").fetchall()
        asked_for = question(names, own_code=own_code, plain=plain)
        (((plan,),),) = connection.execute(f"EXPLAIN (FORMAT JSON) {asked_for}").fetchall()
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


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("own_code", [False, True])
def test_a_role_that_may_not_run_the_servers_own_conversion_of_numbers_gets_an_answer(
    plain_postgres: PostgresServer, own_code: bool, plain: bool
) -> None:
    """One that fails takes the client's transaction with it."""
    revoked = "REVOKE ALL ON FUNCTION pg_catalog.int8(integer) FROM PUBLIC; CREATE ROLE bereft; SET ROLE bereft"
    names = [ANYWHERE, Relation("pg_catalog", "pg_views")]
    with psycopg.connect(plain_postgres.dsn("shop")) as connection:
        connection.execute(revoked)
        if plain:
            assert connection.execute(question(names, own_code=own_code, plain=True)).fetchall()
        rows = connection.execute(question(names, own_code=own_code)).fetchall()
        found, _, _ = answers(as_sent(rows))
        for text in (short_question(names), catalog_views.question([found[1]])):
            assert connection.execute(text).fetchall()
        connection.rollback()
    assert {"schemaname", "viewname"} <= {*found[1].columns.values()}


MANY = """
CREATE SCHEMA many; SET search_path = many;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE base (id int PRIMARY KEY, ssn text UNIQUE, at positive, gone int, tags text[]); ALTER TABLE base DROP gone;
CREATE TABLE refers (a int REFERENCES base, b text REFERENCES base (ssn), c int, d int, UNIQUE (c, d),
  EXCLUDE USING hash ((lower(b)) WITH =));
CREATE TABLE twofold (c int, d int, FOREIGN KEY (d, c) REFERENCES refers (d, c));
CREATE UNIQUE INDEX by_text ON base (lower(ssn)) WHERE id > 0;
CREATE TABLE bare (); CREATE SEQUENCE counts; CREATE TYPE composed AS (a int, b text);
CREATE UNLOGGED TABLE unlogged (a composed, b base); CREATE TEMP TABLE passing (a int, b int REFERENCES pg_temp.passing) ;
"""
INTRICATE = """
CREATE TABLE ruled (a int); CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT 1; CREATE VIEW viewed AS SELECT * FROM base;
CREATE MATERIALIZED VIEW kept AS SELECT ssn FROM base; CREATE TABLE made (a int, b int GENERATED ALWAYS AS (a + 1) STORED);
CREATE TABLE parent (a int); CREATE TABLE child () INHERITS (parent); CREATE TABLE parted (a int) PARTITION BY LIST (a);
CREATE TABLE part PARTITION OF parted DEFAULT;
"""


@pytest.mark.parametrize("own_code", [False, True])
@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_of_plain_tables_the_first_question_tells_all_and_of_what_is_more_nothing(
    request: pytest.FixtureRequest, server: str, own_code: bool
) -> None:
    made = "base refers twofold bare counts composed unlogged passing".split()
    more = "ruled viewed kept made parent child parted part".split()
    with psycopg.connect(request.getfixturevalue(server).dsn("shop")) as connection:
        connection.execute(MANY.replace("REFERENCES pg_temp.passing", "UNIQUE") + INTRICATE)
        system = connection.execute(
            "SELECT nspname, relname FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace WHERE relkind <> 'i' "
            "AND nspname IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
        ).fetchall()
        names = [Relation(None, name) for name in (*made, *more, "nowhere")] + [Relation(*one) for one in system]
        told = []
        for first in (True, False):
            rows = as_sent(connection.execute(question(names, own_code=own_code, plain=first)).fetchall())
            told.append((answers(rows), {int(row[1] or 0) for row in rows if row[0] == b"w"}, rows))
        connection.rollback()
    (plain, more_there, plain_rows), (whole, none, whole_rows) = told
    (known, *said), (all_known, *all_said) = plain, whole
    assert not none
    assert said == all_said
    assert {names[number].name for number in more_there if names[number].schema is None} == set(more)
    assert known.keys() == all_known.keys() - more_there
    assert len(known) > 60
    for number, one in known.items():
        assert _in_order(one) == _in_order(all_known[number]), names[number]
    assert _in_order(known[1]).references
    plain_rest, whole_rest = ([row for row in rows if row[0] in (b"p", b"h", b"m", b"s")] for rows in (plain_rows, whole_rows))
    assert sorted(map(str, plain_rest)) == sorted(map(str, whole_rest))


def _in_order(known: Known) -> Known:
    keys = tuple(sorted(known.keys, key=sorted))
    return replace(known, keys=keys, references=tuple(sorted(known.references, key=str)), _kept={})


def test_what_a_transaction_sees_as_it_was_is_asked_whole(plain_postgres: PostgresServer) -> None:
    with psycopg.connect(plain_postgres.dsn("shop")) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT pg_sleep(5.1)")
        rows = connection.execute(question([Relation(None, "orders")], plain=True)).fetchall()
    assert [row[0] for row in rows if row[0] in "ciw"] == ["w"]
