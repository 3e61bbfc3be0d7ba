"""Where the values of a select list come from: flows of columns through FROM, CTEs, sub-selects and expressions.

A ``Flow`` is the set of columns a value may come from, each with the relation it would be a column of where the text tells, "*"
for any; and whether that set is certain. A ``Source`` is one item of FROM, asked for the flow behind a name. Columns of base
relations stand for themselves; those of derived tables are followed to theirs. Names are not checked against the catalog, which
nobody here can see: an unqualified name counts as a column of every relation in sight, and ``c.f`` as column f even where the
server would call f(c), save for the built-ins that take a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gatebook.protocols.postgres.reading import Origin, Output, Relation

ANY = "*"
FLOW_ORIGINS = 1024  # columns one value may come from; more count as any, so that no text makes flows without end
PENDING = "\0"  # starts the mark that stands for a recursive CTE's own columns until they are known; no name can hold it


class Flow:
    """The columns a value may come from. Grows while an expression is walked."""

    __slots__ = ("certain", "origins")

    def __init__(self, columns: Iterable[str] = (), certain: bool = True, origins: Iterable[Origin] = ()) -> None:
        self.origins: set[Origin] = {(None, name) for name in columns}
        self.origins.update(origins)
        self.certain = certain

    @property
    def columns(self) -> set[str]:
        """The names of the columns, whatever relation they may be of."""
        return {name for _, name in self.origins}

    def add(self, other: Flow) -> None:
        """Let the other's columns flow in too."""
        self.take(other.origins)
        self.certain = self.certain and other.certain

    def take(self, origins: Iterable[Origin]) -> None:
        """Let these columns flow in too. Too many to tell apart are any."""
        self.origins.update(origins)
        if len(self.origins) > FLOW_ORIGINS:
            self.origins = {(None, ANY)}

    def output(self, *, star: bool = False) -> Output:
        """This flow as an item of a select list."""
        return Output(star=star, columns=frozenset(self.columns), certain=self.certain, origins=frozenset(self.origins))


def united(flows: Iterable[Flow | Output]) -> Flow:
    """All of these in one."""
    flow = Flow()
    for each in flows:
        flow.take(each.origins)
        flow.certain = flow.certain and each.certain
    return flow


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query yields: its outputs in order, with the name of each as far as the text says it plainly."""

    outputs: tuple[Output, ...] = ()
    labels: tuple[str | None, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether each output is one column."""
        return not any(output.star for output in self.outputs)


@dataclass(slots=True)
class Source:
    """One item of FROM.

    ``names`` are its columns whose flow is known. Any other name has the flow ``otherwise``, or, when it ``passes``, is a
    column of a base relation by that name. ``rows`` are its columns in order, when it is known how many there are.
    """

    names: dict[str, Flow] = field(default_factory=dict)
    passes: bool = False
    otherwise: Flow | None = None
    rows: Rows | None = None
    relations: tuple[Relation, ...] = ()
    base: bool = False  # a table or view itself
    given: frozenset[str] = frozenset()  # names that the text gives its columns
    _whole: Flow | None = None

    def find(self, name: str) -> Flow | None:
        """The flow behind a column of this name; None if it has none."""
        known = self.names.get(name)
        if known is not None:
            return known
        if self.otherwise is not None:
            return united([self.otherwise, self._own(name)]) if self.passes else self.otherwise
        return self._own(name) if self.passes else None

    def _own(self, name: str) -> Flow:
        """A column of this name that is passed through, or of the relation itself."""
        return Flow(origins=((self.relations[0] if self.base else None, name),))

    def whole(self) -> Flow:
        """The flow of a whole row."""
        if self._whole is None:
            self._whole = self._united()
        return self._whole

    def _united(self) -> Flow:
        flow = united(self.names.values())
        if self.otherwise is not None:
            flow.add(self.otherwise)
        if self.passes:
            flow.add(self._own(ANY))
        return flow


def base(relation: Relation, renamed: Sequence[str]) -> Source:
    """A table or view. Renamed columns could be any: their order is not in the text."""
    otherwise = Flow({ANY}, False) if renamed else None
    return Source(passes=True, otherwise=otherwise, relations=(relation,), base=True, given=frozenset(renamed))


def computed(flow: Flow) -> Source:
    """A function in FROM: each of its columns may come from all of its arguments."""
    return Source(otherwise=flow)


def joined(sources: Iterable[Source], renamed: Sequence[str]) -> Source:
    """A join that has an alias of its own."""
    parts = list(sources)
    names: dict[str, Flow] = {}
    for part in parts:
        for name, flow in part.names.items():
            names[name] = united([names[name], flow]) if name in names else flow
    rest = united(part.otherwise for part in parts if part.otherwise is not None)
    if renamed:
        rest = united([rest, *names.values(), Flow({ANY}, False)])
        names = {}
    closed = not renamed and all(part.otherwise is None for part in parts)
    return Source(
        names=names,
        passes=any(part.passes for part in parts),
        otherwise=None if closed else rest,
        relations=tuple(relation for part in parts for relation in part.relations),
    )


