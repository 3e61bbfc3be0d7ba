"""Random queries over masked columns through a running gateway: whatever they do with a value, nobody sees under its mask."""

from __future__ import annotations

import os
from collections.abc import Callable

import psycopg
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.queries import MASKED, SETUP, Queries, spilt

pytestmark = pytest.mark.real

SEEDS = range(int(os.environ.get("LINEAGE_SEEDS", "2")))
QUERIES = int(os.environ.get("LINEAGE_QUERIES", "150"))
ENOUGH = 0.3  # of the queries must be answered with rows, or the grammar makes nothing but errors


@pytest.fixture
def masked(new_gateway: Callable[..., LiveGateway], world: World) -> LiveGateway:
    world.plain.sql(SETUP, "shop")
    masking = {"sets": {"pii": {"columns": MASKED, "style": "redact"}}, "detectors": []}
    return new_gateway(more={"masking": masking})


def answer(connection: psycopg.Connection, query: str, binary: bool) -> str:
    with connection.cursor(binary=binary) as cursor:
        if query.startswith("COPY"):
            with cursor.copy(query.encode()) as copy:
                return "\n".join(bytes(part).decode("utf-8", "replace") for part in copy)
        cursor.execute(query.encode())
        return repr(cursor.fetchall())


def test_no_random_query_shows_what_is_masked(masked: LiveGateway) -> None:
    for seed in SEEDS:
        run(masked, seed)


def run(masked: LiveGateway, seed: int) -> None:
    queries, answered = Queries(seed), 0
    with masked.connect(masked.mint(kind="person", groups=["dba"]), autocommit=True) as connection:
        connection.execute("SET statement_timeout = '3s'")
        for number in range(QUERIES):
            query = queries.query()
            try:
                said = answer(connection, query, binary=number % 3 == 0)
                answered += 1
            except psycopg.Error as error:
                said = f"{error} {error.diag.message_detail} {error.diag.context}"
            assert not spilt(said), f"{spilt(said)!r} came out of seed {seed}, query {number}:\n{query}\n{said}"
    assert answered > QUERIES * ENOUGH, f"only {answered} of {QUERIES} queries had an answer"


def test_the_markers_are_recognised_where_nothing_is_masked(masked: LiveGateway, world: World) -> None:
    for shown in ("ssn", "upper(ssn)", "reverse(nick)", "md5(ssn)", "encode(convert_to(ssn, 'UTF8'), 'hex')", "left(ssn, 6)"):
        assert spilt(world.plain.sql(f"SELECT {shown} FROM mk.people", "shop"))
    assert not spilt(world.plain.sql("SELECT city FROM mk.people", "shop"))
