"""The head log: a log of its own that writes down the signed checkpoints of all other logs of its folder.

One log shows by itself what was changed in it, but not that it was cut back with its own key, and not that it is gone. So one
process of a replica, the one that serves the API, keeps the log ``head``: an entry ``log.head`` for each log as soon as it
appears, at every start and stop, and each minute in which it grew. Whoever keeps one checkpoint of the head log has pinned
every log of the replica up to then.

How to use it::

    finish(config.ledger.folder, config.deployment, key, {"1", "web"})       # logs that nobody writes any more
    heads = Heads.open(config.ledger.folder, config.deployment, key)         # LedgerError: do not start
    tasks.create_task(heads.run())                                           # until it is cancelled
    heads.close()                                                            # last, after the other logs

``open`` refuses where a log is shorter than the head log says, is of another root, or is gone. It may come before or after the
other processes open their logs. One object per replica; ``finish``, ``open``, ``look`` and
``close`` block: call them in a thread.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.ledger import folders
from gatebook.ledger.log import Log, wall_clock
from gatebook.ledger.note import Checkpoint, Signer
from gatebook.ledger.reader import Reader
from gatebook.model import Entry

HEAD = "head"
LOOK_SECONDS = 1.0  # until a log that appears is known
SEGMENT = 1024 * 1024  # bytes of the write-ahead log set aside at a time: these logs grow slowly
MINUTE = 60_000_000  # between two entries of one log that grows
ALIVE = ("log.heartbeat", "log.close")  # after these, a start has told of every log

log = structlog.get_logger("gatebook.ledger")


@dataclass(frozen=True, slots=True)
class Told:
    """What the head log said last of a log, and when (µs)."""

    size: int
    root: str
    time: int


class Heads:
    """Keeps the head log of one folder."""

    def __init__(
        self, ledger: Log, folder: Path, deployment: str, key: Ed25519PrivateKey, clock: Callable[[], int], replica: str
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._deployment, self._replica = deployment, replica
        self._key = key
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._odd: set[str] = set()
        self._one = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: Path,
        deployment: str,
        key: Ed25519PrivateKey,
        clock: Callable[[], int] = wall_clock,
        *,
        replica: str = folders.REPLICA,
        **options: Any,
    ) -> Heads:
        """Check all logs against the head log, open it, and write down where they stand. LedgerError: a log was cut back."""
        place, origin = folders.place(folder, HEAD), folders.origin(deployment, HEAD, replica)
        _check(folder, deployment, replica, key, _told_by(Reader(place), Signer(origin, key)))
        ledger = Log.open(place, origin=origin, key=key, clock=clock, **({"segment_bytes": SEGMENT} | options))
        heads = cls(ledger, folder, deployment, key, clock, replica)
        try:
            heads.look(everything=True)
        except BaseException:
            heads._ledger.close()
            raise
        return heads

    @property
    def failed(self) -> str | None:
        """Why the head log takes no more entries, or None."""
        return self._ledger.failed

    async def run(self) -> None:
        """Look once a second, until cancelled or until the head log fails, as it does when the disk is full."""
        while self.failed is None:
            try:
                await asyncio.to_thread(self.look)
            except LedgerError as error:
                log.error("the head log cannot be written", why=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, *, everything: bool = False) -> None:
        """Write down each log that is new, or grew since it was told a minute ago; ``everything``: each, at once. Blocks."""
        with self._one:
            for process, place in folders.logs(self._folder).items():
                if process != HEAD:
                    self._look_at(process, place, everything)

    def close(self) -> None:
        """Write down where every log stands, and close the head log. Call it after the other logs are closed."""
        try:
            self.look(everything=True)
        except LedgerError as error:
            log.error("the head log cannot be written", why=str(error))
        finally:
            self._ledger.close()

    def _look_at(self, process: str, place: Path, everything: bool) -> None:
        signer = Signer(folders.origin(self._deployment, process, self._replica), self._key)
        try:
            found = Reader(place).newest(signer)
        except LedgerError as error:
            self._complain(process, str(error))
            return
        if found is None:
            return
        head, note = found
        told, now = self._told.get(process), self._clock()
        if told is not None and (head.size < told.size or (head.size == told.size and _text(head.root) != told.root)):
            self._complain(process, f"{signer.origin}: was of {told.size} entries, and its newest checkpoint is of {head.size}")
            return
        moved = told is None or head.size > told.size
        if told is None or everything or (moved and now - told.time >= MINUTE):
            fields = {"log": signer.origin, "size": head.size, "root": _text(head.root), "note": note}
            self._ledger.append_now(Entry(kind="log.head", fields=fields), durable=True)
            self._told[process] = Told(head.size, _text(head.root), now)

    def _complain(self, process: str, why: str) -> None:
        """Once for each log: it must not happen, and somebody must look."""
        if process not in self._odd:
            self._odd.add(process)
            log.error("a log was cut back or changed while it was written", log=process, why=why)
            self._ledger.append_now(Entry(kind="exception", fields={"what": "a log went back", "why": why}), durable=True)


def finish(
    folder: Path, deployment: str, key: Ed25519PrivateKey, running: Collection[str], *, replica: str = folders.REPLICA
) -> None:
    """End the logs of processes that a crash ended and that will not come back, as after a start with fewer workers.

    Their entries get under a checkpoint, and their sessions are closed in the book. Raises LedgerError for a damaged log.
    """
    for process, place in folders.logs(folder).items():
        if process in running or process == HEAD or not folders.is_free(place):
            continue
        signer = Signer(folders.origin(deployment, process, replica), key)
        if not _is_closed(Reader(place), signer):
            Log.open(place, origin=signer.origin, key=key, segment_bytes=SEGMENT).close()


def _is_closed(reader: Reader, signer: Signer) -> bool:
    found = reader.newest(signer)
    last = [fields.get("type") for fields in itertools.islice(reader.backwards(found[0].size), 2)] if found else []
    return last == ["log.seal", "log.close"]


def _text(root: bytes) -> str:
    return b64encode(root).decode()


def _told_by(reader: Reader, signer: Signer) -> dict[str, Told]:
    """What the head log says last of each log, by origin: back to the last start that told of every log."""
    found = reader.newest(signer)
    told: dict[str, Told] = {}
    whole = False
    for fields in reader.backwards(found[0].size) if found else ():
        kind = fields.get("type")
        if kind == "log.head":
            told.setdefault(fields["log"], Told(fields["size"], fields["root"], fields["time"]))
        elif kind == "log.boot" and whole:
            break
        whole = whole or kind in ALIVE
    return told


def _check(folder: Path, deployment: str, replica: str, key: Ed25519PrivateKey, told: dict[str, Told]) -> None:
    """Refuse where a log is not what the head log told."""
    for origin, last in told.items():
        process = origin.rpartition("/")[2]
        if origin != folders.origin(deployment, process, replica):
            raise LedgerError(f"the head log tells of {origin}, which is none of replica {replica!r} of {deployment!r}")
        place = folders.place(folder, process)
        found = Reader(place).newest(Signer(origin, key))
        if found is None:
            raise LedgerError(f"{place}: this log is gone: the head log knows {last.size} entries of it; {ADVICE}")
        if found[0].size < last.size:
            why = f"{place}: this log was cut back: it has {found[0].size} entries, and the head log knows {last.size}"
            raise LedgerError(f"{why}; {ADVICE}")
        if not _grew(Reader(place), found[0], last):
            raise LedgerError(f"{place}: its first {last.size} entries are not those that the head log knows; {ADVICE}")


ADVICE = "run gatebook ledger verify, keep the folder as it is, and restore it from a copy or begin another"


def _grew(reader: Reader, head: Checkpoint, last: Told) -> bool:
    """Whether the log grew from what was told. Tiles that a power cut lost, the log's own start makes again, and judges."""
    if head.size == last.size:
        return _text(head.root) == last.root
    try:
        return _text(reader.root(last.size)) == last.root or reader.root(head.size) != head.root
    except LedgerError:
        return True
