"""Questions to PostgreSQL's catalog, and what their answers mean for masking. Pure: asking is the relay's ``Own("catalog")``.

One question resolves the relation names of a text as the server would resolve them at that moment (search_path included), on
the session's own connection. For a view the answer lists the base columns that its rules read, all the way down; a view that
calls a function somebody wrote counts as reading anything. Everything in the question is qualified with pg_catalog, so that a
search_path cannot put other functions or operators in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gatebook.errors import WireError
from gatebook.masking.rules import MaskSet, Style, style_of
from gatebook.protocols.postgres.reading import Relation

QUESTION_RELATIONS = 200  # names in one question; a text that names more is not resolved, so its answer is covered whole


@dataclass(frozen=True, slots=True)
class BaseColumn:
    """A column of a table: its schema, the table's name and those of the tables it inherits from, its own name."""

    schema: str
    tables: tuple[str, ...]
    column: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog says of one relation.

    ``columns`` by attribute number; ``under`` the base columns a view reads; ``opaque`` when it may read anything.
    ``types`` are OIDs, of a domain that of the type below it, for those columns that COPY writes: generated ones it leaves out.
    """

    oid: int
    schema: str
    tables: tuple[str, ...]
    columns: Mapping[int, str]
    under: tuple[BaseColumn, ...] = ()
    opaque: bool = False
    types: Mapping[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The qualified name."""
        return f"{self.schema}.{self.tables[0]}"

    def style(self, sets: Collection[MaskSet], attnum: int) -> Style | None:
        """How this column is covered by rule, None for not at all."""
        column = self.columns.get(attnum)
        own = style_of(sets, self.schema, self.tables, column) if column is not None else None
        return own or (Style.REDACT if self._reads_masked_below(sets) else None)

    def masked(self, sets: Collection[MaskSet]) -> frozenset[str]:
        """The names of its columns that are covered."""
        if self._reads_masked_below(sets):
            return frozenset(self.columns.values())
        return frozenset(name for name in self.columns.values() if style_of(sets, self.schema, self.tables, name))

    def copied(self, names: Sequence[str]) -> tuple[int, ...]:
        """The attribute numbers of what COPY writes, in its order: of these columns, or of all; none when that is not known."""
        numbers = {self.columns[number]: number for number in sorted(self.types) if number in self.columns}
        return tuple(numbers[name] for name in names or numbers) if numbers.keys() >= set(names) else ()

    def _reads_masked_below(self, sets: Collection[MaskSet]) -> bool:
        return bool(sets) and (self.opaque or any(style_of(sets, c.schema, c.tables, c.column) for c in self.under))

    def reads(self) -> frozenset[str]:
        """Every column name that may stand in an answer from it."""
        return frozenset(self.columns.values()) | {c.column for c in self.under} | ({"*"} if self.opaque else set())


@dataclass(slots=True)
class Catalog:
    """What one session has learnt. Owned by its relay; ``forget`` empties it."""

    by_name: dict[Relation, Known | None] = field(default_factory=dict)
    by_oid: dict[int, Known] = field(default_factory=dict)
    search_path: str = ""

    def missing(self, relations: Iterable[Relation]) -> list[Relation]:
        """Those that must be asked for, in a stable order."""
        return sorted((r for r in relations if r.name and r not in self.by_name), key=str)

    def learn(self, asked: Sequence[Relation], rows: Iterable[Sequence[bytes | None]]) -> None:
        """Take in the rows of one question. Raises WireError when they are not such rows."""
        found, self.search_path = answers(rows)
        for number, relation in enumerate(asked):
            known = found.get(number)
            self.by_name[relation] = known
            if known is not None:
                self.by_oid[known.oid] = known

    def resolved(self, relations: Iterable[Relation]) -> tuple[Known, ...] | None:
        """What is known of all of these; None when one of them is not known."""
        found = [self.by_name.get(relation) for relation in relations]
        known = tuple(one for one in found if one is not None)
        return known if len(known) == len(found) else None

    def forget(self) -> None:
        """Count nothing as known any more."""
        self.by_name.clear()
        self.by_oid.clear()

    def forget_names(self) -> None:
        """A search_path or definition may have changed: names must be asked again, numbers stay what they are."""
        self.by_name.clear()
        self.search_path = ""


def question(relations: Sequence[Relation]) -> str:
    """One SELECT that resolves these names. Each row: kind, number, oid, attnum, schema, table names, column."""
    values = ", ".join(f"({number}, {_literal(_quoted(relation))})" for number, relation in enumerate(relations))
    return _QUESTION.replace("%VALUES%", values)


