"""What the server owes an answer to: one value for each message that was sent, in the order they were sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gatebook.errors import WireError
from gatebook.model import Action, Permit
from gatebook.protocols.postgres import rows, wire
from gatebook.protocols.postgres.catalog import Known
from gatebook.protocols.postgres.ceilings import Guard
from gatebook.protocols.postgres.copying import Copying, copies_in, counted
from gatebook.protocols.postgres.hashes import Hashes
from gatebook.protocols.postgres.reading import Reading, Relation, Statement
from gatebook.protocols.postgres.resolving import PLAIN, Resolved
from gatebook.protocols.postgres.rows import Column

CANCELLED = "57014"
CATALOG_ROWS = 200_000  # columns in the answer to one catalog question
_OF_QUESTIONS = (b"1", b"2", b"C", b"Z")  # beside rows and Closes, in the answer to one of the gateway's own
KEEPS_NAMES = tuple(  # tags of commands after which every name still means what it meant
    "SELECT INSERT UPDATE DELETE MERGE FETCH MOVE BEGIN START SHOW EXPLAIN DECLARE CLOSE PREPARE DEALLOCATE LISTEN UNLISTEN "
    "NOTIFY SAVEPOINT RELEASE LOCK COPY COMMIT ROLLBACK".split()
)
KEEPS_DEFINITIONS = (*KEEPS_NAMES, "SET", "RESET", "DISCARD")
ENDS = frozenset({"COMMIT", "ROLLBACK", "PREPARE TRANSACTION"})


@dataclass(slots=True)
class Prepared:
    """A prepared statement: what it reads as, the types that its Parse named, and the settings its literals were read by."""

    reading: Reading
    types: tuple[int, ...] = ()
    settings: str = ""


@dataclass(slots=True)
class Portal:
    """A bound statement. ``fresh`` until some seconds have passed: then its next Execute is asked for anew.

    ``bound`` once the server said so; ``columns`` once it described its rows, which it does before any Execute is answered, and
    ``covers`` by what names meant then, under ``masks``. ``taken`` once SQL may have given its name to a cursor.
    """

    action: Action
    permit: Permit
    prepared: Prepared
    touches: bool
    fresh: bool = True
    bound: bool = False
    decision: str = ""
    columns: tuple[rows.Column, ...] | None = None
    covers: list[rows.Cover] | None = None
    masks: frozenset[str] = frozenset()
    taken: bool = False
    resolved: Resolved = PLAIN
    hashes: Hashes | None = None
    described: bytes = b""  # the message that did, where it was taken whole


@dataclass(slots=True)
class Running:
    """One action on its way, and what came back of it so far.

    ``calls``: the column of a function call message's answer. ``plain`` as ``Meaning.plain`` says. ``described``: the message
    that did, where it was taken whole.
    """

    action: Action
    permit: Permit
    reading: Reading
    touches: bool
    at: int = 0
    cover: rows.RowCover | None = None
    status: str = ""
    rows: int = 0
    size: int = 0
    masked: dict[str, int] = field(default_factory=dict)
    guard: Guard | None = None
    hashes: Hashes | None = None
    calls: tuple[Column, ...] = ()
    plain: bool = False
    described: bytes = b""
    copying: Copying = field(init=False)

    def __post_init__(self) -> None:
        self.copying = Copying(False) if self.plain else copies_in(statement.copy for statement in self.reading.statements)

    def keep_masked(self) -> None:
        """Count what was covered since, and let go of what covered it."""
        if self.cover is not None and self.cover.masked:
            counted(self.masked, self.cover.masked)
        self.cover = None
        self.copying.count_into(self.masked)


@dataclass(slots=True)
class OwnQuery:
    """A Query of the gateway's own around a statement under a ceiling. ``ends`` says that the client hears ``said`` then."""

    running: Running | None
    said: bytes = b""
    ends: bool = True
    failed: bool = False


@dataclass(slots=True)
class OwnExecute:
    """A statement of the gateway's own in the midst of a client's batch.

    ``block`` is whether the gateway's own transaction is open after it, None where it changes nothing about that. With
    ``running``, it undoes that, and the client hears ``said``.
    """

    block: bool | None = None
    running: Running | None = None
    said: bytes = b""


