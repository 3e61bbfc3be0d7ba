"""Stand-alone verifier of a Gatebook ledger: ``python verifier.py FOLDER [--log-key VKEY] [--head FILE] [--json]``.

One file, nothing but Python's standard library; ``cryptography`` and ``orjson`` make it faster where they are installed. It
only reads, needs no network, and may run while the gateway writes: it checks up to the newest checkpoint.

What it checks, from the bytes up: every frame of the write-ahead log against the entry bundles, bundles against the hash tiles,
tiles against each other, the tree's root against every signed checkpoint (so that the log was only ever appended to), each
entry's canonical form, index, time and origin, each session's numbering from opening to close, every heartbeat's list of open
sessions, and the chain of seals. Any file or byte in the folder that this does not account for is a fault.

Where write-ahead log and bundle differ, the hash tile tells which of the two was changed. Where both were, the checkpoints
before and after bound the place.

Exit status 0: intact. 1: damaged. 2: called wrongly.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]
try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    Ed25519PublicKey = None  # type: ignore[assignment,misc]

WIDTH = 256
LONGEST = 65_535
SECTOR = 512
SEAL_PREFIX = b"log.seal/v1\n"
QUIET_SECONDS = 60  # between two heartbeats before it is worth a note
MOST_FAULTS = 50  # told one by one; the rest is counted
FRAME = struct.Struct(">II")
_NOTE = re.compile(rb"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([^\n]+)\n\n((?:\xe2\x80\x94 [^\n]+\n)+)")
_TILE = re.compile(r"tile/(entries|[0-5])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# -- Ed25519 (RFC 8032 §5.1.7), for machines without the cryptography package ------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T


def _add(a: _Point, b: _Point) -> _Point:
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    u, v = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = t - s, v - u, v + u, t + s
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _point(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


def _times(pairs: tuple[tuple[int, _Point], tuple[int, _Point]]) -> _Point:
    (n, a), (m, b) = pairs
    both, total = _add(a, b), (0, 1, 1, 0)
    for bit in range(max(n.bit_length(), m.bit_length()) - 1, -1, -1):
        total = _add(total, total)
        pick = (n >> bit & 1) + 2 * (m >> bit & 1)
        if pick:
            total = _add(total, (a, b, both)[pick - 1])
    return total


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def pure_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the key's over the message, with nothing but integers."""
    point = _point(public) if len(public) == 32 and len(signature) == 64 else None
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or scalar >= _L or _BASE is None:
        return False
    digest = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus = (_P - point[0], point[1], 1, _P - point[3])
    x, y, z, _ = _times(((scalar, _BASE), (digest, minus)))
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the key's over the message."""
    if Ed25519PublicKey is None:
        return pure_ed25519(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# -- the tree ------------------------------------------------------------------------------------------------------------


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _fold(row: list[bytes]) -> bytes:
    while len(row) > 1:
        row = [hashlib.sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


class Tree:
    """RFC 6962's tree, its right edge cut into tiles; ``full`` is told each tile that became full."""

    def __init__(self, full: Callable[[str, int, bytes], None]) -> None:
        self.size = 0
        self._full = full
        self._rows: list[list[bytes]] = [[] for _ in range(6)]

    def add(self, leaf: bytes) -> None:
        """Add a leaf's hash."""
        self.size += 1
        for level, row in enumerate(self._rows):
            row.append(leaf)
            if len(row) < WIDTH:
                return
            self._full(str(level), self.size // WIDTH ** (level + 1) - 1, b"".join(row))
            leaf, row[:] = _fold(row), []

    def partials(self) -> Iterator[tuple[str, int, bytes]]:
        """Tiles that are begun and not full."""
        for level, row in enumerate(self._rows):
            if row:
                yield str(level), self.size // WIDTH ** (level + 1), b"".join(row)

    def root(self) -> bytes:
        """The root as it stands."""
        root = b""
        for row in self._rows:
            rest = list(row)
            while rest:
                cut = len(rest) & -len(rest)
                part, rest = _fold(rest[-cut:]), rest[:-cut]
                root = hashlib.sha256(b"\x01" + part + root).digest() if root else part
        return root or hashlib.sha256(b"").digest()


# -- what is found ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """Something that must not be, and where: as much of the place as is known."""

    what: str
    file: str = ""
    offset: int | None = None
    index: int | None = None
    session: str | None = None
    time: int | None = None

    def __str__(self) -> str:
        place = [self.file] if self.file else []
        place += [f"offset {self.offset}"] if self.offset is not None else []
        place += [f"entry {self.index}"] if self.index is not None else []
        place += [f"session {self.session}"] if self.session else []
        place += [when(self.time)] if self.time else []
        return f"{', '.join(place)}: {self.what}" if place else self.what


@dataclass
class Report:
    """All that was found. ``anchored`` says that the key came from outside the folder."""

    folder: str
    anchored: bool = False
    key: str = ""
    origin: str = ""
    size: int = 0
    root: str = ""
    later: int = 0
    closed: bool = False
    first_time: int = 0
    last_time: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    rulings: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """No fault was found."""
        return not self.faults

    def fault(self, what: str, **place: Any) -> None:
        """Take down a fault."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(shown(what), **place))
        else:
            self.more_faults += 1

    def count(self, what: str, by: int = 1) -> None:
        """Count something that was checked."""
        self.counts[what] = self.counts.get(what, 0) + by


class HopelessError(Exception):
    """Nothing further can be checked; the fault is in the report."""


def when(time: int) -> str:
    """A time of the log as people read it."""
    try:
        return datetime.fromtimestamp(time / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    except (OverflowError, ValueError, OSError):
        return f"time {time}"


def shown(text: str) -> str:
    """Text from the folder, safe for a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _first_difference(have: bytes, wanted: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(have, wanted, strict=False)) if a != b), min(len(have), len(wanted)))


def _base64(text: str | bytes, length: int) -> bytes:
    """Decode strictly: exactly one text stands for the bytes."""
    raw = text.encode() if isinstance(text, str) else text
    data = base64.b64decode(raw, validate=True)
    if len(data) != length or base64.b64encode(data) != raw:
        raise ValueError("base64 that is not canonical")
    return data


# -- keys and checkpoints ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A log's verifier key."""

    origin: str
    id: bytes
    public: bytes
    text: str

    @classmethod
    def of(cls, origin: str, public: bytes) -> Key:
        """The key of the log with this origin, which holds this public key."""
        data = b"\x01" + public
        key_id = hashlib.sha256(origin.encode() + b"\n" + data).digest()[:4]
        return cls(origin, key_id, public, f"{origin}+{key_id.hex()}+{base64.b64encode(data).decode()}")

    @classmethod
    def parse(cls, text: str) -> Key:
        """From ``origin+keyid+base64``; ValueError."""
        origin, _, rest = text.strip().partition("+")
        key_id, _, value = rest.partition("+")
        data = _base64(value, 33)
        public = data[1:]
        wanted = hashlib.sha256(origin.encode() + b"\n" + data).digest()[:4]
        if data[0] != 1 or key_id != wanted.hex() or not origin:
            raise ValueError("not an Ed25519 verifier key (origin+keyid+base64)")
        return cls(origin, wanted, public, text.strip())


@dataclass(frozen=True)
class Head:
    """A signed checkpoint, and where it was read."""

    size: int
    root: bytes
    file: str
    offset: int


def read_head(note: bytes, key: Key, file: str, offset: int = 0) -> Head:
    """Check a signed note; ValueError says what is wrong."""
    match = _NOTE.fullmatch(note)
    if not match:
        raise ValueError("not a signed checkpoint")
    origin, size, root, signatures = match.groups()
    if origin != key.origin.encode():
        raise ValueError(f"origin {origin!r}, expected {key.origin!r}")
    signed = b"%s\n%s\n%s\n" % (origin, size, root)
    for line in signatures.splitlines():
        name, _, value = line[4:].partition(b" ")
        if name == origin and base64.b64decode(value + b"==")[:4] == key.id:
            if not ed25519(key.public, _base64(value, 68)[4:], signed):
                raise ValueError("the signature does not fit the checkpoint")
            return Head(int(size), _base64(root, 32), file, offset)
    raise ValueError("not signed with the log's key")


# -- the write-ahead log ---------------------------------------------------------------------------------------------------


class Wal:
    """Reads the write-ahead log frame by frame, across segments. A gateway that writes lets segments go meanwhile, once all of
    their entries are in full bundles: from there on they are looked at in those.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._data = b""
        self._used = self._offset = 0
        self._begin()

    def _begin(self, behind: int = -1) -> None:
        """With the first segment that there is. One that begins ``behind`` this entry comes after segments that were let go."""
        for _ in range(10):
            found = (path.name for path in (self._folder / "wal").glob("*"))
            self._names = sorted(name for name in found if re.fullmatch(r"[0-9]{12}", name))
            self._at, self.first = -1, int(self._names[0]) if self._names else 0
            self._ended = not self._names
            if self._ended or self._load(0):
                break
        else:
            raise FileNotFoundError(2, "segments go as fast as they are read", str(self._folder / "wal"))
        if not self._ended and (self.first <= behind or not self._bundled(self.first)):
            what = "a segment is missing before it: only full bundles make it needless"
            self._report.fault(what, file=f"wal/{self._names[0]}")
            self._ended = True

    def _bundled(self, first: int) -> bool:
        """Whether all entries before this one are in full bundles: those under the checkpoint, and any that came since."""
        since = range(self._report.size // WIDTH, -(-first // WIDTH))
        return all((self._folder / _tile_name("entries", number)).exists() for number in since)

    def _load(self, at: int) -> bool:
        """Take up a segment; whether it is still there."""
        try:
            data = (self._folder / "wal" / self._names[at]).read_bytes()
        except FileNotFoundError:
            return False
        self._at, self._offset, self._data = at, 0, data
        self._used = len(self._data.rstrip(b"\x00"))
        self._report.count("segments")
        return True

    @property
    def file(self) -> str:
        """The segment being read."""
        return f"wal/{self._names[self._at]}"

    @property
    def readable(self) -> bool:
        """Whether there is a write-ahead log, and nothing hopeless was met in it."""
        return not self._ended

    def has(self, index: int) -> bool:
        """Whether this entry should be here; the first ones may have been let go since the bundles have them."""
        if not self._ended and self._at + 1 < len(self._names) and int(self._names[self._at + 1]) == index:
            self._surplus("bytes after the last entry of a segment")
            if not self._load(self._at + 1):
                self._begin(index)
        return not self._ended and index >= self.first

    def peek(self, index: int) -> bytes | None:
        """The entry in the frame at hand, None if there is no whole frame."""
        if not self.has(index):
            return None
        if self._offset + FRAME.size > len(self._data):
            return None
        length, crc = FRAME.unpack_from(self._data, self._offset)
        body = self._data[self._offset + FRAME.size : self._offset + FRAME.size + length]
        return body if 0 < length <= LONGEST and len(body) == length and zlib.crc32(body) == crc else None

    def step(self, length: int) -> None:
        """Go past a frame."""
        self._offset += FRAME.size + length

    def compare(self, index: int, entry: bytes, found: bytes | None, **place: Any) -> None:
        """The frame at hand should hold this entry and does not: tell where, and go past it."""
        wanted = FRAME.pack(len(entry), zlib.crc32(entry)) + entry
        have = self._data[self._offset : self._offset + len(wanted)]
        if self._offset >= self._used:
            what = f"the write-ahead log ends before entry {index}"
            self._report.fault(what, file=self.file, offset=self._offset, index=index, **place)
            self._ended = True
            return
        offset = self._offset + _first_difference(have, wanted)
        what = (
            "the frame of the write-ahead log was changed" if found is None else "the write-ahead log holds another entry here"
        )
        self._report.fault(what, file=self.file, offset=offset, index=index, **place)
        self.step(len(found if found is not None else entry))

    def _surplus(self, what: str) -> None:
        """After the last frame of a segment there are only zeros."""
        rest = self._data[self._offset :].lstrip(b"\x00")
        if rest:
            self._report.fault(what, file=self.file, offset=len(self._data) - len(rest))

    def rest(self, closed: bool) -> None:
        """What follows the last frame: nothing but zeros, or, in a log that is not closed, a write that was cut."""
        if self._ended:
            return
        if self.first > self._report.size:
            self._report.notes.append("what is newer than the checkpoint was let go meanwhile, and is not counted")
            return
        if self._offset < self._used:
            if closed or not self._is_cut():
                self._surplus("bytes that are no entry of the log")
            else:
                self._report.notes.append(
                    f"{self.file}: offset {self._offset}: an unfinished write at the end, never acknowledged"
                )
        for name in self._names[self._at + 1 :]:
            if (self._folder / "wal" / name).read_bytes().strip(b"\x00") or closed:
                self._report.fault("a segment that does not follow the one before", file=f"wal/{name}", offset=0)
        self._check_next()

    def _is_cut(self) -> bool:
        if self._used - self._offset < FRAME.size:
            return True
        length = FRAME.unpack_from(self._data, self._offset)[0]
        end = self._offset + FRAME.size + length
        holes = range(-(-self._offset // SECTOR) * SECTOR, self._used, SECTOR)
        return length <= LONGEST and (end > self._used or any(not any(self._data[at : at + SECTOR]) for at in holes))

    def _check_next(self) -> None:
        path = self._folder / "wal/next"
        try:
            with path.open("rb") as file:
                inode, data = os.fstat(file.fileno()).st_ino, file.read()
            used = len(data) - len(data.lstrip(b"\x00"))
            if used < len(data) and path.stat().st_ino == inode:
                self._report.fault("the segment to come holds more than zeros", file="wal/next", offset=used)
        except FileNotFoundError:  # it became a segment just now
            return


# -- tiles and bundles -----------------------------------------------------------------------------------------------------


class Tiles:
    """The files under ``tile/``, each compared once with what the entries say it must be."""

    def __init__(self, folder: Path, names: list[str], report: Report) -> None:
        self._folder = folder
        self._report = report
        self._files: dict[tuple[str, int], dict[int, str]] = {}
        for name in names:
            match = _TILE.fullmatch(name)
            if match and int(match[3] or 1) < WIDTH:
                number = int(match[2].replace("x", "").replace("/", ""))
                self._files.setdefault((match[1], number), {})[int(match[3] or WIDTH)] = name
            else:
                report.fault("a file that does not belong to the log", file=shown(name))

    def read(self, kind: str, number: int, width: int) -> bytes:
        """Content of the tile with at least this width, empty if there is none."""
        for have, name in sorted(self._files.get((kind, number), {}).items()):
            if have >= width:
                return self._content(name) or b""
        return b""

    def _content(self, name: str) -> bytes | None:
        for path in (self._folder / name, self._folder / name.partition(".p/")[0]):
            try:
                with path.open("rb") as file:
                    return file.read(WIDTH * (LONGEST + 2) + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
        return None

    def check(self, kind: str, number: int, parts: list[bytes], locate: Callable[[int], dict[str, Any]], *, need: bool) -> None:
        """Compare every file of this tile that is not wider than its parts; ``need``: one so wide or wider must be there."""
        files = self._files.get((kind, number), {})
        if need and not any(width >= len(parts) for width in files):
            name = _tile_name(kind, number) + (f".p/{len(parts)}" if len(parts) < WIDTH else "")
            self._report.fault("the file is missing", file=name, **locate(0))
        for width in [width for width in files if width <= len(parts)]:
            name, wanted = files.pop(width), parts[:width]
            have = self._content(name)
            self._report.count("bundles" if kind == "entries" else "tiles")
            if have is None or have == b"".join(wanted) or self._is_whole_by_now(name, have, wanted):
                continue
            if not need and b"".join(wanted).startswith(have):
                self._report.notes.append(f"{name}: unfinished, and beyond the newest checkpoint")
                continue
            offset = _first_difference(have, b"".join(wanted))
            what = "the bundle was changed" if kind == "entries" else "the tile was changed"
            self._report.fault(what, file=name, offset=offset, **locate(_position(wanted, offset)))

    def _is_whole_by_now(self, name: str, have: bytes, wanted: list[bytes]) -> bool:
        """Whether a partial tile went because the full one came, which was read in its place."""
        return have.startswith(b"".join(wanted)) and not (self._folder / name).exists()

    def rest(self, closed: bool) -> None:
        """Files of tiles that the log's entries do not reach."""
        left = [name for files in self._files.values() for name in files.values()]
        for name in left if closed else []:
            self._report.fault("a tile beyond the end of the log", file=name, offset=0)


def _position(parts: list[bytes], offset: int) -> int:
    """Which of the parts has the byte at ``offset``."""
    position = 0
    while position < len(parts) - 1 and offset >= len(parts[position]):
        offset -= len(parts[position])
        position += 1
    return position


def _tile_name(kind: str, number: int) -> str:
    digits = f"{number:03d}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return f"tile/{kind}/" + "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])


