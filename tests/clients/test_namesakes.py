"""A function and an operator of somebody's own under the name of the server's: what runs is not what the name says."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.cli.demo.parts import PostgresServer

pytestmark = pytest.mark.real

SOMEBODYS = """
    CREATE SCHEMA somebody; GRANT USAGE ON SCHEMA somebody TO shop_app;
    CREATE TABLE somebody.kept (word text); GRANT INSERT ON somebody.kept TO shop_app;
    CREATE FUNCTION somebody.age(int) RETURNS int LANGUAGE sql AS 'INSERT INTO somebody.kept VALUES (''called''); SELECT 1';
    CREATE FUNCTION somebody.adds(text, int) RETURNS int LANGUAGE sql
        AS 'INSERT INTO somebody.kept VALUES (''added''); SELECT 1';
    CREATE OPERATOR somebody.+ (LEFTARG = text, RIGHTARG = int, FUNCTION = somebody.adds);
"""


@pytest.fixture
def somebody(plain_postgres: PostgresServer) -> Iterator[PostgresServer]:
    plain_postgres.sql(SOMEBODYS, "shop")
    yield plain_postgres
    plain_postgres.sql("DROP SCHEMA somebody CASCADE", "shop")


@pytest.mark.parametrize("text", ["SELECT age(5)", "SELECT text 'x' + 1", "SELECT count(*) FROM customers WHERE age(id) = 1"])
def test_an_agent_cannot_call_it_by_the_name_of_the_servers_own(
    gateway: LiveGateway, somebody: PostgresServer, text: str
) -> None:
    with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
        connection.execute("SET search_path = somebody, public")
        with pytest.raises(errors.InsufficientPrivilege, match="of somebody's own"):
            connection.execute(text)
        with pytest.raises(errors.InsufficientPrivilege, match=r"of somebody's own|for something else"):
            connection.execute(psycopg.sql.SQL("SET search_path = somebody; {}").format(psycopg.sql.SQL(text)))
        connection.execute("SET search_path = public")
        assert connection.execute("SELECT pg_catalog.age(timestamp '2026-01-02', timestamp '2026-01-01')").fetchone()
        assert connection.execute("SELECT lower('X'), 1 + 1").fetchone() == ("x", 2)
    assert somebody.sql("SELECT count(*) FROM somebody.kept", "shop") == "0"


def test_those_of_an_extension_are_trusted_as_the_extension_is(gateway: LiveGateway, plain_postgres: PostgresServer) -> None:
    plain_postgres.sql("CREATE EXTENSION citext", "shop")
    try:
        with gateway.connect(autocommit=True, options=HEARS_AT_ONCE) as connection:
            assert connection.execute("SELECT max(name), replace('a', 'a', 'b') FROM customers").fetchone()
    finally:
        plain_postgres.sql("DROP EXTENSION citext", "shop")
