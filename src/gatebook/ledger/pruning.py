"""Lets go of segments of the write-ahead log whose entries lie in full bundles, on disk.

A segment may go when three things are true: a published checkpoint covers it; every bundle and tile that its entries fill is
synced, so that a power cut leaves them; and what is kept holds a whole heartbeat and a seal, from which a start knows the open
sessions and the epoch without reading what came before. The newest segment always stays.

Syncing is done by a thread of its own, so that nobody who waits for a receipt waits for it. After any error nothing is let go
until the next start, which compares and mends what it can still make again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from gatebook.ledger.disk import Disk
from gatebook.ledger.tree import WIDTH, tile_name
from gatebook.ledger.wal import segment_name


class Pruner:
    """Owned by the writer; one piece of work at a time."""

    def __init__(self, folder: Path, disk: Disk, first: int) -> None:
        self._folder = folder
        self._disk = disk
        self._synced = first  # bundles and tiles of entries below it survive a power cut
        self._work: threading.Thread | None = None
        self.failed: str | None = None

    @property
    def idle(self) -> bool:
        """Whether it takes work."""
        return self.failed is None and (self._work is None or not self._work.is_alive())

    def begin(self, segments: list[int], end: int) -> None:
        """Let go of these segments, by first index, of which the last ends before entry ``end``."""
        if segments:
            self._work = threading.Thread(target=self._run, args=(segments, end), name="ledger-pruning", daemon=True)
            self._work.start()

    def wait(self) -> None:
        """Until the work at hand is done."""
        if self._work is not None:
            self._work.join()

    def _run(self, segments: list[int], end: int) -> None:
        try:
            for path in self._files(self._synced, end):
                self._disk.sync_file(path)
            for folder in sorted({path.parent for path in self._files(self._synced, end)}):
                self._disk.sync_folder(folder)
            self._synced = end
            for first in segments:
                self._disk.remove(self._folder / "wal" / segment_name(first))
        except OSError as error:
            self.failed = f"{error.filename}: {error.strerror}"

    def _files(self, first: int, end: int) -> Iterator[Path]:
        """Every full bundle and tile that has an entry from ``first`` up to ``end``."""
        for level in ("entries", *map(str, range(6))):
            span = WIDTH if level == "entries" else WIDTH ** (int(level) + 1)
            last = (end - 1) // span if level in ("entries", "0") else end // span - 1
            for number in range(first // span, last + 1):
                yield self._folder / "tile" / level / tile_name(number)
