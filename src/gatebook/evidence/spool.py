"""Files of a package that is being made, on the disk instead of in memory: a ledger may be larger than that."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from gatebook.errors import LedgerError


class Spool(Mapping[str, bytes]):
    """Files by their names, in one that has none itself and is gone with this; ``folder`` is where it lies.

    Raises LedgerError where there is no room.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it is closed with this)
        except OSError as error:
            raise self._full(error) from error
        weakref.finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def put(self, files: Mapping[str, bytes], prefix: str = "") -> None:
        """Add these files, each under ``prefix`` and its name."""
        for name, data in files.items():
            try:
                self._file.seek(self._end)
                self._file.write(data)
                self._file.flush()
            except OSError as error:
                raise self._full(error) from error
            self._places[prefix + name] = self._end, len(data)
            self._end += len(data)

    def _full(self, error: OSError) -> LedgerError:
        return LedgerError(f"{self._folder}: {error.strerror}: expected a folder with room for a copy of the ledger")

    def __getitem__(self, name: str) -> bytes:
        at, size = self._places[name]
        self._file.seek(at)
        return self._file.read(size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
