"""What reading a text of SQL yields: which deeds it does, on what, and what may flow into its answer.

``statement.read`` makes these values from the text alone, by PostgreSQL's own grammar; the relay completes them with what the
catalog knows (which names are tables, which columns are masked). Closed unless proven open: a text that cannot be read has one
deed ``sql.unknown`` of reach unknown, and an output column whose sources are not certain counts as any column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from gatebook.model import Deed, Reach

VERBS: Mapping[str, Reach] = MappingProxyType(
    {
        # what only changes or looks at the session: BEGIN, SET, SHOW, DECLARE/FETCH, LISTEN, reading the catalog …
        "sql.session": Reach.READ,
        "sql.select": Reach.READ,
        "sql.explain": Reach.READ,  # EXPLAIN without ANALYZE; with it, the inner statement's verbs are added
        "sql.copy_out": Reach.READ,  # COPY … TO STDOUT
        "sql.insert": Reach.WRITE,
        "sql.update": Reach.WRITE,
        "sql.delete": Reach.WRITE,
        "sql.merge": Reach.WRITE,
        "sql.truncate": Reach.WRITE,
        "sql.copy_in": Reach.WRITE,  # COPY … FROM STDIN
        "sql.lock": Reach.WRITE,  # LOCK TABLE, SELECT … FOR UPDATE/SHARE, advisory locks
        "sql.sequence": Reach.WRITE,  # nextval, setval
        "sql.notify": Reach.WRITE,  # NOTIFY, pg_notify
        "sql.maintain": Reach.WRITE,  # VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH MATERIALIZED VIEW
        "sql.create": Reach.ADMIN,
        "sql.alter": Reach.ADMIN,
        "sql.drop": Reach.ADMIN,
        "sql.grant": Reach.ADMIN,  # GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, REASSIGN OWNED
        "sql.setting": Reach.ADMIN,  # ALTER SYSTEM, SET ROLE, session_replication_role, row_security off …
        "sql.copy_file": Reach.ADMIN,  # COPY to or from a file of the server; server file functions
        "sql.copy_program": Reach.ADMIN,  # COPY to or from a program on the server
        "sql.protected": Reach.ADMIN,  # catalog relations that hold data or secrets: pg_statistic, pg_stats, pg_authid …
        "sql.server": Reach.ADMIN,  # signalling backends, reloading, CHECKPOINT, replication, large objects by admin functions
        "sql.do": Reach.UNKNOWN,
        "sql.call": Reach.UNKNOWN,
        "sql.execute": Reach.UNKNOWN,  # EXECUTE of a prepared statement that is not known
        "sql.unknown": Reach.UNKNOWN,
    }
)

# Gatebook's own deed, which no text does: a held write is tried in a transaction that is rolled back.
PREVIEW, PREVIEW_REACH = "sql.preview", Reach.WRITE

# Every sql deed carries each of these facts; policies see them as context attributes of the same name.
FACTS: Mapping[str, bool | int | str | frozenset[str]] = MappingProxyType(
    {
        "tables": frozenset(),  # relations the deed's statement names, qualified as far as the text says
        "columns": frozenset(),  # column names the statement mentions; "*" for a star or whole row
        "functions": frozenset(),  # functions it calls that are not on the list of harmless built-ins
        "has_where": False,  # a condition that is not constantly true (for update, delete and merge)
        "statements": 1,  # how many statements the whole text has
        "setting": "",  # the setting that SET, RESET or ALTER SYSTEM names
        "copies_to": "",  # client, file or program, for COPY
        "why_unknown": "",  # why the text could not be inspected
        "tests_masked": frozenset(),  # masked columns whose values decide what comes, in what order, or an error; "*" for any
        "tested_sets": frozenset(),  # the mask sets of those columns
        "keys_masked": frozenset(),  # masked columns that a key or a reference checks as the statement writes
        "moves_masked": False,  # a masked column may flow into a table, file, setting or the like; the relay fills it in
    }
)


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence as the text names it, folded as PostgreSQL folds names; ``schema`` None when not said."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


# A column by its name, and the relation it would be a column of; None where the text does not tell which.
Origin: TypeAlias = tuple[Relation | None, str]


@dataclass(frozen=True, slots=True)
class Output:
    """One item of a select or returning list.

    ``star`` stands for however many columns a star expands to. ``columns`` are the names of the columns its value may come
    from, ``origins`` the same with the relations they would be of; ``certain`` says that no other column can flow into it
    (false for sub-selects in the expression, whole rows, names that may be an alias of a derived table, functions that are not
    known). A column name that no relation of the statement has may be a function called in column form, ``c.f`` for ``f(c)``:
    whoever knows the catalog counts it as uncertain.
    """

    star: bool
    columns: frozenset[str]
    certain: bool
    origins: frozenset[Origin] = frozenset()

    def __post_init__(self) -> None:
        if self.columns and not self.origins:
            object.__setattr__(self, "origins", frozenset((None, name) for name in self.columns))


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value stands: parameter number ``param``, or (0) the string constant ``text`` at this byte of the text."""

    param: int = 0
    text: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A value that is compared with a column for equality, or is written into it as it is.

    ``origins`` is the column; one that is written may have its number in the relation instead of a name, ``#1`` and on. It is
    not ``alone`` where the value is compared with others first, as UNION does.
    """

    slot: Slot
    origins: frozenset[Origin]
    writes: bool
    alone: bool = True


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """How the rows of a COPY between client and server are written.

    They are those of ``relation``, all its columns where ``columns`` is empty, or of a query where it is None. The rest are the
    options as the server takes them; of a COPY … FROM STDIN only the format counts. ``refusal`` says why it is not carried.
    """

    inward: bool
    relation: Relation | None
    columns: tuple[str, ...] = ()
    format: str = "text"
    delimiter: bytes = b"\t"
    null: bytes = rb"\N"
    header: bool = False
    quote: bytes = b'"'
    escape: bytes = b'"'
    refusal: str = ""


class Tally(StrEnum):
    """Whether the server says how many rows a statement changes, in the tag of its end."""

    NONE = "none"  # it changes none, or runs nothing
    COUNTED = "counted"
    UNCOUNTED = "uncounted"  # it may change some that the tag does not count, or has no such tag


@dataclass(frozen=True, slots=True)
class Naming:
    """What a statement does to names of relations without a schema, for what stands behind it (``naming.py``).

    ``changes`` may stand for another relation, ``makes`` for a table that it makes; ``fleeting`` are made to the next COMMIT.
    """

    changes: frozenset[str] = frozenset()
    makes: frozenset[str] = frozenset()
    fleeting: frozenset[str] = frozenset()


NAMES_KEPT = Naming()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text.

    ``outputs`` is None when the shape of its rows, if any, is not known: then each column that has no table of its own counts
    as uncertain. Of COPY … TO they are the columns it copies. ``relations`` are all relations it names, without the names of
    its CTEs and those it makes. ``moves`` are the column names whose values may flow somewhere other than the answer (INSERT …
    SELECT, CREATE TABLE AS, UPDATE … SET a = b, arguments of functions that do something, a rename), with "*" for any.
    ``qualified`` are names behind a dot, with the relation whose row stands before it, None for a row of no single relation:
    what is no column there calls a function. ``tally`` says whether the rows it changes can be counted. ``prepares`` and
    ``executes`` name the prepared statement that PREPARE makes or EXECUTE runs; a PREPARE has the deeds, outputs and moves of
    what it prepares. ``forgets`` is what DEALLOCATE or DISCARD drops ("*" for all). ``transaction`` says how it begins or ends
    a transaction or a part of one (``BEGIN``, ``ROLLBACK_TO`` …). ``copy`` is set for COPY between client and server. ``tests``
    are the columns whose values decide something else than what stands in their own place of an answer: which rows come, how
    many, in what order, whether there is an error; without those of the comparisons in ``places``. ``parameters`` are those
    that stand in other places too. ``written`` are the columns that INSERT, UPDATE and their like give values, "*" for all of
    a relation. ``snapshots`` says that running it takes the snapshot of its transaction, where that has none yet. ``trusts``
    are names of functions and operators that are the server's own unless somebody wrote one of the same name. ``naming`` is
    what it does to names. ``types`` are the last parts of names of types that did not come with the server, or the numbers of
    those that a Parse gave its parameters; ``converts`` says that values of any other type than a constant's are converted.
    """

    deeds: tuple[Deed, ...]
    outputs: tuple[Output, ...] | None
    relations: frozenset[Relation]
    moves: frozenset[str] = frozenset()
    prepares: str | None = None
    executes: str | None = None
    forgets: str | None = None
    copy: CopyPlan | None = None
    qualified: frozenset[tuple[Relation | None, str]] = frozenset()
    tests: frozenset[Origin] = frozenset()
    places: tuple[Place, ...] = ()
    parameters: frozenset[int] = frozenset()
    written: frozenset[Origin] = frozenset()
    tally: Tally = Tally.UNCOUNTED
    transaction: str = ""
    snapshots: bool = False
    trusts: frozenset[str] = frozenset()
    naming: Naming = NAMES_KEPT
    types: frozenset[str] = frozenset()
    converts: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole text, read. ``error`` and ``position`` (characters, from 1) say what the grammar objected to, if it did."""

    text: str
    statements: tuple[Statement, ...]
    error: str = ""
    position: int = 0

    @property
    def deeds(self) -> tuple[Deed, ...]:
        """The deeds of all statements."""
        return tuple(deed for statement in self.statements for deed in statement.deeds)

    @property
    def relations(self) -> frozenset[Relation]:
        """The relations of all statements."""
        return frozenset(relation for statement in self.statements for relation in statement.relations)
