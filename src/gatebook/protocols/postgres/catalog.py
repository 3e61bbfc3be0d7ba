"""Questions to PostgreSQL's catalog, and what their answers mean for masking. Pure: asking is the relay's ``Own("catalog")``.

One question resolves the relation names of a text as the server would resolve them at that moment (search_path included), on
the session's own connection. For a view the answer lists the base columns that its rules read, all the way down; a view that
uses a function, operator or type somebody wrote (enums and rows aside) counts as reading anything. Everything in the question
is qualified with pg_catalog, so that a search_path cannot put other functions or operators in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.masking.rules import STRICTNESS, MaskSet, Style, style_of
from gatebook.protocols.postgres import catalog_facts
from gatebook.protocols.postgres.catalog_question import MAY_BE_OWN_CODE, OWN_CODE_ROWS, OWN_CODE_WITH, PLAIN, QUESTION
from gatebook.protocols.postgres.quoting import literal
from gatebook.protocols.postgres.quoting import relation as quoted
from gatebook.protocols.postgres.reading import Relation

_STRICTEST_FIRST = tuple(reversed(STRICTNESS))
QUESTION_RELATIONS = 200  # names in one question; a text that names more is not resolved, so its answer is covered whole


@dataclass(frozen=True, slots=True)
class BaseColumn:
    """A column of a table: its schema, the table's name and those of the tables it inherits from, its own name."""

    schema: str
    tables: tuple[str, ...]
    column: str


