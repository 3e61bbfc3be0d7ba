"""One connection between a client and a server that are played by hand; desk, book, log and recording are the real ones."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Iterable
from itertools import count, pairwise
from pathlib import Path
from typing import Any, cast

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.gateway.test_gateway_ends import Wire
from tests.ledger.books import entries, open_log, opening
from tests.policy.parties import policy
from tests.protocols.postgres.stage import (
    KEYS,
    PII,
    SECRET,
    SESSION,
    Stage,
    catalog_rows,
    complete,
    description,
    error,
    messages,
    ready,
    row,
)
from tests.recording.tapes import RECIPIENT, reading

from gatebook.db import migrate
from gatebook.gateway.book import Book
from gatebook.gateway.connection import Connection
from gatebook.gateway.desk import Desk
from gatebook.gateway.judge import Judge
from gatebook.gateway.reads import Reads
from gatebook.gateway.rows import Rows
from gatebook.gateway.shortcut import Shortcut
from gatebook.gateway.tape import Tape
from gatebook.gateway.upstream import Upstream
from gatebook.ledger.commitments import Commitments
from gatebook.ledger.disk import Disk
from gatebook.ledger.entries import canonical
from gatebook.ledger.log import SMALLEST_SEGMENT
from gatebook.ledger.store import add_salt
from gatebook.model import Reach
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.recording.grec import Segment
from gatebook.recording.recorder import Recorder

RULES = (
    '@id("reads")\npermit (principal, action == Action::"sql.select", resource);',
    '@id("sessions")\npermit (principal, action == Action::"sql.session", resource);',
    '@id("writes")\npermit (principal, action == Action::"sql.update", resource);',
)
READS, MASKED = "SELECT total FROM orders WHERE id = $1", "SELECT ssn FROM customers WHERE id = $1"
WRITES = "UPDATE orders SET total = 1 WHERE id = $1"
TOTAL, SSN = description(("total", 200, 2)), description(("ssn", 100, 2))
_DECISION = re.compile(rb'"decision":"[0-9a-f-]{36}"')
MANY = row(b"5") * 20


class Way(Wire):
    """A side's socket: what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.came.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Server:
    """What a target answers: to a statement that came before under its name, by the value that it is bound to."""

    def __init__(self) -> None:
        self.frames = wire.Frames(10**9)
        self.statements: dict[str, str] = {}
        self.value, self.text = b"", ""
        self.failed = False

    def hear(self, data: bytes) -> bytes:
        self.frames.add(data)
        return b"".join(self._answer(kind, body) for kind, body in self.frames.messages())

    def _answer(self, kind: bytes, body: bytes) -> bytes:
        if self.failed and kind not in b"SQ":
            return b""
        match kind:
            case b"P":
                parsed = wire.parse(body)
                self.statements[parsed.name] = parsed.text
                return wire.message(b"1")
            case b"B":
                bound = wire.bind(body)
                self.text, self.value = self.statements.get(bound.statement, ""), (bound.values or (b"",))[0] or b""
                if self.value == b"notice":
                    return wire.message(b"N", b"SNOTICE\0Mhello\0\0") + wire.message(b"2")
                return self._fails("22P02") if self.value == b"early" else wire.message(b"2")
            case b"D":
                return self._described()
            case b"E":
                return self._rows() if wire.execute_portal(body) != SECRET else self._fails("34000")
            case b"C":
                return wire.message(b"3")
            case b"S":
                self.failed = False
                return ready(b"T" if self.value == b"inside" else b"I")
            case b"Q":
                self.text, self.value = wire.query_text(body), b""
                said = self._described() + self._rows() + ready()
                self.failed = False
                return said
            case _:
                return b""

    def _fails(self, code: str) -> bytes:
        self.failed = True
        return error(code, "no")

    def _described(self) -> bytes:
        if self.text.startswith("UPDATE"):
            return wire.message(b"n")
        lies = self.value == b"lies"
        return SSN if "customers" in self.text or lies else TOTAL

    def _rows(self) -> bytes:
        if "pg_catalog" in self.text:
            return catalog_rows(self.text) + complete("SELECT 1")
        if self.text.startswith("UPDATE"):
            return complete("UPDATE 1")
        found = {
            b"none": b"", b"many": MANY, b"card": row(b"paid by 4111 1111 1111 1111"), b"long": row(b"x" * 20_000),
            b"odd": row(b"5", b"6"), b"null": row(None),
        }.get(self.value, row(b"5"))  # fmt: skip
        if self.value == b"late":
            return found + self._fails("22012")
        if self.value == b"told":
            return wire.message(b"A", b"\0\0\0\1channel\0payload\0") + found + complete("SELECT 1")
        return found + complete("DELETE 1" if self.value == b"other" else f"SELECT {len(messages(found))}")


class Clock:
    """Each look at it is later."""

    def __init__(self, start: int = 1_800_000_000_000_000) -> None:
        self.ticks = count(start, 7)
        self.ahead = 0

    def __call__(self) -> int:
        return next(self.ticks) + self.ahead


