"""The writing end of a recording: one ``Recorder`` per session.

``add`` encrypts an event into the session's spool, in one write, before its bytes may be released: what the client saw
survives a crash of the process. A large one is compressed first, so that the disk gets a quarter of it. What is ``note``d,
requests and how they ended, goes out with the next bytes, in one box, or with the next tick: nobody waits for it, and the
ledger has both. At 1 MiB, with 4 MiB of events, or after 5 s the spool is put aside, the next one begun, and a thread turns the
one put aside into a segment: reads it back, compresses what is not yet, encrypts, syncs, hands the segment's facts to
``finished`` (which writes them into the ledger), and only then removes the spool. A spool of which nearly all is compressed
becomes the segment as it is, and gets its name once the ledger has it. So ``n.spool`` means: the ledger may not know segment n
yet.

After a crash nobody here has the session's key any more: spools become segments as they are (``recovery.py``).

Kinds of events: ``m`` about the session, ``q`` a request with its decision, ``s`` bytes of the server (covered), ``a`` how a
request ended, ``x`` the end. Where several requests are answered at a time, ``h`` is the head of an answer and ``p`` a piece of
its content (both covered), behind the number of the request. All but ``s``, ``h`` and ``p`` are JSON.

Any failure to write raises RecordingError, from then on at every call: the session must end.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatebook.errors import RecordingError
from gatebook.recording import grec, packing
from gatebook.recording.files import NEW, segment_of, segment_path, spool_path, sync, sync_folder, why, write, write_all
from gatebook.recording.grec import HEAD, Segment

SEGMENT_BYTES = 1024 * 1024
CONTENT_BYTES = 4 * SEGMENT_BYTES  # of a segment's events before they are compressed: a reader holds them in memory
SEGMENT_MICROSECONDS = 5_000_000
WAITING = 8  # spools put aside before ``add`` waits for the thread: the disk is slower than the session
BEHIND = 4  # of all sessions of this process, before who can should wait before it adds more
PLAIN_PART = 8  # a spool of which no more than one byte in so many is not compressed becomes a segment as it is
NOTED_BYTES = 65_536  # of requests and endings that may wait for the next box

_cutter = ThreadPoolExecutor(1, thread_name_prefix="recording")
_aside: set[Future[None]] = set()  # spools put aside, of all sessions

Finished = Callable[[Segment], None]


def _now() -> int:
    return time.time_ns() // 1000


class Recorder:
    """Records one session. ``add`` and what calls it come from one thread; ``close`` may come from another."""

    def __init__(self, sid: str, folder: Path, key: bytes, origin: str, finished: Finished, clock: Callable[[], int]) -> None:
        self._sid, self._folder, self._key, self._origin = sid, folder, key, origin
        self._finished, self._clock = finished, clock
        self._box = grec.box(key, grec.SPOOL)
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._failed = ""
        self._closed = False
        self._file = self._n = -1
        self._line = b""
        self._t0 = self._events = self._boxes = self._size = self._plain = self._content = 0
        self._noted: list[bytes] = []
        self._noted_at = self._noted_bytes = 0
        self._begin()

    @classmethod
    def open(
        cls,
        sid: str,
        folder: Path,
        recipients: Sequence[str],
        origin: str,
        finished: Finished,
        clock: Callable[[], int] = _now,
    ) -> Recorder:
        """Begin the recording of a session below ``folder``. Raises RecordingError.

        Nothing waits for the disk: its key is synced with the first segment, since before that a power cut takes all there is.
        ``finished`` gets each segment once it is on disk, from the recording's thread, and returns when the ledger has it; what
        it raises fails the recording.
        """
        if not grec.SESSION.fullmatch(sid):
            raise RecordingError(f"{sid!r} is not the id of a session")
        if not recipients:
            raise RecordingError("a recording without recipients could be read by nobody")
        key, place = secrets.token_bytes(grec.KEY_BYTES), folder / sid
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.mkdir(mode=0o700)
            write(place / grec.KEY_FILE, encrypt_key(key, recipients), synced=False)
            return cls(sid, place, key, origin, finished, clock)
        except OSError as error:
            raise RecordingError(f"the recording cannot be begun: {why(error)}") from error

    # Events ---------------------------------------------------------------------------------------------------------

    def add(self, kind: str, data: bytes) -> None:
        """Append one event to the spool; when it returns, the event survives the end of this process. Raises RecordingError."""
        now = self._clock()
        with self._lock:
            self._check()
            if self._events and now - self._t0 >= SEGMENT_MICROSECONDS:
                self._cut(last=False)
            self._append(kind.encode("ascii"), data, now)
            if self._size >= SEGMENT_BYTES or self._content >= CONTENT_BYTES:
                self._cut(last=False)

    def add_together(self, write: Callable[[int], bytes], count: int) -> None:
        """The same for so many events in one box: ``write`` gives them, each behind its head, by the time. All are small."""
        now = self._clock()
        with self._lock:
            self._check()
            if self._events and now - self._t0 >= SEGMENT_MICROSECONDS:
                self._cut(last=False)
            self._write_noted(now)
            events = write(now)
            self._content += len(events)
            self._seal(grec.BATCH, events, now, events=count, t0=now)
            if self._size >= SEGMENT_BYTES or self._content >= CONTENT_BYTES:
                self._cut(last=False)

    def now(self) -> int:
        """The time by which events are recorded."""
        return self._clock()

    def note(self, kind: str, data: bytes, at: int = 0) -> None:
        """Append one event that goes to the spool with the next one, or at the next tick. Raises RecordingError.

        ``at`` is when it was, if not now.
        """
        now = self._clock()
        with self._lock:
            self._check()
            self._noted.append(HEAD.pack(len(data), kind.encode("ascii"), at or now) + data)
            self._noted_at = self._noted_at or at or now
            self._noted_bytes += len(data)
            if self._noted_bytes >= NOTED_BYTES:
                self._write_noted(now)

    def about(self, **facts: object) -> None:
        """Who, where and why: what a reader is told first."""
        self.add("m", _json(facts))

    def request(
        self,
        seq: int,
        shown: str,
        *,
        verb: str,
        reach: str,
        ruling: str,
        rule: str,
        reason: str = "",
        decision: str = "",
        step: str = "run",
        noted: bool = False,
        at: int = 0,
    ) -> None:
        """A request and what was decided about it; ``shown`` is its text, covered already. ``noted``: only ``note`` it."""
        facts = {"seq": seq, "text": shown, "verb": verb, "reach": reach, "ruling": ruling, "rule": rule}
        data = _json(facts | {"reason": reason, "decision": decision, "step": step})
        if noted:
            self.note("q", data, at)
        else:
            self.add("q", data)

    def response(self, data: bytes) -> None:
        """Bytes on their way to the client, covered already."""
        self.add("s", data)

    def head(self, seq: int, shown: bytes) -> None:
        """The head of an answer of which several may be under way; ``noted``, since content or an end follows."""
        self.note("h", grec.NUMBER.pack(seq) + shown)

    def content(self, seq: int, data: bytes) -> None:
        """Content of such an answer on its way to the client, covered already."""
        self.add("p", grec.NUMBER.pack(seq) + data)

    def answer(self, seq: int, status: str, rows: int, masked: dict[str, int], *, noted: bool = False) -> None:
        """The answer to a request is complete. ``noted``: only ``note`` it."""
        (self.note if noted else self.add)("a", _json({"seq": seq, "status": status, "rows": rows, "masked": masked}))

    def tick(self) -> None:
        """To be called about once a second: cuts a segment that is old enough. Raises RecordingError."""
        now = self._clock()
        with self._lock:
            if self._closed:
                return
            self._check()
            self._write_noted(now)
            if self._events and now - self._t0 >= SEGMENT_MICROSECONDS:
                self._cut(last=False)

    def close(self, why: str = "") -> int:
        """End the recording; returns the number of its segments once the ledger has all. Blocks: call it in a thread.

        Raises RecordingError when not everything could be finished; what is on disk is then left for ``recover``.
        """
        now = self._clock()
        with self._lock:
            if not self._closed:
                with contextlib.suppress(RecordingError):  # raised below, once the segments before it are settled
                    self._check()
                    self._append(b"x", _json({"why": why}), now)
                    self._cut(last=True)
                self._closed = True
                self._release()
        while self._waiting:
            self._settle()
        self._check_failed()
        return self._n + 1

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # The spool ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._closed:
            raise RecordingError("the recording is closed")
        while self._waiting and self._waiting[0].done():
            self._settle()
        self._check_failed()

    def _check_failed(self) -> None:
        if self._failed:
            self._release()
            raise RecordingError(self._failed)

    def _settle(self) -> None:
        """Take note of the oldest spool put aside, waiting for it where it is not done."""
        try:
            self._waiting.popleft().result()
        except Exception as error:
            self._failed = self._failed or f"a segment of the recording cannot be kept: {why(error)}"

    def _append(self, kind: bytes, data: bytes, now: int) -> None:
        """One event, behind those that were noted."""
        if len(data) >= packing.LEAST_BYTES:
            noted, t0 = self._take_noted(now)
            front = b"".join([*noted, HEAD.pack(len(data), kind, now)])
            self._content += len(data)
            self._seal(grec.PACKED, packing.pack(front, data), now, events=len(noted) + 1, t0=t0)
        elif self._noted:
            self._noted.append(HEAD.pack(len(data), kind, now) + data)
            self._write_noted(now)
        else:
            self._content += len(data)
            self._seal(kind, data, now, events=1, t0=now)

    def _take_noted(self, now: int) -> tuple[list[bytes], int]:
        """What was noted, and when the first of it was."""
        noted, self._noted, self._noted_bytes = self._noted, [], 0
        t0, self._noted_at = self._noted_at or now, 0
        self._content += sum(len(one) for one in noted)
        return noted, t0

    def _write_noted(self, now: int) -> None:
        noted, t0 = self._take_noted(now)
        if noted:
            self._seal(grec.BATCH, b"".join(noted), now, events=len(noted), t0=t0)

    def _seal(self, kind: bytes, data: bytes, now: int, *, events: int, t0: int) -> None:
        head = HEAD.pack(len(data) + grec.TAG_BYTES, kind, now)
        sealed = self._box.encrypt(grec.spool_nonce(self._n, self._boxes), data, self._line + head)
        try:
            write_all(self._file, head, sealed)
        except OSError as error:
            self._failed = f"the recording cannot be written: {why(error)}"
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self._release()
            raise RecordingError(self._failed) from error
        self._t0 = self._t0 or t0
        self._events += events
        self._boxes += 1
        self._size += HEAD.size + len(sealed)
        if kind != grec.PACKED:
            self._plain += HEAD.size + len(sealed)

    def _begin(self) -> None:
        """Begin the next spool; it gets its name when its first line is in it."""
        n = self._n + 1
        self._line = grec.first_line(grec.SPOOL, origin=self._origin, sid=self._sid, n=n)
        fresh = self._folder / f"{n}.tmp"
        file = os.open(fresh, NEW, 0o600)
        try:
            write_all(file, self._line, b"")
            os.rename(fresh, spool_path(self._folder, n))
        except OSError:
            os.close(file)
            raise
        self._file, self._n = file, n
        self._t0 = self._events = self._boxes = self._plain = self._content = 0
        self._size = len(self._line)

    def _cut(self, *, last: bool) -> None:
        t1 = self._clock()
        facts: dict[str, Any] = {"last": last, "events": self._events, "t0": self._t0, "t1": t1}
        whole = self._plain * PLAIN_PART <= self._size
        if whole:
            self._seal(grec.WHOLE, _json(facts), t1, events=0, t0=t1)
        done, n = self._file, self._n
        try:
            if not last:
                self._begin()
        except OSError as error:
            self._failed = f"the recording cannot be written: {why(error)}"
            self._release()
            raise RecordingError(self._failed) from error
        os.close(done)
        if last:
            self._file = -1
        segment = _cutter.submit(self._keep if whole else self._pack, n, facts)
        _aside.add(segment)
        segment.add_done_callback(_aside.discard)
        self._waiting.append(segment)
        if len(self._waiting) > WAITING:
            self._settle()
            self._check_failed()

    # The recording's thread -----------------------------------------------------------------------------------------

    def _keep(self, n: int, facts: dict[str, Any]) -> None:
        """Make a segment of a spool as it is."""
        spool = spool_path(self._folder, n)
        data = spool.read_bytes()
        for _ in _read_back(spool, data, n, grec.box(self._key, grec.SPOOL)):
            pass
        sync(spool)
        self._sync_beginning(n)
        self._finished(segment_of(data, self._sid, n, facts))
        os.rename(spool, segment_path(self._folder, n))

    def _pack(self, n: int, facts: dict[str, Any]) -> None:
        """Make a segment of a spool's events, compressed together."""
        spool = spool_path(self._folder, n)
        packed = packing.joined(_read_back(spool, spool.read_bytes(), n, grec.box(self._key, grec.SPOOL)))
        line = grec.first_line(grec.SEGMENT, origin=self._origin, sid=self._sid, n=n, **facts)
        data = line + grec.box(self._key, grec.SEGMENT).encrypt(grec.segment_nonce(n), packed, line)
        place = segment_path(self._folder, n)
        write(place.with_suffix(".tmp"), data)
        os.rename(place.with_suffix(".tmp"), place)
        self._sync_beginning(n)
        self._finished(segment_of(data, self._sid, n, facts))
        spool.unlink()

    def _sync_beginning(self, n: int) -> None:
        """What names the file, and with the first one what is needed to read it."""
        if not n:
            sync(self._folder / grec.KEY_FILE)
        sync_folder(self._folder)
        if not n:
            sync_folder(self._folder.parent)