Derived: TypeAlias = Mapping[int, frozenset[BaseColumn]]


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog says of one relation.

    ``columns`` by attribute number; ``under`` the base columns a view reads; ``opaque`` when it may read anything.
    ``made_of`` are the columns of the same relation from which a generated column is computed; ``kin`` the schemas and names of
    the tables it inherits from and of those below it, whose rows it shows. ``keys`` are the columns of each unique or exclusive
    index, ``references`` each column that must have its like in another table, with that one; ``keys_below`` are columns of
    either kind in the tables that a view shows. ``types`` are OIDs, of a domain that of the type
    below it, for those columns that COPY writes: generated ones it leaves out. ``derived`` are the base columns behind each
    column of a view of which that is certain, None as long as it was not asked for (``catalog_views.py``).
    """

    oid: int
    schema: str
    tables: tuple[str, ...]
    columns: Mapping[int, str]
    under: tuple[BaseColumn, ...] = ()
    opaque: bool = False
    types: Mapping[int, int] = field(default_factory=dict)
    made_of: Mapping[int, frozenset[str]] = field(default_factory=dict)
    kin: tuple[tuple[str, tuple[str, ...]], ...] = ()
    keys: tuple[frozenset[str], ...] = ()
    references: tuple[tuple[str, BaseColumn], ...] = ()
    keys_below: frozenset[str] = frozenset()
    derived: Derived | None = None
    _kept: dict[tuple[MaskSet, ...], frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The qualified name."""
        return f"{self.schema}.{self.tables[0]}"

    def style(self, sets: Collection[MaskSet], attnum: int) -> Style | None:
        """How this column is covered by rule, None for not at all. What is computed of a covered column is covered whole."""
        column = self.columns.get(attnum)
        own = self._by_rule(sets, column) if column is not None else None
        if own is Style.REDACT or self._shows_masked_below(sets, attnum):
            return Style.REDACT
        return Style.REDACT if any(self._by_rule(sets, name) for name in self.made_of.get(attnum, ())) else own

    def token_set(self, sets: Collection[MaskSet], attnum: int) -> str:
        """The name of the mask set whose tokens stand for this column's values: the first by name; "" without one."""
        return min((one.name for one in sets if self.style([one], attnum) is Style.TOKEN), default="")

    def masked(self, sets: Collection[MaskSet]) -> frozenset[str]:
        """The names of its columns that are covered."""
        asked = tuple(sets)
        found = self._kept.get(asked)
        if found is None:
            found = frozenset(name for number, name in self.columns.items() if self.style(sets, number))
            self._kept[asked] = found
        return found

    def checked(self, sets: Collection[MaskSet], written: Collection[str]) -> frozenset[str]:
        """The masked columns that a key or reference checks when these are written: whether that fails tells of other rows."""
        masked, all_of_it = self.masked(sets), "*" in written
        found = {name for key in self.keys if all_of_it or key & set(written) for name in key & masked}
        for name, there in self.references:
            if (all_of_it or name in written) and (name in masked or style_of(sets, there.schema, there.tables, there.column)):
                found.add(name)
        below = [one for one in self.under if one.column in self.keys_below]
        return frozenset(found | {one.column for one in below if style_of(sets, one.schema, one.tables, one.column)})

    def sets_of(self, sets: Collection[MaskSet], column: str) -> frozenset[str]:
        """The names of the mask sets that cover this column; "*": any column."""
        names = self.columns.values() if column == "*" else (column,)
        return frozenset(one.name for one in sets if any(name in self.masked([one]) for name in names))

    def _by_rule(self, sets: Collection[MaskSet], column: str) -> Style | None:
        """The strictest that rules say of this column under any of the names that its rows have."""
        found = [style_of(sets, schema, tables, column) for schema, tables in ((self.schema, self.tables), *self.kin)]
        return next((style for style in _STRICTEST_FIRST if style in found), None)

    def copied(self, names: Sequence[str]) -> tuple[int, ...]:
        """The attribute numbers of what COPY writes, in its order: of these columns, or of all; none when that is not known."""
        numbers = {self.columns[number]: number for number in sorted(self.types) if number in self.columns}
        return tuple(numbers[name] for name in names or numbers) if numbers.keys() >= set(names) else ()

    def _shows_masked_below(self, sets: Collection[MaskSet], attnum: int) -> bool:
        if not sets or self.opaque or self.derived is None or attnum not in self.derived:
            return self.reads_masked(sets)
        return any(style_of(sets, c.schema, c.tables, c.column) for c in self.derived[attnum])

    def reads_masked(self, sets: Collection[MaskSet]) -> bool:
        """Whether it is a view that reads a masked column, be it for a condition alone."""
        return bool(sets) and (self.opaque or any(style_of(sets, c.schema, c.tables, c.column) for c in self.under))

    def reads(self) -> frozenset[str]:
        """Every column name that may stand in an answer from it."""
        return frozenset(self.columns.values()) | {c.column for c in self.under} | ({"*"} if self.opaque else set())


MEANINGFUL = frozenset({"DateStyle", "IntervalStyle", "TimeZone"})  # what a literal means, and what the server reports
_FIRST = tuple(sorted(MEANINGFUL))
ASKED_FOR = (  # what else decides what a text means or does, told only when asked
    "array_nulls bytea_output default_table_access_method default_tablespace default_text_search_config extra_float_digits "
    "lc_monetary lc_numeric lc_time row_security session_replication_role timezone_abbreviations transform_null_equals "
    "xmlbinary xmloption"
).split()
ANYWHERE = Relation("pg_catalog", "pg_class")  # found by every session: asked for to learn the search_path alone


