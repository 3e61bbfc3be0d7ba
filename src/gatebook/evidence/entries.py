"""Entries of a log as a package has them: names of its files, and one record after the other out of its bundles.

Standard library only: the verifier in the package reads with this file. Whether the bundles are those that were signed is for
``ledger/verifier.py`` to say; here what cannot be read is left out, so that a damaged log still gives what is left of it.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

WIDTH = 256
READ_BUNDLES, READ_ENTRIES = 16, 2048  # kept in memory as they were read last
LEVELS = 6


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` up to, not including, ``end``; µs."""

    start: int
    end: int

    def __contains__(self, time: object) -> bool:
        return isinstance(time, int) and self.start <= time < self.end


class Bundle:
    """The entries of one bundle, read again when they are asked for: a log has more of them than there is memory."""

    def __init__(self, read: Callable[[str], bytes], name: str) -> None:
        self._read, self._name = read, name

    @lru_cache(READ_BUNDLES)  # noqa: B019 (few, and they keep nothing but where they are read)
    def data(self) -> bytes:
        """All of it."""
        return self._read(self._name)


class Record:
    """One entry: where it stands, its kind and time; its fields are read from its log again when they are asked for."""

    __slots__ = ("_at", "_bundle", "_size", "index", "kind", "origin", "time")

    def __init__(self, origin: str, index: int, bundle: Bundle, at: int, size: int) -> None:
        self.origin, self.index = origin, index
        self._bundle, self._at, self._size = bundle, at, size
        fields = self.fields
        self.kind, self.time = sys.intern(text(fields.get("type"))), number(fields.get("time"))

    @property
    def _entry(self) -> bytes:
        return self._bundle.data()[self._at : self._at + self._size]

    @property
    def leaf(self) -> str:
        """The hash of it as a leaf of the tree."""
        return hashlib.sha256(b"\x00" + self._entry).hexdigest()

    @property
    def fields(self) -> dict[str, Any]:
        """What it says; nothing where it is no object."""
        return _parsed(self) or {}

    @property
    def order(self) -> tuple[int, str, int]:
        """Its place among the entries of all logs: by time, as each log's times never go back."""
        return self.time, self.origin, self.index

    def text(self, *names: str) -> str:
        """A field as text, by its way through objects; empty if it is not there."""
        value: Any = self.fields
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return text(value)

    def number(self, name: str) -> int:
        """A field as a number; 0 if it is none."""
        return number(self.fields.get(name))


def text(value: object) -> str:
    """Any value of an entry as one text: lists joined, objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return "; ".join(text(item) for item in value)
    if isinstance(value, dict | list):
        return _json(value) if value else ""
    return str(value)


def _json(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except RecursionError:
        return "too deep to be shown"


def number(value: object) -> int:
    """The value if it is a number, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def moment(time: int) -> str:
    """A time of the log as the package writes it: ISO 8601, UTC, µs."""
    try:
        return datetime.fromtimestamp(time // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time % 1_000_000:06d}Z"
    except (OverflowError, ValueError, OSError):
        return str(time)


def folder(origin: str) -> str:
    """The folder of a log in the package; its name leads nowhere else."""
    parts = [escaped(part) for part in origin.split("/")]
    return "logs/" + "/".join(parts)


def escaped(name: str) -> str:
    """One part of a path, harmless on any machine; ``urllib.parse.unquote`` gives the name back."""
    safe = quote(name, safe="")
    return safe.replace(".", "%2E", 1) if safe.startswith(".") else safe or "%00"


def tile(level: str, number: int, width: int = WIDTH) -> str:
    """Path of a tile or bundle, as C2SP's tlog-tiles has it."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    return f"tile/{level}/{'/'.join(parts)}" + (f".p/{width}" if width < WIDTH else "")


def tiles(size: int) -> Iterator[tuple[str, int, int]]:
    """Level, number and width of each tile and bundle that a checkpoint of this size needs."""
    for level, count in [("entries", size)] + [(str(level), size // WIDTH**level) for level in range(LEVELS)]:
        yield from ((level, number, min(WIDTH, count - number * WIDTH)) for number in range(-(-count // WIDTH)))


def records(origin: str, size: int, read: Callable[[str], bytes]) -> Iterator[Record]:
    """Each entry in order; ``read`` gives the contents of a file of the log."""
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        bundle = Bundle(read, tile("entries", number, width))
        data, at = bundle.data(), 0
        for position in range(width):
            begin = at + 2
            at = min(begin + int.from_bytes(data[at:begin], "big"), len(data))
            record = Record(origin, number * WIDTH + position, bundle, begin, at - begin)
            if _parsed(record) is not None:
                yield record


def merged(logs: Iterable[Iterator[Record]]) -> Iterator[Record]:
    """The entries of several logs as one sequence in time."""
    return heapq.merge(*logs, key=lambda record: record.order)


def process(origin: str) -> str:
    """Which process of the gateway writes a log."""
    return origin.rpartition("/")[2]


def is_command(origin: str) -> bool:
    """Whether a log is that of commands, which come and go, and not of a part of the gateway."""
    return process(origin).startswith("cli-")


@lru_cache(READ_ENTRIES)
def _parsed(record: Record) -> dict[str, Any] | None:
    try:
        fields = json.loads(record._entry)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
