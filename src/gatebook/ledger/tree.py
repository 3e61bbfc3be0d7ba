"""The Merkle tree: RFC 6962 hashing, and the tree's right edge cut into tiles of 256 hashes (C2SP tlog-tiles).

Only the right edge is kept in memory: per level the hashes that do not fill a tile yet. A tile that became full is handed out
once and never changes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256

WIDTH = 256  # hashes in a full tile, entries in a full bundle


def leaf_hash(entry: bytes) -> bytes:
    """Hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: list[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


def tile_name(number: int) -> str:
    """Path of a tile within its level: 1234067 is ``x001/x234/067``."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    return "/".join(parts)


class Edge:
    """The right edge of a growing tree. ``emit(level, number, hashes)`` is called for each tile as it becomes full."""

    def __init__(self, emit: Callable[[int, int, bytes], None]) -> None:
        self.size = 0
        self._emit = emit
        self._levels: list[list[bytes]] = []

    def resume(self, size: int, rows: list[list[bytes]]) -> None:
        """Go on with a tree of this size; ``rows``: by level, the hashes that do not fill a tile."""
        self.size, self._levels = size, rows

    def add(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self.size += 1
        level, value, span = 0, leaf, WIDTH
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(value)
            if len(row) < WIDTH:
                return
            self._emit(level, self.size // span - 1, b"".join(row))
            value = perfect_root(row)
            row.clear()
            level, span = level + 1, span * WIDTH

    def root(self) -> bytes:
        """Root hash of the tree as it stands."""
        root = b""
        for row in self._levels:
            end = len(row)
            while end:
                start = end - (end & -end)
                subtree = perfect_root(row[start:end])
                root = node_hash(subtree, root) if root else subtree
                end = start
        return root or sha256(b"").digest()

    def partials(self) -> Iterator[tuple[int, int, bytes]]:
        """Each tile that is begun and not full: level, number, hashes."""
        span = WIDTH
        for level, row in enumerate(self._levels):
            if row:
                yield level, self.size // span, b"".join(row)
            span *= WIDTH
