"""A relay with the gateway and the server played by hand: what is asked, sent and shown is told apart and read back."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.model import Identity, Kind, Receipt, RefusalClass, Ruling, Session, Target, Verdict
from gatebook.policy.permit import permit
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.opening import Keys
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.postgres.relay_inquiry import ISOLATION
from gatebook.protocols.relay import (
    Allowed,
    Answered,
    Ask,
    Covering,
    Credential,
    Effect,
    FromClient,
    FromServer,
    HangUp,
    Held,
    Opened,
    Own,
    Prove,
    Refused,
    Signal,
    Stale,
    ToClient,
    ToServer,
)

SECRET = "gatebook-nobody-can-guess"
KEYS = Keys(b"12345678", b"1234" + b"long key " * 4)
PII = MaskSet("pii", tuple(ColumnPattern.parse(one) for one in ("*.ssn", "*.card", "*.email")), Style.REDACT)
COVERING = Covering({"pii": PII}, frozenset({"pii"}), NAMES, b"k" * 32)
IDENTITY = Identity(subject="shop-agent", issuer="https://idp", kind=Kind.AGENT, proven_at=1, expires_at=10**18)
SESSION = Session(
    id="01999999-0000-7000-8000-000000000001",
    identity=IDENTITY,
    target=Target(name="shop", protocol="postgres", address="127.0.0.1:1"),
    client_address="127.0.0.1",
    opened_at=1,
)
# customers(id, ssn) is relation 100, orders(id, total) is 200
CATALOG = {
    "customers": [("c", 100, 1, "customers", "id"), ("c", 100, 2, "customers", "ssn")],
    "orders": [("c", 200, 1, "orders", "id"), ("c", 200, 2, "orders", "total")],
}


def cells(*values: bytes | None) -> bytes:
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    return body


def row(*values: bytes | None) -> bytes:
    return wire.message(b"D", cells(*values))


def description(*columns: tuple[str, int, int], type_oid: int = 25) -> bytes:
    body = struct.pack("!H", len(columns))
    for name, table, attnum in columns:
        body += name.encode() + b"\0" + struct.pack("!IhIhih", table, attnum, type_oid, -1, -1, 0)
    return wire.message(b"T", body)


def complete(tag: str) -> bytes:
    return wire.message(b"C", tag.encode() + b"\0")


def ready(status: bytes = b"I") -> bytes:
    return wire.message(b"Z", status)


def error(code: str, text: str, **fields: str) -> bytes:
    body = b"".join(f"{k}{v}".encode() + b"\0" for k, v in {"S": "ERROR", "V": "ERROR", "C": code, "M": text, **fields}.items())
    return wire.message(b"E", body + b"\0")


def parse(name: str, text: str) -> bytes:
    return wire.message(b"P", f"{name}\0{text}\0".encode() + struct.pack("!H", 0))


def bind(portal: str, statement: str, *values: bytes) -> bytes:
    body = f"{portal}\0{statement}\0".encode() + struct.pack("!HH", 0, len(values))
    body += b"".join(struct.pack("!I", len(value)) + value for value in values)
    return wire.message(b"B", body + struct.pack("!H", 0))


def messages(data: bytes) -> list[tuple[bytes, bytes]]:
    frames = wire.Frames(10**9)
    frames.add(data)
    found = list(frames.messages())
    assert not len(frames), "bytes that are no whole message"
    return found


def kinds(data: bytes) -> str:
    return b"".join(kind for kind, _ in messages(data)).decode()


def question(data: bytes) -> str:
    """The text of a question of the gateway's own."""
    assert kinds(data) in ("CPBECCS", "CPBECCH")
    return wire.parse(messages(data)[1][1]).text


def asked(rows: bytes = b"", status: bytes = b"I") -> bytes:
    """The server's answer to one; without a status, to one in the middle of a batch."""
    done = wire.message(b"3") + wire.message(b"1") + wire.message(b"2")
    return done + rows + complete("SELECT 1") + wire.message(b"3") * 2 + (ready(status) if status else b"")


def catalog_rows(text: str, settings: str = "") -> bytes:
    """The rows that answer a catalog question."""
    found = [(name, text.index(f'"{name}"')) for name in CATALOG if f'"{name}"' in text]
    rows = row(b"s", b"0", b"0", b"0", b"", b"public", settings.encode())
    for number, (name, _) in enumerate(sorted(found, key=lambda one: one[1])):
        for kind, oid, attnum, table, column in CATALOG[name]:
            rows += row(*(str(v).encode() for v in (kind, number, oid, attnum, "public", table, column)))
    return rows


