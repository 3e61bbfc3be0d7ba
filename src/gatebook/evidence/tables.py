"""Tables of the package: how a row of the log becomes a line of CSV, the same bytes wherever it is done.

Standard library only: the verifier in the package writes the same tables again with this file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from gatebook.evidence.entries import Record, moment

PLACE = ("origin", "index", "leaf", "time")
LONG = 1_000
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would run


@dataclass(slots=True)
class Table:
    """A complete list of something, the query that made it in words, and its rows by the entry each is about."""

    name: str
    title: str
    query: str
    columns: tuple[str, ...]
    longest: int = LONG
    rows: list[tuple[str, ...]] = field(default_factory=list)
    count: int = 0
    _text: bytearray = field(default_factory=bytearray)

    @property
    def file(self) -> str:
        """Where it stands in the package."""
        return f"{self.name}.csv"

    def add(self, record: Record, *values: str) -> None:
        """Add the row of an entry."""
        row = (*place(record), *values)
        if len(row) != len(self.columns):
            raise AssertionError(f"{self.name}: {len(row)} values for {len(self.columns)} columns")
        self.put(row)

    def put(self, row: tuple[str, ...]) -> None:
        """Add a row. Beyond the first ``longest`` only its line is kept."""
        self.count += 1
        self._text += line(row)
        if len(self.rows) < self.longest:
            self.rows.append(row)

    def csv(self) -> bytes:
        """The file: RFC 4180 with line feeds, UTF-8."""
        return line(self.columns) + self._text

    def first(self, most: int) -> list[dict[str, str]]:
        """As many of the rows at most, by names of columns; no more than ``longest`` are there."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows[:most]]

    def about(self, tool: str, span: dict[str, object]) -> bytes:
        """What an auditor asks of a list: how it was made, from what, by which tool, how many rows."""
        found = {"file": self.file, "title": self.title, "query": self.query, "columns": list(self.columns)}
        return as_json(found | {"rows": self.count, "tool": tool} | span)


def place(record: Record) -> tuple[str, str, str, str]:
    """Which entry a row is about."""
    return record.origin, str(record.index), record.leaf, moment(record.time)


def line(row: Sequence[str]) -> bytes:
    """One line of CSV."""
    return (",".join(map(cell, row)) + "\n").encode()


def cell(value: str) -> str:
    r"""A value in CSV. What does not print is written out, as ``\x1b``; what a spreadsheet would run gets an apostrophe."""
    value = printable(value)
    if value.startswith(FORMULA):
        value = "'" + value
    if any(sign in value for sign in ',"') or value != value.strip():
        return '"' + value.replace('"', '""') + '"'
    return value


def printable(value: str) -> str:
    """Text without what could drive a terminal or turn the direction of writing."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in value)


def as_json(value: object) -> bytes:
    """JSON that is the same bytes for the same value."""
    return (json.dumps(value, sort_keys=True, indent=2) + "\n").encode()