def derived(rows: Rows, renamed: Sequence[str], relations: tuple[Relation, ...] = ()) -> Source:
    """A sub-select or CTE, under its own column names or those it is given."""
    if renamed and not rows.exact:
        return Source(otherwise=united([*rows.outputs, Flow({ANY}, False)]), relations=relations)
    labels = (*renamed[: len(rows.outputs)], *rows.labels[len(renamed) :])
    names: dict[str, Flow] = {}
    unnamed: list[Output] = []
    passes = False
    for output, label in zip(rows.outputs, labels, strict=True):
        if output.star and output.certain and output.columns == {ANY}:
            passes = True
        elif output.star or label is None:
            unnamed.append(output)
        else:
            names[label] = united([output, *([names[label]] if label in names else [])])
    known = Rows(rows.outputs, labels) if rows.exact else None
    return Source(names, passes, united(unnamed) if unnamed else None, known, relations)


@dataclass(slots=True)
class Scope:
    """The names that an expression can see: one query level. ``merged`` when USING or NATURAL makes one column of two.

    ``joined`` marks the inside of a join with an alias of its own, which is part of the level around it.
    """

    parent: Scope | None = None
    ctes: dict[str, Rows | Source] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    unnamed: list[Source] = field(default_factory=list)
    merged: bool = False
    joined: bool = False

    def outside(self) -> Scope:
        """What a sub-select in FROM sees without LATERAL: not its siblings, which may hide names of queries further out."""
        level = self
        while level.joined and level.parent is not None:
            level = level.parent
        return Scope(level.parent, level.ctes)

    def since(self, named: int, unnamed: int) -> Scope:
        """What the condition of a join sees: the items of FROM added since there were so many, and the queries around."""
        seen = self.outside()
        seen.sources = dict(list(self.sources.items())[named:])
        seen.unnamed = self.unnamed[unnamed:]
        return seen

    def cte(self, name: str) -> Rows | Source | None:
        """The CTE that this name means here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.ctes:
                return scope.ctes[name]
            scope = scope.parent
        return None

    def source(self, alias: str) -> Source | None:
        """The item of FROM that this qualifier means here."""
        scope: Scope | None = self
        while scope is not None:
            if alias in scope.sources:
                return scope.sources[alias]
            scope = scope.parent
        return None

    def all(self) -> list[Source]:
        """Every item of this level's FROM."""
        return [*self.sources.values(), *self.unnamed]

    def column(self, name: str) -> Flow:
        """The flow behind an unqualified name: a column of any level that may have it, or a whole row by its alias."""
        flow = Flow()
        scope: Scope | None = self
        found = False
        while scope is not None:
            certain_here = False
            for alias, source in scope.sources.items():
                if alias == name:
                    flow.add(source.whole())
                    found = True
            for source in scope.all():
                behind = source.find(name)
                if behind is not None:
                    flow.add(behind)
                    found = True
                    certain_here = certain_here or name in source.names
            if certain_here:
                break
            scope = scope.parent
        return flow if found else Flow({name}, False)

    def star(self) -> Rows:
        """What ``*`` expands to."""
        sources = self.all()
        known = [source.rows for source in sources if source.rows is not None and source.rows.exact]
        if len(known) == len(sources) and not self.merged:
            return Rows(
                tuple(output for rows in known for output in rows.outputs),
                tuple(label for rows in known for label in rows.labels),
            )
        return starred(sources)


def starred(sources: Sequence[Source]) -> Rows:
    """A star that could not be expanded. Only where all is passed through by name do its columns keep their own."""
    if all(source.passes and not source.names and source.otherwise is None for source in sources):
        flow = united(source.whole() for source in sources) if sources else Flow({ANY}, False)
        return Rows((flow.output(star=True),), (None,))
    flow = united(source.whole() for source in sources)
    if any(source.passes for source in sources):
        flow.certain = False
    return Rows((flow.output(star=True),), (None,))


def set_operation(left: Rows, right: Rows) -> Rows:
    """UNION, INTERSECT, EXCEPT: what stands in one place may come from either side."""
    if left.exact and right.exact and len(left.outputs) == len(right.outputs):
        pairs = zip(left.outputs, right.outputs, strict=True)
        return Rows(tuple(united(pair).output() for pair in pairs), left.labels)
    flow = united([*left.outputs, *right.outputs])
    flow.certain = False
    return Rows((flow.output(star=True),), (None,))


def settled(rows: Rows, mark: str) -> Rows:
    """A recursive CTE's rows once its body is known: what goes around may come up in any of its columns."""
    if not any(mark in output.columns for output in rows.outputs):
        return rows
    flow = united(rows.outputs)
    flow.origins.discard((None, mark))
    return Rows(tuple(flow.output(star=output.star) for output in rows.outputs), rows.labels)


def final(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Outputs without marks: a mark that was never settled could be any column."""
    return tuple(
        Output(output.star, clean(output.columns), output.certain, known(output.origins))
        if any(name[:1] == PENDING for name in output.columns)
        else output
        for output in outputs
    )


def clean(columns: Iterable[str]) -> frozenset[str]:
    """Column names without marks."""
    return frozenset(ANY if name[:1] == PENDING else name for name in columns)


def known(origins: Iterable[Origin]) -> frozenset[Origin]:
    """Columns without marks."""
    return frozenset((relation, ANY if name[:1] == PENDING else name) for relation, name in origins)
