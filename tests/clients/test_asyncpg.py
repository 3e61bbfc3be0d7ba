"""asyncpg through the gateway: a driver that speaks binary alone, pipelines by itself and copies by records."""

from __future__ import annotations

import asyncio
import datetime
import io
import ssl
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real

TAKEN = """
DROP TABLE IF EXISTS taken_by_asyncpg;
CREATE TABLE taken_by_asyncpg (id integer, email text, paid numeric, at timestamptz, tags text[]);
ALTER TABLE taken_by_asyncpg OWNER TO shop_app;
"""


@pytest.fixture(params=["shop", "shop-tls"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def connect(gateway: LiveGateway, target: str) -> Any:
    trust = ssl.create_default_context(cafile=str(gateway.world.authority.path))
    return await asyncpg.connect(
        host="localhost", port=gateway.port, user="shop_app", password=gateway.mint(), database=target, ssl=trust, timeout=15
    )


@pytest_asyncio.fixture
async def connection(gateway: LiveGateway, world: World, target: str) -> AsyncIterator[Any]:
    server = world.tls if target == "shop-tls" else world.plain
    assert server is not None
    await asyncio.to_thread(server.sql, TAKEN, "shop")
    made = await connect(gateway, target)
    yield made
    await made.close()
    await asyncio.to_thread(server.sql, "DROP TABLE taken_by_asyncpg", "shop")


async def test_binary_parameters_and_results_keep_their_types(connection: Any) -> None:
    row = await connection.fetchrow(
        "SELECT $1::int4 AS a, $2::numeric AS b, $3::timestamptz AS c, $4::text[] AS d, $5::bytea AS e, $6::uuid IS NULL AS f",
        7, Decimal("12.50"), datetime.datetime(2025, 3, 2, tzinfo=datetime.UTC), ["x", None], b"\0\xff", None,
    )  # fmt: skip
    assert tuple(row) == (
        7,
        Decimal("12.50"),
        datetime.datetime(2025, 3, 2, tzinfo=datetime.UTC),
        ["x", None],
        b"\0\xff",
        True,
    )


async def test_types_that_it_looks_up_come_right_on_a_masked_target(connection: Any) -> None:
    """Its look at them sets jit to what it was shown of it before."""
    rows = await connection.fetch("SELECT id, ssn FROM customers WHERE id = ANY($1::int[]) ORDER BY id", [1, 2])
    assert [tuple(row) for row in rows] == [(1, "***-**-4320"), (2, "***-**-4321")]


async def test_masked_columns_are_covered_in_binary_results(connection: Any) -> None:
    rows = await connection.fetch("SELECT id, ssn, card, joined FROM customers WHERE id < $1 ORDER BY id", 3)
    assert tuple(rows[0]) == (1, "***-**-4320", "************4242", datetime.date(2023, 2, 11))
    assert len(rows) == 2


async def test_many_rows_by_one_prepared_statement(connection: Any) -> None:
    await connection.executemany(
        "INSERT INTO taken_by_asyncpg (id, email) VALUES ($1, $2)", [(n, f"u{n}@example.com") for n in range(50)]
    )
    assert await connection.fetchval("SELECT count(*) FROM taken_by_asyncpg") == 50
    statement = await connection.prepare("SELECT email FROM taken_by_asyncpg WHERE id = $1")
    assert [await statement.fetchval(n) for n in range(3)] == ["u***@example.com"] * 3


async def test_a_cursor_is_covered_page_by_page(connection: Any) -> None:
    async with connection.transaction():
        seen = [row async for row in connection.cursor("SELECT id, ssn FROM customers ORDER BY id", prefetch=3)]
    assert [row["id"] for row in seen] == list(range(1, 9))
    assert all(row["ssn"].startswith("***") for row in seen)


async def insert_and_overreach(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO taken_by_asyncpg (id) VALUES ($1)", 1)
        await connection.fetch("DELETE FROM customers WHERE true OR $1", True)


async def test_a_refusal_leaves_the_session_and_its_transaction_as_any_error_does(connection: Any) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no-delete-without-where"):
        await connection.execute("DELETE FROM customers")
    assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await insert_and_overreach(connection)
    assert await connection.fetchval("SELECT count(*) FROM taken_by_asyncpg") == 0


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
async def test_a_table_is_copied_out_covered(connection: Any, form: str) -> None:
    out = io.BytesIO()
    tag = await connection.copy_from_table("customers", columns=["id", "ssn", "name"], output=out, format=form)
    assert tag == "COPY 8"
    assert b"987-65-4320" not in out.getvalue()
    assert b"***-**-4320" in out.getvalue()
    assert b"Ada Quill" in out.getvalue()


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
async def test_a_query_is_copied_out_covered_whole(connection: Any, form: str) -> None:
    out = io.BytesIO()
    tag = await connection.copy_from_query("SELECT id, ssn, name FROM customers WHERE id = $1", 1, output=out, format=form)
    assert tag == "COPY 1"
    assert b"4320" not in out.getvalue()
    assert b"Ada Quill" in out.getvalue()


async def test_records_are_copied_in_binary(connection: Any) -> None:
    at = datetime.datetime(2025, 3, 2, 9, tzinfo=datetime.UTC)
    records = [(n, f"u{n}@example.com", Decimal("1.5"), at, ["a", "b c"]) for n in range(2000)]
    assert await connection.copy_records_to_table("taken_by_asyncpg", records=records) == "COPY 2000"
    row = await connection.fetchrow("SELECT count(*) AS a, sum(paid) AS b, max(at) AS c FROM taken_by_asyncpg")
    assert tuple(row) == (2000, Decimal("3000.0"), at)


async def test_a_file_is_copied_in(connection: Any) -> None:
    source = io.BytesIO(b"1,a@example.com\n2,\n")
    tag = await connection.copy_to_table("taken_by_asyncpg", source=source, columns=["id", "email"], format="csv")
    assert tag == "COPY 2"


async def test_a_copy_in_whose_source_fails_leaves_nothing(connection: Any) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"1\ta@example.com\n"
        raise LookupError("the source broke off")

    with pytest.raises((LookupError, asyncpg.QueryCanceledError)):
        await connection.copy_to_table("taken_by_asyncpg", source=source(), columns=["id", "email"])
    assert await connection.fetchval("SELECT count(*) FROM taken_by_asyncpg") == 0


async def test_notifications_are_covered_on_their_way(gateway: LiveGateway, connection: Any, target: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("news", lambda _c, _pid, _channel, payload: heard.put_nowait(payload))
    other = await connect(gateway, target)
    await other.execute("SELECT pg_notify('news', $1)", "charged 4242 4242 4242 4242")
    await other.execute("NOTIFY news, 'write to ada.quill@example.com'")
    first = await asyncio.wait_for(heard.get(), 10)
    second = await asyncio.wait_for(heard.get(), 10)
    await other.close()
    await connection.remove_listener("news", lambda *_: None)
    assert first.startswith("charged ")
    assert "4242 4242 4242" not in first
    assert second.startswith("write to ")
    assert "ada.quill" not in second


async def test_sessions_side_by_side_do_not_mix(gateway: LiveGateway, target: str) -> None:
    async def one(number: int) -> list[Any]:
        made = await connect(gateway, target)
        try:
            rows = [await made.fetchval("SELECT $1::int4 * 10 + g FROM generate_series(1, 1) g", number) for _ in range(20)]
            return [*rows, await made.fetchval("SELECT ssn FROM customers WHERE id = $1", number)]
        finally:
            await made.close()

    answers = await asyncio.gather(*(one(number) for number in range(1, 7)))
    for number, answer in enumerate(answers, start=1):
        assert answer[:-1] == [number * 10 + 1] * 20
        assert answer[-1] == f"***-**-432{number - 1}"
