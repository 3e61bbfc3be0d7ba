"""Everything one log has on disk: write-ahead log, Merkle tree, tiles, entry bundles and checkpoints.

Layout (docs/ledger.md)::

    lock                       held by the process that writes
    log.vkey                   the public key, for readers
    wal/<first index>          newest segments of the write-ahead log; wal/next is the one to come
    tile/<level>/<n>[.p/<w>]   hashes; a partial tile is written for each checkpoint and goes when the tile is full
    tile/entries/<n>[.p/<w>]   entries
    checkpoint                 the newest signed head
    checkpoints.log            every signed head

Tiles, bundles and heads are derived: after a power cut they are made again from the write-ahead log, which is synced before a
head that covers it is published. Order of publishing: ``checkpoint`` first, then ``checkpoints.log``, so that a reader who
reads them the other way round never sees a head newer than the newest.

``write`` and ``size`` are under the log's pen; one thread alone may touch the rest, and sync while another writes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from gatebook.ledger.disk import Disk
from gatebook.ledger.note import Checkpoint, Signer
from gatebook.ledger.pruning import Pruner
from gatebook.ledger.tree import WIDTH, Edge, leaves, tile_name
from gatebook.ledger.wal import Wal

LENGTH_BYTES = 2  # before each entry of a bundle


class TileFiles:
    """Full tiles and bundles on disk."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self.disk = disk

    def keep(self, name: str, data: bytes) -> None:
        """Keep a full tile or bundle; its partial forms have done their duty."""
        path = self.folder / name
        self.disk.write(path, data)
        shutil.rmtree(path.with_name(path.name + ".p"), ignore_errors=True)


class Shelf:
    """The tree's edge, and the bundle that is being filled; what is full goes to ``files``."""

    def __init__(self, files: TileFiles) -> None:
        self.files = files
        self._bundle = bytearray()
        self._put: Set[str] = frozenset()
        self._edge = Edge(self._emit)

    @property
    def size(self) -> int:
        """Entries in the tree."""
        return self._edge.size

    def root(self) -> bytes:
        """Root of the tree."""
        return self._edge.root()

    def add(self, entries: Sequence[bytes]) -> None:
        """Hash entries in, in their order; keeps the bundles and tiles that they fill."""
        at = 0
        while at < len(entries):
            some = entries[at : at + WIDTH - self.size % WIDTH]
            self._bundle += b"".join([part for entry in some for part in (len(entry).to_bytes(LENGTH_BYTES), entry)])
            self._edge.add(leaves(some))
            at += len(some)
            if self.size % WIDTH == 0:
                self.files.keep(f"entries/{tile_name(self.size // WIDTH - 1)}", bytes(self._bundle))
                self._bundle.clear()

    def resume(self, size: int, rows: list[bytes], bundle: bytes) -> None:
        """Go on after so many entries; ``rows`` is the tree's edge, ``bundle`` the entries of the bundle that is begun."""
        self._edge.resume(size, rows)
        self._bundle[:] = bundle

    def _emit(self, level: int, number: int, hashes: bytes) -> None:
        self.files.keep(f"{level}/{tile_name(number)}", hashes)

    def partials(self) -> dict[str, bytes]:
        """What a checkpoint of the tree as it stands needs besides full tiles and bundles."""
        files = {f"{level}/{tile_name(number)}.p/{len(data) // 32}": data for level, number, data in self._edge.partials()}
        if self._bundle:
            files[f"entries/{tile_name(self.size // WIDTH)}.p/{self.size % WIDTH}"] = bytes(self._bundle)
        return files

    def put_partials(self) -> None:
        """Write them, except those that are there: a reader may be reading them."""
        partials = self.partials()
        for name in partials.keys() - self._put:
            path = self.files.folder / name
            if not path.exists() or path.read_bytes() != partials[name]:
                self.files.disk.write(path, partials[name])
        self._put = partials.keys()


class Volume:
    """One log's files, open for writing. ``size`` counts entries written, synced or not, ``hashed`` those in the tree."""

    def __init__(self, folder: Path, *, signer: Signer, disk: Disk, wal: Wal, shelf: Shelf) -> None:
        self._folder = folder
        self._signer = signer
        self._disk = disk
        self._wal = wal
        self._shelf = shelf
        self._pruner = Pruner(folder, disk, wal.segments[0])
        self._heads = disk.open(folder / "checkpoints.log")
        self._heads_end = (folder / "checkpoints.log").stat().st_size

    @property
    def size(self) -> int:
        """Entries written."""
        return self._wal.size

    @property
    def hashed(self) -> int:
        """Entries in the tree."""
        return self._shelf.size

    @property
    def room(self) -> int:
        """Bytes left in the write-ahead log's segment."""
        return self._wal.room

    def write(self, entries: Sequence[bytes]) -> None:
        """Into the write-ahead log; a crash of the process loses nothing after this."""
        self._wal.write(entries)

    def write_one(self, entry: bytes) -> None:
        """The same for one entry where ``room`` is left for it."""
        self._wal.write_one(entry)

    def sync(self) -> None:
        """A crash of the machine loses nothing after this."""
        self._wal.sync()

    def grow(self, entries: Sequence[bytes]) -> None:
        """Hash written entries into the tree."""
        self._shelf.add(entries)
        self._wal.prepare()

    def root(self) -> bytes:
        """Root of the tree over all entries that were grown in."""
        return self._shelf.root()

    def publish(self) -> None:
        """Sign and publish the tree as it stands; every entry in it must be synced."""
        self._shelf.put_partials()
        note = self._signer.sign(Checkpoint(self._shelf.size, self._shelf.root())).encode()
        self._disk.replace(self._folder / "checkpoint", note)
        self._disk.write_at(self._heads, note + b"\n", self._heads_end)
        self._disk.sync(self._heads)
        self._heads_end += len(note) + 1

    def prune(self, listed: int) -> None:
        """Let go of segments of the write-ahead log that are covered; ``listed``: the entry of the newest whole heartbeat."""
        if self._pruner.idle:
            hashed = self._shelf.size  # what is written behind it is in no bundle yet
            self._pruner.begin(*self._wal.release(min(listed, hashed // WIDTH * WIDTH, hashed - 1)))

    def close(self) -> None:
        """Give the files back; nothing is written."""
        self._pruner.wait()
        self._wal.close()
        os.close(self._heads)
