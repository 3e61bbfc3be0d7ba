"""Large objects as libpq knows them, by function call messages: decided, covered, and refused like any statement."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from tests.testbed.gateways import HEARS_AT_ONCE, LiveGateway

from gatebook.protocols.postgres import calls

pytestmark = pytest.mark.real

CALLED = """
    select oid || '|' || proname || '|' || array_to_string(proargtypes::oid[], ',') || '|' || prorettype from pg_proc
    where proname ~ '^lo' and oid in ({oids}) order by oid
"""


def connected(gateway: LiveGateway, **more: Any) -> Any:
    return psycopg2.connect(
        host="localhost", port=gateway.port, dbname="shop-tls", user="shop_app", password=gateway.mint(),
        sslmode="verify-full", sslrootcert=str(gateway.world.authority.path), **more,
    )  # fmt: skip


@pytest.mark.parametrize("server", ["plain_postgres", "tls_postgres"])
def test_each_function_is_at_the_server_what_it_is_read_as(server: str, request: pytest.FixtureRequest) -> None:
    oids = ", ".join(str(oid) for oid in calls.FUNCTIONS)
    told = request.getfixturevalue(server).sql(CALLED.format(oids=oids)).splitlines()
    ours = [f"{oid}|{one.name}|{','.join(map(str, one.takes))}|{one.gives}" for oid, one in sorted(calls.FUNCTIONS.items())]
    assert told == ours


def test_a_large_object_is_written_read_and_covered_on_its_way_out(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(allows_all=True)
    connection = connected(gateway)
    made = connection.lobject(0, "wb")
    assert made.write(b"plain words, and then 4242 4242 4242 4242 as well") == 49
    made.seek(6)
    assert made.tell() == 6
    made.close()
    read = connection.lobject(made.oid, "rb").read()
    assert read.startswith(b"plain words, and then ")
    assert b"4242 4242 4242" not in read
    assert connection.lobject(made.oid, "rb").seek(0, io.SEEK_END) == 49
    connection.lobject(made.oid, "n").unlink()
    with pytest.raises(psycopg2.OperationalError):
        connection.lobject(made.oid, "rb")
    connection.rollback()
    connection.close()


def test_an_agent_is_refused_and_its_session_goes_on(gateway: LiveGateway) -> None:
    connection = connected(gateway, options=HEARS_AT_ONCE)
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.OperationalError), match=r"blocked|held"):
        connection.lobject(0, "wb")
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()
