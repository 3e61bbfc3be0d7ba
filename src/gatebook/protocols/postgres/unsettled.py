"""Names whose meaning what stands before them may change: in the same text, or in the same batch before it is answered.

The catalog is asked once, before a text runs. So a name without a schema is not known behind ``SET search_path``, ``SET ROLE``,
a DROP or RENAME of what it stood for, or the end of a transaction that any of these stood in: not to a mask, which then covers
all, and not to a rule about a table, so that what uses it may do anything (``sql.unknown``). Names with a schema mean what they
say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gatebook.model import Deed, Reach
from gatebook.protocols.postgres.catalog import Catalog, Known
from gatebook.protocols.postgres.catalog_relations import is_system
from gatebook.protocols.postgres.expected import Portal
from gatebook.protocols.postgres.naming import ANY_NAME, HANGING
from gatebook.protocols.postgres.reading import Reading, Relation, Statement

NOWHERE = Relation(None, "")  # resolves to nothing: a statement that names it is one whose bare names are not known
UNSURE = Relation("", "")  # the same of one that runs a statement by its name, whose deeds are what that name stood for
IDLE = Relation("idle", "")  # the same of one that cannot run, in a failed transaction
UNPLACED = ""  # among the names that are trusted: nobody can tell where they are looked for

_PLACES = frozenset({"search_path", "role", "session_authorization", "all"})
_DEFINES = frozenset({"sql.create", "sql.alter", "sql.drop", "sql.maintain"})
_OPENS = frozenset({"BEGIN", "START", "SAVEPOINT", "RELEASE"})
_SHOWN = 5  # names in a reason

_MOVED = (
    "which may stand for something else behind what comes before it in the same text: write its schema, or send it by itself"
)
_UNASKED = "which could not be looked up here: write its schema, or send it in a batch of its own"


def _sets(statement: Statement) -> bool:
    """Whether it may change a setting. What is not known may: a function that somebody wrote, for one."""
    return any(_setting(deed) or deed.reach is Reach.UNKNOWN for deed in statement.deeds)


def _setting(deed: Deed) -> object:
    """The setting that it changes, "all" where that is not told, as for an UPDATE of pg_settings; empty where none."""
    return deed.facts.get("setting") or ("all" if deed.verb == "sql.setting" else "")


def _defines(statement: Statement) -> bool:
    """Whether it may define, rename or drop what a name stands for."""
    return bool(statement.naming.changes) or any(deed.verb in _DEFINES for deed in statement.deeds)


def _moves(statement: Statement) -> bool:
    """Whether names may be looked up elsewhere behind it."""
    return _places(statement) or any(deed.reach is Reach.UNKNOWN for deed in statement.deeds)


def _places(statement: Statement) -> bool:
    return any(_setting(deed) in _PLACES for deed in statement.deeds)


def _ends(statement: Statement) -> bool:
    return bool(statement.transaction) and statement.transaction not in _OPENS


@dataclass(slots=True)
class Changes:
    """What a session changed about names so far. Owned by its ``Answers``.

    ``settings`` in all of it; in the transaction that is open ``placed`` where names are looked up, and ``defined`` what they
    stand for: its end may put these back.
    """

    settings: bool = False
    placed: bool = False
    defined: bool = False

    def sent(self, reading: Reading, catalog: Catalog) -> None:
        """Have the catalog forget what this text may give another meaning, as long as it is not answered.

        Its own answer is covered by what is left: names stay what they are behind a setting that has no part in finding them.
        """
        undoes = (self.settings or self.defined) and any(_ends(one) for one in reading.statements)
        if undoes or any(_moves(one) or _defines(one) for one in reading.statements):
            catalog.forget_names()
        elif any(_sets(one) for one in reading.statements):
            catalog.forget_settings()

    def done(self, statement: Statement | None, *, ends: bool) -> bool:
        """A statement has ended, None for one that may do anything; whether names must be asked for anew."""
        sets = statement is None or _sets(statement)
        self.settings = self.settings or sets
        self.placed = self.placed or statement is None or _places(statement)
        self.defined = self.defined or statement is None or _defines(statement)
        return sets or (ends and (self.settings or self.defined))

    def over(self) -> None:
        """The transaction is over."""
        self.placed = self.defined = False


def settled(reading: Reading, catalog: Catalog, changes: Changes, *, failed: bool) -> Reading:
    """The reading with what its own earlier statements may give another meaning counted as unknown.

    In a ``failed`` transaction nothing runs before its end: what its names stand for does not matter there.
    """
    if failed and not _ends(reading.statements[0]):
        return replace(reading, statements=tuple(_idle(reading.statements, catalog)))
    if len(reading.statements) < 2:
        return reading
    moved = _Moved(catalog, changes)
    found = tuple(moved.past(one) for one in reading.statements)
    same = all(one is other for one, other in zip(found, reading.statements, strict=True))
    return reading if same else replace(reading, statements=found)


def _idle(statements: Iterable[Statement], catalog: Catalog) -> Iterator[Statement]:
    ended = False
    for one in statements:
        ended = ended or _ends(one)
        told = all(catalog.by_name.get(relation) is not None for relation in one.relations)
        yield one if ended or told else replace(one, relations=one.relations | {IDLE})


class _Moved:
    """What the statements of a text so far may have changed."""

    def __init__(self, catalog: Catalog, changes: Changes) -> None:
        self._catalog, self._placed, self._defined = catalog, changes.placed, changes.defined
        self._elsewhere = False  # names are looked up somewhere else
        self._names: frozenset[str] = frozenset()
        self._fleeting: frozenset[str] = frozenset()

    def past(self, one: Statement) -> Statement:
        """The statement as what came before leaves it; what it does itself is for those behind it."""
        found = one
        if any(self._touches(relation) for relation in one.relations):
            found = replace(found, relations=found.relations | {NOWHERE})
        if self._elsewhere and one.trusts:
            found = replace(found, trusts=one.trusts | {UNPLACED})
        self._take(one)
        return found

    def _touches(self, relation: Relation) -> bool:
        if relation.schema is not None:
            return False
        if self._elsewhere or ANY_NAME in self._names or relation.name in self._names:
            return True
        return HANGING in self._names and _hangs(self._catalog.by_name.get(relation))

    def _take(self, one: Statement) -> None:
        ends = _ends(one)
        self._placed = self._placed or _places(one)
        self._elsewhere = self._elsewhere or _places(one) or (ends and self._placed)
        if ends and self._defined:
            undone = {HANGING} | self._fleeting if one.transaction == "COMMIT" else {ANY_NAME}
            self._names |= undone
        self._defined = self._defined or _defines(one)
        self._fleeting |= one.naming.fleeting
        self._names = (self._names | one.naming.changes) - one.naming.makes


def _hangs(known: Known | None) -> bool:
    """Whether it may go with another: a view, a table below others, a temporary one."""
    return known is not None and bool(known.under or known.opaque or known.kin or known.schema.startswith("pg_temp"))


def renames(reading: Reading) -> bool:
    """Whether a name of a prepared statement may stand for another behind this text."""
    named = any(one.prepares is not None or one.forgets is not None for one in reading.statements)
    return named or any(deed.reach is Reach.UNKNOWN for deed in reading.deeds)


def taken(portals: Iterable[Portal], *, cursors: bool, statements: bool) -> None:
    """Note which portals may be cursors by now, or run other statements than when they were decided."""
    for portal in portals:
        runs = statements and any(one.executes is not None for one in portal.prepared.reading.statements)
        portal.taken = portal.taken or cursors or runs


def unsure_of_names(reading: Reading) -> Reading:
    """A text that runs a statement by its name: by the time it runs, the name may stand for another."""
    if not any(one.executes for one in reading.statements):
        return reading
    unsure = (replace(one, outputs=None, relations=one.relations | {UNSURE}) for one in reading.statements)
    return replace(reading, statements=tuple(unsure))


def unplaced(statement: Statement, catalog: Catalog) -> str:
    """Why nobody can tell which relations its bare names stand for; empty where that is known, or they stand for nothing."""
    bare = [one for one in statement.relations if one.schema is None and one.name and IDLE not in statement.relations]
    if NOWHERE in statement.relations and bare:
        return f"names {_shown(bare)}, {_MOVED}"
    if unasked := [one for one in bare if catalog.by_name.get(one) is None and one not in catalog.absent]:
        return f"names {_shown(unasked)}, {_UNASKED}"
    if posing := [
        one for one in bare if is_system(one) and (known := catalog.by_name.get(one)) and known.schema != "pg_catalog"
    ]:
        return f"names {_shown(posing)}, which is not the server's own here: write its schema"
    return ""


def _poses(known: Known | None) -> bool:
    return known is not None and known.schema != "pg_catalog"


def _shown(relations: Iterable[Relation]) -> str:
    names = sorted(str(one) for one in relations)
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
