"""A ZIP of which every byte follows from names and contents: members stored as they are, sorted, at one fixed time.

Nothing is compressed, since two versions of zlib give two files. So the reader can demand each byte of the structure, and tell
the place of one that is not as it must be. Standard library only: the verifier in the package reads with this file.
"""

from __future__ import annotations

import io
import re
import struct
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
VERSION, UNIX = 20, 3 << 8 | 20
DATE = 1 << 5 | 1  # 1980-01-01 00:00, the first time that ZIP knows
MODE = 0o100644 << 16
LARGEST = 2**32 - 1  # of a package without ZIP64
MOST = 2**16 - 1
CRC_AT = 14  # of a member's checksum in its header
NAME = re.compile(r"(?:[A-Za-z0-9_%@=,~-][A-Za-z0-9_%@=,~.-]*/)*[A-Za-z0-9_%@=,~-][A-Za-z0-9_%@=,~.-]*")


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the package and where it stands; ``offset`` is that of its contents."""

    name: str
    header: int
    offset: int
    size: int
    crc: int


def _local(member: Member) -> bytes:
    name = member.name.encode()
    return LOCAL.pack(b"PK\3\4", VERSION, 0, 0, 0, DATE, member.crc, member.size, member.size, len(name), 0) + name


def _central(member: Member) -> bytes:
    name, size = member.name.encode(), member.size
    fields = (UNIX, VERSION, 0, 0, 0, DATE, member.crc, size, size, len(name), 0, 0, 0, 0, MODE, member.header)
    return CENTRAL.pack(b"PK\1\2", *fields) + name


def _tail(members: list[Member]) -> tuple[bytes, list[int]]:
    """The directory and the end of the file, and where each member's part of it begins."""
    parts, starts, at = [], [], 0
    for member in members:
        starts.append(at)
        parts.append(_central(member))
        at += len(parts[-1])
    start = members[-1].offset + members[-1].size if members else 0
    end = END.pack(b"PK\5\6", 0, 0, len(members), len(members), at, start, 0)
    return b"".join(parts) + end, starts


def write(file: IO[bytes], files: Mapping[str, bytes], progress: Callable[[int, int], None] | None = None) -> None:
    """Write the package; ValueError if it cannot hold a name, so many files or so many bytes."""
    members: list[Member] = []
    at = 0
    if len(files) > MOST:
        raise ValueError(f"{len(files)} files: a package holds at most {MOST}")
    for done, name in enumerate(sorted(files), 1):
        data = files[name]
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r}: not a name for a file of a package")
        member = Member(name, at, at + LOCAL.size + len(name), len(data), zlib.crc32(data))
        at = member.offset + member.size
        if at > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes: a package holds no more")
        file.write(_local(member))
        file.write(data)
        members.append(member)
        if progress:
            progress(done, len(files))
    file.write(_tail(members)[0])


@dataclass(frozen=True, slots=True)
class Flaw:
    """A byte of the structure that is not as it must be."""

    what: str
    file: str
    offset: int


class Archive:
    """A package opened for reading. ``flaws`` has what is wrong with its structure; members before such a place are there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._size = self._file.seek(0, io.SEEK_END)
        self.flaws: list[Flaw] = []
        self.members: dict[str, Member] = {}
        at = self._members()
        if at is not None:
            self._check_tail(at)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def read(self, name: str) -> bytes:
        """Contents of a member; empty if there is none."""
        member = self.members.get(name)
        return self._bytes(member.offset, member.offset + member.size) if member else b""

    def _bytes(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(max(end - start, 0))

    def crc_fits(self, name: str) -> bool:
        """Whether the checksum in the member's header is that of its contents."""
        return zlib.crc32(self.read(name)) == self.members[name].crc

    def _flaw(self, what: str, offset: int, file: str = "") -> None:
        self.flaws.append(Flaw(what, file, offset))

    def _members(self) -> int | None:
        """Read member after member; where the directory should begin, or None if they cannot be followed to it."""
        at, last = 0, ""
        while self._bytes(at, at + 4) == b"PK\3\4" or not self._is_tail(at):
            member = self._member(at)
            if member is None:
                where = f"after {last}" if last else "at its beginning"
                self._flaw(f"the package cannot be read from here on ({where})", at)
                return None
            have, wanted = self._bytes(at, member.offset), _local(member)
            if have != wanted:
                self._flaw("the header of the file was changed", at + _first_difference(have, wanted), member.name)
            if member.name <= last:
                self._flaw(f"stands after {last}", at, member.name)
            self.members.setdefault(member.name, member)
            at, last = member.offset + member.size, member.name
        return at

    def _is_tail(self, at: int) -> bool:
        return self._bytes(at, at + 4) == b"PK\1\2" or self._size - at <= END.size

    def _member(self, at: int) -> Member | None:
        if at + LOCAL.size > self._size:
            return None
        fields = LOCAL.unpack(self._bytes(at, at + LOCAL.size))
        crc, size, length = fields[6], fields[7], fields[9]
        offset = at + LOCAL.size + length
        name = self._bytes(at + LOCAL.size, offset).decode("ascii", "replace")
        if fields[7] != fields[8] or offset + size > self._size or not NAME.fullmatch(name):
            return None
        return Member(name, at, offset, size, crc)

    def _check_tail(self, at: int) -> None:
        members = list(self.members.values())
        wanted, starts = _tail(members)
        have = self._bytes(at, self._size)
        if have != wanted:
            offset = _first_difference(have, wanted)
            owner = [member.name for member, start in zip(members, starts, strict=True) if start <= offset]
            self._flaw("the directory of the package was changed", at + offset, owner[-1] if owner else "")


def _first_difference(have: bytes, wanted: bytes) -> int:
    return next((i for i, (a, b) in enumerate(zip(have, wanted, strict=False)) if a != b), min(len(have), len(wanted)))
