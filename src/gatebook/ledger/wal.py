"""The write-ahead log: the source of truth for every entry.

Segments ``wal/<index of its first entry>`` have a fixed size and are filled with zeros before they are used, since a sync of a
file that does not grow is one to three times faster. A segment holds frames, back to back::

    u32 length | u32 crc32 of the bytes | bytes          (big endian; the bytes are one entry)

A length of zero, or fewer than 8 bytes left, ends the segment; the rest is zeros. The next segment is begun only after the
one before is synced, so that a write which a crash cut short can only be at the end of the newest segment. ``wal/next`` is the
segment to come, filled a slice at a time.

A cut write and a damaged frame are told apart by what a cut leaves behind: zeros where bytes should be (entries are JSON and
hold none). A cut write was never acknowledged and is dropped; anything else is damage, and the log refuses to start.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from struct import Struct
from zlib import crc32

from gatebook.errors import LedgerError
from gatebook.ledger.disk import Disk

HEADER = Struct(">II")
LONGEST = 65_535  # bytes of an entry: a bundle gives its length in 16 bits
SEGMENT_BYTES = 64 * 1024 * 1024
SLICE = 256 * 1024  # zeros written ahead at a time, so that no batch waits for a whole segment of them
SECTOR = 512  # the smallest piece of a write that a disk keeps or loses as a whole
NEXT = "next"
CLOSED = -1  # instead of a descriptor
NAME = re.compile(r"[0-9]{12}")


def segment_name(first: int) -> str:
    """File name of the segment whose first entry has this index."""
    return f"{first:012d}"


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the write-ahead log ends: its newest segment (None: there is none), and how many bytes of a cut write follow."""

    segment: Path | None
    offset: int
    size: int
    torn_bytes: int
    segments: tuple[int, ...] = ()  # first index of each


def first_of(folder: Path) -> int:
    """Index of the first entry that the write-ahead log still has."""
    return min((int(name) for name in os.listdir(folder) if NAME.fullmatch(name)), default=0)


def scan(folder: Path, covered: int, take: Callable[[bytes], None]) -> Tail:
    """Hand every entry to ``take``, in order, from the first that is here; LedgerError for damage.

    None below ``covered`` may miss between the first and the last.
    """
    names = sorted(name for name in os.listdir(folder) if NAME.fullmatch(name))
    tail = Tail(None, 0, int(names[0]) if names else 0, 0)
    for position, name in enumerate(names):
        if int(name) != tail.size:
            raise LedgerError(
                f"wal/{name}: begins with entry {int(name)}, expected {tail.size}: a segment is missing or damaged"
            )
        path = folder / name
        tail = _scan_segment(path, tail.size, take)
        if tail.torn_bytes and (tail.size < covered or position < len(names) - 1):
            raise LedgerError(f"wal/{name}: offset {tail.offset}: entry {tail.size} is damaged")
    if tail.size < covered:
        raise LedgerError(f"the write-ahead log holds {tail.size} entries, but a checkpoint of {covered} was published")
    return replace(tail, segments=tuple(int(name) for name in names))


def _scan_segment(path: Path, index: int, take: Callable[[bytes], None]) -> Tail:
    data = path.read_bytes()
    offset = 0
    while (body := _frame(data, offset)) is not None:
        take(body)
        offset += HEADER.size + len(body)
        index += 1
    used = len(data.rstrip(b"\x00"))
    if used > offset and not is_torn(data, offset, used):
        raise LedgerError(f"wal/{path.name}: offset {offset}: entry {index} is damaged")
    return Tail(path, offset, index, max(0, used - offset))


def frames(data: bytes | mmap.mmap, offset: int = 0) -> Iterator[bytes]:
    """The entries of a segment from an offset on, up to the first place that holds none."""
    while (body := _frame(data, offset)) is not None:
        yield body
        offset += HEADER.size + len(body)


def _frame(data: bytes | mmap.mmap, offset: int) -> bytes | None:
    """The entry in the frame at ``offset``; None if there is no whole frame."""
    if offset + HEADER.size > len(data):
        return None
    length, crc = HEADER.unpack_from(data, offset)
    body = data[offset + HEADER.size : offset + HEADER.size + length]
    return body if 0 < length <= LONGEST and len(body) == length and crc32(body) == crc else None


def is_torn(data: bytes, start: int, used: int) -> bool:
    """Whether what lies from ``start`` to ``used`` (the last byte that is not zero) is a cut write rather than damage."""
    later = _next_frame(data, start + 1, used)
    if later is not None:
        return _has_hole(data, start, later)
    if used - start < HEADER.size:
        return True
    length, crc = HEADER.unpack_from(data, start)
    if length > LONGEST or crc32(data[start + HEADER.size : used]) == crc:  # only the length was changed
        return False
    end = start + HEADER.size + length
    return end > used or _has_hole(data, start, min(end, used))


