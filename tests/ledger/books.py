"""Ledgers for tests: small segments, a clock that counts, no checkpoint or heartbeat unless asked for, disks that fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.ledger import verifier
from gatebook.ledger.disk import Disk
from gatebook.ledger.keys import vkey
from gatebook.ledger.log import SMALLEST_SEGMENT, Log
from gatebook.model import Entry

ORIGIN = "test/log/0"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
VKEY = vkey(ORIGIN, KEY)
NEVER = 1e9


def open_log(folder: Path, **options: Any) -> Log:
    ticks = count(1_700_000_000_000_000, 1000)
    settings = {
        "origin": ORIGIN,
        "key": KEY,
        "clock": lambda: next(ticks),
        "checkpoint_seconds": NEVER,
        "heartbeat_seconds": NEVER,
        "segment_bytes": SMALLEST_SEGMENT,
    }
    return Log.open(folder, **(settings | options))


def opening(sid: str) -> Entry:
    fields = {"sid": sid, "actor": {"type": "agent"}, "src": {}, "res": {"name": "shop"}, "auth": {}, "proto": "postgres"}
    return Entry(kind="session.open", fields=fields)


def closing(sid: str) -> Entry:
    return Entry(kind="session.close", fields={"sid": sid, "reason": "client left"})


def action(sid: str, number: int, /, **changes: object) -> Entry:
    fields = {
        "sid": sid,
        "action": number,
        "decision": f"d{number}",
        "step": "run",
        "verb": "sql.select",
        "objects": ["shop/customers"],
        "reach": "read",
        "ruling": "allow",
        "rule": "read",
        "reason": "",
        "masks": ["pii"],
        "pol": {"digest": "sha256:00"},
        "stmt_h": "x" * 43,
        "size": 20,
        "text": "SELECT * FROM customers",
    }
    return Entry(kind="action", fields=fields | changes)


def exception(what: str, why: str = "") -> Entry:
    return Entry(kind="exception", fields={"what": what, "why": why})


def fill(log: Log, sessions: int, actions: int) -> None:
    """Sessions one after the other, each opened, used and closed."""
    for session in range(sessions):
        sid = f"s{session}"
        log.append_now(opening(sid), durable=True)
        for number in range(1, actions + 1):
            log.append_now(action(sid, number), durable=False)
        log.append_now(closing(sid), durable=False)


def entries(folder: Path) -> list[bytes]:
    """Every entry: from bundles as far as the write-ahead log was let go, then from that, read the simplest way."""
    segments = sorted(path for path in (folder / "wal").iterdir() if path.name != "next")
    first = int(segments[0].name) if segments else 0
    found: list[bytes] = []
    while len(found) < first:
        number = len(found) // 256
        data = (folder / f"tile/entries/{number:03d}").read_bytes()
        while data:
            found, data = [*found, data[2 : 2 + int.from_bytes(data[:2])]], data[2 + int.from_bytes(data[:2]) :]
    found = found[:first]
    for segment in segments:
        found += list(frames(segment.read_bytes()))
    return found


def frames(data: bytes) -> Iterator[bytes]:
    offset = 0
    while length := int.from_bytes(data[offset : offset + 4]):
        yield data[offset + 8 : offset + 8 + length]
        offset += 8 + length
        if offset + 8 > len(data):
            return


def intact(folder: Path, **options: Any) -> verifier.Report:
    """The verifier's report, which must be without fault."""
    report = verifier.verify(folder, VKEY, **options)
    assert report.intact, verifier.render(report)
    return report


class FailingDisk(Disk):
    """The twin that fails on command: ``write`` fails without keeping anything; ``kept`` keeps it and says it did not;
    ``sync`` fails to make it durable."""

    def __init__(self) -> None:
        self.fails: str | None = None
        self.error = errno.EIO
        self.writes = self.syncs = 0

    def _raise(self) -> None:
        raise OSError(self.error, os.strerror(self.error))

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        if self.fails == "write":
            self._raise()
        super().write_at(descriptor, data, offset)
        self.writes += 1
        if self.fails == "kept":
            self._raise()

    def sync(self, descriptor: int) -> None:
        if self.fails == "sync":
            self._raise()
        super().sync(descriptor)
        self.syncs += 1
