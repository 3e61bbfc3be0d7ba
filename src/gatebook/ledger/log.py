"""The log that the rest of Gatebook writes to: one writer thread, group commit, fail closed.

Producers hand an entry over and wait; the writer takes whatever is waiting as one batch, writes it with one write, syncs once
if any entry of it must be durable, and wakes each event loop once. Entries that need not be durable are acknowledged after the
write, before the sync: a crash of the process loses none of them, a crash of the machine at most the last ``SYNC_SECONDS``.
Hashing comes after the acknowledgement; a signed checkpoint follows every second while there is something new.

An entry that need not be durable can also be written where its producer stands (``append_at_once``), without a thread between:
that is what makes a statement cheap. It does not wait for those in the queue, which the writer may leave there for as long as a
sync takes: whoever needs one entry before another waits for the first. It says None where the entry would have to wait: at the
end of a segment, and when the writer is late with its sync, so that a slow disk slows everybody instead of leaving more
unsynced. Who needs such an entry on disk after all has itself told (``when_synced``): the writer then syncs at once, and one
sync tells all.

States: open, then ``failed`` or closed; both are final. Whatever goes wrong in the writer sets ``failed``, and every waiter,
now and later, gets LedgerError: after a failed write or sync nobody knows what is on disk, so nothing may be done on the
strength of it. A restart reads the disk and finds out.

The queue is under the condition's lock. Scribe, write-ahead log and what was written but not hashed yet are under the pen,
which is held for one write, never for a sync, save where a segment ends. The tree and all else on disk are the writer's alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatebook.errors import LedgerError
from gatebook.ledger.awaited import Awaited, call_in, tell
from gatebook.ledger.build import SOFTWARE, build_digest
from gatebook.ledger.disk import Disk, explain, ledger_error
from gatebook.ledger.entries import check
from gatebook.ledger.note import Signer
from gatebook.ledger.recovery import Found, recover
from gatebook.ledger.scribe import Scribe, Write, Written
from gatebook.ledger.volume import Volume
from gatebook.ledger.wal import HEADER, LONGEST, SEGMENT_BYTES
from gatebook.model import Entry

SYNC_SECONDS = 0.05  # longest an entry that need not be durable stays unsynced, where the disk keeps up
LATE_SECONDS = 0.25  # from the oldest unsynced entry on; past it nothing more is written ahead of the disk
BATCH = 4096  # entries of one batch, so that nobody waits for an endless one
HEARTBEAT_SIDS = 1000  # listed in one heartbeat entry; more sessions take further parts
WAITING = 65_536  # entries that may wait for the writer, to be written or hashed; beyond it the disk is too slow to go on
SMALLEST_SEGMENT = HEADER.size + LONGEST


def wall_clock() -> int:
    """µs since the epoch."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Waiting:
    """An entry on its way, and who waits for it: a future of ``loop``, or of a thread if that is None."""

    kind: str
    fields: Mapping[str, Any]
    durable: bool
    future: asyncio.Future[Written] | Future[Written]
    loop: asyncio.AbstractEventLoop | None


_Outcome = Written | LedgerError
_Given = TypeVar("_Given")  # what a producer gets for its entry
_One = TypeVar("_One")  # and what it is composed of
_Other = TypeVar("_Other")