@dataclass
class Stage:
    """Collects what a relay does; ``asks`` are answered by the test."""

    relay: PostgresRelay = field(default_factory=lambda: PostgresRelay(secure=True, offers_tls=False, keys=KEYS, secret=SECRET))
    effects: list[Effect] = field(default_factory=list)
    index: int = 0
    catalog_errors: bool = False
    status: bytes = b"I"  # what a question between batches is answered with
    settings: str = ""
    session: Session = SESSION
    late: int = 0  # questions that time passes over before they are answered
    isolation: bytes = b"read committed"
    reports: bytes = b""  # settings that the server tells at the login

    def feed(self, signal: Signal) -> list[Effect]:
        new = self.relay.feed(signal)
        self.effects += new
        for effect in new:
            if isinstance(effect, Own) and effect.kind == "catalog":
                new = [*new, *self._look_up(effect.data)]
        return new

    def _look_up(self, data: bytes) -> list[Effect]:
        text = question(data)
        if self.late:
            self.late -= 1
            self.feed(Stale())
        if self.catalog_errors:
            inside = data.endswith(wire.message(b"H"))
            return self.feed(FromServer(error("42501", "permission denied") + (b"" if inside else ready())))
        rows = row(self.isolation) if text == ISOLATION else catalog_rows(text, self.settings)
        return self.feed(FromServer(asked(rows, b"" if data.endswith(wire.message(b"H")) else self.status)))

    # the beginning

    def open(self) -> Stage:
        self.feed(FromClient(wire.startup({"user": "shop-agent", "database": "shop"})))
        self.feed(FromClient(wire.message(b"p", b"token\0")))
        self.feed(Opened(self.session, Credential("shop_app", "pw", "shop", login="none"), COVERING))
        login = (
            wire.AUTHENTICATED
            + wire.message(b"S", b"client_encoding\0UTF8\0")
            + self.reports
            + wire.message(b"K", b"srvrkey!")
            + ready()
        )
        self.feed(FromServer(login))
        self.effects.clear()
        return self

    # the gateway

    @property
    def asked(self) -> Ask:
        return next(effect for effect in reversed(self.effects) if isinstance(effect, Ask))

    def allow(self, masks: frozenset[str] = frozenset({"pii"})) -> list[Effect]:
        self.index += 1
        verdict = Verdict(ruling=Ruling.ALLOW, rule="r", reason="", policy_digest="d", masks=masks, until=10**18)
        return self.feed(Allowed(permit(self.asked.action, verdict, Receipt(log="l", index=self.index)), verdict))

    def hold(self) -> list[Effect]:
        return self.feed(
            Held("ap-1", "admin-needs-dba", "changes the schema", frozenset({"group:dba"}), "https://gate/approvals/ap-1", 300)
        )

    def refuse(self, rule: str = "no-delete") -> list[Effect]:
        verdict = Verdict(ruling=Ruling.BLOCK, rule=rule, reason="not here", policy_digest="d")
        return self.feed(Refused(self.asked.action, verdict, RefusalClass.NEVER, "decision-1"))

    # reading back

    def client(self, data: bytes) -> list[Effect]:
        return self.feed(FromClient(data))

    def server(self, data: bytes) -> list[Effect]:
        return self.feed(FromServer(data))


def shown(effects: list[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, ToClient))


def sent(effects: list[Effect]) -> bytes:
    return b"".join(effect.data for effect in effects if isinstance(effect, ToServer | Own) and not _catalog(effect))


def _catalog(effect: Effect) -> bool:
    return isinstance(effect, Own) and effect.kind == "catalog"


def answers(effects: list[Effect]) -> list[tuple[str, int]]:
    return [(effect.status, effect.rows) for effect in effects if isinstance(effect, Answered)]


def hung_up(effects: list[Effect]) -> str:
    return next((effect.why for effect in effects if isinstance(effect, HangUp)), "")


def proves(effects: list[Effect]) -> Prove:
    return next(effect for effect in effects if isinstance(effect, Prove))


def shown_error(effects: list[Effect]) -> dict[str, str]:
    body = next(body for kind, body in messages(shown(effects)) if kind == b"E")
    return wire.report_fields(body)