@dataclass(slots=True)
class Catalog:
    """What one session has learnt. Owned by its relay; ``forget`` empties it. ``version`` changes whenever any of it does."""

    by_name: dict[Relation, Known | None] = field(default_factory=dict)
    by_oid: dict[int, Known] = field(default_factory=dict)
    search_path: str = ""  # "" while a setting is on its way, or nothing was asked yet; then ``settings`` are not known either
    settings: str = ""  # those of MEANINGFUL, ASKED_FOR and the current role, as the server said last
    absent: set[Relation] = field(default_factory=set)  # names that the target said stand for nothing
    unsettled: bool = False  # names stay what they are, but settings must be asked for again
    namesakes: frozenset[str] | None = None  # names of the server's functions and operators that somebody's own have too
    own_code: bool = False  # there may be types behind which somebody's own code runs
    version: int = 0
    _reported: dict[str, str] = field(default_factory=dict)
    _answered: str = ""
    _shared: catalog_facts.Facts | None = None  # until this session is on its own
    _scope: str = ""
    _server: str = ""
    _placed: set[Relation] = field(default_factory=set)  # whose number is known, and nothing else
    _intricate: set[Relation] = field(default_factory=set)  # of which the question about plain tables told nothing

    def missing(self, relations: Iterable[Relation]) -> list[Relation]:
        """Those that must be asked for, in a stable order."""
        return sorted((r for r in relations if r.name and r not in self.by_name), key=str)

    def share(self, facts: catalog_facts.Facts, scope: str) -> None:
        """Take part in what sessions of the same target and database learn."""
        self._shared, self._scope = facts, scope

    def alone(self) -> None:
        """From now on only what this session asks for itself counts, and nothing of before for others."""
        if self._shared is not None:
            self._shared.clear()
        self._shared = None

    def asks_names(self, relations: Iterable[Relation]) -> bool:
        """Whether the short question comes first: outside of a transaction, for names not asked by it yet."""
        return self._shared is not None and self._placed.isdisjoint(relations)

    def asks_plain(self, relations: Iterable[Relation]) -> bool:
        """Whether the question about plain tables comes first: for names that were not answered to be something else."""
        return self._intricate.isdisjoint(relations)

    @property
    def generation(self) -> int | None:
        """What is asked for now, outside of a transaction, is for others too, as long as this is the same."""
        return self._shared.generation if self._shared is not None else None

    def place(self, asked: Sequence[Relation], rows: Iterable[Sequence[bytes | None]]) -> bool:
        """Take in the rows of a short question. Raises WireError when they are not such rows.

        Whether something was known: then somebody of this role was answered the long question, too.
        """
        server, oids, search_path, settings = catalog_facts.placed(rows)
        if self._shared is None or not server:  # it was refused: some do not say when they were started
            self._shared = None
            return False
        self._server, self.search_path = f"{self._scope}\0{server}", search_path
        self._told(settings)
        self.namesakes = self._shared.find_namesakes(self._server, self._place)
        self.version += 1
        for number, relation in enumerate(asked):
            oid = oids.get(number, 0)
            known = self._shared.find(self._server, oid) if oid and self.namesakes is not None else None
            if known is not None:
                self.by_name[relation] = self.by_oid[oid] = known
            elif oid:
                self._placed.add(relation)
            else:
                self.by_name[relation] = None
                self.absent.add(relation)
        return any(self.by_name.get(relation) is not None for relation in asked)

    def learn(self, asked: Sequence[Relation], rows: Iterable[Sequence[bytes | None]], generation: int | None = None) -> None:
        """Take in the rows of one question. Raises WireError when they are not such rows.

        ``generation`` is that of when it was asked outside of a transaction, None else.
        """
        rows = list(rows)
        found, self.search_path, said = answers(rows)
        self.namesakes = frozenset(_namesakes(rows)) if rows else None
        more = not self.own_code and any(row[0] == b"m" for row in rows)
        if more:  # ask again, and from now on for all of it
            self.own_code, self.namesakes = True, None
        self._told(said)
        self.version += 1
        there = {int(row[1] or 0) for row in rows if row[0] == b"i"}  # by the names of now, if not by the snapshot
        whole = {int(row[1] or 0) for row in rows if row[0] == b"w"} if self.asks_plain(asked) else set()
        for number, relation in enumerate(asked):
            known = found.get(number)
            if number in whole:  # it is no plain table: ask all about it
                self._intricate.add(relation)
                continue
            self.by_name[relation] = known
            if known is None and rows and number not in there:
                self.absent.add(relation)
            if known is not None:
                self.by_oid[known.oid] = known
        if more:
            self.by_name.pop(ANYWHERE, None)
        if self._shared is not None and self._server and generation is not None:
            self._shared.keep(self._server, found.values(), generation)
            self._shared.keep_namesakes(self._server, self._place, self.namesakes, generation)

    def resolved(self, relations: Iterable[Relation]) -> tuple[Known, ...] | None:
        """What is known of all of these; None when one of them is not known."""
        found = [self.by_name.get(relation) for relation in relations]
        known = tuple(one for one in found if one is not None)
        return known if len(known) == len(found) else None

    def unread(self, relations: Iterable[Relation], sets: Collection[MaskSet]) -> list[Known]:
        """Views that read masked columns, and whose definitions were not asked for."""
        found = (self.by_name.get(relation) for relation in relations)
        views = [one for one in found if one is not None and one.under and one.derived is None and not one.opaque]
        return [one for one in views if one.reads_masked(sets)]

    def define(
        self, views: Sequence[Known], derived: Iterable[Mapping[int, frozenset[BaseColumn]]], generation: int | None
    ) -> None:
        """Take in where the columns of these views come from."""
        self.version += 1
        now = {id(view): replace(view, derived=found, _kept={}) for view, found in zip(views, derived, strict=True)}
        self.by_name = {relation: now.get(id(known), known) for relation, known in self.by_name.items()}
        self.by_oid = {oid: now.get(id(known), known) for oid, known in self.by_oid.items()}
        if self._shared is not None and self._server and generation is not None:
            self._shared.keep(self._server, now.values(), generation)

    def forget(self) -> None:
        """Count nothing as known any more."""
        self.version += 1
        self._shared = self.namesakes = None
        self._intricate.clear()
        self.by_name.clear()
        self.by_oid.clear()
        self.absent.clear()

    def reported(self, name: str, value: str) -> None:
        """The server says what a setting is now."""
        if name == "search_path":
            self.forget_names()
        elif name in MEANINGFUL:
            self._reported[name] = value.replace("\n", " ")
            self._say_settings()

    def forget_names(self) -> None:
        """A search_path or definition may have changed: names must be asked again, numbers stay what they are."""
        self.version += 1
        self.namesakes = None
        self.by_name.clear()
        self.absent.clear()
        self.search_path = self._answered = ""

    def forget_settings(self) -> None:
        """A setting may have changed that has no part in looking up names."""
        self.version += 1
        self.by_name.pop(ANYWHERE, None)
        self.search_path = self._answered = ""
        self.unsettled = True

    @property
    def _place(self) -> str:
        """Where functions are looked for: the same for all sessions of a role with this search_path."""
        return f"{self._answered}\0{self.search_path}"

    def _told(self, settings: str) -> None:
        """The settings as a question answers them."""
        lines = settings.split("\n")
        for name in _FIRST if len(lines) > len(_FIRST) else ():  # in the middle of a batch they are reported late
            self._reported[name] = lines.pop(0).removeprefix(f"{name}=")
        self._answered = "\n".join(lines)
        self.unsettled = False
        self._say_settings()

    def _say_settings(self) -> None:
        said = [f"{name}={self._reported[name]}" for name in sorted(self._reported)]
        self.settings = "\n".join([*said, self._answered] if self._answered else said)


