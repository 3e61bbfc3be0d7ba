"""Which columns, fields and headers a rule covers, and how. Closed unless proven open: what is not known counts as any.

So a schema or table that is not known is any, a path of fields holds at whatever depth it begins, and an array on its way need
not be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from itertools import pairwise

from gatebook.masking.wild import Wild

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


class Level(Enum):
    """A part of a path that is no name."""

    ONE = "*"
    MANY = "**"


_LEVELS = {level.value: level for level in Level}
STEPS = 32  # of one path: longer ones are mistakes


@dataclass(frozen=True)
class FieldPattern:
    """Fields of what HTTP carries, by a path of names that are compared without regard to case.

    ``Level.ONE`` stands for one level, whatever its name, ``Level.MANY`` for any number of them, none too. ``top`` ties the
    path to the top of the document; ``base64`` says that what stands there is written in base64. Those of objects of
    Kubernetes may have names with stars.
    """

    parts: tuple[str | Level | Wild, ...]
    top: bool = False
    base64: bool = False

    @classmethod
    def parse(cls, text: str) -> FieldPattern:
        """Read ``ssn``, ``customer.ssn`` or ``$.customers.*.ssn``. A name with dots, spaces or stars goes in double quotes.

        Raises ValueError, which says what was expected.
        """
        top = text.startswith("$.")
        path = text[2:] if top else text
        found = _STEPS.findall(path)
        parts = tuple(_LEVELS.get(part) or _unquoted(part) for part in found)
        if _STEPS.sub("", path) or path.endswith(".") or not parts or len(parts) > STEPS or parts[-1] is Level.MANY:
            raise ValueError(
                f"{text!r}: expected names joined by dots, as customer.ssn, each a name, * for one level or ** for any number, "
                f"not ** at the end, at most {STEPS}; $. in front for the top "
                "(a name with dots, spaces or stars in double quotes)"
            )
        if not top and all(isinstance(part, Level) for part in parts):
            raise ValueError(f"{text!r}: expected at least one name, since this means every field; $.* means all there are")
        return cls(parts, top)

    @classmethod
    def of_objects(cls, text: str) -> FieldPattern:
        """Read ``data.*password*`` or ``containers.env[DB_*]``: stars may stand in names, and brackets have the name of a pair.

        Raises ValueError, which says what was expected.
        """
        found = _OBJECT_STEPS.findall(text)
        if _OBJECT_STEPS.sub("", text) or text.endswith(".") or not found or len(found) > STEPS or found[-1][0] == "**":
            raise ValueError(
                f"{text!r}: expected names joined by dots, as data.*password* or env[DB_*], each with stars where anything may "
                f"stand, * for one level or ** for any number, not ** at the end, at most {STEPS} "
                "(a name with dots, spaces, brackets or stars of its own in double quotes; lists need not be named)"
            )
        parts = tuple(part for written, beside in found for part in _object_parts(written, beside))
        if all(isinstance(part, Level) for part in parts):
            raise ValueError(f"{text!r}: expected at least one name, since this means every field")
        if any(pair in _TEMPLATES for pair in pairwise(map(_folded, parts))):
            raise ValueError(
                f"{text!r}: expected the path within the pod, as containers.env[DB_*]: pods have no template around it"
            )
        return cls(parts, base64=len(parts) > 1 and _folded(parts[-2]) == "binarydata")

    @property
    def words(self) -> frozenset[str]:
        """The names in it that have no stars, in lower case."""
        return frozenset(part.lower() for part in self.parts if isinstance(part, str))


def _object_parts(written: str, beside: str) -> Iterator[str | Level | Wild]:
    if written in _LEVELS:
        yield _LEVELS[written]
    elif written.startswith('"') or "*" not in written:
        yield _unquoted(written)
    else:
        yield Wild(written)
    if beside:
        yield Wild(_unquoted(beside), beside=True)


def _folded(part: str | Level | Wild) -> str:
    return part.lower() if isinstance(part, str) else ""


@dataclass(frozen=True)
class HeaderPattern:
    """A header field of HTTP by its name, or with ``cookie`` a cookie by its."""

    name: str
    cookie: bool = False

    @classmethod
    def parse(cls, text: str) -> HeaderPattern:
        """Read ``x-customer-id`` or ``cookie:session``. Raises ValueError, which says what was expected."""
        kind, found, name = text.partition(":")
        if not found:
            kind, name = "", text
        if kind.lower() not in ("", "cookie") or not _TOKEN.fullmatch(name):
            raise ValueError(f"{text!r}: expected the name of a header field, or cookie:NAME")
        return cls(name if found else name.lower(), bool(found))


_STEPS = re.compile(r'("(?:[^"]|"")+"|[^".*\s$]+|\*\*?)(?:\.|$)')
_TEMPLATES = frozenset({("template", "spec"), ("jobtemplate", "spec")})
_OBJECT_STEPS = re.compile(r'("(?:[^"]|"")+"|[^".\s$\[\]]+)(?:\[("[^"*]+"|[^"\s\[\]]*)\])?(?:\.|$)')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


@dataclass(frozen=True)
class ObjectRule:
    """Fields of objects of Kubernetes. No ``resources`` and no ``namespaces`` mean all; those may have stars, these a group."""

    fields: tuple[FieldPattern, ...]
    resources: frozenset[str] = frozenset()
    namespaces: frozenset[Wild] = frozenset()


@dataclass(frozen=True)
class MaskSet:
    """A named set of columns, fields, headers and fields of objects that are covered in one style."""

    name: str
    columns: tuple[ColumnPattern, ...]
    style: Style
    fields: tuple[FieldPattern, ...] = field(default=())
    headers: tuple[HeaderPattern, ...] = field(default=())
    objects: tuple[ObjectRule, ...] = field(default=())


def style_of(sets: Iterable[MaskSet], schema: str, tables: Iterable[str], column: str) -> Style | None:
    """How the column is covered: the strictest style (redact, then token, hash, partial) of all sets that mean it."""
    names = list(tables)
    styles = {each.style for each in sets if any(pattern.covers(schema, names, column) for pattern in each.columns)}
    return max(styles, key=STRICTNESS.index, default=None)


def may_cover(sets: Iterable[MaskSet], columns: Iterable[str]) -> bool:
    """Whether a column of one of these names (``*``: any name) is covered in some table."""
    patterns = [pattern for each in sets for pattern in each.columns]
    return any(_meets(pattern.column, column) for column in columns for pattern in patterns)


def means_fields(sets: Iterable[MaskSet]) -> bool:
    """Whether any of them says something about what HTTP carries."""
    return any(each.fields or each.headers or each.objects for each in sets)
