"""What the server still owes, and what the gateway says itself around statements under a ceiling (``ceilings.py``).

The queue has one expectation for each message that was sent. Of a statement under a ceiling nothing is shown before it is known
that it stands; the gateway's own BEGIN, SAVEPOINT, RELEASE, COMMIT and ROLLBACK are sent as the answers come, and never shown.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from gatebook.errors import WireError
from gatebook.protocols.postgres import ceilings, reports, wire
from gatebook.protocols.postgres.batch import Batch
from gatebook.protocols.postgres.ceilings import Guard
from gatebook.protocols.postgres.expected import (
    Executed,
    Expected,
    Looking,
    OwnExecute,
    OwnParsed,
    OwnQuery,
    Running,
    Simple,
    Synced,
)
from gatebook.protocols.postgres.hashes import Hashes
from gatebook.protocols.postgres.reading import Reading, Statement
from gatebook.protocols.relay import Effect, Own, ToClient

EXPECTED_MESSAGES = 100_000  # questions on their way at once; a client that sends more without reading is cut off
UNDONE = "UNDONE"  # how an action ended that went over its ceiling
_BEGINS = frozenset({"BEGIN", "START"})
_PARTS = frozenset({"SAVEPOINT", "RELEASE", "ROLLBACK_TO"})


class Owed(ABC):
    """The queue, and the transactions that statements under a ceiling run in.

    ``block`` is whether the client has a transaction open, None until the server says so; ``own_block`` whether the gateway has
    one open around the client's batch; ``skipping`` whether the client's messages are passed over up to its Sync.
    """

    def __init__(self) -> None:
        self.status = b"I"
        self.block: bool | None = False
        self.own_block = self.skipping = self.unsynced = False
        self.answers_questions = False  # the last of the gateway's own was
        self.batch = Batch()
        self.ran = False  # whether an Execute went out since the last Sync
        self.own = ceilings.Statements("")
        self.cut = b""  # the report of the cancel that ended a question which the client's request waited for
        self._cut_before = False
        self._queue: deque[Expected] = deque()
        self._out: list[Effect] = []
        self._said: list[bytes | memoryview] = []

    @property
    def idle(self) -> bool:
        """Whether the server waits for a new question and owes no answer."""
        return not self._queue

    @property
    def rests(self) -> bool:
        """Whether the server owes nothing and no transaction is open, of the client's or the gateway's."""
        return not (self._queue or self.unsynced or self.block or self.own_block or self.skipping) and self.status == b"I"

    @property
    def askable(self) -> bool:
        """Whether a question of the gateway's own can go out now without touching the client's transaction."""
        return not self._queue and not self.unsynced and self.status != b"E"

    @property
    def within(self) -> bool:
        """Whether a transaction is open, the batch's own included."""
        return bool(self.block or self.own_block or self.batch.ran)

    def askable_synced(self, *, snapshots: bool) -> bool:
        """Whether a question may go out with a Sync of its own, for the sake of a request that takes a snapshot or not."""
        ready = self.askable or (not self._queue and self.status != b"E" and not self.within and not self.batch.bound)
        return ready and (snapshots or self.batch.sees or bool(self.batch.anew) or not self.within)

    def askable_inside(self, *, snapshots: bool) -> bool:
        """Whether one may go out without a Sync, where a transaction is open; only one that would not fail."""
        ready = not self._queue and self.status != b"E" and self.within and self.unsynced and self.answers_questions
        return ready and (snapshots or self.batch.sees or bool(self.batch.anew))

    def unwanted(self) -> None:
        """The client sent a cancel: what is asked on behalf of its request ends with that request."""
        for expected in self._queue:
            if isinstance(expected, Looking):
                expected.unwanted = True

    def _cut_short(self, looking: Looking) -> None:
        """A question was cancelled. Meant for what ran before it, and late, it is asked again; but not if that would be again,
        as where a timeout is shorter than any question, nor in a transaction that failed by it.
        """
        if looking.unwanted or self._cut_before or self.status == b"E":
            self.cut = wire.message(b"E", self._report(looking.cancelled))
        self._cut_before = not self.cut

    @property
    def copying(self) -> Running | None:
        """The last action on its way, if it reads or may yet read the client's data."""
        last = self._queue[-1] if self._queue else None
        return last.running if isinstance(last, Simple | Executed) and last.running.copying.waits else None

    @property
    def waits(self) -> bool:
        """Whether nothing of the client can follow before the server has answered.

        It may be about to take the client's next bytes for the data of a COPY, which it must say first, or to undo a statement
        under a ceiling.
        """
        match self._queue[-1] if self._queue else None:
            case Simple(running) | Executed(running):
                return not running.copying.taking if running.copying.waits else running.guard is not None
            case OwnQuery():
                return True
            case OwnExecute(_, undone):
                return undone is not None
            case Synced(undoes):
                return self.own_block or undoes
            case _:
                return False

    def expect(self, expected: Expected) -> None:
        """Note that the server will answer this next, behind everything noted before. Raises WireError past the limit."""
        if len(self._queue) >= EXPECTED_MESSAGES:
            raise WireError(f"{len(self._queue)} requests are unanswered; read the answers before sending more")
        self._queue.append(expected)
        if not isinstance(expected, Simple) and not (isinstance(expected, Looking) and expected.inside):
            self.unsynced = not isinstance(expected, Synced | Looking | OwnQuery)
        self.ran = isinstance(expected, Executed) or (self.ran and not isinstance(expected, Synced))

    def say_query(self, text: str, expected: OwnQuery) -> Own:
        """A Query of the gateway's own."""
        self.expect(expected)
        return Own("ceiling", wire.query(text))

    def say_execute(self, text: str, expected: OwnExecute) -> Own:
        """A statement of the gateway's own in the client's batch."""
        self.expect(expected)
        return Own("ceiling", self.own.extended(text))

    def out_of_place(self, reading: Reading, *, counted: bool) -> str:
        """Why this cannot run here, in a batch where rows are counted; empty where it can."""
        if self.own_block and any(statement.transaction for statement in reading.statements):
            return "a transaction is begun or ended in a batch whose rows are counted; send a Sync before it"
        if counted and not self.own_block and self.block is None:
            return "its rows are counted, and a transaction has ended in the same batch; send a Sync before it"
        return ""

    def fence(self, running: Running, decision: str) -> list[Own]:
        """What the gateway says before an Execute under a ceiling."""
        client = self.block is True and not self.own_block
        running.guard = ceilings.guard(running.permit, running.reading, decision, running.hashes, own=not client)
        if client:
            return [self.say_execute(self.own.savepoint, OwnExecute())]
        return [] if self.own_block else [self.say_execute(ceilings.BEGIN, OwnExecute(block=True))]

    def fence_query(self, running: Running, decision: str) -> Own:
        """The same before a Query, which is sent once the server has answered."""
        own = self.block is False
        running.guard = ceilings.guard(running.permit, running.reading, decision, running.hashes, own=own)
        return self.say_query(ceilings.BEGIN if own else self.own.savepoint, OwnQuery(running, ends=False))

    @abstractmethod
    def _ready(self, body: bytes) -> None: ...

    @abstractmethod
    def _answered(self, running: Running) -> None: ...

    @abstractmethod
    def _report(self, body: bytes) -> bytes: ...

    def told(self) -> list[Effect]:
        """What the server's messages came to so far, in their order."""
        self._flush()
        out, self._out = self._out, []
        return out

    def _flush(self) -> None:
        if self._said:
            self._out.append(ToClient(b"".join(self._said)))
            self._said.clear()

    def _say(self, kind: bytes, body: bytes) -> None:
        self._said.append(wire.message(kind, body))

    def _say_notice(self, body: bytes) -> None:
        """What the server remarks; on a question of the gateway's own only what may be about more than that."""
        asks_itself = bool(self._queue) and isinstance(self._queue[0], Looking)
        if not asks_itself or reports.is_warning(body):
            self._say(b"N", self._report(body))

    def _unhashed(self, running: Running, body: bytes) -> bytes | None:
        """A row as its client may have it; None where it has none."""
        return running.hashes.take(body) if running.hashes is not None else body

    def _undescribed(self, hashes: Hashes | None, kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        """The description of rows as its client may have it: that there are none, where there are only hashes."""
        if hashes is None or kind != b"T":
            return kind, body
        left = hashes.described(body)
        return (b"T", left) if left else (b"n", b"")

    def _tell(self, running: Running, kind: bytes, body: bytes) -> None:
        """Say it, or hold it back as long as the statement may be undone."""
        if running.guard is not None:
            running.guard.hold(kind, body)
        else:
            self._say(kind, body)

    def _track(self, statement: Statement | None, tag: str) -> None:
        """Follow what a statement's end means for the client's transaction."""
        begins = ends = False
        if statement is None or statement.transaction not in _PARTS | {""}:
            begins = statement is not None and statement.transaction in _BEGINS
            self.block, ends = True if begins else None, statement is not None and not begins
        self.batch.done(tag, begins=begins, ends=ends, snapshots=statement is None or statement.snapshots)
        if self.status == b"E":  # nothing else ends well in a failed transaction but what ends it
            self.status = b"T"

    # A Query --------------------------------------------------------------------------------------------------------

    def _settle(self, running: Running, guard: Guard) -> bool:
        """A Query under a ceiling is answered: keep or undo what it did. False when nothing is left to do."""
        stands = not (guard.over or guard.failed)
        if guard.over:
            _undone(running)
        if guard.own:
            text = ceilings.COMMIT if stands else ceilings.ROLLBACK
        elif guard.failed:
            self._said.append(guard.said())
            return False
        else:
            text = self.own.release if stands else f"{self.own.rollback_to}; {self.own.release}"
        self._out.append(self.say_query(text, OwnQuery(running, guard.said())))
        return True

    def _own_query(self, own: OwnQuery, kind: bytes, body: bytes) -> None:
        if kind == b"E":
            own.said, own.ends, own.failed = wire.message(kind, self._report(body)), True, True
            if own.running is not None:
                own.running.status, own.running.rows = f"ERROR {wire.report_fields(body).get('C', '')}", 0
        elif kind == b"Z":
            self._queue.popleft()
            self._ready(body)
            if own.ends:
                self._said.append(own.said)
                if own.running is not None:
                    self._answered(own.running)
                self._say(kind, body)
        elif kind != b"C":
            raise WireError(f"the target sent {kind!r} to a statement of the gateway's own")

    # A batch --------------------------------------------------------------------------------------------------------

    def _conclude(self, running: Running, guard: Guard) -> None:
        """An Execute under a ceiling is answered: show what was held back, or undo it."""
        if not guard.over:
            self._said.append(guard.said())
            if not guard.own:
                self._out.append(self.say_execute(self.own.release, OwnExecute()))
            self._answered(running)
            return
        _undone(running)
        if guard.own:
            self._out.append(self.say_execute(ceilings.ROLLBACK, OwnExecute(False, running, guard.said())))
        else:
            self._out.append(self.say_execute(self.own.rollback_to, OwnExecute()))
            self._out.append(self.say_execute(self.own.release, OwnExecute(None, running, guard.said())))
        self._out.append(Own("flush", wire.message(b"H")))

    def _own_execute(self, own: OwnExecute | OwnParsed, kind: bytes, body: bytes) -> None:
        if isinstance(own, OwnParsed) and kind == b"1":
            self._queue.popleft()
        elif isinstance(own, OwnExecute) and kind == b"C":
            self._queue.popleft()
            self.own_block = self.own_block if own.block is None else own.block
            if own.running is not None:
                self._said.append(own.said)
                self.skipping = True
                self._answered(own.running)
        elif kind not in (b"1", b"2", b"3"):
            raise WireError(f"the target sent {kind!r} to a statement of the gateway's own")

    def _synced(self, kind: bytes, body: bytes) -> None:
        if kind != b"Z":
            raise WireError(f"the target sent {kind!r} where b'Z' was due")
        self._queue.popleft()
        left, self.own_block = self.own_block and body != b"I", False
        self._ready(body)
        if left:  # an error of the batch: without a transaction of its own the client need not end one
            self._out.append(self.say_execute(ceilings.ROLLBACK, OwnExecute()))  # a Query would drop its unnamed statement
            self.expect(Synced(undoes=True))
            self._out.append(Own("sync", wire.SYNC))
        else:
            self._say(kind, body)


def _undone(running: Running) -> None:
    running.status, running.rows, running.size = UNDONE, 0, 0