class Granted:
    """What somebody is granted."""

    now: Reach | None = None

    def reach(self, _identity: object, _target: str) -> Reach | None:
        return self.now


class Gateway:
    """What a connection has of its gateway."""

    login_seconds = 30.0
    bearer = stretched = facts = None

    def __init__(self, folder: Path, disk: Disk | None, rules: Iterable[str]) -> None:
        self.clock, self.reads, self.tasks = Clock(), Reads(), set[asyncio.Task[None]]()
        self.log = open_log(folder / "ledger", clock=self.clock, segment_bytes=SMALLEST_SEGMENT * 8, disk=disk)
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        migrate(engine)
        add_salt(engine, f"{SESSION.identity.issuer}|{SESSION.identity.subject}", b"s" * 32, 0)  # so that two rigs commit alike
        self.commitments, self.rows, self.granted = Commitments(engine), Rows(engine), Granted()
        self.book = Book(self.log, self.commitments, self.rows, all_durable=False)
        judge = Judge(policy(*rules), {"pii": PII}, {"shop": frozenset({"pii"})})
        self.desk = Desk(cast(Any, None), judge, self.book, self.clock, b"k" * 32, cast(Any, self.granted))

    def new_keys(self) -> object:
        return KEYS

    def admit(self, _connection: Connection, _address: str) -> str:
        return ""

    def release(self, connection: Connection) -> None:
        pass

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class Rig:
    """A session that is open. ``lane``: whether what is plain goes by the compiled way."""

    def __init__(self, folder: Path, *, lane: bool, disk: Disk | None = None, rules: Iterable[str] = RULES) -> None:
        self.folder, self.gateway, self.server = folder, Gateway(folder, disk, rules), Server()
        self.client, self.target = Way(), Way()
        self.connection = Connection(cast(Any, self.gateway), None)
        self.lane = lane
        self.segments: list[Segment] = []
        self.heard = self.owed = b""
        self.holds = False  # whether the server keeps its answers to itself for now

    async def open(self) -> Rig:
        gateway, connection = self.gateway, self.connection
        await gateway.log.append(opening(SESSION.id), durable=False)
        self.recorder = Recorder.open(SESSION.id, self.folder / "recordings", [RECIPIENT], "test/log/0", self.segments.append)
        connection.connection_made(self.client)
        relay = PostgresRelay(secure=True, offers_tls=False, keys=KEYS, secret=SECRET)
        Stage(relay).open()
        connection._relay, connection._session, connection._tape = relay, SESSION, Tape(self.recorder, required=True)
        connection._upstream = upstream = Upstream(connection, gateway.reads)
        upstream.connection_made(self.target)
        if self.lane and relay.lane is not None:
            connection._shortcut = Shortcut(cast(Any, gateway), SESSION, relay.lane, connection._recent)
        return self

    async def prepare(self, **texts: str) -> Rig:
        for name, text in texts.items():
            await self.send(wire.message(b"P", f"{name}\0{text}\0\0\0".encode()) + wire.SYNC)
        return self

    async def send(self, data: bytes, cuts: Iterable[int] = (), back: Iterable[int] = ()) -> None:
        """Have these bytes come of the client, and the server's answers to them, each in pieces."""
        for piece in pieces(data, cuts):
            self.connection.data_received(piece)
            await self.settle(back)

    async def settle(self, back: Iterable[int] = ()) -> None:
        """Let the server answer all that it got, and all decide that want to."""
        while True:
            while self.gateway.tasks:
                await asyncio.wait(set(self.gateway.tasks))
            heard, self.target.came[:] = b"".join(self.target.came), []
            self.heard += heard
            self.owed += self.server.hear(heard)
            if self.holds or not self.owed:
                return
            said, self.owed = self.owed, b""
            for piece in pieces(said, back):
                self.connection.from_target(piece)

    # What came of it ------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> bytes:
        return _DECISION.sub(b"", b"".join(self.client.came))

    @property
    def taken(self) -> int:
        """How many requests went past the relay."""
        relay = self.connection._relay
        return relay.lane.taken if relay is not None and relay.lane is not None else 0

    async def close(self) -> None:
        self.connection.connection_lost(None)
        await self.settle()
        self.gateway.log.close()

    def written(self) -> list[dict[str, Any]]:
        """The session's entries but for what differs each time."""
        found = []
        for entry in entries(self.folder / "ledger"):
            found.append(json.loads(entry))
            assert canonical(found[-1]) == entry
        varies = ("id", "time", "decision", "ms", "bytes_in", "bytes_out")
        return [{name: one[name] for name in one if name not in varies} for one in found if one.get("sid") == SESSION.id]

    def recorded(self) -> tuple[list[tuple[str, Any]], bytes]:
        """The recording's events but for their times, and the bytes of the server in it: where these were cut says little."""
        facts: list[tuple[str, Any]] = []
        data = b""
        for event in reading(self.folder / "recordings", self.segments, sid=SESSION.id).events():
            if event.kind == "s":
                data += event.data
            else:
                facts.append((event.kind, {name: one for name, one in json.loads(event.data).items() if name != "decision"}))
        return facts, _DECISION.sub(b"", data)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(marks)]