class Log:
    """One append-only log, open for writing. Any thread and any event loop may append."""

    def __init__(
        self, volume: Volume, scribe: Scribe, lock: int, *, checkpoint_seconds: float, heartbeat_seconds: float
    ) -> None:
        self._volume = volume
        self._scribe = scribe
        self._lock = lock
        self._checkpoint_seconds = checkpoint_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._condition = threading.Condition(threading.Lock())
        self._pen = threading.Lock()
        self._unhashed: list[bytes] = []
        self._writable = True
        self._queue: list[_Waiting] = []
        self._taken: list[_Waiting] = []
        self._awaited = Awaited()
        self._failed: str | None = None
        self._stopping = False
        self._published = self._synced = self._listed = 0
        self._sync_at: float | None = None
        self._checkpoint_at = self._heartbeat_at = 0.0
        self._writer = threading.Thread(target=self._run, name="ledger", daemon=True)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        origin: str,
        key: Ed25519PrivateKey,
        clock: Callable[[], int] = wall_clock,
        checkpoint_seconds: float = 1.0,
        heartbeat_seconds: float = 10.0,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> Log:
        """Lock the folder, recover what is in it, and write ``log.boot``; LedgerError if it cannot be trusted or written.

        Sessions that a crash left open are closed in the book with the reason ``gateway crashed``.
        """
        if segment_bytes < SMALLEST_SEGMENT:
            raise AssertionError(f"segments of {segment_bytes} bytes: at least {SMALLEST_SEGMENT}")
        disk = disk or Disk()
        signer = Signer(origin, key)
        try:
            disk.make_folder(folder)
            lock = _lock(folder)
            try:
                volume, found = recover(folder, signer, disk, segment_bytes)
                disk.replace(folder / "log.vkey", f"{signer.vkey}\n".encode())
                scribe = Scribe(origin, key, clock, found.past)
                log = cls(volume, scribe, lock, checkpoint_seconds=checkpoint_seconds, heartbeat_seconds=heartbeat_seconds)
                log._start(found)
            except BaseException:
                os.close(lock)
                raise
        except OSError as error:
            raise ledger_error(error, f"{folder}: the ledger cannot be opened") from error
        except LedgerError as error:
            raise LedgerError(f"{folder}: the ledger cannot be opened: {error}") from error
        return log

    @property
    def failed(self) -> str | None:
        """Why the log takes no more entries, or None."""
        return self._failed

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._scribe.origin

    @property
    def synced(self) -> int:
        """How many entries, from the first, would survive a power cut."""
        return self._synced

    @property
    def open_sids(self) -> list[str]:
        """Sessions that are open in the book, oldest first."""
        return self._scribe.open_sids

    def when_synced(self, index: int, heard: Callable[[], None]) -> None:
        """Have ``heard`` called in this event loop, once: when this entry would survive a power cut, or the log has failed.

        Which of both, ``synced`` and ``failed`` tell. It is called in a later turn of the loop, never within this call.
        """
        loop = asyncio.get_running_loop()
        with self._condition:
            if self._synced <= index and self._failed is None:
                self._awaited.add(index, loop, heard)
                self._condition.notify()
                return
        loop.call_soon(heard)

    async def append(self, entry: Entry, *, durable: bool) -> Written:
        """Write an entry; returns once it is in the write-ahead log, and synced if ``durable``.

        LedgerError means that nothing may be done on the strength of this entry.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Written] = loop.create_future()
        self._submit(_Waiting(entry.kind, check(entry), durable, future, loop))
        return await future

    def append_now(self, entry: Entry, *, durable: bool) -> Written:
        """The same for a thread without an event loop: blocks."""
        future: Future[Written] = Future()
        self._submit(_Waiting(entry.kind, check(entry), durable, future, None))
        return future.result()

    def append_at_once(self, entry: Entry) -> Written | None:
        """Write an entry that need not be durable; it is in the write-ahead log when this returns. None: ``append`` it.

        The entry keeps to ``entries.check`` already; it is not checked again. LedgerError as with ``append``.
        """
        return self._put_at_once(self._scribe.compose, entry.kind, entry.fields)

    def fill_at_once(self, sid: str, write: Write) -> int | None:
        """The same for an entry amid a session whose bytes ``write`` makes of ``pieces``; its index."""
        return self._put_at_once(self._scribe.fill, sid, write)

    def pieces(self, kind: str, fields: Mapping[str, Any], holes: Sequence[str]) -> list[bytes]:
        """The bytes that entries of one form share, between the values that differ: ``holes``, id, time and seq by name."""
        return self._scribe.pieces(kind, fields, holes)

    def _put_at_once(
        self, compose: Callable[[_One, _Other, int], tuple[bytes, _Given]], one: _One, other: _Other
    ) -> _Given | None:
        volume = self._volume
        with self._pen:
            if not self._writable:
                raise LedgerError(self._failed or "the ledger is closed")
            if volume.room < SMALLEST_SEGMENT or self._behind:
                return None
            try:
                data, given = compose(one, other, volume.size)
                volume.write_one(data)
            except LedgerError:  # what cannot stand in the book, which goes on without it
                raise
            except Exception as error:
                self._stop_writing(_stopped(error))
                raise LedgerError(self._failed or "") from error
            self._unhashed.append(data)
            if self._sync_at is not None:
                return given
            self._sync_at = time.monotonic() + SYNC_SECONDS
        with self._condition:
            self._condition.notify()
        return given

    @property
    def _behind(self) -> bool:
        """Whether the writer is late with the sync, or with the hashes."""
        late = self._sync_at is not None and time.monotonic() > self._sync_at + LATE_SECONDS - SYNC_SECONDS
        return late or len(self._unhashed) >= WAITING

    def _check_writable(self) -> None:
        if not self._writable:
            raise LedgerError(self._failed or "the ledger is closed")

    def _check_sound(self) -> None:
        if self._failed is not None:
            raise LedgerError(self._failed)

    def _stop_writing(self, why: str) -> None:
        """Under the pen: nothing is written any more, and the writer will tell whoever waits."""
        self._failed, self._writable = self._failed or why, False
        with self._condition:
            self._condition.notify()

    def close(self) -> None:
        """Write what is waiting, then ``log.close`` and a last checkpoint, and give the folder back.

        Sessions still open are closed in the book with the reason ``gateway stopped``. After a failure it only gives the
        folder back; ``failed`` tells whether the last words were kept.
        """
        with self._condition:
            already, self._stopping = self._stopping, True
            self._condition.notify()
        self._writer.join()
        if not already:
            self._volume.close()
            os.close(self._lock)

    def _submit(self, waiting: _Waiting) -> None:
        with self._condition:
            if self._failed or self._stopping:
                raise LedgerError(self._failed or "the ledger is closed")
            if len(self._queue) >= WAITING:
                raise LedgerError(f"{WAITING} entries wait for the disk: the ledger cannot keep up")
            self._queue.append(waiting)
            if len(self._queue) == 1:
                self._condition.notify()

    # -- the writer thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._last_words()
        except BaseException as error:
            self._fail(_stopped(error))

    def _turn(self) -> bool:
        """Take and commit a batch, then do what is due; False once the log is to be closed and nothing waits."""
        batch, going_on = self._take()
        if batch:
            self._commit(batch)
        self._hash()
        now = time.monotonic()
        if now >= self._heartbeat_at:
            self._heartbeat(now)
        if now >= self._checkpoint_at and self._volume.size > self._published:
            self._publish()
        elif self._awaited or ((due := self._sync_at) is not None and now >= due):
            self._sync()
        return going_on

    def _take(self) -> tuple[list[_Waiting], bool]:
        with self._condition:
            if not (self._queue or self._awaited or self._stopping or self._failed):
                self._condition.wait(max(0.0, self._due() - time.monotonic()))
            self._check_sound()
            self._taken, self._queue = self._queue[:BATCH], self._queue[BATCH:]
            return self._taken, bool(self._taken) or not self._stopping

    def _due(self) -> float:
        due = min(self._heartbeat_at, time.monotonic() + threading.TIMEOUT_MAX / 2)
        if (sync_at := self._sync_at) is not None:
            due = min(due, sync_at)
        return min(due, self._checkpoint_at) if self._volume.size > self._published else due

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        with self._pen:
            self._check_writable()
            entries, done, durable, refused = self._compose(batch)
            self._volume.write(entries)
            self._unhashed += entries
            if entries and self._sync_at is None:
                self._sync_at = time.monotonic() + SYNC_SECONDS
        self._settle(refused)
        self._settle(done)
        if durable:
            self._sync()
            self._settle(durable)
        self._taken = []

    def _hash(self) -> None:
        """Hash what was written since, in its order, into the tree."""
        with self._pen:
            entries, self._unhashed = self._unhashed, []
        if entries:
            self._volume.grow(entries)

    def _compose(self, batch: Sequence[_Waiting]) -> tuple[list[bytes], list[Any], list[Any], list[Any]]:
        entries: list[bytes] = []
        done: list[tuple[_Waiting, _Outcome]] = []
        durable: list[tuple[_Waiting, _Outcome]] = []
        refused: list[tuple[_Waiting, _Outcome]] = []
        for waiting in batch:
            try:
                data, written = self._scribe.compose(waiting.kind, waiting.fields, self._volume.size + len(entries))
            except LedgerError as error:
                refused.append((waiting, error))
                continue
            entries.append(data)
            (durable if waiting.durable else done).append((waiting, written))
        return entries, done, durable, refused

    def _own(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Write an entry of the log's own."""
        with self._pen:
            self._check_sound()
            self._keep(kind, fields)

    def _keep(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Under the pen."""
        data, _ = self._scribe.compose(kind, fields, self._volume.size)
        self._put(data)

    def _put(self, data: bytes) -> None:
        self._volume.write((data,))
        self._unhashed.append(data)
        if self._sync_at is None:
            self._sync_at = time.monotonic() + SYNC_SECONDS

    def _sync(self) -> None:
        with self._pen:
            size, self._sync_at = self._volume.size, None
        self._volume.sync()
        with self._condition:
            self._synced = size
            told = self._awaited.synced(size)
        tell(told)

    def _publish(self) -> None:
        self._hash()
        with self._pen:  # the seal signs the tree that it stands behind, so that nothing may come between
            self._check_sound()
            self._hash_rest()
            self._put(self._scribe.seal(self._volume.size, self._volume.root()))
            self._hash_rest()
        self._sync()
        self._volume.publish()
        self._volume.prune(self._listed)
        self._published = self._volume.hashed
        self._checkpoint_at = time.monotonic() + self._checkpoint_seconds

    def _hash_rest(self) -> None:
        """Under the pen: the few entries that came since the last look."""
        self._volume.grow(self._unhashed)
        self._unhashed = []

    def _heartbeat(self, now: float) -> None:
        with self._pen:  # no session may go on or end between the list and its entry
            self._check_sound()
            first, open_now = self._volume.size, self._scribe.open_sessions
            parts = [open_now[start : start + HEARTBEAT_SIDS] for start in range(0, len(open_now), HEARTBEAT_SIDS)] or [[]]
            for part, some in enumerate(parts, 1):
                listed = {"open_sids": [sid for sid, _ in some], "seqs": [seq for _, seq in some]}
                self._keep("log.heartbeat", listed | {"part": part, "parts": len(parts), "last_cosigned": 0})
        self._listed = first
        self._heartbeat_at = now + self._heartbeat_seconds

    def _start(self, found: Found) -> None:
        try:
            self._boot(found)
        except BaseException:
            self._volume.close()
            raise
        self._writer.start()

    def _boot(self, found: Found) -> None:
        left_open = self._scribe.open_sids
        fields = {
            "software": SOFTWARE,
            "build": build_digest(),
            "restart": found.restart,
            "size": found.size,
            "torn_bytes": found.torn_bytes,
            "repaired": found.repaired,
            "left_open": len(left_open),
        }
        self._own("log.boot", fields)
        self._close_sessions("gateway crashed")
        self._publish()
        self._heartbeat_at = time.monotonic() + self._heartbeat_seconds

    def _last_words(self) -> None:
        with self._pen:
            self._check_sound()
            self._writable = False
        self._close_sessions("gateway stopped")
        self._own("log.close", {"size": self._volume.size})
        self._publish()

    def _close_sessions(self, reason: str) -> None:
        for sid in self._scribe.open_sids:
            self._own("session.close", {"sid": sid, "reason": reason})

    def _fail(self, why: str) -> None:
        with self._condition:
            self._failed, self._writable = self._failed or why, False
            why = self._failed
            left, self._queue, self._taken = [*self._taken, *self._queue], [], []
            told = self._awaited.all()
        self._settle([(waiting, LedgerError(why)) for waiting in left])
        tell(told)

    def _settle(self, outcomes: Sequence[tuple[_Waiting, _Outcome]]) -> None:
        """Wake whoever waits: each event loop once."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, _Outcome]]] = {}
        for waiting, outcome in outcomes:
            if waiting.loop is None:
                _deliver([(waiting, outcome)])
            else:
                loops.setdefault(waiting.loop, []).append((waiting, outcome))
        for loop, woken in loops.items():
            call_in(loop, _deliver, woken)


def _stopped(error: BaseException) -> str:
    """Why the ledger takes no more entries, in words that a client may see."""
    said = explain(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return f"the ledger stopped: {said}"


def _deliver(outcomes: Sequence[tuple[_Waiting, _Outcome]]) -> None:
    for waiting, outcome in outcomes:
        if waiting.future.done():  # given up, or told already
            continue
        if isinstance(outcome, LedgerError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)


def _lock(folder: Path) -> int:
    """Hold the folder for this process; the operating system lets go of it when the process ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LedgerError("another process writes this ledger") from error
    return descriptor
