"""Connections of HTTP clients to a target that is played by hand; desk, book, log, recording and codecs are the real ones."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.gateway.rigs import Gateway, Way, pieces
from tests.ledger.books import entries, opening
from tests.policy.parties import policy
from tests.protocols.http.exchanges import PII
from tests.protocols.postgres.stage import IDENTITY, SESSION
from tests.recording.tapes import RECIPIENT, reading

from gatebook.config import HttpTarget
from gatebook.gateway.book import Book
from gatebook.gateway.desk import Desk, Welcome
from gatebook.gateway.http.browsers import Browsers
from gatebook.gateway.http.credentials import CredentialError
from gatebook.gateway.http.front import HttpConnection
from gatebook.gateway.http.sessions import HttpSession, Key, Sessions, key_of
from gatebook.gateway.http.shortcut import Tickets
from gatebook.gateway.http.upstream import DialError, Origins, Pool, Upstream
from gatebook.gateway.judge import Judge
from gatebook.gateway.tape import Tape
from gatebook.ledger.disk import Disk
from gatebook.ledger.entries import canonical
from gatebook.ledger.store import add_salt
from gatebook.model import RefusalClass, Ruling, Session, Target, Verdict
from gatebook.protocols.http.covering.media import PASSES
from gatebook.protocols.http.door import Knock
from gatebook.protocols.http.h1 import ServerSide
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.plain import Plain
from gatebook.protocols.http.reading import Shape
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.http.terms import Injected
from gatebook.protocols.relay import NO_IDENTITY, Covering, Refused
from gatebook.recording.grec import NUMBER, Segment
from gatebook.recording.recorder import Recorder

RULES = (
    '@id("reads")\npermit (principal, action in [Action::"http.get", Action::"http.head"], resource);',
    '@id("writes")\npermit (principal, action == Action::"http.post", resource);',
    '@id("no-iam")\nforbid (principal, action == Action::"http.get", resource) when { context.path like "/iam*" };',
)
TIGHTER = (RULES[0], '@id("nothing")\nforbid (principal, action, resource);')
TARGET = HttpTarget.model_construct(
    name="api", protocol="http", origins=("http://api.internal",), redirects=(), passes=PASSES, roles={"agent": None}
)
IDS = {"one": "01999999-0000-7000-8000-000000000001", "two": "01999999-0000-7000-8000-000000000002"}
_DECISION = re.compile(rb'"decision":"[0-9a-f-]{36}"')
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")
JSON = b'[{"id": 1, "name": "Ada Brown", "ssn": "123-45-6789"}, 4, "a"]'
CARD = b'{"note": "paid by 4111 1111 1111 1111"}'


def _id(count: int) -> bytes:
    return b"3f2a9c1e-77b0-4d15-9a6e-%012x" % (count * 7919)


def answer(path: str, count: int) -> bytes:
    """What the target says to the request of this number for this path."""

    def said(body: bytes, *fields: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
        head = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *fields]
        return b"\r\n".join([*head, b"", body])

    match path:
        case "/json":
            return said(JSON, b'ETag: "7"')
        case "/card":
            return said(CARD)
        case "/dated":
            return said(JSON, b"X-Request-Id: %d" % (count // 2), b"X-Mail: ada%d@example.com" % (count // 4))
        case "/audited":
            return said(JSON, b"Date: Sat, 21 Nov 2026 10:00:%02d GMT" % (count // 2 % 60), b"Audit-Id: " + _id(count))
        case "/twice":
            return said(JSON, b"Audit-Id: " + _id(count), b"AUDIT-ID: " + _id(count + 1))
        case "/echoes":
            own = b"abcdefab-cdef-4abc-8def-abcdefabcdea"  # what stands in for an id where heads are kept
            return said(JSON, b"Audit-Id: " + _id(count), b"X-Same: " + own, b"Request-Id: " + own)
        case "/numbered":
            return said(JSON, b"X-Request-Id: 41111111-1111-1111-%04d-123456789012" % count)
        case "/image":
            return said(b"\x89PNG" * 20, kind=b"image/png")
        case "/text":
            return said(b"a line\nand 4111 1111 1111 1111\n", kind=b"text/plain")
        case "/none":
            return b"HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n"
        case "/gone":
            return said(b'{"no": 1}', status=b"404 Not Found")
        case "/away":
            return said(b"", b"Location: https://evil.example/", status=b"302 Found")
        case "/home":
            return said(b"", b"Location: /json", status=b"302 Found")
        case "/chunks":
            return (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
            )
        case "/close":
            return said(JSON, b"Connection: close")
        case "/broken":
            return said(b'{"a": ')
        case "/odd":
            return said(b"PK\3\4", kind=b"application/zip")
        case "/more":
            return said(JSON) + b"and more"
        case "/old":
            return said(JSON).replace(b"HTTP/1.1", b"HTTP/1.0")
        case "/login":
            return said(b"{}", status=b"401 Unauthorized")
        case "/part":
            return said(b"[1", b"Content-Range: bytes 0-1/9", status=b"206 Partial Content")
        case "/long":
            return said(b'["' + b"x" * 20_000 + b'"]')
        case "/large":
            return said(b'["' + b"x" * 90_000 + b'"]')
        case "/early":
            return b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + said(JSON)
        case "/switching":
            return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
        case "/junk":
            return b"SSH-2.0-OpenSSH\r\n\r\n"
        case _:
            return said(b'{"path": "here"}')


class Ways(Way):
    """A side's socket that may be closed at once."""

    def can_write_eof(self) -> bool:
        return False

    def abort(self) -> None:
        self.closed = True


