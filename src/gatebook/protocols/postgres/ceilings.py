"""Ceilings: how many rows a statement may change at most, known before the client hears that it succeeded.

The server says how many rows a statement changed in the tag of its end. So a statement under a ceiling runs between two of the
gateway's own: inside a client's transaction between SAVEPOINT and RELEASE, else between BEGIN and COMMIT. Its answer is held
back until its tag is here. Over the ceiling it is undone (ROLLBACK TO SAVEPOINT, ROLLBACK), and the client hears a refusal.

In the simple protocol each is a Query. In a batch of the extended protocol they are statements and portals of a name that
nobody can guess. What came before in the batch is answered first, since it says whether a transaction is open; what comes
behind waits until it is known whether the statement stands. Without a transaction of the client's, the whole batch is one
(``own``), as it is at the server: it is committed at the client's Sync, and one error undoes all of it.

A text of which the server would not say how many rows it changes does not get here: ``uncounted`` has it blocked.

What is not counted: rows that triggers, rules and foreign keys change further.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gatebook.model import Action, Ceiling, Permit
from gatebook.protocols.postgres import refusal, wire
from gatebook.protocols.postgres.bonds import Bond
from gatebook.protocols.postgres.hashes import Hashes
from gatebook.protocols.postgres.reading import Reading, Statement, Tally

HELD_ANSWER_BYTES = 16_777_216  # of the rows that RETURNING gives, until it is known whether they may be shown
BEGIN = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
_COUNTS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})  # tags that end with the number of changed rows

SEVERAL = "it is one of several statements in one text"
NOT_SAID = "the server does not say how many rows it changes"


def changes(statement: Statement) -> bool:
    """Whether running it may change rows."""
    return statement.tally is not Tally.NONE and statement.prepares is None


def uncounted(reading: Reading) -> str:
    """Why nobody could tell how many rows a text changes, in words; empty where the server says it, or it changes none."""
    changing = [statement for statement in reading.statements if changes(statement)]
    if changing and len(reading.statements) > 1:
        return SEVERAL
    # what PREPARE makes may take another's name before an EXECUTE that is decided already is run
    return NOT_SAID if any(statement.tally is Tally.UNCOUNTED for statement in reading.statements) else ""


def holds(permit: Permit, reading: Reading) -> bool:
    """Whether this runs under a ceiling, or is held to what people saw."""
    return (permit.ceiling is not None or bool(permit.conditions)) and any(
        changes(statement) for statement in reading.statements
    )


@dataclass(slots=True)
class Guard:
    """One statement under a ceiling, or held to the rows that people saw: what is held back of its answer.

    ``own`` says that the transaction is the gateway's.
    """

    action: Action
    ceiling: Ceiling | None
    decision: str
    own: bool
    bond: Bond | None = None
    hashes: Hashes | None = None
    held: list[bytes] = field(default_factory=list)
    size: int = 0
    rows: int = 0
    over: str = ""
    failed: bool = False
    changed: bool = False

    def hold(self, kind: bytes, body: bytes) -> None:
        """Keep a message back, as long as it may yet be shown."""
        self.rows += kind == b"D"
        self.size += len(body)
        if self.ceiling is not None and self.rows > self.ceiling.rows:
            self._no(f"it changes more than {self.ceiling.rows} rows")
        elif self.size > HELD_ANSWER_BYTES:
            self._no(f"what it returns is longer than {HELD_ANSWER_BYTES} bytes, and is held back under a ceiling")
        if not self.over:
            self.held.append(wire.message(kind, body))

    def ended(self, tag: str) -> None:
        """The server says how many rows it changed. A tag that counts none of these is not of what was decided."""
        word, _, count = tag.partition(" ")
        if word not in _COUNTS or not count[-1:].isdigit():
            self._no(f"what it did ended as {tag!r}, which counts no changed rows")
        elif self.ceiling is not None and wire.rows_of(tag) > self.ceiling.rows:
            self._no(f"it changes more than {self.ceiling.rows} rows")
        elif self.bond is not None and not self._seen(self.bond, wire.rows_of(tag)):
            self.changed = True
            self._no("the rows that people saw are not those that it changes now")

    def _seen(self, bond: Bond, rows: int) -> bool:
        """Whether it changed what people saw."""
        return rows == bond.rows and (not bond.digest or (self.hashes is not None and self.hashes.same()))

    def suspended(self) -> None:
        """The server keeps rows back, since the client wants them in parts: then it does not say how many there are."""
        self._no("what it returns is fetched in parts, so that its rows are not counted; fetch them all at once")

    def error(self, message: bytes) -> None:
        """It failed by itself."""
        self.failed, self.over = True, ""
        self.held = [message]

    def said(self) -> bytes:
        """What the client hears in the end."""
        if self.over and (self.changed or self.ceiling is None):
            return refusal.changed_since(self.action, self.decision, self.over)
        if self.over and self.ceiling is not None:
            return refusal.over_ceiling(self.action, self.ceiling, self.decision, self.over)
        return b"".join(self.held)

    def _no(self, why: str) -> None:
        self.over = self.over or why
        self.held.clear()


def guard(permit: Permit, reading: Reading, decision: str, hashes: Hashes | None, *, own: bool) -> Guard:
    """For what runs under a permit with a ceiling, or is held to what people saw."""
    if uncounted(reading):
        raise AssertionError("nobody could tell how many rows it changes")
    bond = Bond.of(permit.conditions)
    if bond is not None and bond.digest and hashes is None:
        raise AssertionError("it is held to its rows, and would not tell which they are")
    return Guard(permit.action, permit.ceiling, decision, own, bond, hashes)


class Statements:
    """What the gateway itself says around a statement; ``name`` is that of its savepoint, prepared statement and portal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.savepoint = f'SAVEPOINT "{name}"'
        self.release = f'RELEASE SAVEPOINT "{name}"'
        self.rollback_to = f'ROLLBACK TO SAVEPOINT "{name}"'

    def extended(self, text: str) -> bytes:
        """It as messages of the extended protocol, the last of whose answers is CommandComplete."""
        name = self._name.encode() + b"\0"
        return b"".join(
            [
                wire.message(b"C", b"P" + name),
                wire.message(b"C", b"S" + name),
                wire.message(b"P", name + text.encode() + b"\0\0\0"),
                wire.message(b"B", name + name + bytes(6)),
                wire.execute(self._name),
            ]
        )
