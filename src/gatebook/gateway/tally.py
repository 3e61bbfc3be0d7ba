"""Counts that all processes of one gateway share: sessions, who is at the door, and who sends wrong cancel keys.

A piece of memory without a name, made before the first process is forked. Each process has a row of its own and writes to no
other; a limit is kept by the sum of all rows. The row of a process that died is wiped before the next one takes its place, so
nothing it held stays taken. Whoever counts holds the lock; the operating system takes it from a process that ends.

Addresses at the door are counted in ``BUCKETS`` by a keyed hash: two addresses share one once in ``BUCKETS`` times, and nobody
outside can tell which.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

BUCKETS = 8192
_READY, _SESSIONS, _DOOR, _MINUTE, _WRONG, _ADDRESSES = 0, 1, 2, 3, 4, 5  # 32-bit cells of a row
_GUESSERS = _ADDRESSES + BUCKETS  # wrong cancel keys of one minute, by address; _WRONG has their sum, _MINUTE says which minute
_CELLS = _GUESSERS + BUCKETS
_CELL_BYTES = 4


class Tally:
    """``rows`` processes' counts. Made in the process that forks the others; a process uses it from one thread."""

    def __init__(self, rows: int) -> None:
        self._file, name = tempfile.mkstemp(prefix="gatebook-")  # what lies in memory, and what is locked
        weakref.finalize(self, os.close, self._file)
        os.unlink(name)
        size = rows * _CELLS * _CELL_BYTES
        os.ftruncate(self._file, size)
        self._cells = memoryview(mmap.mmap(self._file, size)).cast("I")
        self._rows = range(rows)
        self._key = secrets.token_bytes(16)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Between looking at a sum and adding to it nobody else may add."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def bucket(self, address: str) -> int:
        """Where connections from this address are counted."""
        found = hashlib.blake2b(address.encode(), digest_size=4, key=self._key).digest()
        return int.from_bytes(found) % BUCKETS

    # Of one process -----------------------------------------------------------------------------------------------------

    def ready(self, row: int) -> None:
        """This process serves."""
        self._cells[row * _CELLS + _READY] = 1

    def session(self, row: int, change: int) -> None:
        """One session more or less."""
        self._cells[row * _CELLS + _SESSIONS] += change

    def at_the_door(self, row: int, bucket: int, change: int) -> None:
        """One connection more or less that proved nothing yet."""
        self._cells[row * _CELLS + _DOOR] += change
        self._cells[row * _CELLS + _ADDRESSES + bucket] += change

    def missed(self, row: int, bucket: int, minute: int) -> None:
        """One wrong cancel key more, in this minute."""
        start = row * _CELLS
        if self._cells[start + _MINUTE] != minute:
            self._cells[start + _WRONG] = 0
            self._cells[start + _GUESSERS : start + _CELLS] = memoryview(bytes(BUCKETS * _CELL_BYTES)).cast("I")
            self._cells[start + _MINUTE] = minute
        self._cells[start + _WRONG] += 1
        self._cells[start + _GUESSERS + bucket] += 1

    def wipe(self, row: int) -> None:
        """The process of this row is gone."""
        start = row * _CELLS
        self._cells[start : start + _CELLS] = memoryview(bytes(_CELLS * _CELL_BYTES)).cast("I")

    # Of all processes ---------------------------------------------------------------------------------------------------

    @property
    def serving(self) -> int:
        """How many processes serve."""
        return self._sum(_READY)

    @property
    def sessions(self) -> int:
        """Sessions of all processes."""
        return self._sum(_SESSIONS)

    @property
    def door(self) -> int:
        """Connections of all processes that proved nothing yet."""
        return self._sum(_DOOR)

    def from_address(self, bucket: int) -> int:
        """Those among them from one address."""
        return self._sum(_ADDRESSES + bucket)

    def wrong(self, minute: int) -> int:
        """Wrong cancel keys of this minute."""
        return self._sum_in(minute, _WRONG)

    def wrong_from(self, bucket: int, minute: int) -> int:
        """Those among them from one address."""
        return self._sum_in(minute, _GUESSERS + bucket)

    def _sum_in(self, minute: int, cell: int) -> int:
        return sum(self._cells[row * _CELLS + cell] for row in self._rows if self._cells[row * _CELLS + _MINUTE] == minute)

    def _sum(self, cell: int) -> int:
        return sum(self._cells[row * _CELLS + cell] for row in self._rows)
