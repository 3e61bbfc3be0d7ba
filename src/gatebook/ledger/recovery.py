"""Opening a log's folder: read the write-ahead log, rebuild what follows from it, refuse what cannot be trusted.

The write-ahead log has the newest entries (``pruning.py``); the tree up to its first is taken from full tiles. If those were
changed, the entries do not give the newest checkpoint's root. So a start takes the same time however long the log is. Whether
what lies before is whole is for the verifier to say.

Refused, with file and offset where there is one: a damaged frame that is not a cut write at the very end; fewer entries than a
published checkpoint covers; entries that do not give a published checkpoint's root; checkpoints of another key or origin.
Mended, and counted in ``log.boot``: a cut write at the end; tiles, bundles and heads that a power cut lost or left behind.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

import orjson

from gatebook.errors import LedgerError
from gatebook.ledger.disk import Disk
from gatebook.ledger.note import Signer
from gatebook.ledger.reader import Reader
from gatebook.ledger.scribe import Past
from gatebook.ledger.tree import WIDTH, tile_name
from gatebook.ledger.volume import LENGTH_BYTES, Shelf, TileFiles, Volume
from gatebook.ledger.wal import Wal, first_of, scan, segment_name

TAIL_BYTES = 65_536  # of checkpoints.log read at a start: more than its last head needs, however many cosign it
_TILE = re.compile(r"[0-9]{3}(\.p)?")
_NOTES = re.compile(rb"[^\n]+\n[^\n]+\n[^\n]+\n\n(?:\xe2\x80\x94 [^\n]+\n)+\n")


@dataclass(slots=True)
class Found:
    """What was there when a log was opened."""

    past: Past
    size: int
    torn_bytes: int
    repaired: int

    @property
    def restart(self) -> str:
        """``first``, ``clean`` or ``crash``."""
        if not self.size:
            return "first"
        return "clean" if self.past.clean else "crash"


class _Mending(TileFiles):
    """Keeps full tiles and bundles only where the disk does not hold them as they should be."""

    def __init__(self, folder: Path, disk: Disk, first: int) -> None:
        super().__init__(folder, disk)
        self._first = first
        self.repaired = 0
        self.expected: set[Path] = set()

    def keep(self, name: str, data: bytes) -> None:
        path = self.folder / name
        self.expected.add(path)
        if _content(path) != data:
            self.repaired += 1
            super().keep(name, data)

    def settle(self, partials: dict[str, bytes]) -> None:
        """Mend partial tiles, and drop what stands for entries that were lost."""
        whole = {self.folder / name.rpartition(".p/")[0]: data for name, data in partials.items()}
        for path in [path for path in self._files() if path not in self.expected]:
            full = path.parent.with_suffix("")
            wanted = self._prefix(path, whole[full]) if full in whole and path.name.isdecimal() else None
            if wanted is None:
                path.unlink()
                self.repaired += full not in self.expected
            elif path.read_bytes() != wanted:
                self.disk.write(path, wanted)
                self.repaired += 1

    def _files(self) -> list[Path]:
        """The files of tiles with entries of the write-ahead log; where that has all entries, every file."""
        if not self._first:
            return [path for path in self.folder.rglob("*") if path.is_file()]
        found: list[Path] = []
        for level in self.folder.iterdir():
            number = self._first // (WIDTH if level.name == "entries" else WIDTH ** (int(level.name) + 1))
            for thousand in itertools.count(number // 1000 * 1000, 1000):
                place = (level / tile_name(thousand)).parent
                if not place.is_dir():
                    break
                for path in place.iterdir():
                    if _TILE.fullmatch(path.name) and thousand + int(path.name[:3]) >= number:
                        found += path.iterdir() if path.is_dir() else [path]
        return found

    def _prefix(self, path: Path, whole: bytes) -> bytes | None:
        """The first ``path.name`` hashes or entries, None if there are not so many."""
        width, end = int(path.name), 0
        if path.relative_to(self.folder).parts[0] != "entries":
            return whole[: width * 32] if width * 32 <= len(whole) else None
        for _ in range(width):
            if end >= len(whole):
                return None
            end += LENGTH_BYTES + int.from_bytes(whole[end : end + LENGTH_BYTES])
        return whole[:end]


class _Replay:
    """Takes entries from the write-ahead log: grows the tree, notes what they mean, remembers roots that were published."""

    def __init__(self, shelf: Shelf, past: Past, published: frozenset[int]) -> None:
        self.shelf = shelf
        self.past = past
        self.roots: dict[int, bytes] = {}
        self._published = published

    def take(self, entry: bytes) -> None:
        try:
            self.past.read(orjson.loads(entry))
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"entry {self.shelf.size} is not one of a ledger: {error!r}") from error
        self.shelf.add((entry,))
        if self.shelf.size in self._published:
            self.roots[self.shelf.size] = self.shelf.root()


def recover(folder: Path, signer: Signer, disk: Disk, segment_bytes: int) -> tuple[Volume, Found]:
    """Open the files of a log that this process has locked."""
    for name in ("wal", "tile"):
        disk.make_folder(folder / name)
    heads = _read_heads(folder, signer)
    first, newest = first_of(folder / "wal"), max(heads, default=0)
    if first > newest // WIDTH * WIDTH:
        raise LedgerError(f"wal/{segment_name(first)}: a segment is missing: a checkpoint of {newest} was published")
    files = _Mending(folder / "tile", disk, first)
    replay = _Replay(Shelf(files), Past(sealed=not first, listed=not first), frozenset(heads))
    if first:
        reader = Reader(folder)
        replay.shelf.resume(
            first, reader.rows(first), reader.tile("entries", first // WIDTH, first % WIDTH) if first % WIDTH else b""
        )
    tail = scan(folder / "wal", newest, replay.take)
    for size, (root, _) in heads.items():
        if (replay.roots[size] if size > first else Reader(folder).root(size)) != root:
            raise LedgerError(
                f"the entries do not give the root of the checkpoint of {size}; run the verifier to find the place"
            )
    past = replay.past if replay.past.known else _read_all(folder, first)
    files.settle(replay.shelf.partials())
    mended = _mend_heads(folder, disk, heads[max(heads)][1] if heads else b"")
    wal = Wal(folder / "wal", tail, disk=disk, segment_bytes=segment_bytes)
    replay.shelf.files = TileFiles(folder / "tile", disk)
    volume = Volume(folder, signer=signer, disk=disk, wal=wal, shelf=replay.shelf)
    return volume, Found(past, tail.size, tail.torn_bytes, files.repaired + mended)


def _read_all(folder: Path, first: int) -> Past:
    """What all entries mean, where the newest do not tell it: somebody else removed segments."""
    past = Past()
    for entry in Reader(folder).entries(0, first):
        past.read(orjson.loads(entry))
    scan(folder / "wal", first, lambda entry: past.read(orjson.loads(entry)))
    return past


def _read_heads(folder: Path, signer: Signer) -> dict[int, tuple[bytes, bytes]]:
    """Root and note, by size, of the published head and of the last in ``checkpoints.log``; mostly they are one."""
    newest = _content(folder / "checkpoint")
    last = [match.group()[:-1] for match in _NOTES.finditer(_content(folder / "checkpoints.log", TAIL_BYTES))][-1:]
    heads: dict[int, tuple[bytes, bytes]] = {}
    for name, note in [("checkpoint", newest)] * bool(newest) + [("checkpoints.log", note) for note in last]:
        try:
            head = signer.open(note.decode())
        except (LedgerError, UnicodeDecodeError) as error:
            raise LedgerError(f"{name}: {error}") from error
        if heads.setdefault(head.size, (head.root, note))[0] != head.root:
            raise LedgerError(f"checkpoint and checkpoints.log tell two roots for size {head.size}")
    return heads


def _mend_heads(folder: Path, disk: Disk, newest: bytes) -> int:
    """After a crash: finish ``checkpoints.log`` and ``checkpoint`` with the newest head. How many files were mended."""
    path = folder / "checkpoints.log"
    if not path.exists():
        disk.replace(path, newest + b"\n" if newest else b"")
        return bool(newest)
    (folder / "checkpoint.tmp").unlink(missing_ok=True)
    before = _content(path, TAIL_BYTES)
    end = max((match.end() for match in _NOTES.finditer(before)), default=0)
    missing = b"" if before[:end].endswith(newest + b"\n") or not newest else newest + b"\n"
    mended = int(bool(missing or before[end:]))
    if mended:
        size = path.stat().st_size - len(before) + end
        os.truncate(path, size)
        _append(path, missing, size, disk)
    if newest and _content(folder / "checkpoint") != newest:
        disk.replace(folder / "checkpoint", newest)
        mended += 1
    return mended


def _append(path: Path, data: bytes, offset: int, disk: Disk) -> None:
    descriptor = disk.open(path)
    try:
        disk.write_at(descriptor, data, offset)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def _content(path: Path, at_most: int | None = None) -> bytes:
    """The file's content, or its end; nothing if there is no such file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        if at_most is not None:
            file.seek(max(0, path.stat().st_size - at_most))
        return file.read()