_QUESTION = """
WITH RECURSIVE asked(n, given) AS (VALUES %VALUES%),
named AS (SELECT n, pg_catalog.to_regclass(given::pg_catalog.text)::pg_catalog.oid AS oid FROM asked),
reads(n, rel, att) AS (
  SELECT n, oid, 0::pg_catalog.int4 FROM named WHERE oid IS NOT NULL
  UNION
  SELECT r.n, d.refobjid, d.refobjsubid
  FROM reads r
  JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) r.rel
   AND (v.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" OR v.relkind OPERATOR(pg_catalog.=) 'm'::pg_catalog."char")
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) v.oid
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid OPERATOR(pg_catalog.<>) v.oid
),
calls AS (
  SELECT DISTINCT r.n FROM reads r
  JOIN pg_catalog.pg_rewrite w ON w.ev_class OPERATOR(pg_catalog.=) r.rel
  JOIN pg_catalog.pg_depend d ON d.objid OPERATOR(pg_catalog.=) w.oid
   AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
   AND d.refobjid::pg_catalog.int8 OPERATOR(pg_catalog.>=) 16384::pg_catalog.int8
),
parents(oid, top) AS (
  SELECT rel, rel FROM reads
  UNION
  SELECT p.oid, i.inhparent FROM parents p
  JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) p.top
),
family AS (
  SELECT p.oid, pg_catalog.array_agg(c.relname::pg_catalog.text
    ORDER BY (p.oid OPERATOR(pg_catalog.<>) p.top) USING OPERATOR(pg_catalog.<), c.relname::pg_catalog.text
    USING OPERATOR(pg_catalog.~<~)) AS names
  FROM parents p JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.top GROUP BY p.oid
)
SELECT 'c' AS kind, m.n, m.oid::pg_catalog.int8, a.attnum, s.nspname,
  pg_catalog.array_to_string(f.names, pg_catalog.chr(1)), a.attname
FROM named m JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.oid
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN family f ON f.oid OPERATOR(pg_catalog.=) m.oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
UNION ALL
SELECT 'u', r.n, r.rel::pg_catalog.int8, a.attnum, s.nspname, pg_catalog.array_to_string(f.names, pg_catalog.chr(1)), a.attname
FROM reads r JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.rel
 AND c.relkind OPERATOR(pg_catalog.<>) 'v'::pg_catalog."char" AND c.relkind OPERATOR(pg_catalog.<>) 'm'::pg_catalog."char"
JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN family f ON f.oid OPERATOR(pg_catalog.=) r.rel
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) r.rel AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
 AND (r.att OPERATOR(pg_catalog.=) 0::pg_catalog.int4 OR a.attnum OPERATOR(pg_catalog.=) r.att)
WHERE NOT EXISTS (SELECT FROM named m WHERE m.n OPERATOR(pg_catalog.=) r.n AND m.oid OPERATOR(pg_catalog.=) r.rel)
UNION ALL
SELECT 't', m.n, CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN t.typbasetype ELSE t.oid END
  ::pg_catalog.int8, a.attnum, '', '', ''
FROM named m JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.oid
 AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
 AND a.attgenerated OPERATOR(pg_catalog.=) ''::pg_catalog."char"
JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
UNION ALL
SELECT 'o', n, 0, 0, '', '', '' FROM calls
UNION ALL
SELECT 's', 0, 0, 0, '', pg_catalog.current_setting('search_path'), ''
"""


def answers(rows: Iterable[Sequence[bytes | None]]) -> tuple[dict[int, Known], str]:
    """Rows of the question as what is known, by the number of the name asked for, and the search_path. Raises WireError."""
    search_path = ""
    oids: dict[int, tuple[int, str, tuple[str, ...]]] = {}
    columns: dict[int, dict[int, str]] = {}
    under: dict[int, list[BaseColumn]] = {}
    types: dict[int, dict[int, int]] = {}
    opaque: set[int] = set()
    for row in rows:
        kind, number, oid, attnum, schema, names, column = _row(row)
        tables = tuple(names.split("\x01"))
        if kind == "c":
            oids[number] = (oid, schema, tables)
            columns.setdefault(number, {})
            if attnum:
                columns[number][attnum] = column
        elif kind == "u":
            under.setdefault(number, []).append(BaseColumn(schema, tables, column))
        elif kind == "t":
            types.setdefault(number, {})[attnum] = oid
        elif kind == "o":
            opaque.add(number)
        else:
            search_path = names
    known = {
        number: Known(
            oid, schema, tables, columns[number], tuple(under.get(number, ())), number in opaque, types.get(number, {})
        )
        for number, (oid, schema, tables) in oids.items()
    }
    return known, search_path


def _row(row: Sequence[bytes | None]) -> tuple[str, int, int, int, str, str, str]:
    try:
        kind, number, oid, attnum, schema, names, column = ((cell or b"").decode("utf-8") for cell in row)
        return kind, int(number), int(oid), int(attnum or 0), schema, names, column
    except ValueError:
        raise WireError(f"the target answered a catalog question with a row of {len(row)} cells that do not fit") from None


def _quoted(relation: Relation) -> str:
    parts = (relation.schema, relation.name) if relation.schema else (relation.name,)
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _literal(text: str) -> str:
    """A string literal that means the same whatever the session's settings: E'' with both escapes doubled."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