def question(relations: Sequence[Relation], *, own_code: bool = False, plain: bool = False) -> str:
    """One SELECT that resolves these names. Each row: kind, number, oid, attnum, schema, table names, column.

    ``own_code``: also about types behind which somebody's own code may run, else only whether there may be such. ``plain``: of
    names of anything but plain tables nothing but that they are there, by rows of the kind w.
    """
    return _QUESTIONS[plain, own_code].replace("%VALUES%", _values(relations))


def short_question(relations: Sequence[Relation]) -> str:
    """One SELECT that says which relations these names are, and what goes for the session, but nothing of the relations."""
    return catalog_facts.names(_values(relations), _SETTINGS)


def _values(relations: Sequence[Relation]) -> str:
    return ", ".join(f"({number}, {literal(quoted(relation))})" for number, relation in enumerate(relations))


def _setting(name: str) -> str:
    return f"pg_catalog.concat('{name}=', pg_catalog.current_setting('{name}', true))"


_SETTINGS = ", ".join(
    [_setting(name) for name in _FIRST]
    + ["pg_catalog.concat('current_user=', current_user)"]
    + [_setting(name) for name in ASKED_FOR]
)


def _whole(text: str, *, own_code: bool) -> str:
    more = (OWN_CODE_WITH, OWN_CODE_ROWS) if own_code else ("", MAY_BE_OWN_CODE)
    return text.replace("%SETTINGS%", _SETTINGS).replace("%WITH%", more[0]).replace("%ROWS%", more[1])


