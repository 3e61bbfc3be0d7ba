"""A small deployment for tests of approvals and grants: a database on disk, a book in memory, and people to ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from tests.make import MINUTE, NOW, identity

from gatebook.access.approvals import Approvals, Request
from gatebook.access.book import Book
from gatebook.access.grants import Grants, Terms
from gatebook.db import engine, migrate
from gatebook.errors import LedgerError
from gatebook.model import Attribute, Entry, Identity, Kind, Reach

SECOND = 1_000_000
AGENT = identity()
DANA = identity(subject="dana", kind=Kind.PERSON, groups=frozenset({"dba"}))
ERIK = identity(subject="erik", kind=Kind.PERSON, groups=frozenset({"dba", "staff"}))
OLGA = identity(subject="olga", kind=Kind.PERSON, groups=frozenset({"staff"}))


def known_as(who: Identity, **names: str) -> Identity:
    return replace(who, attributes={name: Attribute(value=value, attested=True) for name, value in names.items()})


def request(number: int = 1, **changes: Any) -> Request:
    usual = {
        "id": f"01999999-0000-7000-8000-{number:012}",
        "digest": "sha256:one" if number == 1 else f"sha256:number-{number}",  # unless told otherwise, none is another
        "session": "01999999-0000-7000-8000-000000000000",
        "requester": AGENT,
        "target": "shop",
        "role": "shop_app",
        "verb": "sql.alter",
        "reach": Reach.ADMIN,
        "resources": ("public.customers",),
        "text": "ALTER TABLE customers ADD note text",
        "rule": "ddl-needs-a-dba",
        "reason": "changes to tables need a DBA",
        "approvers": frozenset({"group:dba"}),
        "purpose": "OPS-7",
        "policy_digest": "sha256:rules",
        "opened_at": NOW,
        "expires_at": NOW + 5 * MINUTE,
    }
    return Request(**(usual | changes))


@dataclass
class Pages:
    """The ledger as a list; ``full`` refuses every entry."""

    entries: list[Entry] = field(default_factory=list)
    full: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, entry: Entry) -> None:
        if self.full:
            raise LedgerError("the ledger stopped: the disk is full")
        with self.lock:
            self.entries.append(entry)

    def told(self) -> list[tuple[str, str]]:
        return [(one.kind, str(one.fields.get("verdict", ""))) for one in self.entries]


@dataclass
class Party:
    source: Engine
    pages: Pages
    approvals: Approvals
    grants: Grants
    now: int = NOW

    def clock(self) -> int:
        return self.now

    def ask(self, number: int = 1, **changes: Any) -> Request:
        return self.approvals.open(request(number, **changes))


@contextmanager
def party(folder: Path, terms: Terms | None = None) -> Iterator[Party]:
    source = engine(f"sqlite:///{folder}/gatebook.db")
    migrate(source)
    pages = Pages()
    book = Book(pages.keep, lambda subject, value: f"c({subject})")
    now = [NOW]
    approvals = Approvals(source, lambda: made.now, book)
    grants = Grants(source, lambda: made.now, book, approvals, terms or Terms(approvers=frozenset({"group:dba"})))
    made = Party(source, pages, approvals, grants, now[0])
    yield made
    source.dispose()
