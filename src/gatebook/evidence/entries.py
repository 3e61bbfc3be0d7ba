"""Entries of a log as a package has them: names of its files, and one record after the other out of its bundles.

Standard library only: the verifier in the package reads with this file. Whether the bundles are those that were signed is for
``ledger/verifier.py`` to say; here what cannot be read is left out, so that a damaged log still gives what is left of it.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

WIDTH = 256
LEVELS = 6


@dataclass(frozen=True, slots=True)
class Period:
    """From ``start`` up to, not including, ``end``; µs."""

    start: int
    end: int

    def __contains__(self, time: object) -> bool:
        return isinstance(time, int) and self.start <= time < self.end


@dataclass(frozen=True, slots=True)
class Record:
    """One entry: where it stands, the hash of it as a leaf of the tree, and its fields."""

    origin: str
    index: int
    leaf: str
    fields: dict[str, Any]

    @property
    def order(self) -> tuple[int, str, int]:
        """Its place among the entries of all logs: by time, as each log's times never go back."""
        return self.time, self.origin, self.index

    @property
    def kind(self) -> str:
        """The entry's kind."""
        return text(self.fields.get("type"))

    @property
    def time(self) -> int:
        """When it was written, µs."""
        return number(self.fields.get("time"))

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
        data, at = read(tile("entries", number, width)), 0
        for position in range(width):
            entry = data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "big")]
            at += 2 + len(entry)
            fields = _fields(entry)
            if fields is not None:
                leaf = hashlib.sha256(b"\x00" + entry).hexdigest()
                yield Record(origin, number * WIDTH + position, leaf, fields)


def merged(logs: Iterable[Iterator[Record]]) -> Iterator[Record]:
    """The entries of several logs as one sequence in time."""
    return heapq.merge(*logs, key=lambda record: record.order)


def process(origin: str) -> str:
    """Which process of the gateway writes a log."""
    return origin.rpartition("/")[2]


def is_command(origin: str) -> bool:
    """Whether a log is that of commands, which come and go, and not of a part of the gateway."""
    return process(origin).startswith("cli-")


def _fields(entry: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(entry)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
