"""The same session twice: directly, and through a gateway that allows everything. A client must not be able to tell them apart.

    .venv/bin/python -m tests.fuzz.sessions --seconds 600        # until one differs or time is over

Each story is a session of messages by chance: batches of the extended protocol whole and in parts, queries among them,
transactions, errors, cursors, temporary tables, search paths, COPY, what runs in no transaction. Both go to the same server,
each to a database of its own, and every message that comes back must be the same. Tables are many and seldom named before, so
that the gateway's own questions come wherever they may.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
from tests.suites.stage import ROLE, Place, Way, place
from tests.testbed.wire import message, query

DATABASES = ("one", "two")
TABLES = 24
ANSWER_SECONDS, PAUSE_SECONDS = 30.0, 0.02
THE_END = "the end"
_AT_ANY_TIME = (b"S", b"A")  # reports and notifications, which may come before or after any other
SYNC, FLUSH = message(b"S", b""), message(b"H", b"")
NAMES = ("", "", "a", "b")
Messages = list[tuple[bytes, bytes]]
SCHEMA = f"""
    CREATE SCHEMA other;
    DO $$ BEGIN FOR n IN 1..{TABLES} LOOP
        EXECUTE format('CREATE TABLE t%s AS SELECT i AS id, i || ''-%s'' AS word FROM generate_series(1, 5) i', n, n);
        EXECUTE format('CREATE TABLE other.t%s AS SELECT i AS id, ''other-'' || i AS word FROM generate_series(1, 3) i', n);
        EXECUTE format('CREATE VIEW v%s AS SELECT word, id FROM t%s', n, n);
    END LOOP; END $$;
"""
TEXTS = (
    *["SELECT id, word FROM t{n} ORDER BY id", "SELECT word || '!' FROM t{n} ORDER BY id LIMIT 2"] * 3,
    *["SELECT v.id, t.word FROM v{n} v JOIN t{m} t USING (id) ORDER BY 1", "SELECT count(*) FROM t{n}, v{m}"] * 2,
    "INSERT INTO t{n} VALUES (7, 'seven') RETURNING *",
    "UPDATE t{n} SET word = upper(word) WHERE id = 2",
    "DELETE FROM t{n} WHERE id = 3",
    "SELECT 1/(id - 2) FROM t{n} ORDER BY id",
    "SELECT nothing FROM t{n}",
    "SELECT * FROM nowhere{n}",
    "not SQL at all",
    "",
    *["BEGIN", "COMMIT", "ROLLBACK"] * 2,
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SET search_path = other, public",
    "SET LOCAL search_path = other",
    "RESET search_path",
    "SET datestyle = German",
    "RESET datestyle",
    "SHOW datestyle",
    "SELECT date '2026-02-01'",
    "VACUUM t{n}",
    "VACUUM t{m}",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i{n} ON t{n} (id)",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "CREATE TEMP TABLE IF NOT EXISTS t{n} AS SELECT 0 AS id, 'temporary' AS word",
    "DROP TABLE IF EXISTS pg_temp.t{n}",
    "CREATE OR REPLACE VIEW v{n} AS SELECT word, id FROM t{m}",
    "DECLARE c CURSOR FOR SELECT * FROM t{n} ORDER BY id",
    "FETCH 2 FROM c",
    "CLOSE c",
    "PREPARE p AS SELECT word FROM t{n} ORDER BY id",
    "EXECUTE p",
    "COPY t{n} TO STDOUT",
    "COPY (SELECT word FROM v{n} ORDER BY id) TO STDOUT (FORMAT csv)",
    "LOCK TABLE t{n}",
    "TRUNCATE t{n}",
    "LISTEN news",
    "NOTIFY news, 'hear'",
    "EXPLAIN (COSTS OFF) SELECT * FROM t{n} WHERE id = 1",
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements",
    "SELECT name, statement FROM pg_catalog.pg_cursors ORDER BY 1",
)


class DifferenceError(AssertionError):
    """What came back was not the same."""


class Story:
    """A session's requests, by chance: ``parts`` are sent one after the other, without waiting for what comes back."""

    def __init__(self, seed: int, steps: int) -> None:
        self.seed, self._chance = seed, Random(seed)
        self.told: list[str] = []
        self.parts = [self._part() for _ in range(steps)]

    def _text(self) -> str:
        chance = self._chance
        return chance.choice(TEXTS).format(n=chance.randint(1, TABLES), m=chance.randint(1, TABLES))

    def _part(self) -> bytes:
        roll = self._chance.random()
        if roll < 0.2:
            text = self._text() if roll < 0.15 else f"{self._text()}; {self._text()}"
            self.told.append(f"Query {text}")
            return query(text)
        wanted = [self._request() for _ in range(self._chance.choice([1, 1, 2, 3, 5]))]
        end = self._chance.choice([SYNC] * 8 + [FLUSH, b""])
        self.told.append({SYNC: "Sync", FLUSH: "Flush", b"": "..."}[end])
        return b"".join(wanted) + end

    def _request(self) -> bytes:
        chance = self._chance
        roll, name, portal = chance.random(), chance.choice(NAMES), chance.choice(NAMES[:3])
        if roll < 0.1:
            text = self._text()
            self.told.append(f"Parse {name!r} {text}")
            return parse(name, text)
        if roll < 0.15:
            kind = chance.choice("SP")
            self.told.append(f"{'Close' if roll < 0.12 else 'Describe'} {kind} {name!r}")
            return message(b"C" if roll < 0.12 else b"D", kind.encode() + name.encode() + b"\0")
        if roll < 0.2:
            self.told.append(f"Bind {portal!r} {name!r}")
            return bind(portal, name)
        text, rows = self._text(), chance.choice([0, 0, 0, 1])
        self.told.append(f"Parse {name!r} {text}; Bind {portal!r}; Describe; Execute {rows}")
        described = message(b"D", b"P" + portal.encode() + b"\0") * chance.randint(0, 1)
        executed = message(b"E", portal.encode() + b"\0" + struct.pack("!I", rows)) * chance.choice([1, 1, 1, 0])
        fresh = message(b"C", b"S" + name.encode() + b"\0") + message(b"C", b"P" + portal.encode() + b"\0")
        return fresh + parse(name, text) + bind(portal, name) + described + executed


