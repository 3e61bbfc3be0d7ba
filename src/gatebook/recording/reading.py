"""The reading end: the key, the segments, what the ledger knows of them, and the events inside.

A reader believes nothing that it was not shown. A file counts if its first line names this session and number, its boxes open
under the session's key with that very line, and its hash is the one that the ledger has. The content of a file that does not
count is not shown; what was wrong stands in ``faults``. The hash alone proves that a recording is the gateway's: the public key
that recordings are made with is everybody's.

``Recording.events`` reads what is there once. ``Tail.news`` reads a live session on, from the spool.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatebook.errors import RecordingError
from gatebook.recording import grec, packing
from gatebook.recording.grec import Event

SEGMENT_BYTES = 1 << 30  # of one segment's content: a row may have 256 MiB, and is in one piece
IDENTITY_BYTES = 65_536
_FILE = re.compile(r"(0|[1-9][0-9]{0,8})\.(?:seg|spool)")


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a segment."""

    sha256: str
    last: bool


def new_identity() -> tuple[str, str]:
    """A fresh age identity, as its file has it, and its public key."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def load_identity(path: Path) -> list[Any]:
    """The identities in a file as ``age-keygen`` writes it. Raises RecordingError, which shows nothing of the file."""
    try:
        with path.open("rb") as file:
            text = file.read(IDENTITY_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}: expected a file with an age identity") from None
    found = identities(text)
    if not found:
        raise RecordingError(f"{path}: expected AGE-SECRET-KEY-1…, as age-keygen writes it, without a passphrase")
    return found


def identities(text: str) -> list[Any]:
    """The identities in a text as ``age-keygen`` writes it; none where anything in it is something else."""
    lines = [line.strip() for line in text.splitlines()]
    try:
        return [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        return []


def unlock(place: Path, identities: Sequence[Any]) -> bytes:
    """The key of the recording in this folder. Raises RecordingError where these identities cannot read it."""
    path = place / grec.KEY_FILE
    try:
        key: bytes = pyrage.decrypt(path.read_bytes(), list(identities))
    except FileNotFoundError:
        said = "its key is gone: it was erased" if place.is_dir() else "there is none in this folder"
        raise RecordingError(f"no recording of {place.name} can be read: {said}") from None
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    except pyrage.DecryptError:
        raise RecordingError("this identity cannot read the recording: it was made for other recipients") from None
    if len(key) != grec.KEY_BYTES:
        raise RecordingError(f"{path}: holds {len(key)} bytes: expected {grec.KEY_BYTES}")
    return key


@dataclass(slots=True)
class Piece:
    """One segment of a recording. ``vouched``: the ledger has its hash. ``fault``: why nothing of it, or nothing more, counts.

    ``events`` are read as they are asked for; a fault in the middle of them is there once they ended.
    """

    n: int
    vouched: bool = False
    fault: str = ""
    notes: list[str] = field(default_factory=list)
    events: Iterator[Event] = field(default_factory=lambda: iter(()))


@dataclass(slots=True)
class Recording:
    """One session's recording. ``known`` is what the ledger has of it, by number; of a live one it may not have all yet.

    After ``events`` is read to its end, ``faults`` tells what is wrong, ``notes`` what a reader should know, and ``complete``
    whether the recording has its end.
    """

    place: Path
    key: bytes
    known: Mapping[int, Known]
    live: bool = False
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    def events(self) -> Iterator[Event]:
        """Every event that counts, in order."""
        for piece in self.pieces():
            yield from piece.events

    def numbers(self) -> set[int]:
        """The segments that are there, or that the ledger knows."""
        return _numbers(self.place) | set(self.known)

    def pieces(self, first: int = 0, content_bytes: int = SEGMENT_BYTES) -> Iterator[Piece]:
        """The segments from ``first`` on, one after the other; of one with more than ``content_bytes`` nothing is read."""
        numbers = sorted(n for n in self.numbers() if n >= first)
        expected = first
        for n in numbers:
            if n > expected:
                self.faults.append(f"segment{'' if n == expected + 1 else 's'} {_span(expected, n - 1)}: missing")
                yield Piece(
                    expected, fault="it is missing" if n == expected + 1 else f"{_span(expected, n - 1)}: they are missing"
                )
            yield self._piece(n, content_bytes)
            expected = n + 1
        if not numbers and first == 0:
            self.faults.append("nothing is recorded")

    def _piece(self, n: int, content_bytes: int) -> Piece:
        notes = len(self.notes)
        try:
            finished, data = self._found(n)
            vouched = self._compare(n, data)
            piece = Piece(n, vouched=vouched)
            piece.events = self._read(piece, self._opened(n, data, finished, content_bytes))
        except RecordingError as error:
            self.faults.append(f"segment {n}: {error}")
            return Piece(n, fault=str(error))
        piece.notes = self.notes[notes:]
        return piece

    def _read(self, piece: Piece, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
        except RecordingError as error:
            piece.fault = str(error)
            self.faults.append(f"segment {piece.n}: {error}")

    def _found(self, n: int) -> tuple[bool, bytes]:
        for name in (f"{n}.seg", f"{n}.spool", f"{n}.seg"):  # a spool may become a segment between the two
            data = _read(self.place / name)
            if data is not None:
                return name.endswith(".seg"), data
        raise RecordingError("it is missing")

    def _compare(self, n: int, data: bytes) -> bool:
        """Whether the ledger vouches for it; False of a live one that is not there yet."""
        known = self.known.get(n)
        if known is None and not self.live:
            raise RecordingError("the ledger knows nothing of it")
        if known is None:
            self.notes.append(f"segment {n} is not in the ledger yet: nothing vouches for it")
        elif hashlib.sha256(data).hexdigest() != known.sha256:
            raise RecordingError("these are not the bytes that the ledger knows")
        elif known.last:
            self.complete = True
        return known is not None

    def _opened(self, n: int, data: bytes, finished: bool, content_bytes: int) -> Iterator[Event]:
        form, facts, line = grec.read_first_line(data)
        if (facts["sid"], facts["n"]) != (self.place.name, n):
            raise RecordingError("it belongs to another place")
        if form == grec.SEGMENT:
            yield from _segment(data, n, line, self.key, content_bytes)
            return
        spool = _Spool(self.key, n, line, content_bytes)
        yield from spool.read(data[len(line) :])
        if finished and not spool.whole:
            self.notes.append(f"segment {n} was cut by a crash")


def _segment(data: bytes, n: int, line: bytes, key: bytes, content_bytes: int = SEGMENT_BYTES) -> list[Event]:
    try:
        packed = grec.box(key, grec.SEGMENT).decrypt(grec.segment_nonce(n), data[len(line) :], line)
    except InvalidTag:
        raise RecordingError("it is not as it was written") from None
    return list(_within(packing.unpacked(packed, content_bytes)))


class _Spool:
    """Opens the events of one spool as its bytes come."""

    def __init__(self, key: bytes, n: int, line: bytes, content_bytes: int = SEGMENT_BYTES) -> None:
        self._box: AESGCM = grec.box(key, grec.SPOOL)
        self._n, self._line, self._rest = n, line, b""
        self._limit, self._content = content_bytes, 0
        self.events = self._boxes = 0
        self.whole = False  # its last box says that it was finished

    def read(self, data: bytes) -> Iterator[Event]:
        """The events that are whole by now. Raises RecordingError at one that is not as it was written."""
        data, end = self._rest + data, 0
        for head, body, stop in grec.frames(data, 0):
            try:
                plain = self._box.decrypt(grec.spool_nonce(self._n, self._boxes), body, self._line + head)
            except (InvalidTag, ValueError):
                raise RecordingError(f"event {self.events} is not as it was written; what follows is not shown") from None
            self._boxes += 1
            end = stop
            for event in self._events(head, plain):
                self.events += 1
                yield event
        self._rest = data[end:]

    def _events(self, head: bytes, plain: bytes) -> Iterator[Event]:
        """What one box holds. Raises RecordingError where all of them hold too much."""
        event = grec.event_of(head, plain)
        packed = event.kind == grec.PACKED.decode()
        if packed:
            plain = packing.unpacked(plain, self._limit, self._content)
        self._content += len(plain)
        if packed or event.kind == grec.BATCH.decode():
            yield from _within(plain)
        elif event.kind == grec.WHOLE.decode():
            self.whole = True
        else:
            yield event


def _within(plain: bytes) -> Iterator[Event]:
    """Events one behind the other. Raises RecordingError where the last is not whole."""
    end = 0
    for head, body, end in grec.frames(plain, 0):  # noqa: B007
        yield grec.event_of(head, body)
    if end != len(plain):
        raise RecordingError("it ends within an event")


class Tail:
    """Follows a live recording. ``ended`` once its last event was read."""

    def __init__(self, place: Path, key: bytes, *, from_start: bool) -> None:
        self._place, self._key = place, key
        self._n = 0 if from_start else max(_numbers(place), default=0)
        self._spool: _Spool | None = None
        self._offset = 0
        self.ended = False

    def news(self) -> list[Event]:
        """What was recorded since the last call. Raises RecordingError."""
        found: list[Event] = []
        while not self.ended:
            seg = self._place / f"{self._n}.seg"
            done = seg.exists() or self._goes_on()
            found += self._more(seg)
            if not done:
                break
            if self._goes_on():
                self._n, self._spool, self._offset = self._n + 1, None, 0
            else:
                self.ended = True
        return found

    def _goes_on(self) -> bool:
        """Whether the next piece was begun, so that this one is whole."""
        return any((self._place / f"{self._n + 1}.{end}").exists() for end in ("spool", "seg"))

    def _more(self, seg: Path) -> list[Event]:
        """From the spool while it is there; else from the segment that was made of it, behind what was read already."""
        data = _read(seg.with_suffix(".spool"), self._offset)
        if data is None:
            return self._made(seg)
        if self._spool is None:
            line = grec.read_first_line(data)[2]
            self._spool, self._offset, data = _Spool(self._key, self._n, line), len(line), data[len(line) :]
        self._offset += len(data)
        return list(self._spool.read(data))

    def _made(self, seg: Path) -> list[Event]:
        data = _read(seg)
        if data is None:
            return []
        form, _, line = grec.read_first_line(data)
        if form == grec.SEGMENT:
            events = _segment(data, self._n, line, self._key)
        else:
            events = list(_Spool(self._key, self._n, line).read(data[len(line) :]))
        return events[self._spool.events if self._spool else 0 :]


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _numbers(place: Path) -> set[int]:
    return {int(match[1]) for path in place.iterdir() if (match := _FILE.fullmatch(path.name))} if place.is_dir() else set()


def _read(path: Path, offset: int = 0) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