# -- what entries say ----------------------------------------------------------------------------------------------------------


def _fields(entry: bytes) -> dict[str, Any]:
    """An entry's fields; ValueError unless its bytes are canonical (RFC 8785 without floats and null)."""
    try:
        fields: dict[str, Any] = orjson.loads(entry) if orjson else json.loads(entry.decode())
        if orjson:
            again = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        else:
            again = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        plain = isinstance(fields, dict) and _is_plain(fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if again != entry or not plain:
        raise ValueError("not in canonical form")
    return fields


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(name.isascii() and _is_plain(item) for name, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < 2**53)


Hear = Callable[[int, Mapping[str, Any]], None]


class Reading:
    """Reads entries in their order: common fields, sessions, heartbeats, seals, starts and stops."""

    def __init__(self, key: Key, heads: Mapping[int, Head], report: Report, hear: Hear | None) -> None:
        self._key = key
        self._heads = heads
        self._report = report
        self._hear = hear or (lambda index, fields: None)
        self._sessions: dict[str, int] = {}
        self._left_open: set[str] = set()
        self._told: set[str] = set()  # by the parts of a heartbeat so far
        self._odd: set[str] = set()  # sessions that the last heartbeat told otherwise than the log
        self._epoch = 0
        self._sealing: bytes | None = None
        self._sealed = 0
        self._altered = False
        self._heartbeat = 0
        self._state = "before"  # then up, and down after log.close

    def take(self, index: int, entry: bytes, root: Callable[[], bytes], place: dict[str, Any]) -> None:
        """Read the entry at ``index``; ``root`` gives the tree's root before it."""
        try:
            fields = _fields(entry)
            kind = self._common(index, fields)
            self._hear(index, fields)
            self._report.kinds[kind] = self._report.kinds.get(kind, 0) + 1
            self._restarts(index, kind, fields)
            self._session(index, kind, fields)
            if kind == "log.seal":
                self._seal(index, fields, root)
            elif self._sealed == index and index not in self._heads and kind != "log.boot" and index:
                raise ValueError(f"the checkpoint of {index} is missing from checkpoints.log")
        except ValueError as error:
            self._report.fault(str(error), index=index, **place, **_about(entry))
        except KeyError as error:
            self._report.fault(f"the entry has no field {error.args[0]!r}", index=index, **place, **_about(entry))
        except TypeError as error:
            self._report.fault(f"a field of the entry is of a wrong type: {error}", index=index, **place, **_about(entry))

    def _common(self, index: int, fields: dict[str, Any]) -> str:
        if fields["v"] != 1 or not isinstance(fields["type"], str) or not _UUID7.fullmatch(fields["id"]):
            raise ValueError("version, type or id is not an entry's")
        if fields["origin"] != self._key.origin:
            raise ValueError(f"the entry is of another log, {fields['origin']!r}")
        time, before = int(fields["time"]), self._report.last_time
        self._report.first_time = self._report.first_time or time
        self._report.last_time = max(time, before)
        if time < before:
            raise ValueError(f"time goes back, from {when(before)}")
        return str(fields["type"])

    def _restarts(self, index: int, kind: str, fields: dict[str, Any]) -> None:
        if kind == "log.boot":
            self._left_open = set(self._sessions)
            expected = {"before": "first", "up": "crash", "down": "clean"}[self._state]
            self._state, self._sealing, self._heartbeat = "up", None, fields["time"]
            if fields["restart"] != expected or fields["size"] != index or fields["left_open"] != len(self._left_open):
                raise ValueError("log.boot does not describe the log before it")
            if expected == "crash":
                self._report.count("crashes")
        elif self._state == "before":
            raise ValueError("the log does not begin with log.boot")
        elif self._state == "down" and kind != "log.seal":
            raise ValueError("an entry after log.close")
        elif kind == "log.close":
            self._state = "down"
            if self._sessions or fields["size"] != index:
                raise ValueError("log.close with sessions open, or at another size")
        elif kind == "log.heartbeat":
            self._beat(fields)

    def _beat(self, fields: dict[str, Any]) -> None:
        quiet = (fields["time"] - self._heartbeat) // 1_000_000
        if quiet > QUIET_SECONDS:
            self._report.notes.append(f"no heartbeat for {quiet} s before {when(fields['time'])}")
        self._heartbeat = fields["time"]
        self._told = (self._told if fields["part"] > 1 else set()) | set(fields["open_sids"])
        seqs = fields.get("seqs")
        if seqs is not None and seqs != [self._sessions.get(sid) for sid in fields["open_sids"]]:
            raise ValueError("the heartbeat tells other numbers of entries of open sessions than the log")
        if fields["part"] < fields["parts"]:
            return
        odd = self._told ^ set(self._sessions)
        news, self._odd = sorted(odd - self._odd), odd
        if news:
            raise ValueError(f"the heartbeat's list of open sessions is not what the log says: {', '.join(news[:5])}")

    def _session(self, index: int, kind: str, fields: dict[str, Any]) -> None:
        sid = fields.get("sid")
        if sid is None:
            return
        expected, seq = self._sessions.get(sid, 0 if kind == "session.open" else None), fields["seq"]
        if kind == "action":
            self._report.rulings[str(fields.get("ruling"))] = self._report.rulings.get(str(fields.get("ruling")), 0) + 1
        if kind == "session.close":
            self._sessions.pop(sid, None)
            self._left_open.discard(sid)
        else:
            self._sessions[sid] = seq + 1
        if expected is None:
            raise ValueError(f"session {sid} was never opened, or is closed")
        if seq != expected or (kind == "session.open") != (seq == 0):
            raise ValueError(f"session {sid}: expected its entry {expected}, found {seq}")
        if kind == "session.close" and fields["count"] != seq + 1:
            raise ValueError(f"session {sid}: closed with {fields['count']} entries, the log has {seq + 1}")
        if sid in self._left_open:
            raise ValueError(f"session {sid} goes on after a restart")

    def _seal(self, index: int, fields: dict[str, Any], root: Callable[[], bytes]) -> None:
        self._report.count("seals")
        self._sealed = index + 1
        boot, epoch = bool(fields["boot"]), fields["epoch"]
        public = self._key.public if boot else self._sealing
        expected, self._epoch = self._epoch, epoch + 1
        first, self._sealing = self._sealing is None, _base64(fields["next"], 32)
        if epoch != expected or boot != first or fields["size"] != index or public is None:
            raise ValueError(f"seal {epoch} does not follow the one before: expected {expected}")
        bare = {name: value for name, value in fields.items() if name != "sig"}
        signed = SEAL_PREFIX + json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if not ed25519(public, _base64(fields["sig"], 64), signed):
            raise ValueError(f"seal {epoch}: the signature does not fit")
        if _base64(fields["root"], 32) != root() and not self._altered:
            self._altered = True
            raise ValueError(f"seal {epoch}: the entries before it are not those that it sealed")

    def end(self, size: int) -> None:
        """After the last covered entry."""
        self._report.closed = self._state == "down"
        self._report.counts["open sessions"] = len(self._sessions)
        if self._sealed != size:
            self._report.fault("the newest checkpoint does not end on a seal", index=size - 1)
        for sid in sorted(self._left_open):
            self._report.fault("open since before a restart, and never closed", session=shown(sid))


@dataclass(frozen=True)
class Told:
    """What an entry of the head log says of another log."""

    size: int
    root: bytes
    index: int
    time: int

    def __str__(self) -> str:
        return f"its entry {self.index}, {when(self.time)}"


# -- the whole -----------------------------------------------------------------------------------------------------------------

Progress = Callable[[int, int], None]


class Verification:
    """One pass over one folder."""

    def __init__(
        self,
        folder: Path,
        log_key: str | None,
        head: bytes | None,
        progress: Progress | None,
        told: Mapping[int, Told] | None = None,
        hear: Hear | None = None,
    ) -> None:
        self._folder = folder
        self._given = log_key
        self._head_given = head
        self._progress = progress
        self._told = told or {}  # what the head log says of this log
        self._hear = hear
        self.report = Report(folder=str(folder), anchored=log_key is not None)
        self._current: list[bytes] = []  # entries of the bundle at hand, and the number of that bundle
        self._number = 0
        self._listed = 0  # largest size in checkpoints.log so far
        self._good = 0  # size of the newest checkpoint whose root was right
        self._altered = False
        self._contradicted = False  # by the head log

    def run(self) -> Report:
        """Check everything that can be checked."""
        try:
            self._run()
        except HopelessError:
            pass
        except OSError as error:
            self.report.fault(f"cannot be read: {error.strerror}", file=shown(str(error.filename or "")))
        return self.report

    def _run(self) -> None:
        if not (self._folder / "checkpoint").exists() and not (self._folder / "tile").exists():
            self._give_up("there is no ledger in this folder")
        self._key = self._find_key()
        self._heads = self._find_heads()
        self.report.size = max(self._heads)
        names = self._list_files()
        self._wal = Wal(self._folder, self.report)
        self._tiles = Tiles(self._folder, [name for name in names if name.startswith("tile/")], self.report)
        self._tree = Tree(self._full)
        self._reading = Reading(self._key, self._heads, self.report, self._hear)
        self._cut_back()
        self._covered()
        self._uncovered()

    def _cut_back(self) -> None:
        """The head log knows no more entries than there are."""
        last = max(self._told, default=0)
        if last > self.report.size:
            told = self._told[last]
            what = f"the log was cut back to {self.report.size} entries: the head log knows {last} ({told})"
            self.report.fault(what, file="checkpoint", index=self.report.size, time=told.time)

    def _give_up(self, what: str, **place: Any) -> None:
        self.report.fault(what, **place)
        raise HopelessError

    # keys, checkpoints and names

    def _find_key(self) -> Key:
        path = self._folder / "log.vkey"
        own = self._read(path)
        try:
            key = Key.parse(self._given if self._given is not None else own.decode())
        except (ValueError, binascii.Error):
            self._give_up(
                "not a verifier key (origin+keyid+base64)", file="--log-key" if self._given is not None else "log.vkey"
            )
            raise
        wanted = f"{key.text}\n".encode()
        if own != wanted:
            self.report.fault(
                "the folder names another key" if own else "the file is missing",
                file="log.vkey",
                offset=_first_difference(own, wanted),
            )
        self.report.key, self.report.origin = key.text, key.origin
        return key

    def _read(self, path: Path, at_most: int = 1 << 16) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(at_most)
        except FileNotFoundError:
            return b""

    def _find_heads(self) -> dict[int, Head]:
        """Every good checkpoint by size. Read in the order that shows a writing gateway's files as they are."""
        path = self._folder / "checkpoints.log"
        before = self._read(path, -1)
        newest = self._read(self._folder / "checkpoint")
        for _ in range(10):
            known = self._read(path, -1)
            if newest + b"\n" in known:
                break
            time.sleep(0.02)  # the gateway may be between its two writes
        heads: dict[int, Head] = {}
        self._take_head(heads, newest, "checkpoint", 0)
        limit = max(heads, default=sys.maxsize)
        end = 0
        for match in re.finditer(_NOTE.pattern + rb"\n", known):
            if match.start() > end:
                self.report.fault("bytes that are no checkpoint", file="checkpoints.log", offset=end)
            end = match.end()
            if int(match[2]) <= limit or end <= len(before):
                self._take_head(heads, match.group()[:-1], "checkpoints.log", match.start())
        self._newest, self._listed_newest = newest + b"\n", newest + b"\n" in known
        self._heads_end, self._heads_left = end, known[end:]
        if max(heads, default=0) > limit:
            self.report.fault(
                f"an older checkpoint ({limit}) was put in the place of a newer ({max(heads)})", file="checkpoint", offset=0
            )
        if not heads:
            self._give_up("no checkpoint can be trusted, so nothing can be checked", file="checkpoint")
        self.report.counts["checkpoints"] = len(heads)
        if self._head_given is not None:
            self._anchor(heads, self._head_given)
        return heads

    def _take_head(self, heads: dict[int, Head], note: bytes, file: str, offset: int) -> None:
        try:
            head = read_head(note, self._key, file, offset)
        except (ValueError, binascii.Error) as error:
            self.report.fault(str(error) if note else "the file is missing", file=file, offset=offset)
            return
        if file == "checkpoints.log":
            if head.size < self._listed:
                self.report.fault(f"the checkpoint of {head.size} stands after one of {self._listed}", file=file, offset=offset)
            self._listed = max(self._listed, head.size)
        if heads.setdefault(head.size, head).root != head.root:
            self.report.fault(f"two signed checkpoints of {head.size} have different roots", file=file, offset=offset)

    def _anchor(self, heads: dict[int, Head], note: bytes) -> None:
        """A checkpoint that was kept outside the folder: the log must have grown from it."""
        before, newest = len(self.report.faults), max(heads)
        self._take_head(heads, note, "--head", 0)
        if len(self.report.faults) == before and max(heads) > newest:
            size = max(heads)
            del heads[size]
            self.report.fault(f"the log was cut back: the checkpoint given covers {size} entries, the folder's newest {newest}")

    def _list_files(self) -> list[str]:
        names = []
        for folder, _, files in os.walk(self._folder):
            names += [(Path(folder) / name).relative_to(self._folder).as_posix() for name in files]
        known = re.compile(
            r"lock|log\.vkey|checkpoint|checkpoint\.tmp|log\.vkey\.tmp|checkpoints\.log|wal/(?:[0-9]{12}|next)|tile/.*"
        )
        for name in sorted(names):
            if not known.fullmatch(name):
                self.report.fault("a file that does not belong to the log", file=shown(name))
        if self._read(self._folder / "lock"):
            self.report.fault("the lock is not empty", file="lock", offset=0)
        if not any(name.startswith("wal/") for name in names):
            self.report.notes.append("there is no write-ahead log in this folder (a copy for an auditor has none)")
        return names

    # entries

    def _covered(self) -> None:
        """The entries under the newest checkpoint."""
        for number in range(-(-self.report.size // WIDTH)):
            width = min(WIDTH, self.report.size - number * WIDTH)
            self._bundle(number, width)
            if self._progress:
                self._progress(self._tree.size, self.report.size)
        self._partials(need=True)
        self._reading.end(self.report.size)

    def _bundle(self, number: int, width: int) -> None:
        data, offset = self._tiles.read("entries", number, width), 0
        leaves = self._tiles.read("0", number, width)
        self._current, self._number = [], number
        name = _tile_name("entries", number) + (f".p/{width}" if width < WIDTH else "")
        for position in range(width):
            index = number * WIDTH + position
            length = int.from_bytes(data[offset : offset + 2], "big")
            bundled = data[offset + 2 : offset + 2 + length] if 2 + length <= len(data) - offset and length else None
            entry = self._truth(index, bundled, leaves[position * 32 : position * 32 + 32])
            place = {"file": name, "offset": offset}
            offset += 2 + len(entry)
            self._entry(index, entry, place)
        if self._tree.size % WIDTH == 0:
            self._check_bundle(need=True)

    def _truth(self, index: int, bundled: bytes | None, leaf: bytes) -> bytes:
        """Which bytes the entry has, by two of three witnesses: write-ahead log, bundle and hash tile."""
        if not self._wal.has(index):
            entry = bundled
        else:
            logged = self._wal.peek(index)
            entry = logged
            if logged is None or (logged != bundled and bundled is not None and _leaf(bundled) == leaf != _leaf(logged)):
                entry = bundled
            if entry is not None and entry == logged:
                self._wal.step(len(entry))
            elif entry is not None:
                self._wal.compare(index, entry, logged, **_about(entry))
        if entry is None:
            place = {"file": self._wal.file} if self._wal.has(index) else {}
            self._give_up(self._broken_off(index), index=index, **place)
            raise HopelessError
        return entry

    def _broken_off(self, index: int) -> str:
        """What is to be said of entries from here on, and of those since the last good checkpoint, which none can prove now."""
        last = self.report.size - 1
        gone = f"entries {index} to {last} are missing or cannot be read{self._after(index)}"
        if self._altered or self._good == index:
            return gone
        return (
            f"entries {self._good} to {last} cannot be shown to be those that were signed: {gone}, and without them no "
            f"checkpoint tells whether one before was changed, removed or inserted (up to {self._good} the log is as it was "
            "signed)"
        )

    def _after(self, index: int) -> str:
        about = _about(self._current[-1]) if self._current else {}
        return f"; entry {index - 1} is of {when(about['time'])}" if about.get("time") else ""

    def _entry(self, index: int, entry: bytes, place: dict[str, Any]) -> None:
        if index < self.report.size:
            self._reading.take(index, entry, self._tree.root, place)
        self._current.append(entry)
        self._tree.add(_leaf(entry))
        head = self._heads.get(index + 1)
        if head:
            self._check_head(head)
        told = self._told.get(index + 1)
        if told and not self._contradicted and self._tree.root() != told.root:
            self._contradicted = True
            what = f"the first {index + 1} entries are not those that the head log knows ({told})"
            self.report.fault(what, file="checkpoints.log", index=index, time=told.time)

    def _check_head(self, head: Head) -> None:
        if self._tree.root() == head.root:
            self._good = head.size
        elif not self._altered:
            self._altered = True
            self.report.fault(
                f"entries {self._good} to {head.size - 1} are not those that were signed: something among them was changed, "
                f"removed, inserted or moved (up to {self._good} the log is as it was signed)",
                file=head.file,
                offset=head.offset,
                **_about(self._current[-1]),
            )

    def _full(self, level: str, number: int, hashes: bytes) -> None:
        self._check_tile(level, number, hashes, need=self._tree.size <= self.report.size)

    def _check_tile(self, level: str, number: int, hashes: bytes, *, need: bool) -> None:
        parts = [hashes[i : i + 32] for i in range(0, len(hashes), 32)]
        self._tiles.check(level, number, parts, lambda position: self._locate(int(level), number, position), need=need)

    def _locate(self, level: int, number: int, position: int) -> dict[str, Any]:
        """Place of the first entry under a hash of a tile."""
        index = (number * WIDTH + position) * WIDTH**level
        at_hand = level == 0 and number == self._number and position < len(self._current)
        return {"index": index} | (_about(self._current[position]) if at_hand else {})

    def _check_bundle(self, *, need: bool) -> None:
        parts = [len(entry).to_bytes(2, "big") + entry for entry in self._current]
        self._tiles.check("entries", self._number, parts, lambda position: self._locate(0, self._number, position), need=need)

    def _partials(self, *, need: bool) -> None:
        for level, number, hashes in self._tree.partials():
            self._check_tile(level, number, hashes, need=need)
        if self._current and self._tree.size % WIDTH:
            self._check_bundle(need=need)

    def _uncovered(self) -> None:
        """What lies beyond the newest checkpoint: entries that are not signed yet, or nothing in a log that was closed."""
        closed = self.report.closed
        index = self.report.size
        while not closed and self._wal.readable and (entry := self._wal.peek(index)) is not None:
            if index % WIDTH == 0:
                self._current, self._number = [], index // WIDTH
            self._entry(index, entry, {})
            self._wal.step(len(entry))
            index += 1
            if index % WIDTH == 0:
                self._check_bundle(need=False)
        self.report.later = index - self.report.size
        self._partials(need=False)
        self._wal.rest(closed)
        self._tiles.rest(closed)
        self._list_end(closed)

    def _list_end(self, closed: bool) -> None:
        """The end of checkpoints.log: a crash may leave out the newest checkpoint, or the end of it, until the next start."""
        torn = not self._listed_newest and self._newest.startswith(self._heads_left)
        if self._heads_left and not torn and (closed or not self._listed_newest):
            self.report.fault("bytes that are no checkpoint", file="checkpoints.log", offset=self._heads_end)
        elif not self._listed_newest:
            self.report.notes.append(
                "the newest checkpoint is not in checkpoints.log yet, as a crash between the two leaves it"
            )


def _about(entry: bytes) -> dict[str, Any]:
    """Session and time of an entry, as far as they can be read."""
    try:
        fields = json.loads(entry)
        sid, time = fields.get("sid"), fields.get("time")
    except (ValueError, AttributeError, RecursionError):
        return {}
    place = {"session": shown(sid)} if isinstance(sid, str) else {}
    return place | ({"time": time} if isinstance(time, int) else {})


def verify(folder: Path, log_key: str | None = None, head: bytes | None = None, progress: Progress | None = None) -> Report:
    """Verify the ledger in a folder. ``log_key`` is a verifier key, ``head`` a checkpoint, each obtained outside the folder."""
    return Verification(folder, log_key, head, progress).run()


# -- all logs of a folder ------------------------------------------------------------------------------------------------------

PROCESS = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
HEAD = "head"
OWN = ("wal", "tile", "checkpoint", "checkpoints.log", "log.vkey")  # what lies in a log's own folder


@dataclass
class Book:
    """What was found in a folder with the logs of several processes: a report for each, and ``own`` faults of the whole."""

    folder: str
    anchored: bool = False
    key: str = ""
    logs: dict[str, Report] = field(default_factory=dict)
    own: Report = field(default_factory=lambda: Report(""))

    @property
    def intact(self) -> bool:
        """No fault was found."""
        return not self.faults

    @property
    def faults(self) -> list[Fault]:
        """Every fault, its file named from the book's folder."""
        inside = [_within(name, fault) for name, log in self.logs.items() for fault in log.faults]
        return [*self.own.faults, *inside]

    @property
    def more_faults(self) -> int:
        """Faults that were only counted."""
        return sum(log.more_faults for log in (self.own, *self.logs.values()))

    @property
    def notes(self) -> list[str]:
        """Every note."""
        return [*self.own.notes, *(f"{name}: {note}" for name, log in self.logs.items() for note in log.notes)]

    @property
    def size(self) -> int:
        """Entries under the newest checkpoints."""
        return sum(log.size for log in self.logs.values())

    @property
    def kinds(self) -> dict[str, int]:
        """Entries by kind."""
        return _summed(log.kinds for log in self.logs.values())

    @property
    def counts(self) -> dict[str, int]:
        """What was checked, and how much of it."""
        return _summed(log.counts for log in self.logs.values())

    @property
    def closed(self) -> bool:
        """Every log ended in order."""
        return all(log.closed for log in self.logs.values())

    @property
    def rulings(self) -> dict[str, int]:
        """Actions by ruling."""
        return _summed(log.rulings for log in self.logs.values())


def _within(name: str, fault: Fault) -> Fault:
    outside = fault.file.startswith("--")
    return fault if outside else replace(fault, file=f"{name}/{fault.file}" if fault.file else name)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def is_log(folder: Path) -> bool:
    """Whether the files of one log lie in the folder itself."""
    return any((folder / name).exists() for name in OWN)


def _order(name: str) -> tuple[int, int, str]:
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


class BookVerification:
    """One pass over a folder with several logs."""

    def __init__(self, folder: Path, log_key: str | None, heads: bytes | None, progress: Progress | None) -> None:
        self._folder = folder
        self._given = log_key
        self._heads = heads
        self._progress = progress
        self.report = Book(str(folder), anchored=log_key is not None)

    def run(self) -> Book:
        """Check everything that can be checked."""
        book = self.report
        names = self._names()
        key = self._key(names)
        if key is None:
            return book
        book.key, prefix = key.text, key.origin.rpartition("/")[0]
        kept = self._kept_heads(prefix, names)
        joining = Joining(key.public, prefix, book)
        for name in sorted(names, key=lambda name: name != HEAD):  # first, since what it knows of the others is in them by then
            mine = Key.of(f"{prefix}/{name}", key.public)
            told, hear = joining.told.get(name), joining.listener(name)
            book.logs[name] = Verification(self._folder / name, mine.text, kept.get(name), self._progress, told, hear).run()
            book.logs[name].anchored = book.anchored
        book.logs = {name: book.logs[name] for name in names}
        joining.end()
        return book

    def _names(self) -> list[str]:
        """The logs here; anything else is a fault."""
        found = []
        for path in self._folder.iterdir():
            if path.is_dir() and PROCESS.fullmatch(path.name):
                found.append(path.name)
            else:
                self.report.own.fault("a file that belongs to no log", file=shown(path.name))
        if not found:
            self.report.own.fault("there is no ledger in this folder")
        return sorted(found, key=_order)

    def _key(self, names: list[str]) -> Key | None:
        """The one key of all logs: the one given, whichever log's it is, else the first that a log names."""
        if self._given is not None:
            texts = {"--log-key": self._given}
        else:
            first = [HEAD, *names] if HEAD in names else names
            texts = {f"{name}/log.vkey": _text_of(self._folder / name / "log.vkey") for name in first}
        for text in texts.values():
            try:
                return Key.parse(text)
            except (ValueError, binascii.Error):
                continue
        for file in list(texts)[:1]:
            self.report.own.fault("not a verifier key (origin+keyid+base64)", file=file)
        return None

    def _kept_heads(self, prefix: str, names: list[str]) -> dict[str, bytes]:
        """The checkpoints that the auditor kept, the newest for each log."""
        kept: dict[str, tuple[int, bytes]] = {}
        for match in re.finditer(_NOTE.pattern, self._heads or b""):
            origin = match[1].decode(errors="replace")
            within, _, name = origin.rpartition("/")
            if within != prefix or name not in names:
                self.report.own.fault(f"a checkpoint of {origin}, a log that is missing here", file="--head")
            elif name not in kept or kept[name][0] < int(match[2]):
                kept[name] = int(match[2]), match.group()
        if self._heads is not None and not kept and not self.report.own.faults:
            self.report.own.fault("not a signed checkpoint", file="--head")
        return {name: note for name, (_, note) in kept.items()}


@dataclass
class Request:
    """A request for approval with what the logs say about it."""

    quorum: int = 1
    digest: str = ""
    asked: bool = False
    approved: int = 0  # when, µs
    voters: set[str] = field(default_factory=set)


class Joining:
    """What only several logs together show: heads, sessions in one log, approvals with their requests and votes."""

    def __init__(self, public: bytes, prefix: str, book: Book) -> None:
        self._public = public
        self._prefix = prefix
        self._book = book
        self.told: dict[str, dict[int, Told]] = {}
        self._sessions: dict[str, str] = {}
        self._requests: dict[str, Request] = {}
        self._votes: list[tuple[str, int, Mapping[str, Any]]] = []
        self._uses: list[tuple[str, int, Mapping[str, Any]]] = []
        self._said: dict[str, int] = {}  # when a log first had an entry that is not about itself
        self._boots: dict[str, int] = {}

    def listener(self, name: str) -> Hear:
        """Hears every entry of the log of this name, in its order."""
        return lambda index, fields: self._hear(name, index, fields)

    def _hear(self, name: str, index: int, fields: Mapping[str, Any]) -> None:
        kind = fields["type"]
        if kind == "log.boot":
            self._boots[name] = fields["time"]
        elif kind == "log.head":
            self._head(name, index, fields)
        elif kind == "session.open":
            self._session(name, index, fields)
        elif kind.startswith("approval."):
            self._approval(name, index, kind, fields)
        elif kind == "action" and fields.get("approval") and fields["ruling"] != "approve":
            self._uses.append((name, index, fields))
        if not kind.startswith("log."):
            self._said.setdefault(name, fields["time"])

    def _head(self, name: str, index: int, fields: Mapping[str, Any]) -> None:
        within, _, other = str(fields["log"]).rpartition("/")
        if name != HEAD or within != self._prefix or other == HEAD:
            raise ValueError(f"a checkpoint of {shown(str(fields['log']))} has no place in this log")
        head = read_head(fields["note"].encode(), Key.of(fields["log"], self._public), "")
        if head.size != fields["size"] or head.root != _base64(fields["root"], 32):
            raise ValueError("the entry tells another size or root than the checkpoint in it")
        known = self.told.setdefault(other, {})
        last = max(known, default=0)
        if head.size < last or known.get(head.size, Told(0, head.root, 0, 0)).root != head.root:
            raise ValueError(f"{fields['log']} went back, from {last} entries to {head.size}, or to another root")
        known.setdefault(head.size, Told(head.size, head.root, index, fields["time"]))

    def _session(self, name: str, index: int, fields: Mapping[str, Any]) -> None:
        other = self._sessions.setdefault(fields["sid"], name)
        if other != name:
            raise ValueError(f"session {fields['sid']} was opened in the log {other}, too")

    def _approval(self, name: str, index: int, kind: str, fields: Mapping[str, Any]) -> None:
        request = self._requests.setdefault(fields["approval"], Request())
        if kind == "approval.request":
            request.asked, request.digest, request.quorum = True, fields["digest"], fields.get("quorum", 1)
        elif kind == "approval.vote":
            self._votes.append((name, index, fields))
            if fields["verdict"] in ("approve", "approved"):
                request.voters.add(fields["approver"])
        elif kind == "approval.result" and fields["verdict"] == "approved":
            request.approved = request.approved or fields["time"]

    def end(self) -> None:
        """Once every log was heard."""
        settled = self._settled()
        for name, index, fields in self._votes:
            request = self._requests[fields["approval"]]
            if fields["time"] <= settled and not request.asked:
                self._fault(name, index, fields, f"a vote on {fields['approval']}, which no log has a request of")
            elif request.asked and fields.get("digest", request.digest) != request.digest:
                self._fault(name, index, fields, f"a vote on another action than was asked for in {fields['approval']}")
        for name, index, fields in self._uses:
            why = self._unapproved(self._requests.get(fields["approval"], Request()), fields["time"])
            if why and fields["time"] <= settled:
                self._fault(name, index, fields, f"let through by the approval {fields['approval']}, {why}")
        self._heads()

    def _settled(self) -> int:
        """Up to when every log that is being written has all it will have: entries come with heartbeats at least."""
        logs = self._book.logs.values()
        newest = max((log.last_time for log in logs), default=0)
        return newest if all(log.closed for log in logs) else newest - QUIET_SECONDS * 1_000_000

    def _unapproved(self, request: Request, time: int) -> str:
        if not request.asked:
            return "which no log has a request of"
        if not request.approved or request.approved > time:
            return "which no log says to have been given before"
        if len(request.voters) < request.quorum:
            return f"with {len(request.voters)} of {request.quorum} votes"
        return ""

    def _fault(self, name: str, index: int, fields: Mapping[str, Any], what: str) -> None:
        sid = fields.get("sid")
        self._book.own.fault(
            what, file=name, index=index, session=shown(sid) if isinstance(sid, str) else None, time=fields["time"]
        )

    def _heads(self) -> None:
        """Every log that the head log knows is here, and it knows every log."""
        book = self._book
        for name, known in self.told.items():
            if name not in book.logs:
                last = known[max(known)]
                what = f"the log is missing: the head log knows {last.size} entries of it ({last})"
                book.own.fault(what, file=shown(name), time=last.time)
        if HEAD not in book.logs:
            book.own.fault("the head log is missing: nothing tells whether other logs are missing or were cut back", file=HEAD)
            return
        for name, log in book.logs.items():
            if name != HEAD and log.size:
                self._known(name, log, book.logs[HEAD])

    def _known(self, name: str, log: Report, head: Report) -> None:
        grace = QUIET_SECONDS * 2_000_000
        if self._said.get(name, head.first_time) < head.first_time - grace:
            what = f"the head log begins later than this log, {when(head.first_time)}: what it knew before is gone"
            self._book.own.fault(what, file=shown(name), time=self._said[name])
        since = max(log.first_time, self._boots.get(HEAD, 0))
        if name not in self.told and head.last_time - since > grace:
            self._book.own.fault("the head log does not know this log", file=shown(name), time=log.first_time)
        elif name not in self.told:
            self._book.own.notes.append(f"{name}: not known to the head log yet")
        if not log.closed and head.last_time - log.last_time > grace:
            self._book.own.notes.append(f"{name}: not written since {when(log.last_time)}, though it was not closed")


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes()[: 1 << 12].decode(errors="replace")
    except OSError:
        return ""


def verify_book(folder: Path, log_key: str | None = None, head: bytes | None = None, progress: Progress | None = None) -> Book:
    """Verify all logs of a folder. ``log_key`` is any one log's verifier key, ``head`` has checkpoints of one or more logs."""
    return BookVerification(folder, log_key, head, progress).run()


def examine(
    folder: Path, log_key: str | None = None, head: bytes | None = None, progress: Progress | None = None
) -> Report | Book:
    """Verify a folder, whether one log lies in it or several."""
    return (verify if is_log(folder) else verify_book)(folder, log_key, head, progress)


# -- the report ----------------------------------------------------------------------------------------------------------------

NOT_ANCHORED = (
    "NOT ANCHORED: the key was taken from the folder itself. Whoever can write the folder can forge all of it;\n"
    "give the key you were told by other means: --log-key VKEY"
)


def render(report: Report | Book) -> str:
    """The report for people."""
    lines = [] if report.anchored else [NOT_ANCHORED, ""]
    if isinstance(report, Book):
        lines += _head_of_book(report)
        return _with_verdict(lines, report, f"all {report.size:,} entries of {_logs(report)} are as they were signed.")
    lines += [f"Ledger       {shown(report.origin) or '?'}", f"Folder       {shown(report.folder)}"]
    if report.key:
        lines.append(f"Key          {shown(report.key)}{'' if report.anchored else '   (from the folder)'}")
    if report.size:
        lines += _body(report)
    return _with_verdict(lines, report, f"all {report.size:,} entries are as they were signed.")


def _with_verdict(lines: list[str], report: Report | Book, good: str) -> str:
    lines = [*lines, *(f"Note         {shown(note)}" for note in report.notes), ""]
    if report.intact:
        return "\n".join([*lines, f"INTACT: {good}"])
    lines.append(f"DAMAGED: {len(report.faults) + report.more_faults} found")
    lines += [f"  {number}. {fault}" for number, fault in enumerate(report.faults, 1)]
    lines += [f"  … and {report.more_faults} more"] if report.more_faults else []
    return "\n".join(lines)


def _logs(book: Book) -> str:
    return f"{len(book.logs)} log{'' if len(book.logs) == 1 else 's'}"


def _head_of_book(book: Book) -> list[str]:
    lines = [f"Folder       {shown(book.folder)}"]
    if book.key:
        lines.append(f"Key          {shown(book.key)}{'' if book.anchored else '   (from the folder)'}")
    heading = ("log", "entries", "newest checkpoint", "state", "result")
    rows = [heading, *(_row(name, log) for name, log in book.logs.items())]
    wide = [max(len(row[at]) for row in rows) for at in range(len(heading))]
    lines += ["", *("  " + "  ".join(cell.ljust(wide[at]) for at, cell in enumerate(row)).rstrip() for row in rows), ""]
    rulings = ", ".join(f"{count:,} {shown(ruling)}" for ruling, count in sorted(book.rulings.items()))
    kinds = book.kinds
    lines.append(f"Sessions     {kinds.get('session.open', 0):,}")
    lines.append(f"Actions      {kinds.get('action', 0):,}{': ' + rulings if rulings else ''}")
    return lines


def _row(name: str, log: Report) -> tuple[str, ...]:
    state = "closed" if log.closed else "open"
    result = "intact" if log.intact else f"{len(log.faults) + log.more_faults} faults"
    return shown(log.origin or name), f"{log.size:,}", when(log.last_time) if log.last_time else "", state, result


def _body(report: Report) -> list[str]:
    counts, kinds = report.counts, report.kinds
    opened = kinds.get("session.open", 0)
    state = "closed" if report.closed else "open: being written, or left by a crash"
    rulings = ", ".join(f"{count:,} {shown(ruling)}" for ruling, count in sorted(report.rulings.items()))
    lines = [f"Entries      {report.size:,} under the newest checkpoint; the log is {state}"]
    if report.later:
        lines.append(f"             {report.later:,} more are written and not signed yet")
    if report.first_time:
        lines.append(f"Time         {when(report.first_time)} to {when(report.last_time)}")
    lines += [
        f"Sessions     {opened:,}, of which {counts.get('open sessions', 0):,} open at the end",
        f"Actions      {kinds.get('action', 0):,}{': ' + rulings if rulings else ''}",
        f"Starts       {kinds.get('log.boot', 0):,}, of which {counts.get('crashes', 0):,} after a crash",
        f"Checked      {counts.get('segments', 0):,} segments of the write-ahead log, {counts.get('bundles', 0):,} bundles, "
        f"{counts.get('tiles', 0):,} tiles, {counts.get('checkpoints', 0):,} checkpoints, {counts.get('seals', 0):,} seals",
    ]
    return lines


def as_json(report: Report | Book) -> str:
    """The report for programs."""
    if isinstance(report, Report):
        return json.dumps({"intact": report.intact, **asdict(report)}, indent=2)
    said = {
        "intact": report.intact,
        "folder": report.folder,
        "anchored": report.anchored,
        "key": report.key,
        "size": report.size,
        "kinds": report.kinds,
        "rulings": report.rulings,
        "faults": [asdict(fault) for fault in report.faults],
        "more_faults": report.more_faults,
        "notes": report.notes,
        "logs": {name: {"intact": log.intact, **asdict(log)} for name, log in report.logs.items()},
    }
    return json.dumps(said, indent=2)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify a Gatebook ledger without Gatebook.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--log-key", metavar="VKEY", help="the verifier key of any log here, obtained outside the folder")
    parser.add_argument("--head", type=Path, metavar="FILE", help="checkpoints that were kept outside the folder")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    head = None
    if options.head:
        try:
            head = options.head.read_bytes()
        except OSError as error:
            parser.error(f"--head {options.head}: {error.strerror}")
    try:
        report = examine(options.folder, options.log_key, head)
    except OSError as error:
        parser.error(f"{options.folder}: {error.strerror}")
    sys.stdout.write((as_json(report) if options.json else render(report)) + "\n")
    return 0 if report.intact else 1


if __name__ == "__main__":
    sys.exit(main())