class Server(Ways):
    """One connection of the target: what it was sent, and what it says to it."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self.upstream, self.codec = upstream, ServerSide()
        self.owed: list[bytes] = []

    def hear(self, rig: Rig) -> None:
        data, self.came[:] = b"".join(self.came), []
        rig.heard += data
        messages = self.codec.feed(data)
        while messages:
            for message in messages:
                if isinstance(message, Request):
                    rig.answers += 1
                    self.path, self.head = message.path, message.method == "HEAD"
            if not self.codec.complete:
                return
            said = answer(self.path, rig.answers)
            self.owed.append(said[: said.find(b"\r\n\r\n") + 4] if self.head else said)
            self.codec = ServerSide()
            messages = []


class Dials(Origins):
    """Connects to servers that are played."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def dial(self, target: Any, role: str, made: Any, alpn: tuple[str, ...] = ()) -> Any:
        if self._rig.down:
            raise DialError("target api cannot be reached: it is down")
        upstream = made(target.origins[0])
        server = Server(upstream)
        self._rig.servers.append(server)
        upstream.connection_made(server)
        return upstream


class Shown:
    """What the target is shown."""

    def __init__(self) -> None:
        self.injected, self.gone = Injected(), False

    def at_once(self, _target: HttpTarget, _role: str) -> Injected:
        if self.gone:
            raise CredentialError("it cannot be read")
        return self.injected

    def known(self, _target: HttpTarget, _role: str) -> Injected:
        return self.injected

    def refused(self, _target: HttpTarget, _role: str, _shown: Injected) -> None:
        pass


class Http:
    """What connections of HTTP share."""

    domain = "targets.example.org"

    def __init__(self, rig: Rig) -> None:
        self.sessions = Sessions(cast(Any, rig.gateway))
        self.flying = 0
        self.pool, self.calls, self.credentials = Pool(Dials(rig)), None, Shown()
        self.held: dict[bytes, int] = {}
        self.spoken = Plain(Shape(body_bytes=4096))
        doors = SimpleNamespace(public_url="https://gate.example", http=None)
        nobody = SimpleNamespace(listeners=doors, identity=SimpleNamespace(providers=()))
        self.browsers = Browsers(cast(Any, nobody), cast(Any, None), lambda: 0)

    def find(self, key: Key) -> HttpSession | None:
        return self.sessions.find(key)

    async def open(self, _key: Key, _knock: Knock, _address: str) -> Refused:
        nobody = Verdict(ruling=Ruling.BLOCK, rule=NO_IDENTITY, reason="who is this", policy_digest="")
        return Refused(None, nobody, RefusalClass.ASK, "")

    def forget(self, session: HttpSession) -> None:
        self.sessions.forget(session)

    def dialect(self, _target: str) -> Plain:
        return self.spoken

    def meaning(self, _target: str) -> str:
        return ""

    def protocol(self, _target: str) -> str:
        return "http"

    def said(self, _protocol: str) -> Any:
        return Problem.said


