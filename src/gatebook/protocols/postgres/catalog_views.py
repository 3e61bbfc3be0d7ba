"""Where the columns of a view come from: its definition, as the server tells it, read as any other text of SQL is.

The catalog question lists the base columns that a view reads, but not which of them flow into which of its columns. Where some
are masked this asks for the definitions, nested views included, and reads them. A name in a definition is one of the relations
that its rule depends on; a column that cannot be followed down to base columns for certain may hold any that the view reads. So
do all of a view with further rules or triggers of its own, since these decide what a RETURNING gives back.

A view that uses code of somebody's own is not asked about: it may read anything (``opaque``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gatebook.errors import WireError
from gatebook.model import Reach
from gatebook.protocols.postgres.catalog import BaseColumn, Derived, Known
from gatebook.protocols.postgres.catalog_relations import is_system
from gatebook.protocols.postgres.outputs import ANY
from gatebook.protocols.postgres.reading import Output, Relation
from gatebook.protocols.postgres.statement import read

VIEWS = 200  # in one question
DEPTH = 32  # of views in views
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})

Bases = frozenset[BaseColumn]


@dataclass(slots=True)
class _View:
    definition: str = ""
    columns: dict[int, str] = field(default_factory=dict)
    reads: list[tuple[int, str, str]] = field(default_factory=list)  # number, schema, name


def question(views: Sequence[Known]) -> str:
    """One SELECT about these views and those that they read."""
    values = ", ".join(f"({number}, {known.oid}::pg_catalog.oid)" for number, known in enumerate(views))
    return _QUESTION.replace("%VALUES%", values)


def derived(views: Sequence[Known], rows: Iterable[Sequence[bytes | None]]) -> list[Derived]:
    """For each view the base columns behind each column of which that is certain. Raises WireError."""
    trees: list[dict[int, _View]] = [{} for _ in views]
    made: list[dict[tuple[int, str], set[str]]] = [{} for _ in views]
    for row in rows:
        try:
            kind, number, oid, other, schema, name, text = ((cell or b"").decode("utf-8") for cell in row)
            tree, view = trees[int(number)], int(oid)
            match kind:
                case "d":
                    tree.setdefault(view, _View()).definition = text
                case "a":
                    tree.setdefault(view, _View()).columns[int(other)] = name
                case "e":
                    tree.setdefault(view, _View()).reads.append((int(other), schema, name))
                case _:
                    made[int(number)].setdefault((view, name), set()).add(text)
        except (ValueError, IndexError):
            raise WireError(
                f"the target answered a question about views with a row of {len(row)} cells that do not fit"
            ) from None
    return [_Lineage(*one).of_view() for one in zip(views, trees, made, strict=True)]


class _Lineage:
    """Of one view. Each view in it is read once."""

    def __init__(self, known: Known, tree: dict[int, _View], made: dict[tuple[int, str], set[str]]) -> None:
        self._known, self._tree, self._made = known, tree, made
        self._there = {(schema, name) for view in tree.values() for _, schema, name in view.reads}
        self._done: dict[int, dict[str, Bases | None]] = {}

    def of_view(self) -> Derived:
        """Its columns by number."""
        found = self._columns(self._known.oid, 0)
        bases = {number: found.get(name) for number, name in self._known.columns.items()}
        return {number: one for number, one in bases.items() if one is not None}

    def _columns(self, oid: int, depth: int) -> dict[str, Bases | None]:
        if oid not in self._done:
            self._done[oid] = {}  # a view that reads itself, if there were one, is not followed
            self._done[oid] = self._read(self._tree[oid], depth) if oid in self._tree and depth < DEPTH else {}
        return self._done[oid]

    def _read(self, view: _View, depth: int) -> dict[str, Bases | None]:
        reading = read(view.definition) if view.definition else None
        if reading is None or reading.error or len(reading.statements) != 1:
            return {}
        (statement,) = reading.statements
        outputs, names = statement.outputs or (), [view.columns[number] for number in sorted(view.columns)]
        unread = any(deed.reach is not Reach.READ for deed in statement.deeds)
        if unread or len(outputs) != len(names) or any(output.star for output in outputs):
            return {}
        return {name: self._behind(output, view, depth) for name, output in zip(names, outputs, strict=True)}

    def _behind(self, output: Output, view: _View, depth: int) -> Bases | None:
        if not output.certain or ANY in output.columns:
            return None
        found: set[BaseColumn] = set()
        for relation, name in output.origins:
            bases = self._column(relation, name, view, depth)
            if bases is None:
                return None
            found |= bases
        return frozenset(found)

    def _column(self, relation: Relation | None, name: str, view: _View, depth: int) -> Bases | None:
        """The base columns behind a column of a relation in a definition; None where they are not certain."""
        if relation is None or relation.name == "":
            return None
        meant = [one for one in view.reads if one[2] == relation.name and relation.schema in (None, one[1])]
        if not meant:
            return frozenset() if is_system(relation) else None  # the server's own depend on nothing
        found: set[BaseColumn] = set()
        for oid, schema, table in meant:
            bases = self._columns(oid, depth + 1).get(name) if oid in self._tree else self._of_table(oid, schema, table, name)
            if bases is None:
                return None
            found |= bases
        return frozenset(found)

    def _of_table(self, oid: int, schema: str, table: str, name: str) -> Bases | None:
        """A table's column, under whatever names its rows have, with those that it is computed from."""
        names = {name} | self._made.get((oid, name), set())
        found = frozenset(one for one in self._known.under if one.column in names and self._is_of(one, schema, table))
        told = {one.column for one in found if (one.schema, one.tables[0]) == (schema, table)}
        return found if names <= told | _SYSTEM_COLUMNS else None

    def _is_of(self, one: BaseColumn, schema: str, table: str) -> bool:
        """Whether it is of this table, or may be of one whose rows it shows."""
        whose = one.schema, one.tables[0]
        return whose == (schema, table) or whose not in self._there


