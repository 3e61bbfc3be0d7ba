"""Calls that look like columns: the server takes ``c.f`` and ``(c).f`` for ``f(c)`` where the row c has no column f.

The text alone cannot tell them apart; with the catalog's columns every name behind a dot that no column has counts as a call.
"""

from __future__ import annotations

from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.reading import Relation, Statement

_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def calls_in_disguise(statement: Statement, catalog: Catalog) -> frozenset[str]:
    """The names behind a dot that are no column of the row before it, and so may call a function.

    A relation that the catalog does not know has no columns here. A row of no single relation may have the columns of any that
    the statement names.
    """
    return frozenset(
        name for relation, name in statement.qualified if name not in _columns(relation, statement, catalog) | _SYSTEM_COLUMNS
    )


def _columns(relation: Relation | None, statement: Statement, catalog: Catalog) -> frozenset[str]:
    relations = statement.relations if relation is None else (relation,)
    known = [catalog.by_name.get(one) for one in relations]
    return frozenset(name for one in known if one is not None for name in one.columns.values())
