"""Names and texts as SQL that means the same whatever the session's settings."""

from __future__ import annotations

from collections.abc import Collection

from gatebook.protocols.postgres.reading import Relation


def identifier(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def relation(named: Relation) -> str:
    """A relation's name as far as it is qualified, each part in double quotes."""
    return ".".join(identifier(part) for part in (named.schema, named.name) if part)


def literal(text: str) -> str:
    """A string literal, with both escapes doubled: ``\\'`` would depend on ``backslash_quote``."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def texts(names: Collection[str]) -> str:
    """An array of texts."""
    return f"ARRAY[{', '.join(literal(name) for name in sorted(names))}]::pg_catalog.text[]"


def oids(numbers: Collection[int]) -> str:
    """An array of OIDs."""
    return f"ARRAY[{', '.join(str(number) for number in sorted(set(numbers)))}]::pg_catalog.oid[]"
