"""Views over masked tables: each column is covered by what flows into it, and what is not certain is covered."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.cli.demo.parts import PostgresServer

pytestmark = pytest.mark.real

MADE = """
    DROP SCHEMA IF EXISTS looks CASCADE; CREATE SCHEMA looks; GRANT ALL ON SCHEMA looks TO shop_app; SET ROLE shop_app;
    SET search_path = looks;
    CREATE TABLE people (id int, name text, ssn text, made text GENERATED ALWAYS AS (ssn || '!') STORED, far text);
    INSERT INTO people VALUES (7, 'open-name', 'needle-ssn', DEFAULT, 'open-far');
    CREATE TABLE orders (id int, person int, ssn text, total int); INSERT INTO orders VALUES (1, 7, 'needle-order', 55);
    CREATE TABLE kid (extra text) INHERITS (people); INSERT INTO kid VALUES (8, 'open-kid', 'needle-kid', DEFAULT, 'x', 'y');
    CREATE VIEW plain AS SELECT id, name, ssn AS code FROM people;
    CREATE VIEW over AS SELECT p.code AS name, p.name AS code, p.id FROM plain p;
    CREATE VIEW made_of AS SELECT name, made AS stamp FROM people;
    CREATE VIEW mixed AS SELECT p.name, upper(p.ssn) AS up, o.total, p.name || o.ssn AS both FROM people p
        JOIN orders o ON o.person = p.id;
    CREATE VIEW united AS SELECT name AS a, far AS b FROM people UNION ALL SELECT far, ssn FROM people;
    CREATE VIEW counted AS SELECT name, count(*) AS n, max(ssn) AS last FROM people GROUP BY name;
    CREATE VIEW nested AS WITH w AS (SELECT ssn AS s, name AS m FROM people) SELECT w.m, (SELECT w.s) AS sub FROM w;
    CREATE VIEW guarded WITH (security_barrier) AS SELECT name, ssn AS s FROM people WHERE ssn LIKE 'needle%';
    CREATE VIEW wholes AS SELECT p.name, p AS r, row_to_json(p) AS j FROM people p;
    CREATE VIEW recursed AS WITH RECURSIVE r(a, b) AS (SELECT name, ssn FROM people UNION SELECT b, a FROM r)
        SELECT a, b FROM r;
    CREATE VIEW cased AS SELECT name, CASE WHEN id > 0 THEN ssn ELSE 'no' END AS c FROM people;
    CREATE VIEW renamed (x, y) AS SELECT ssn, name FROM people;
    CREATE VIEW latter AS SELECT p.name, l.t FROM people p, LATERAL (SELECT p.ssn AS t) l;
    CREATE VIEW windowed AS SELECT name, first_value(ssn) OVER (ORDER BY id) AS f, row_number() OVER (ORDER BY id) AS n
        FROM people;
    CREATE VIEW ruled AS SELECT id, name FROM people WHERE ssn <> '';
    CREATE RULE given AS ON UPDATE TO ruled DO INSTEAD UPDATE people SET far = far WHERE id = new.id RETURNING id, ssn;
    CREATE VIEW over_ruled AS SELECT id, name FROM ruled;
    CREATE MATERIALIZED VIEW stored AS SELECT name, lower(ssn) AS low FROM people;
    CREATE VIEW asks AS SELECT name, id FROM people WHERE ssn::text <> 'x' AND substr(ssn, 1, 6)::text <> '';
    CREATE VIEW fails AS SELECT name, id FROM people WHERE ssn::int > 0;
    CREATE VIEW own_name AS SELECT ssn AS name, name AS ssn FROM people;
    CREATE VIEW server AS SELECT p.name, c.relname FROM people p, pg_class c WHERE c.relname = 'pg_class'