class Stuck(Book):
    """Whose disk may take its time."""

    _stuck = False

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._unheard: list[tuple[int, Callable[[], None]]] = []

    @property
    def stuck(self) -> bool:
        """Whether it takes it now."""
        return self._stuck

    @stuck.setter
    def stuck(self, stuck: bool) -> None:
        self._stuck = stuck
        unheard, self._unheard = self._unheard, []
        for index, heard in unheard:
            self.when_synced(index, heard)

    def synced(self, index: int) -> bool:
        return not self._stuck and super().synced(index)

    def when_synced(self, index: int, heard: Callable[[], None]) -> None:
        if self._stuck:
            self._unheard.append((index, heard))
        else:
            super().when_synced(index, heard)


class Door(Gateway):
    """What a connection of HTTP has of its gateway."""

    def __init__(self, folder: Path, disk: Disk | None, rules: Iterable[str]) -> None:
        super().__init__(folder, disk, rules)
        self.book = Stuck(self.log, self.commitments, self.rows, all_durable=False)
        self.judge(rules)

    def judge(self, rules: Iterable[str]) -> None:
        judge = Judge(policy(*rules), {"pii": PII}, {"api": frozenset()})
        self.desk = _Desk(cast(Any, None), judge, self.book, self.clock, b"k" * 32, cast(Any, self.granted))

    def admit_http(self, _connection: object, _address: str) -> str:
        return ""

    leave_http = proved_http = unseat = drop = lambda _self, _one: None


class _Desk(Desk):
    def covering(self, session: Session, target: Any) -> Covering:
        return Covering({"pii": PII}, frozenset({"pii"}), frozenset({"card", "email", "ssn"}), b"k" * 32)

    def still_open(self, session: Session, role: str) -> bool:
        return False


class Never(Tickets):
    """Nothing comes again."""

    def again(self, key: bytes) -> bool:
        return False


