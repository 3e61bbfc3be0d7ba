"""The reading end of a log's folder, for Gatebook itself: checkpoint, tiles, entries, roots of earlier sizes. It only reads.

It may read while the log is written: a partial tile that gives way to its next between two looks is looked for again. Nothing
here says whether a log is sound; that is the verifier's (``verifier.py``).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatebook.errors import LedgerError
from gatebook.ledger.note import Checkpoint, Signer
from gatebook.ledger.tree import HASH_BYTES, WIDTH, node_hash, perfect_root, tile_name
from gatebook.ledger.wal import NAME, frames

TRIES = 20
TRY_SECONDS = 0.02
HASH = 32


class Reader:
    """One log's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, signer: Signer) -> tuple[Checkpoint, str] | None:
        """The newest checkpoint and its note; None before the first. Raises LedgerError if it is not this log's."""
        try:
            note = (self.folder / "checkpoint").read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"{self.folder / 'checkpoint'}: {error}") from error
        try:
            return signer.open(note), note
        except LedgerError as error:
            raise LedgerError(f"{self.folder / 'checkpoint'}: {error}") from error

    def tile(self, level: str, number: int, width: int = WIDTH) -> bytes:
        """A tile or bundle of exactly this width, cut out of a wider one where the log has grown. Raises LedgerError."""
        for _ in range(TRIES):
            for path in self._wide_enough(level, number, width):
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue
                return bundle_start(data, width) if level == "entries" else data[: width * HASH]
            time.sleep(TRY_SECONDS)
        raise LedgerError(f"{self.folder}: tile/{level}/{tile_name(number)} is missing")

    def _wide_enough(self, level: str, number: int, width: int) -> list[Path]:
        whole = self.folder / "tile" / level / tile_name(number)
        parts = [path for path in whole.with_name(whole.name + ".p").glob("*") if re.fullmatch(r"[0-9]+", path.name)]
        found = {int(path.name): path for path in parts}
        return [found[one] for one in sorted(found) if one >= width] + [whole]

    def rows(self, size: int) -> list[bytes]:
        """The tree's right edge at this size: by level, the hashes that do not fill a tile. Raises LedgerError.

        Only full tiles of lower levels are read besides the last of the lowest, since partial tiles of other levels are kept
        for the newest checkpoint alone.
        """
        found = []
        count, level = size, 0
        while count:
            number, width = divmod(count, WIDTH)
            found.append(self._row(level, number, width))
            count, level = number, level + 1
        return found

    def _row(self, level: int, number: int, width: int) -> bytes:
        if level == 0:
            return self.tile("0", number, width) if width else b""
        below = range(number * WIDTH, number * WIDTH + width)
        return b"".join(perfect_root(self.tile(str(level - 1), one)) for one in below)

    def root(self, size: int) -> bytes:
        """The root of the tree over the first ``size`` entries, by the tiles. Raises LedgerError."""
        root = b""
        for row in self.rows(size):
            while row:
                count = len(row) // HASH_BYTES
                cut = (count & -count) * HASH_BYTES
                part, row = perfect_root(row[-cut:]), row[:-cut]
                root = node_hash(part, root) if root else part
        return root

    def entries(self, first: int, end: int) -> Iterator[bytes]:
        """The entries from ``first`` up to ``end``, out of the bundles. Raises LedgerError."""
        for number in range(first // WIDTH, -(-end // WIDTH)):
            width = min(WIDTH, end - number * WIDTH)
            inside = bundle_entries(self.tile("entries", number, width))
            yield from inside[max(0, first - number * WIDTH) :]

    def everything(self) -> Iterator[bytes]:
        """Every entry, also those that no checkpoint covers yet: out of bundles as far as the write-ahead log is pruned.

        Raises LedgerError. What a crash left of a write at the very end is passed over.
        """
        wal, at = self.folder / "wal", 0
        while True:
            names = sorted(name for name in os.listdir(wal) if NAME.fullmatch(name)) if wal.is_dir() else []
            first = int(names[0]) if names else 0
            if first > at:
                yield from self.entries(at, first)
                at = first
            ahead = [name for name in names if int(name) >= at]
            if not ahead:
                return
            try:
                data = (wal / ahead[0]).read_bytes()
            except FileNotFoundError:
                continue  # pruned meanwhile
            for body in frames(data):
                yield body
                at += 1
            if len(ahead) == 1:
                return

    def backwards(self, size: int) -> Iterator[dict[str, Any]]:
        """The fields of the first ``size`` entries, the newest first. Raises LedgerError."""
        for number in range(-(-size // WIDTH) - 1, -1, -1):
            for entry in reversed(bundle_entries(self.tile("entries", number, min(WIDTH, size - number * WIDTH)))):
                try:
                    yield json.loads(entry)
                except ValueError as error:
                    raise LedgerError(f"{self.folder}: an entry cannot be read") from error


def bundle_start(data: bytes, width: int) -> bytes:
    """As much of a bundle as its first ``width`` entries take."""
    at = 0
    for _ in range(width):
        at += 2 + int.from_bytes(data[at : at + 2])
    return data[:at]


def bundle_entries(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises LedgerError where it is not whole."""
    found, at = [], 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2])
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data):
        raise LedgerError(f"a bundle of {len(data)} bytes ends within an entry")
    return found