_QUESTION = """
WITH RECURSIVE asked(n, rel) AS (VALUES %VALUES%),
views(n, rel) AS (
  SELECT n, rel FROM asked
  UNION
  SELECT v.n, d.refobjid FROM views v
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) v.rel
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.refobjid
   AND (c.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" OR c.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog."char")
),
reads(n, rel, below) AS (
  SELECT DISTINCT v.n, v.rel, d.refobjid FROM views v
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) v.rel
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.<>) v.rel
)
SELECT 'd' AS kind, v.n, v.rel::pg_catalog.int8, '0'::pg_catalog.int8, '', '', CASE
   WHEN pg_catalog.left(pg_catalog.current_setting('transaction_isolation'), 4) OPERATOR(pg_catalog.<>) 'read'::pg_catalog.text
     OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class OPERATOR(pg_catalog.=) v.rel
      AND w.rulename OPERATOR(pg_catalog.<>) '_RETURN'::pg_catalog.name)
     OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid OPERATOR(pg_catalog.=) v.rel)
   THEN '' ELSE pg_catalog.pg_get_viewdef(v.rel) END
FROM views v
UNION ALL
SELECT 'a', v.n, v.rel::pg_catalog.int8, a.attnum, '', a.attname::pg_catalog.text, ''
FROM views v JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) v.rel
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
UNION ALL
SELECT 'e', r.n, r.rel::pg_catalog.int8, r.below::pg_catalog.int8, s.nspname::pg_catalog.text, c.relname::pg_catalog.text, ''
FROM reads r JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.below
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
UNION ALL
SELECT DISTINCT 'g', r.n, r.below::pg_catalog.int8, '0'::pg_catalog.int8, '', a.attname::pg_catalog.text,
  b.attname::pg_catalog.text
FROM reads r
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) r.below
 AND a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char" AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid OPERATOR(pg_catalog.=) a.attrelid AND f.adnum OPERATOR(pg_catalog.=) a.attnum
JOIN pg_catalog.pg_depend d ON d.refobjid OPERATOR(pg_catalog.=) a.attrelid
 AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
 AND d.refobjsubid OPERATOR(pg_catalog.<>) 0::pg_catalog.int4
 AND d.refobjsubid OPERATOR(pg_catalog.<>) a.attnum::pg_catalog.int4
 AND ((d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
       AND d.objid OPERATOR(pg_catalog.=) a.attrelid AND d.objsubid OPERATOR(pg_catalog.=) a.attnum::pg_catalog.int4)
   OR (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid
       AND d.objid OPERATOR(pg_catalog.=) f.oid))
JOIN pg_catalog.pg_attribute b ON b.attrelid OPERATOR(pg_catalog.=) a.attrelid
 AND b.attnum::pg_catalog.int4 OPERATOR(pg_catalog.=) d.refobjsubid
"""
