"""SFTP's packets (draft-ietf-secsh-filexfer-02, version 3, and what OpenSSH adds): taken apart and built, nothing more."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from gatebook.errors import WireError

LONGEST = 262_144  # bytes of one packet, as OpenSSH has it
_U32, _U64 = Struct(">I"), Struct(">Q")


class Kind(IntEnum):
    """Of a packet."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """Of an answer."""

    OK = 0
    EOF = 1
    PERMISSION_DENIED = 3
    FAILURE = 4
    UNSUPPORTED = 8


class Reader:
    """One side's packets out of its bytes."""

    def __init__(self, whose: str = "SFTP") -> None:
        self._held, self._whose = bytearray(), whose

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole, without their lengths. Raises WireError."""
        self._held += data
        found: list[bytes] = []
        while len(self._held) >= _U32.size:
            (size,) = _U32.unpack_from(self._held)
            if not 1 <= size <= LONGEST:
                raise WireError(f"a packet of {self._whose} of {size} bytes, outside 1..{LONGEST}")
            if len(self._held) < _U32.size + size:
                break
            found.append(bytes(self._held[_U32.size : _U32.size + size]))
            del self._held[: _U32.size + size]
        return found


class Fields:
    """What stands in a packet, one after the other. Each method raises WireError where there is no more."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        """A number of one byte."""
        return self._take(1)[0]

    def u32(self) -> int:
        """One of four."""
        return int(_U32.unpack(self._take(4))[0])

    def u64(self) -> int:
        """One of eight."""
        return int(_U64.unpack(self._take(8))[0])

    def string(self) -> bytes:
        """Bytes behind their length."""
        return self._take(self.u32())

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data) - self._at)

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise WireError("a packet of SFTP that ends too soon")
        self._at += count
        return self._data[self._at - count : self._at]


def packet(kind: int, *parts: bytes) -> bytes:
    """A packet with its length."""
    body = bytes((kind,)) + b"".join(parts)
    return _U32.pack(len(body)) + body


def u32(number: int) -> bytes:
    """A number of four bytes."""
    return _U32.pack(number)


def u64(number: int) -> bytes:
    """One of eight."""
    return _U64.pack(number)


def string(data: bytes) -> bytes:
    """Bytes behind their length."""
    return _U32.pack(len(data)) + data


def status(number: int, code: Status, words: str) -> bytes:
    """An answer that says how a request ended."""
    return packet(Kind.STATUS, u32(number), u32(code), string(words.encode()), string(b"en"))
