"""A replica's book for tests: workers, web and head, their clocks in step, with an approval that goes through three logs."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from tests.ledger.books import KEY, action, closing, exception, fill, open_log, opening

from gatebook.ledger import folders, keys
from gatebook.ledger.heads import Heads
from gatebook.ledger.log import SMALLEST_SEGMENT, Log
from gatebook.model import Entry

DEPLOYMENT = "test"
VKEY = keys.vkey(folders.origin(DEPLOYMENT, "head"), KEY)
NEVER = 1e9


def ticking():
    ticks = count(1_700_000_000_000_000, 1000)
    return lambda: next(ticks)


def open_process(folder: Path, name: str, **options) -> Log:
    return open_log(folders.place(folder, name), origin=folders.origin(DEPLOYMENT, name), **options)


def open_heads(folder: Path, clock) -> Heads:
    settings = {"checkpoint_seconds": NEVER, "heartbeat_seconds": NEVER, "segment_bytes": SMALLEST_SEGMENT}
    return Heads.open(folder, DEPLOYMENT, KEY, clock, **settings)


def request(approval: str, quorum: int = 1) -> Entry:
    fields = {"approval": approval, "digest": f"of {approval}", "approvers": ["group:dba"], "expires": 1, "quorum": quorum}
    return Entry(kind="approval.request", fields=fields)


def vote(approval: str, by: str = "x", verdict: str = "approve", digest: str = "") -> Entry:
    said = {"approval": approval, "approver": by, "verdict": verdict, "self": False, "digest": digest or f"of {approval}"}
    return Entry(kind="approval.vote", fields=said)


def result(approval: str, verdict: str = "approved") -> Entry:
    return Entry(kind="approval.result", fields={"approval": approval, "verdict": verdict})


def approve(worker: Log, web: Log, approval: str, sid: str) -> None:
    """A worker asks, people answer in the web's log, and the worker lets the action through."""
    worker.append_now(action(sid, 7, ruling="approve"), durable=True)
    worker.append_now(request(approval), durable=True)
    web.append_now(vote(approval), durable=True)
    web.append_now(result(approval), durable=True)
    worker.append_now(action(sid, 7, approval=approval), durable=True)


def make_book(folder: Path, sessions: int = 2) -> Path:
    """Two workers, web and head; started and stopped once."""
    clock = ticking()
    one, two, web = (open_process(folder, name, clock=clock) for name in ("1", "2", "web"))
    heads = open_heads(folder, clock)
    fill(one, sessions, 3)
    two.append_now(opening("t1"), durable=True)
    approve(two, web, "p1", "t1")
    two.append_now(closing("t1"), durable=True)
    web.append_now(exception("x"), durable=True)
    for log in (one, two, web):
        log.close()
    heads.close()
    return folder
