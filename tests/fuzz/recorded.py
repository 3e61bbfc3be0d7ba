"""Sessions of real clients with a real server, as the relay between them took them, kept in ``tests/vectors/sessions``.

    .venv/bin/python -m tests.fuzz.recorded        # record them anew, when the gateway's own questions have changed

A file has a line for each piece of bytes, in the order in which they came: ``C`` of the client or ``S`` of the server, then the
bytes in hex. It begins where the session is open. What the server said was in answer to the relay's questions, too.
"""

from __future__ import annotations

import asyncio
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg
import pg8000.native
import psycopg
from tests.protocols.postgres.stage import COVERING, KEYS, SECRET, SESSION
from tests.testbed.servers import APP_PASSWORD, embedded

from gatebook.cli.demo.parts import PostgresServer, wheel_programs
from gatebook.model import Receipt, Ruling, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.relay import (
    Allowed,
    Ask,
    Credential,
    Effect,
    FromClient,
    FromServer,
    HangUp,
    Opened,
    Own,
    Prove,
    Signal,
    StartTls,
    ToClient,
    ToServer,
)

FOLDER = Path(__file__).parents[1] / "vectors/sessions"
CARD = "4242 4242 4242 4242"
PIECE_BYTES = 65_536
Step = tuple[str, bytes]  # C or S, and what came

SCRIPT = f"""
SELECT id, name, ssn, card FROM customers ORDER BY id LIMIT 3;
SELECT '{CARD}' AS paid_by, lower(email) FROM customers WHERE id = 2;
BEGIN; INSERT INTO notes (customer_id, body) VALUES (1, 'call back') RETURNING id; SAVEPOINT s; SELECT 1/0; ROLLBACK TO s;
DECLARE c CURSOR FOR SELECT * FROM orders ORDER BY id; FETCH 2 FROM c; MOVE 1 FROM c; CLOSE c; ROLLBACK;
SELECT nothing FROM customers;
COPY (SELECT id, ssn, '{CARD}' FROM customers ORDER BY id LIMIT 2) TO STDOUT;
CREATE TEMP TABLE few (a int, b text);
COPY few FROM STDIN;
1\tone
2\t{CARD}
\\.
TABLE few;
SET application_name = 'mine'; SET search_path = public, pg_catalog; SHOW search_path;
PREPARE p (int) AS SELECT card FROM customers WHERE id = $1; EXECUTE p (1); DEALLOCATE p;
LISTEN news; NOTIFY news, 'hear';
DO $$ BEGIN RAISE NOTICE 'card {CARD}'; END $$;
EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 1;
"""


class _Between:
    """One connection of a client, carried to the server by a relay that is allowed everything; ``steps`` is what it took."""

    def __init__(self, server: PostgresServer) -> None:
        self.steps: list[Step] = []
        self._relay = PostgresRelay(secure=True, offers_tls=False, keys=KEYS, secret=SECRET)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = socket.create_connection(("127.0.0.1", server.port))
        self._numbers = count(1)
        self._over = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def carry(self) -> None:
        self._client, _ = self._listener.accept()
        with self._listener, self._client, self._server:
            while not self._over:
                for one in select.select([self._client, self._server], [], [], 20)[0]:
                    data = one.recv(PIECE_BYTES)
                    if not data:
                        return
                    self._take("C" if one is self._client else "S", data)

    def _take(self, side: str, data: bytes) -> None:
        if self._relay._phase == "open":
            self.steps.append((side, data))
        signals: list[Signal] = [FromClient(data) if side == "C" else FromServer(data)]
        for signal in signals:
            for effect in self._relay.feed(signal):
                signals += self._do(effect)

    def _do(self, effect: Effect) -> Iterable[Signal]:
        match effect:
            case ToServer() | Own():
                self._server.sendall(effect.data)
            case ToClient(data) | StartTls(data):
                self._client.sendall(data)
            case Prove():
                return [Opened(SESSION, Credential("shop_app", APP_PASSWORD, "shop"), COVERING)]
            case Ask(action):
                verdict = Verdict(
                    ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", masks=frozenset({"pii"}), until=10**18
                )
                return [Allowed(permit(action, verdict, Receipt(log="l", index=next(self._numbers))), verdict)]
            case HangUp():
                self._over = True
            case _:
                pass
        return []