def behind() -> bool:
    """Whether the disk is slower than the sessions of this process: whoever can wait before it adds much should."""
    return len(_aside) > BEHIND


def event(kind: bytes, at: int, data: bytes) -> bytes:
    """One event of those that are added together, behind its head."""
    return HEAD.pack(len(data), kind, at) + data


def request_pieces(verb: str, reach: str, ruling: str, rule: str, reason: str) -> list[bytes]:
    """What ``request`` writes of one that runs, as the bytes between its number, its text and its decision."""
    said = _json({"verb": verb, "reach": reach, "ruling": ruling, "rule": rule, "reason": reason})[1:-1]
    return [b'{"seq":', b',"text":', b"," + said + b',"decision":', b',"step":"run"}']


def _read_back(spool: Path, data: bytes, n: int, box: AESGCM) -> Iterator[tuple[bytes, bool]]:
    """Heads and data of all events of a spool of ours, and whether they are compressed; every byte must be as written."""
    line = grec.read_first_line(data)[2]
    end = len(line)
    for place, (head, body, stop) in enumerate(grec.frames(data, end)):
        try:
            plain = box.decrypt(grec.spool_nonce(n, place), body, line + head)
        except InvalidTag:
            raise RecordingError(f"{spool.name}: box {place} is not as it was written") from None
        _, kind, at = HEAD.unpack(head)
        if kind in (grec.BATCH, grec.PACKED):
            yield plain, kind == grec.PACKED
        else:
            yield HEAD.pack(len(plain), kind, at) + plain, False
        end = stop
    if end != len(data):
        raise RecordingError(f"{spool.name}: byte {end} is not as it was written")


def encrypt_key(key: bytes, recipients: Sequence[str]) -> bytes:
    """A session's key, readable by these age recipients alone. Raises RecordingError."""
    try:
        return bytes(pyrage.encrypt(key, [pyrage.x25519.Recipient.from_str(one) for one in recipients]))
    except (pyrage.RecipientError, pyrage.EncryptError) as error:
        raise RecordingError(f"the recording's recipients: {error}") from None


def _json(facts: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(facts)
    except TypeError:  # a lone surrogate, which JSON can spell out
        return json.dumps(facts, separators=(",", ":")).encode()
