"""The file operations a ledger needs, in one place, so that a test can put a disk that fails under it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gatebook.errors import LedgerError

_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit of the process is reached",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk reports an input/output error",
}


def explain(error: OSError) -> str:
    """What went wrong, in words an operator can act on, without the path (a client may see it)."""
    return _SAID.get(error.errno or 0, error.strerror or str(error))


class Disk:
    """The real disk. What returns without an error has happened; ``durable`` ones survive a power cut."""

    def make_folder(self, path: Path) -> None:
        """Make a folder and its parents, unless they are there."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def open(self, path: Path, *, create: bool = False) -> int:
        """Open for reading and writing; the descriptor is the caller's."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if create else 0), 0o600)

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of ``data``."""
        written = os.pwrite(descriptor, data, offset) if data else 0
        if written == len(data):  # as nearly always
            return
        rest, offset = memoryview(data)[written:], offset + written
        while rest:
            written = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[written:], offset + written

    def sync(self, descriptor: int) -> None:
        """Durable: the content of the file."""
        os.fdatasync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Durable: the names in the folder."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_file(self, path: Path) -> None:
        """Durable: a file that was written and closed."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Durable: the file is gone."""
        path.unlink()
        self.sync_folder(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        """Durable: give a file its name."""
        os.replace(old, new)
        self.sync_folder(new.parent)

    def write(self, path: Path, data: bytes) -> None:
        """A file that can be made again from the write-ahead log; not durable."""
        descriptor = self._create(path)
        try:
            self.write_at(descriptor, data, 0)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Durable and whole: a reader sees the old content or the new."""
        fresh = path.with_name(path.name + ".tmp")
        descriptor = self._create(fresh)
        try:
            self.write_at(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(fresh, path)

    def _create(self, path: Path) -> int:
        try:
            return self.open(path, create=True)
        except FileNotFoundError:
            self.make_folder(path.parent)
            return self.open(path, create=True)


def ledger_error(error: OSError, doing: str) -> LedgerError:
    """An OSError as the LedgerError that callers see."""
    return LedgerError(f"{doing}: {explain(error)}")