_QUESTIONS = {
    (plain, own): _whole(PLAIN if plain else QUESTION, own_code=own) for plain in (True, False) for own in (True, False)
}


def answers(rows: Iterable[Sequence[bytes | None]]) -> tuple[dict[int, Known], str, str]:
    """Rows of the question as what is known, by the number of the name asked for, the search_path, and ASKED_FOR as lines.

    Raises WireError.
    """
    search_path = settings = ""
    oids: dict[int, tuple[int, str, tuple[str, ...]]] = {}
    columns: dict[int, dict[int, str]] = {}
    under: dict[int, list[BaseColumn]] = {}
    types: dict[int, dict[int, int]] = {}
    opaque: set[int] = set()
    made: dict[int, dict[int, frozenset[str]]] = {}
    kin: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    keys: dict[int, dict[int, set[str]]] = {}
    references: dict[int, list[tuple[str, BaseColumn]]] = {}
    below: dict[int, set[str]] = {}
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
        elif kind == "g":
            of_one = made.setdefault(number, {})
            of_one[attnum] = of_one.get(attnum, frozenset()) | {column}
        elif kind == "k":
            kin.setdefault(number, []).append((schema, tables))
        elif kind == "x":
            keys.setdefault(number, {}).setdefault(oid, set()).add(column)
            if not attnum:
                below.setdefault(number, set()).add(column)
        elif kind == "f":
            references.setdefault(number, []).append((column, BaseColumn(schema, tables[:1], tables[-1])))
            if not attnum:
                below.setdefault(number, set()).add(column)
        elif kind == "o":
            opaque.add(number)
        elif kind == "s":
            search_path, settings = names, column
    known = {
        number: Known(
            oid,
            schema,
            tables,
            columns[number],
            tuple(under.get(number, ())),
            number in opaque,
            types.get(number, {}),
            made.get(number, {}),
            tuple(kin.get(number, ())),
            tuple(frozenset(one) for one in keys.get(number, {}).values()),
            tuple(references.get(number, ())),
            frozenset(below.get(number, ())),
        )
        for number, (oid, schema, tables) in oids.items()
    }
    return known, search_path, settings


def _namesakes(rows: Iterable[Sequence[bytes | None]]) -> Iterator[str]:
    """Names that somebody's own share with the server's, and what types of somebody's do, by name, number and column."""
    for kind, _, oid, _, does, name, column in map(_row, (row for row in rows if row[0] in (b"p", b"h"))):
        if kind == "p":
            yield name
        elif name:
            yield from (f"{does}\x01{name}", f"{does}\x01{oid}")
        else:
            yield f"{does}\x02{column}"


def _row(row: Sequence[bytes | None]) -> tuple[str, int, int, int, str, str, str]:
    try:
        kind, number, oid, attnum, schema, names, column = ((cell or b"").decode("utf-8") for cell in row)
        return kind, int(number), int(oid), int(attnum or 0), schema, names, column
    except ValueError:
        raise WireError(f"the target answered a catalog question with a row of {len(row)} cells that do not fit") from None
