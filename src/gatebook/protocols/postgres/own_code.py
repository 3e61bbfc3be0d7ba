"""Code of somebody's own that a statement may run without calling it: by a type that it names, a cast, or an operator.

What converts a value may run a check of a domain or the function of a cast; what compares values of somebody's type may run
the function behind an operator. The text shows none of it. So the catalog is asked, once for all, which types are such
(``namesakes``): those with such checks, casts and operators, and what is made of them, arrays, domains, rows and tables too.
What came with an extension is trusted as the extension is. Not looked at is what a table's own definition runs (triggers,
defaults, checks, keys): whoever may write to it is meant to run that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.outputs import ANY
from gatebook.protocols.postgres.reading import Reading, Statement

MARK, COLUMN = "\x01", "\x02"  # between what a type does and its name, or its number; and the name of a column that holds it
CHECKS, TURNS, CASTS, ASSIGNS = "checks", "turns", "casts", "assigns"  # as the catalog question says it
COMPARES = "compares "  # and the operator
OWN = 16384  # the first number that nothing which comes with the server has


def with_types(reading: Reading, types: tuple[int, ...]) -> Reading:
    """The reading of a text whose Parse names the types of its parameters."""
    own = frozenset(str(one) for one in types if one >= OWN)
    if not own:
        return reading
    return replace(reading, statements=tuple(replace(one, types=one.types | own, converts=True) for one in reading.statements))


def asks_for_own(statement: Statement) -> bool:
    """Whether it must be known what somebody wrote under names of the server's, or behind types."""
    return bool(statement.trusts or statement.types or statement.converts)


def own_code(statement: Statement, catalog: Catalog) -> str:
    """Why it may run code that it does not call; empty where it runs none, or a call of it shows."""
    found = catalog.namesakes
    if found is None:
        what = ", ".join(sorted(statement.types)) or "of a column"
        asks = statement.types or statement.converts
        return f"converts values by a type ({what}) that could not be looked up here" if asks else ""
    if not any(MARK in one for one in found):
        return ""
    rows = {relation.name for relation in statement.relations}
    rows |= {known.tables[0] for relation in statement.relations if (known := catalog.by_name.get(relation)) is not None}
    for name in sorted(rows | statement.types):
        named = name in statement.types
        if any(
            f"{does}{MARK}{name}" in found and (named or _held(statement, does, found)) for does in _may_do(statement, named)
        ):
            return f"may run code of somebody's own behind the type {name}, by a check, a cast or an operator"
    return ""


def _may_do(statement: Statement, named: bool) -> Iterator[str]:
    """What it may do with values of a type, which it has ``named``, or of the columns of a relation."""
    yield CASTS
    if statement.converts or named:
        yield CHECKS
    if statement.converts:
        yield TURNS
    if statement.written:
        yield ASSIGNS
    yield from (f"{COMPARES}{one}" for one in statement.trusts)


def _held(statement: Statement, does: str, found: frozenset[str]) -> bool:
    """Whether it mentions a column that holds values of a type that does this."""
    columns = frozenset(name for deed in statement.deeds for name in _names(deed.facts["columns"]))
    columns |= frozenset(name for _, name in statement.written)
    return ANY in columns or any(f"{does}{COLUMN}{name}" in found for name in columns)


def _names(value: object) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()