class Rig:
    """Two sessions, of the tokens ``one`` and ``two``, and a client's connection. ``lane``: whether there is one."""

    def __init__(self, folder: Path, *, lane: bool, disk: Disk | None = None) -> None:
        self.folder, self.lane = folder, lane
        self.gateway = Door(folder, disk, RULES)
        self.gateway.http = self.http = Http(self)  # type: ignore[attr-defined]
        self.servers: list[Server] = []
        self.segments: list[Segment] = []
        self.recorders: dict[str, Recorder] = {}
        self.sessions: dict[str, HttpSession] = {}
        self.heard, self.answers = b"", 0
        self.holds = self.down = False
        self.clients: list[Way] = []

    async def open(self) -> Rig:
        for name, number in IDS.items():
            identity = replace(IDENTITY, subject=f"agent-{name}", expires_at=self.gateway.clock() + 3_600_000_000)
            add_salt(self.gateway.commitments._engine, f"{identity.issuer}|{identity.subject}", name.encode() * 10 + b"..", 0)
            session = replace(
                SESSION, id=number, identity=identity, target=Target(name="api", protocol="http", address="api.internal:80")
            )
            await self.gateway.log.append(opening(number), durable=False)
            self.recorders[name] = recorder = Recorder.open(
                number, self.folder / "recordings", [RECIPIENT], "test/log/0", self.segments.append
            )
            key = Key(key_of(_knock(name), "127.0.0.1").token, "api", "", "", "127.0.0.1")
            verdict = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="")
            welcome = Welcome(session, TARGET, "agent", "", verdict)
            self.sessions[name] = HttpSession(
                cast(Any, self.gateway), key, None, welcome, TARGET, Tape(recorder, required=True)
            )
            if not self.lane:
                self.sessions[name].tickets = Never()
            self.http.sessions._live[key] = self.sessions[name]
        self.connect()
        return self

    def connect(self) -> None:
        """Another connection takes the place of the client's last one."""
        self.client = Ways()
        self.clients.append(self.client)
        self.connection = HttpConnection(cast(Any, self.gateway), None)
        self.connection.connection_made(self.client)

    async def send(self, data: bytes, cuts: Iterable[int] = (), back: Iterable[int] = ()) -> None:
        """Have these bytes come of the client, and the target's answers to them, each in pieces."""
        for piece in pieces(data, cuts):
            self.connection.data_received(piece)
            await self.settle(back)

    async def settle(self, back: Iterable[int] = ()) -> None:
        """Let the target answer all that it got, and all decide that want to."""
        while True:
            while self.gateway.tasks:
                await asyncio.wait(set(self.gateway.tasks))
            await asyncio.sleep(0)
            for server in self.servers:
                if not server.closed:
                    server.hear(self)
            owed = [(server, data) for server in self.servers for data in server.owed]
            if self.holds or not owed:
                if not self.gateway.tasks and (self.gateway.book.stuck or not self.lands):
                    for _ in range(2):
                        await asyncio.sleep(0)  # an exchange ends in the turn behind its answer
                    return
                continue
            for server, data in owed:
                server.owed.clear()
                for piece in pieces(data, back):
                    if not server.closed:
                        server.upstream.data_received(piece)

    @property
    def lands(self) -> bool:
        """Whether an answer waits for the disk."""
        exchange = self.connection._exchange
        return self.connection._shortcut.lands or (exchange is not None and exchange._released.holds)

    # What came of it ------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> list[bytes]:
        return [merged(_DECISION.sub(b"", b"".join(client.came))) for client in self.clients]

    @property
    def taken(self) -> int:
        """How many requests of this connection went past the relay."""
        return self.connection._shortcut.taken

    async def close(self) -> None:
        self.connection.connection_lost(None)
        self.holds = False
        await self.settle()
        self.gateway.log.close()

    def written(self) -> list[dict[str, Any]]:
        """The entries but for what differs each time."""
        found = []
        for entry in entries(self.folder / "ledger"):
            found.append(json.loads(entry))
            assert canonical(found[-1]) == entry
        varies = ("id", "time", "decision", "ms", "bytes_in", "bytes_out", "tree", "root", "sig")
        told = [{name: one[name] for name in one if name not in varies} for one in found if "sid" in one]
        return sorted(told, key=lambda one: (one["sid"], one["seq"]))

    def recorded(self, name: str) -> tuple[list[tuple[str, Any]], dict[int, bytes]]:
        """A recording's events but for their times; and the content of each answer: where that was cut says little."""
        facts: list[tuple[str, Any]] = []
        contents: dict[int, bytes] = {}
        for event in reading(self.folder / "recordings", self.segments, sid=IDS[name]).events():
            if event.kind in "hp":
                (number,), data = NUMBER.unpack(event.data[:4]), event.data[4:]
                if event.kind == "h":
                    facts.append(("h", (number, data)))
                else:
                    contents[number] = contents.get(number, b"") + _DECISION.sub(b"", data)
            else:
                facts.append((event.kind, {name: one for name, one in json.loads(event.data).items() if name != "decision"}))
        return facts, contents


def _knock(token: str) -> Knock:
    return cast(Knock, type("Token", (), {"token": token, "target": "api", "role": "", "purpose": "", "browser": False})())


def get(path: str = "/json", *fields: str, token: str = "one", method: str = "GET", body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    lines = [f"{method} /http/api{path} HTTP/1.1", "Host: gate:1", f"Authorization: Bearer {token}", *fields, *length]
    return "\r\n".join([*lines, "", ""]).encode() + body


def merged(data: bytes) -> bytes:
    """Answers with the chunks of each content in one: where it was cut means nothing (RFC 9112, section 7.1)."""
    out = b""
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        out += head + end
        if b"transfer-encoding: chunked" not in head.rpartition(b"HTTP/1.1 ")[2]:
            continue
        while (found := _CHUNK.match(data)) is not None:
            size = int(found[1], 16)
            out += data[found.end() : found.end() + size]
            data = data[found.end() + size + 2 :]
            if not size:
                out += b"(whole)"
                break
    return out