"""
SHOWN = {
    "plain": {"name", "id"},
    "over": {"code", "id"},
    "made_of": {"name"},
    "mixed": {"name", "total"},
    "united": {"a"},
    "counted": {"name", "n"},
    "nested": {"m"},
    "guarded": {"name"},
    "wholes": {"name"},
    "recursed": set(),
    "cased": {"name"},
    "renamed": {"y"},
    "latter": {"name"},
    "windowed": {"name", "n"},
    "ruled": set(),
    "over_ruled": set(),
    "stored": {"name"},
    "asks": {"name", "id"},
    "own_name": set(),
    "server": {"name", "relname"},
}


@pytest.fixture(scope="module")
def looks(plain_postgres: PostgresServer) -> Iterator[PostgresServer]:
    plain_postgres.sql(MADE, "shop")
    yield plain_postgres
    plain_postgres.sql("DROP SCHEMA looks CASCADE", "shop")


@pytest.mark.parametrize("path", ["looks", "public"])
@pytest.mark.parametrize("view", SHOWN)
def test_a_column_of_a_view_is_covered_by_what_flows_into_it(
    gateway: LiveGateway, looks: PostgresServer, view: str, path: str
) -> None:
    with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
        connection.execute(f"SET search_path = {path}")
        answer = connection.execute(f"SELECT * FROM looks.{view}")
        names = [column.name for column in answer.description or ()]
        rows = answer.fetchall()
        assert rows
        assert "needle" not in str(rows)
        values = {name: str([row[at] for row in rows]) for at, name in enumerate(names)}
        assert {name for name, value in values.items() if "*" not in value and "None" not in value} == SHOWN[view]
        for name in names:  # in an expression, under another name, by a cursor
            text = f"SELECT v.{name}::text || '' AS id FROM looks.{view} v"
            told = str(connection.execute(text).fetchall())
            assert "needle" not in told
            assert ("*" not in told) == (name in SHOWN[view]), (name, told)
        with connection.transaction():
            connection.execute(f"DECLARE c CURSOR FOR SELECT * FROM looks.{view}")
            assert "needle" not in str(connection.execute("FETCH ALL c").fetchall())


def test_what_a_rule_of_a_view_returns_is_no_column_of_its(gateway: LiveGateway, looks: PostgresServer) -> None:
    token = gateway.mint(sub="dana", kind="person", groups=["dba"])
    with gateway.connect(token, autocommit=True, options=HEARS_AT_ONCE) as connection:
        for text in (
            "UPDATE looks.ruled SET name = 'x' WHERE id = 7 RETURNING id, name",
            "UPDATE looks.over_ruled SET name = 'x' WHERE id = 7 RETURNING id, name",
        ):
            assert "needle" not in str(connection.execute(text).fetchall())


def test_a_view_that_fails_by_a_value_it_does_not_show_quotes_nothing(gateway: LiveGateway, looks: PostgresServer) -> None:
    with (
        gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection,
        pytest.raises(errors.InvalidTextRepresentation) as caught,
    ):
        connection.execute("SELECT name FROM looks.fails")
    assert "needle" not in str(caught.value)


def test_open_columns_of_a_view_may_be_asked_about_and_moved(gateway: LiveGateway, looks: PostgresServer) -> None:
    with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
        assert connection.execute("SELECT id FROM looks.plain WHERE name = 'open-name'").fetchall() == [(7,)]
        for text in ("SELECT id FROM looks.plain WHERE code = 'x'", "SELECT 1 FROM looks.over WHERE name LIKE 'n%'"):
            with pytest.raises(errors.InsufficientPrivilege, match="no-probing-masked"):
                connection.execute(text)


def test_a_view_that_is_replaced_is_read_anew(gateway: LiveGateway, looks: PostgresServer) -> None:
    looks.sql("SET ROLE shop_app; CREATE VIEW looks.turns AS SELECT name AS a, ssn AS b FROM looks.people", "shop")
    with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
        assert "open-name" in str(connection.execute("SELECT a FROM looks.turns").fetchall())
        with pytest.raises(psycopg.Error):
            connection.execute("CREATE OR REPLACE VIEW looks.turns AS SELECT ssn AS a, name AS b FROM looks.people")
    looks.sql("SET ROLE shop_app; CREATE OR REPLACE VIEW looks.turns AS SELECT ssn AS a, name AS b FROM looks.people", "shop")
    with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
        connection.execute("BEGIN")
        told = str(connection.execute("SELECT a FROM looks.turns").fetchall())
    assert "needle" not in told
