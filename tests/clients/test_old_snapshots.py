"""Definitions that change while a client's transaction keeps an older snapshot: the server goes by those of now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.cli.demo.parts import PostgresServer

pytestmark = pytest.mark.real

MADE = """
    DROP SCHEMA IF EXISTS swap CASCADE; CREATE SCHEMA swap; GRANT ALL ON SCHEMA swap TO shop_app; SET ROLE shop_app;
    CREATE TABLE swap.plain (id int, word text); INSERT INTO swap.plain VALUES (1, 'odd-word');
    CREATE TABLE swap.people (id int, ssn text, note text); INSERT INTO swap.people VALUES (1, '512-33-8841', 'odd-note');
    CREATE TABLE swap.pair (id int, one text, ssn text); INSERT INTO swap.pair VALUES (1, 'odd-one', 'odd-ssn');
    CREATE VIEW swap.seen AS SELECT id, word FROM swap.plain
"""
CHANGED = """
    SET ROLE shop_app;
    ALTER TABLE swap.pair RENAME ssn TO other; ALTER TABLE swap.pair RENAME one TO ssn;
    CREATE OR REPLACE VIEW swap.seen AS SELECT id, ssn AS word FROM swap.people;
    ALTER TABLE swap.plain RENAME TO kept; ALTER TABLE swap.people RENAME TO plain; CREATE TABLE swap.made (id int)
"""


@pytest.fixture
def swap(plain_postgres: PostgresServer) -> Iterator[PostgresServer]:
    plain_postgres.sql(MADE, "shop")
    yield plain_postgres
    plain_postgres.sql("DROP SCHEMA swap CASCADE", "shop")


def test_what_an_old_snapshot_says_of_definitions_uncovers_nothing(gateway: LiveGateway, swap: PostgresServer) -> None:
    with gateway.connect(options=HEARS_AT_ONCE) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET search_path = swap")
        connection.commit()
        connection.execute("SELECT pg_sleep(5.1)")
        swap.sql(CHANGED, "shop")
        told: list[Any] = []
        for text in ("SELECT * FROM pair", "SELECT word FROM seen", "SELECT word || '' FROM seen"):
            told += connection.execute(text).fetchall()
        assert "odd-one" not in str(told), "the column is called ssn by now"
        assert "512-33" not in str(told), "the view reads another table by now"
        with pytest.raises(errors.InsufficientPrivilege, match="names plain, which could not be looked up"):
            connection.execute("DELETE FROM plain WHERE id = 1")


def test_a_table_that_a_snapshot_does_not_know_is_no_name_that_stands_for_nothing(
    gateway: LiveGateway, swap: PostgresServer
) -> None:
    with gateway.connect(options=HEARS_AT_ONCE) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET search_path = swap")
        connection.commit()
        connection.execute("SELECT 1")
        swap.sql(CHANGED, "shop")
        with pytest.raises(errors.InsufficientPrivilege, match="names made, which could not be looked up"):
            connection.execute("INSERT INTO made VALUES (1)")
        connection.rollback()
        assert connection.execute("SELECT * FROM made").fetchall() == []