def parse(name: str, text: str) -> bytes:
    return message(b"P", f"{name}\0{text}\0".encode() + b"\0\0")


def bind(portal: str, statement: str) -> bytes:
    return message(b"B", f"{portal}\0{statement}\0".encode() + b"\0\0\0\0\0\0")


@contextmanager
def session(way: Way) -> Iterator[socket.socket]:
    """A session whose messages are ours: psycopg logs in, and is out of the way from then on."""
    made = psycopg.connect(
        host="127.0.0.1", port=way.port, user=ROLE, password=way.password, dbname=way.database, sslmode="disable"
    )
    with made, socket.socket(fileno=os.dup(made.fileno())) as connection:
        connection.setblocking(True)
        connection.settimeout(ANSWER_SECONDS)
        yield connection
        connection.shutdown(socket.SHUT_RDWR)


def play(story: Story, way: Way) -> Messages:
    """What comes back of a story this way."""
    data = b""
    with session(way) as connection:
        for number, part in enumerate(story.parts):
            connection.sendall(part)
            while number % 3 == 2 and select.select([connection], [], [], PAUSE_SECONDS)[0]:
                data += connection.recv(65_536)
        connection.sendall(SYNC + query("ROLLBACK") + query(f"SELECT '{THE_END}'"))
        while THE_END.encode() not in data or data[-6:-1] != b"Z\0\0\0\5":
            chunk = connection.recv(65_536)
            if not chunk:
                break
            data += chunk
    told = list(_messages(data))
    return [one for one in told if one[0] not in _AT_ANY_TIME] + sorted(one for one in told if one[0] == b"A")


def _messages(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5])
        yield data[at : at + 1], _alike(data[at : at + 1], data[at + 5 : end])
        at = end


def _alike(kind: bytes, body: bytes) -> bytes:
    if kind == b"A":
        return body[4:]  # without the process that notified
    if kind == b"T":
        return b"".join(_column(name, rest) for name, rest in re.findall(rb"(?s)([^\0]*)\0(.{18})", body[2:]))
    return body


def _column(name: bytes, rest: bytes) -> bytes:
    """Without the table's number, which no two databases share."""
    return name + (b" of a table " if any(rest[:4]) else b" ") + rest[4:]


def compare(story: Story, ways: tuple[Way, Way]) -> None:
    """Raise DifferenceError when one way shows what the other does not."""
    direct, through = (play(story, way) for way in ways)
    if direct != through:
        at = next((n for n, pair in enumerate(zip(direct, through, strict=False)) if pair[0] != pair[1]), -1)
        around = slice(max(at - 12, 0), at + 3)
        said = ["directly:", *map(str, direct[around]), "through the gateway:", *map(str, through[around])]
        raise DifferenceError("\n".join([*story.told, *said]))


def fresh(found: Place) -> tuple[Way, Way]:
    """Both databases as they were in the beginning."""
    for name in DATABASES:
        found.server.sql(
            f"DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA public; {SCHEMA}", name
        )
    direct, through = found.direct, found.through
    return Way(direct.port, direct.password, DATABASES[0]), Way(through.port, through.password, DATABASES[1], gated=True)


def main() -> int:
    """Play stories until one differs, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="tell this one again")
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, place(Path(folder), *DATABASES) as found:
        end, number = time.monotonic() + given.seconds, 0
        seed = given.seed if given.seed is not None else time.time_ns()
        while time.monotonic() < end:
            ways = fresh(found)
            for _ in range(20):
                try:
                    compare(Story(seed, given.steps), ways)
                except (AssertionError, OSError) as fault:
                    sys.stderr.write(f"{fault}\nseed {seed} breaks it, after {number} sessions\n")
                    return 1
                if given.seed is not None:
                    return 0
                seed, number = seed + 1, number + 1
    sys.stdout.write(f"{number} sessions, and each the same\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
