"""The Merkle tree: RFC 6962 hashing, and the tree's right edge cut into tiles of 256 hashes (C2SP tlog-tiles).

Only the right edge is kept in memory: per level the hashes that do not fill a tile yet, one behind the other. A tile that
became full is handed out once and never changes again. Where the compiled crate (``native/``) is installed it hashes, many at a
time and without the interpreter's lock: whoever decides statements need not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from gatebook.masking import compiled

WIDTH = 256  # hashes in a full tile, entries in a full bundle
HASH_BYTES = 32
_crate: Any = compiled.crate if hasattr(compiled.crate, "leaves") else None  # which a crate that was built before has not


def leaf_hash(entry: bytes) -> bytes:
    """Hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def leaves(entries: Sequence[bytes]) -> bytes:
    """Hashes of entries as leaves, one behind the other."""
    if _crate is not None:
        found: bytes = _crate.leaves(entries)
        return found
    return b"".join([sha256(b"\x00" + entry).digest() for entry in entries])


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(row: bytes | bytearray) -> bytes:
    """Root over a power of two of hashes, one behind the other."""
    if _crate is not None:
        found: bytes = _crate.perfect_root(bytes(row))
        return found
    hashes = [bytes(row[at : at + HASH_BYTES]) for at in range(0, len(row), HASH_BYTES)]
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
        self._levels: list[bytearray] = []

    def resume(self, size: int, rows: list[bytes]) -> None:
        """Go on with a tree of this size; ``rows``: by level, the hashes that do not fill a tile."""
        self.size, self._levels = size, [bytearray(row) for row in rows]

    def add(self, hashes: bytes) -> None:
        """Add leaf hashes, in their order. No more than fill the tile that is begun."""
        self.size += len(hashes) // HASH_BYTES
        level, value, span = 0, hashes, WIDTH
        while True:
            if level == len(self._levels):
                self._levels.append(bytearray())
            row = self._levels[level]
            row += value
            if len(row) < WIDTH * HASH_BYTES:
                return
            if len(row) > WIDTH * HASH_BYTES:
                raise AssertionError(f"{len(row)} bytes of hashes in a tile of {WIDTH}")
            self._emit(level, self.size // span - 1, bytes(row))
            value = perfect_root(row)
            row.clear()
            level, span = level + 1, span * WIDTH

    def root(self) -> bytes:
        """Root hash of the tree as it stands."""
        root = b""
        for row in self._levels:
            end = len(row) // HASH_BYTES
            while end:
                start = end - (end & -end)
                subtree = perfect_root(row[start * HASH_BYTES : end * HASH_BYTES])
                root = node_hash(subtree, root) if root else subtree
                end = start
        return root or sha256(b"").digest()

    def partials(self) -> Iterator[tuple[int, int, bytes]]:
        """Each tile that is begun and not full: level, number, hashes."""
        span = WIDTH
        for level, row in enumerate(self._levels):
            if row:
                yield level, self.size // span, bytes(row)
            span *= WIDTH