@contextmanager
def _between(server: PostgresServer) -> Iterator[_Between]:
    made = _Between(server)
    thread = threading.Thread(target=made.carry)
    thread.start()
    yield made
    thread.join(30)


def _dsn(port: int) -> dict[str, str | int]:
    return {"host": "127.0.0.1", "port": port, "user": "shop_app", "password": "token", "dbname": "shop"}


def by_psql(port: int) -> None:
    environment = {"PGPASSWORD": "token", "PGSSLMODE": "disable"}
    argv = [str(wheel_programs() / "psql"), "-X", "-q", f"host=127.0.0.1 port={port} user=shop_app dbname=shop"]
    subprocess.run(argv, input=SCRIPT, env=environment, text=True, capture_output=True, check=True)


def by_psycopg(port: int) -> None:
    with psycopg.connect(**_dsn(port), sslmode="disable", autocommit=True, prepare_threshold=1) as connection:  # type: ignore[arg-type]
        for number in (1, 2, 3):
            connection.execute("SELECT name, ssn FROM customers WHERE id = %s", (number,)).fetchall()
        with connection.pipeline(), connection.cursor() as cursor:
            cursor.execute("SELECT item FROM orders WHERE id = %s", (1,))
            cursor.execute("SELECT %s::text", (CARD,))
            cursor.execute("SELECT card FROM customers WHERE id = 1", binary=True)
        with connection.transaction(), connection.cursor("far", binary=True) as far:
            far.execute("SELECT * FROM customers ORDER BY id")
            far.fetchmany(2)
        with connection.cursor().copy("COPY (SELECT id, card FROM customers) TO STDOUT (FORMAT binary)") as copy:
            list(copy)


def by_asyncpg(port: int) -> None:
    async def session() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="shop_app", password="token", database="shop", ssl=False
        )
        await connection.fetch("SELECT id, ssn, $1::text FROM customers WHERE id = ANY($2::int[])", CARD, [1, 2])
        async with connection.transaction():
            async for _ in connection.cursor("SELECT * FROM orders ORDER BY id", prefetch=2):
                pass
        await connection.execute("CREATE TEMP TABLE many (a int, b text)")
        await connection.executemany("INSERT INTO many VALUES ($1, $2)", [(n, CARD) for n in range(4)])
        await connection.copy_records_to_table("many", records=[(9, "nine"), (10, None)])
        with suppress(asyncpg.DivisionByZeroError):
            await connection.fetch("SELECT 1/a FROM many WHERE a = 0")
        await connection.fetch("TABLE many")
        await connection.close()

    asyncio.run(session())


def by_pg8000(port: int) -> None:
    connection = pg8000.native.Connection("shop_app", "127.0.0.1", "shop", port, "token", ssl_context=False)
    connection.run("SELECT id, email FROM customers WHERE id < :most", most=3)
    connection.run("BEGIN")
    connection.run("UPDATE orders SET item = :item WHERE id = 1 RETURNING item", item=CARD)
    connection.run("ROLLBACK")
    connection.close()


CLIENTS: dict[str, Callable[[int], None]] = {
    "psql": by_psql,
    "psycopg": by_psycopg,
    "asyncpg": by_asyncpg,
    "pg8000": by_pg8000,
}


def recorded() -> dict[str, list[Step]]:
    """All that are kept, by the client's name."""
    return {path.stem: _steps(path.read_text()) for path in sorted(FOLDER.glob("*.hex"))}


def _steps(text: str) -> list[Step]:
    pairs = (line.split() for line in text.splitlines())
    return [(side, bytes.fromhex(data)) for side, data in pairs]


def main() -> int:
    """Record them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = embedded(Path(folder) / "server")
        try:
            server.sql("GRANT TEMPORARY ON DATABASE shop TO shop_app", "shop")
            for name, client in CLIENTS.items():
                with _between(server) as between:
                    client(between.port)
                lines = (f"{side} {data.hex()}\n" for side, data in between.steps)
                (FOLDER / f"{name}.hex").write_text("".join(lines))
        finally:
            server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
