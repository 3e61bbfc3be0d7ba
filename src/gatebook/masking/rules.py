"""Which columns a rule covers, and how. Closed unless proven open: a schema or table that is not known counts as any."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

ANY = "*"
_PARTS = re.compile(r'("(?:[^"]|"")+"|[^".*\s]+|\*)(?:\.|$)')


class Style(StrEnum):
    """How a covered value looks to the client; docs/masking.md shows each."""

    REDACT = "redact"
    PARTIAL = "partial"
    HASH = "hash"
    TOKEN = "token"


STRICTNESS = (Style.PARTIAL, Style.HASH, Style.TOKEN, Style.REDACT)  # mildest first


@dataclass(frozen=True)
class ColumnPattern:
    """A column, by names that are compared without regard to case; ``*`` stands for any name and only as a whole part."""

    schema: str
    table: str
    column: str

    @classmethod
    def parse(cls, text: str) -> ColumnPattern:
        """Read ``table.column`` or ``schema.table.column``. A part with dots or spaces goes in double quotes.

        Raises ValueError, which says what was expected.
        """
        parts = [_unquoted(part) for part in _PARTS.findall(text)]
        if _PARTS.sub("", text) or text.endswith(".") or len(parts) not in (2, 3):
            raise ValueError(
                f"{text!r}: expected table.column or schema.table.column, each part a name or * "
                "(a name with dots, spaces or stars in double quotes)"
            )
        schema = parts[0] if len(parts) == 3 else ANY
        return cls(schema, parts[-2], parts[-1])

    def covers(self, schema: str, tables: Iterable[str], column: str) -> bool:
        """Whether the column of any of the tables is meant; ``""`` as schema, no table and ``*`` mean that it is not known."""
        return (
            _meets(self.column, column)
            and (not schema or _meets(self.schema, schema))
            and any(_meets(self.table, table) for table in list(tables) or [ANY])
        )


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _meets(pattern: str, name: str) -> bool:
    return ANY in (pattern, name) or pattern.lower() == name.lower()


@dataclass(frozen=True)
class MaskSet:
    """A named set of columns that are covered in one style."""

    name: str
    columns: tuple[ColumnPattern, ...]
    style: Style


def style_of(sets: Iterable[MaskSet], schema: str, tables: Iterable[str], column: str) -> Style | None:
    """How the column is covered: the strictest style (redact, then token, hash, partial) of all sets that mean it."""
    names = list(tables)
    styles = {each.style for each in sets if any(pattern.covers(schema, names, column) for pattern in each.columns)}
    return max(styles, key=STRICTNESS.index, default=None)


def may_cover(sets: Iterable[MaskSet], columns: Iterable[str]) -> bool:
    """Whether a column of one of these names (``*``: any name) is covered in some table."""
    patterns = [pattern for each in sets for pattern in each.columns]
    return any(_meets(pattern.column, column) for column in columns for pattern in patterns)