@dataclass(slots=True)
class OwnParsed:
    """A Parse of the gateway's own, in the place of one of the client's, with its Close."""


@dataclass(slots=True)
class Simple:
    """A Query: everything up to its ReadyForQuery."""

    running: Running


@dataclass(slots=True)
class Looking:
    """A question of the gateway's own: about these relations of the catalog, or about none, when only its deed counts.

    ``inside`` a batch of the client's it has no Sync, and ends with the last of its three Closes.
    """

    relations: list[Relation]
    inside: bool = False
    found: list[list[bytes | None]] = field(default_factory=list)
    cancelled: bytes = b""  # the report of that, when it was
    unwanted: bool = False  # its client sent a cancel while it was on its way
    closed: int = 0
    short: bool = False
    generation: int | None = None  # of what is shared, when it was asked outside of a transaction
    views: list[Known] = field(default_factory=list)  # it asks where the columns of these come from
    isolation: bool = False  # it asks what snapshots the client's transaction takes

    @property
    def level(self) -> bytes | None:
        """The isolation level that was answered; None when it was not asked for."""
        answer = self.found[0][0] if self.found and self.found[0] else None
        return (answer or b"") if self.isolation else None

    def take(self, kind: bytes, body: bytes) -> bool:
        """Take in a message of the answer, and say whether it was the last. Raises WireError for what is none of it."""
        if kind == b"D":
            if len(self.found) >= CATALOG_ROWS:
                raise WireError(f"the target answered a catalog question with over {CATALOG_ROWS} rows")
            self.found.append(wire.data_row(body))
        elif kind == b"E":
            self.found.clear()
            self.cancelled = body if wire.report_fields(body).get("C") == CANCELLED else b""
        elif kind == b"3":
            self.closed += 1
        elif kind not in _OF_QUESTIONS or (kind == b"Z" and self.inside):
            raise WireError(f"the target sent {kind!r} to a catalog question")
        return self.closed == wire.QUESTION_CLOSES if self.inside else kind == b"Z"


@dataclass(slots=True)
class Parsed:
    """A Parse, and what its name stood for before."""

    name: str
    made: Prepared
    previous: Prepared | None


@dataclass(slots=True)
class Bound:
    """A Bind, and what its name stood for before."""

    name: str
    made: Portal
    previous: Portal | None


@dataclass(slots=True)
class Described:
    """A Describe; ``own`` when the gateway asked, ``portal`` when it is of one, ``first`` when right behind the Bind."""

    portal: Portal | None
    own: bool
    first: bool


@dataclass(slots=True)
class Executed:
    """An Execute."""

    running: Running
    portal: Portal


@dataclass(slots=True)
class Closed:
    """A Close."""


@dataclass(slots=True)
class Synced:
    """A Sync; ``undoes`` when it is the gateway's own, behind a ROLLBACK of its own."""

    undoes: bool = False


@dataclass(slots=True)
class Failing:
    """The Execute that must fail, and the refusal that takes the place of its error."""

    refusal: bytes


Expected: TypeAlias = (
    Simple | Looking | Parsed | Bound | Described | Executed | Closed | Synced | Failing | OwnQuery | OwnExecute | OwnParsed
)


def statement_at(running: Running) -> Statement | None:
    """The statement whose answer is coming; None when there are more answers than statements."""
    statements = running.reading.statements
    return statements[running.at] if running.at < len(statements) else None


def prepared_by(reading: Reading, at: int) -> Reading:
    """What EXECUTE of a PREPARE at this place runs: that statement alone, as it was read inside the PREPARE."""
    statement = reading.statements[at]
    return Reading(reading.text, (replace(statement, prepares=None, executes=None, forgets=None, copy=None),))


def is_next(dropped: Parsed | Bound, one: Expected) -> bool:
    """Whether this message took the name over from the dropped one."""
    return isinstance(one, Parsed | Bound) and one.previous is dropped.made