def _next_frame(data: bytes, start: int, used: int) -> int | None:
    """Offset of the first whole frame at or after ``start``."""
    found = data.find(b'{"', start + HEADER.size, used)
    while found >= 0:
        if _frame(data, found - HEADER.size) is not None:
            return found - HEADER.size
        found = data.find(b'{"', found + 1, used)
    return None


def _has_hole(data: bytes, start: int, end: int) -> bool:
    """Whether a whole sector's part of the range is zeros; the first bytes of a length may be zero, so a few do not count."""
    while start < end:
        stop = min((start // SECTOR + 1) * SECTOR, end)
        if stop - start > HEADER.size // 2 and not any(data[start:stop]):
            return True
        start = stop
    return False


class Wal:
    """The writing end. One thread at a time may write; one thread prepares and syncs, meanwhile too."""

    def __init__(self, folder: Path, tail: Tail, *, disk: Disk, segment_bytes: int) -> None:
        self.size = tail.size
        self.segments = list(tail.segments)
        self._folder = folder
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._next = self._current = CLOSED
        self._filled = self._offset = 0
        (folder / NEXT).unlink(missing_ok=True)
        if tail.segment is None:
            self._roll()
        else:
            self._resume(tail.segment, tail)

    def _resume(self, segment: Path, tail: Tail) -> None:
        self._current, self._offset = self._disk.open(segment), tail.offset
        length = os.fstat(self._current).st_size
        if tail.torn_bytes:
            self._disk.write_at(self._current, bytes(tail.torn_bytes), tail.offset)
        if length < self._segment_bytes:
            self._disk.write_at(self._current, bytes(self._segment_bytes - length), length)
        if tail.torn_bytes or length < self._segment_bytes:
            self._disk.sync(self._current)

    @property
    def room(self) -> int:
        """Bytes left in the segment."""
        return self._segment_bytes - self._offset

    def write(self, entries: Iterable[bytes]) -> None:
        """Write the frames of these entries, with one write to the file unless a segment ends among them."""
        frames = bytearray()
        for entry in entries:
            if self._offset + len(frames) + HEADER.size + len(entry) > self._segment_bytes:
                self._put(frames)
                self.sync()
                self._roll()
                frames = bytearray()
            frames += HEADER.pack(len(entry), crc32(entry))
            frames += entry
            self.size += 1
        self._put(frames)

    def write_one(self, entry: bytes) -> None:
        """Write one entry's frame, for which there is room in the segment."""
        self._disk.write_at(self._current, HEADER.pack(len(entry), crc32(entry)) + entry, self._offset)
        self._offset += HEADER.size + len(entry)
        self.size += 1

    def _put(self, frames: bytearray) -> None:
        self._disk.write_at(self._current, frames, self._offset)
        self._offset += len(frames)

    def sync(self) -> None:
        """What was written survives a power cut after this."""
        self._disk.sync(self._current)

    def prepare(self) -> None:
        """Fill the segment to come as far as this one is used, and one slice more, so that it is ready when it is due."""
        self._fill()
        while self._filled < min(self._offset, self._segment_bytes):
            self._fill()

    def _fill(self) -> None:
        if self._next == CLOSED:
            self._next, self._filled = self._disk.open(self._folder / NEXT, create=True), 0
        piece = min(SLICE, self._segment_bytes - self._filled)
        if piece:
            self._disk.write_at(self._next, bytes(piece), self._filled)
            self._filled += piece

    def _roll(self) -> None:
        while self._next == CLOSED or self._filled < self._segment_bytes:
            self._fill()
        self._disk.sync(self._next)
        self._disk.rename(self._folder / NEXT, self._folder / segment_name(self.size))
        self.segments.append(self.size)
        if self._current != CLOSED:
            os.close(self._current)
        self._current, self._offset, self._next = self._next, 0, CLOSED

    def release(self, end: int) -> tuple[list[int], int]:
        """Segments that end at or before entry ``end``, by first index, and where the last of them ends; they count as gone."""
        gone = [first for first, after in pairwise(self.segments) if after <= end]
        self.segments = self.segments[len(gone) :]
        return gone, self.segments[0]

    def close(self) -> None:
        """Give the files back; nothing is written."""
        for descriptor in (self._current, self._next):
            if descriptor != CLOSED:
                os.close(descriptor)
        self._current = self._next = CLOSED
