"""The server's side of a session: which answer belongs to which question, and what of it the client may see.

The server answers strictly in order, so every message sent to it leaves an expectation in a queue, and each server message is
read against the queue's head. After an error of the extended protocol the server skips everything up to the next Sync; the
queue is emptied the same way, and what those messages would have changed (prepared statements, portals) is put back.

Invariants: a row is covered with the plan of its own result, made from its own permit; a row without a plan, a COPY that nobody
asked for, or a message out of order ends the session; what the gateway asked for itself never reaches the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.masking.rules import MaskSet
from gatebook.model import Reach
from gatebook.protocols.postgres import refusal, reports, rows, tagged, wire
from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.catalog_views import derived
from gatebook.protocols.postgres.copying import SERVER_KINDS, CopyCover
from gatebook.protocols.postgres.expected import (
    CANCELLED,
    ENDS,
    KEEPS_DEFINITIONS,
    KEEPS_NAMES,
    Bound,
    Closed,
    Described,
    Executed,
    Expected,
    Failing,
    Looking,
    OwnExecute,
    OwnParsed,
    OwnQuery,
    Parsed,
    Portal,
    Prepared,
    Running,
    Simple,
    Synced,
    is_next,
    prepared_by,
    statement_at,
)
from gatebook.protocols.postgres.kept import Kept, without
from gatebook.protocols.postgres.lineage import WHOLE, copied
from gatebook.protocols.postgres.meaning import Meaning, Meanings, takes_names
from gatebook.protocols.postgres.pinned import check_pinned
from gatebook.protocols.postgres.plans import Plans
from gatebook.protocols.postgres.reading import Reading, Relation, Statement
from gatebook.protocols.postgres.straight import Straight
from gatebook.protocols.postgres.unsettled import Changes, renames, settled, taken
from gatebook.protocols.relay import Answered, Covering, Effect


class Answers(Straight):
    """The queue and what it knows. Owned by one relay, which reads ``skipping``, ``idle`` and the named things."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.prepared: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}
        self.cursors: set[Relation] = set()
        self.covering: Covering | None = None
        self._meanings: Meanings | None = None
        self._made_plans: Plans | None = None
        self._kept = Kept()
        self._changes = Changes()
        self._stale = False  # what is known of the catalog ends with the batch
        self._touched = False  # something that reads masked columns was sent in this transaction
        self.fatal = False  # the server's last report says that it ends the session
        self.tag = ""  # what application_name begins with
        self.untagged: str | None = None  # its value, when it does not

    def open(self, covering: Covering) -> None:
        """The session stands, and this covers its answers."""
        self.covering = covering
        self._meanings = Meanings(self.catalog, self.sets(covering.possible), self.sets(covering.sets))
        self._made_plans = Plans(self.catalog, covering, self.sets)

    def sent(self, reading: Reading, touches: bool) -> None:
        """Note what a text that is about to be sent may change for whatever comes after it, before its answer is here.

        Names that it may give another meaning are not known, and portals that it may take over are not executed any more.
        """
        self._touched = self._touched or touches
        self._changes.sent(reading, self.catalog)
        if self.portals:
            taken(self.portals.values(), cursors=bool(takes_names(reading.text)), statements=renames(reading))

    def read_only(self, touches: bool) -> None:
        """The same for a text that is plain (``Meaning.plain``): it changes nothing for whatever comes after it."""
        self._touched = self._touched or touches

    def settled(self, reading: Reading) -> Reading:
        """The reading with names counted as unknown where an earlier statement of the same text may change what they mean."""
        return settled(reading, self.catalog, self._changes, failed=self.idle and self.status == b"E")

    def parsing(self, name: str, made: Prepared) -> None:
        """A Parse goes out: its name stands for this from then on."""
        taken(self.portals.values(), cursors=False, statements=bool(name))
        self.expect(Parsed(name, made, self.prepared.get(name)))
        self.name_statement(name, made)

    def closing(self, name: str) -> None:
        """The name of a prepared statement stands for nothing from then on."""
        taken(self.portals.values(), cursors=False, statements=bool(name))
        self.prepared.pop(name, None)

    def binding(self, name: str, made: Portal) -> None:
        """The same for a Bind."""
        self.expect(Bound(name, made, self.portals.get(name)))
        self.name_portal(name, made)

    def name_statement(self, name: str, statement: Prepared) -> None:
        """The name stands for this statement now. Raises WireError past the limits."""
        self.prepared[name] = statement
        self._kept.add(name, statement, self.prepared, self.portals)

    def name_portal(self, name: str, portal: Portal) -> None:
        """The name stands for this portal now. Raises WireError past the limits."""
        self.portals[name] = portal
        self._kept.add(name, portal, self.prepared, self.portals)

    def stale(self, *, deciding: bool = False) -> None:
        """Time has passed: the catalog must be asked again, and permits not used yet must be asked for again.

        In the middle of a batch the catalog cannot be asked, and answers on their way, or of what is being decided, are covered
        by what it said: that stays until they are here or time passes once more.
        """
        self._stale = (deciding or not self._quiet) and not self._stale
        if not self._stale:
            self.catalog.forget()
        for portal in self.portals.values():
            portal.fresh = False

    @property
    def _quiet(self) -> bool:
        return self.idle and not self.unsynced

    def take(self, server: wire.Frames) -> list[Effect]:
        """Read server messages and say what reaches the client. Raises WireError when they are not what was asked."""
        while True:
            while self._queue and (self._straight(server) or self._run(server)):
                pass
            found = server.message()
            if found is None:
                break
            self._take(*found)
        server.settle()
        if self._stale and self._quiet:
            self._stale = False
            self.catalog.forget()
        return self.told()

    def abandon(self, why: str) -> list[Effect]:
        """The session ends: everything unanswered gets its place in the book."""
        for expected in self._queue:
            if isinstance(expected, Simple | Executed | OwnQuery | OwnExecute) and expected.running is not None:
                expected.running.status = expected.running.status or why
                self._answered(expected.running)
        self._queue.clear()
        self.prepared, self.portals, self._made_plans = {}, {}, None  # a ring that would keep large values after the session
        return self.told()

    # Reading --------------------------------------------------------------------------------------------------------

    def _run(self, server: wire.Frames) -> bool:
        """Cover the rows that come next all at once, as far as a compiled twin can. Whether there were any."""
        head = self._queue[0]
        if not isinstance(head, Simple | Executed):
            return False
        running = head.running
        if running.guard is not None:
            return False  # its rows are held back, one by one
        cover = running.copying.cover or running.cover
        if cover is None or not cover.runs:
            return False
        run = cover.run(*server.rest())
        running.size += run.size
        if run.messages:
            self._said.append(run.messages)
        return server.skip(run.end)

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == b"N":
            self._say_notice(body)
        elif kind == b"A":
            self._say(kind, reports.cover_notification(body, self.detectors))
        elif kind == b"S":
            self._parameter(body)
        elif not self._queue:
            self._unasked(kind, body)
        else:
            self._answer(self._queue[0], kind, body)

    @property
    def detectors(self) -> frozenset[str]:
        """Those that look through all of this session."""
        return self.covering.detectors if self.covering else frozenset()

    def _report(self, body: bytes) -> bytes:
        head = self._queue[0] if self._queue else None
        running = head.running if isinstance(head, Simple | Executed | OwnQuery) else None
        touches = running is not None and running.touches
        self.fatal = wire.report_fields(body).get("V", "") in ("FATAL", "PANIC")
        return reports.cover_report(body, generic=touches or self._touched, detectors=self.detectors)

    def _parameter(self, body: bytes) -> None:
        name, value = wire.parameter_status(body)
        check_pinned(name, value)
        if name == tagged.NAME:
            self.untagged = None if value.startswith(self.tag) else value
        self.catalog.reported(name, value)
        self._say(b"S", f"{name}\0{cover_text(value, self.detectors)}\0".encode())

    def _unasked(self, kind: bytes, body: bytes) -> None:
        if kind != b"E":
            raise WireError(f"the target sent {kind!r} that nobody asked for")
        self._say(kind, self._report(body))

    def _answer(self, head: Expected, kind: bytes, body: bytes) -> None:
        batched = not isinstance(head, Simple | OwnQuery) and not (isinstance(head, Looking) and not head.inside)
        if kind == b"E" and batched:
            self._failed(head, body)
            return
        match head:
            case Simple():
                self._simple(head.running, kind, body)
            case Looking():
                self._looking(head, kind, body)
            case Executed():
                self._executed(head, kind, body)
            case Described():
                self._described(head, kind, body)
            case Parsed():
                self._expect_kind(kind, b"1", body)
            case Bound():
                self._expect_kind(kind, b"2", body)
                head.made.bound = self.batch.bound = True
            case Closed():
                self._expect_kind(kind, b"3", body)
            case Synced():
                self._synced(kind, body)
            case OwnQuery():
                self._own_query(head, kind, body)
            case OwnExecute() | OwnParsed():
                self._own_execute(head, kind, body)
            case Failing():
                raise WireError(f"the target answered {kind!r} to an Execute that had to fail")
            case _:
                assert_never(head)

    def _expect_kind(self, kind: bytes, due: bytes, body: bytes) -> None:
        if kind != due:
            raise WireError(f"the target sent {kind!r} where {due!r} was due")
        self._queue.popleft()
        self._say(kind, body)

    def _ready(self, body: bytes) -> None:
        self.status, self.block = body, body != b"I"
        self.batch.over(within=body != b"I")
        if body == b"I" and not self._queue:  # a Query in a batch ends it, or leaves a transaction that the batch's Sync ends
            self.unsynced = self._touched = False
            self._changes.over()
        if body == b"I" and self.portals:  # the transaction is over; portals of a Bind still on its way belong to the next
            self.portals = {name: portal for name, portal in self.portals.items() if not portal.bound}

    def _simple(self, running: Running, kind: bytes, body: bytes) -> None:
        if kind == b"Z":
            self._queue.popleft()
            self._ready(body)
            if running.guard is None or not self._settle(running, running.guard):
                self._answered(running)
                self._say(kind, body)
        elif kind == b"T":
            kind, body = self._undescribed(running.hashes, kind, body)
            if kind == b"T":
                running.cover = self._plan(body, running)
                self._tell(running, kind, body)
        elif kind == b"E":
            running.status = f"ERROR {wire.report_fields(body).get('C', '')}"
            running.copying.failed()
            if running.guard is not None:
                running.guard.error(wire.message(kind, self._report(body)))
            else:
                self._say(kind, self._report(body))
        elif kind == b"V" and running.calls:
            self._say(kind, self._plans.called(running, statement_at(running), body))
        else:
            self._result(running, kind, body)

    def _executed(self, executed: Executed, kind: bytes, body: bytes) -> None:
        running = executed.running
        if kind == b"D" and running.cover is None:
            running.cover = self._portal_plan(executed.portal, running)
        self._result(running, kind, body)
        if kind != b"D" and kind not in SERVER_KINDS:
            self._queue.popleft()
            if running.guard is not None:
                self._conclude(running, running.guard)
            else:
                self._answered(running)

    def _result(self, running: Running, kind: bytes, body: bytes) -> None:
        if kind == b"D":
            row = self._unhashed(running, body)
            if row is None:
                return
            if running.cover is None:
                raise WireError("the target sent a row before its description")
            covered = running.cover.cover(row)
            running.size += len(covered)
            self._tell(running, kind, covered)
        elif kind in SERVER_KINDS:
            self._copy(running, kind, body)
        elif kind == b"C":
            running.copying.ended()
            tag = body.rstrip(b"\0").decode("utf-8", "replace")
            running.rows += wire.rows_of(tag)
            running.status = tag
            self._done(running, tag)
            if running.guard is not None:
                running.guard.ended(tag)
            self._tell(running, kind, body)
        elif kind in (b"I", b"s"):
            running.status = "EMPTY" if kind == b"I" else "SUSPENDED"
            self.batch.ran = self.batch.ran or kind == b"s"
            self._next(running)
            if running.guard is not None and kind == b"s":
                running.guard.suspended()
            self._tell(running, kind, body)
        else:
            raise WireError(f"the target sent {kind!r} where rows or the end of a command were due")

    def _copy(self, running: Running, kind: bytes, body: bytes) -> None:
        statement = statement_at(running)
        plan = statement.copy if statement is not None else None

        def cover(count: int) -> CopyCover:
            assert plan is not None and statement is not None and self.covering is not None  # noqa: S101, PT018
            types, how = copied(count, statement, self.catalog, self.sets(running.permit.masks))
            return CopyCover(plan, types, self._plans.keyed(how), self.covering.detectors, self.covering.key)

        covered = running.copying.from_server(kind, body, plan, cover)
        if covered or kind == b"c":
            running.size += len(covered) if kind == b"d" else 0
            self._say(kind, covered)

    def _done(self, running: Running, tag: str) -> None:
        statement = statement_at(running)
        self._track(statement, tag)
        self._names(running, statement, tag)
        if statement is not None:
            if statement.prepares is not None:
                self.name_statement(statement.prepares, Prepared(prepared_by(running.reading, running.at)))
            if statement.forgets is not None:
                self.prepared = without(self.prepared, statement.forgets)
            if tag.startswith("DECLARE"):
                self.cursors |= statement.relations
        self._next(running)

    def _next(self, running: Running) -> None:
        running.keep_masked()
        running.at += 1

    def _names(self, running: Running, statement: Statement | None, tag: str) -> None:
        unknown = statement is None or running.action.reach is Reach.UNKNOWN
        if self._changes.done(None if unknown else statement, ends=tag in ENDS) or not tag.startswith(KEEPS_NAMES):
            self.catalog.forget_names()
        if unknown or not tag.startswith(KEEPS_DEFINITIONS):
            self.catalog.alone()

    def _looking(self, looking: Looking, kind: bytes, body: bytes) -> None:
        if not looking.take(kind, body):
            return
        self._queue.popleft()
        self.status = self.status if looking.inside else body
        self.batch.asked(level=looking.level, within=looking.inside or body != b"I")
        if looking.cancelled:
            self._cut_short(looking)
            return
        self._cut_before = False
        if looking.views:
            self.catalog.define(looking.views, derived(looking.views, looking.found), looking.generation)
        elif looking.short:
            self.answers_questions = self.catalog.place(looking.relations, looking.found)
        elif looking.relations:
            self.answers_questions = bool(looking.found)
            self.catalog.learn(looking.relations, looking.found, looking.generation)

    def _described(self, described: Described, kind: bytes, body: bytes) -> None:
        kind, body = self._undescribed(described.portal.hashes if described.portal else None, kind, body)
        if kind in (b"T", b"n") and described.portal is not None:
            self._describe_portal(described.portal, self._plans.columns(body) if kind == b"T" else (), first=described.first)
        elif kind not in (b"T", b"n", b"t"):
            raise WireError(f"the target sent {kind!r} where a description was due")
        if kind != b"t":
            self._queue.popleft()
        if not described.own:
            self._say(kind, body)

    def _describe_portal(self, portal: Portal, columns: tuple[rows.Column, ...], *, first: bool) -> None:
        if portal.columns is not columns and portal.columns not in (None, columns):
            raise WireError("the target describes a portal otherwise than it did before")
        portal.columns = columns
        if first:  # by what names mean now, whatever they mean when it is executed
            statement = next(iter(portal.prepared.reading.statements), None)
            portal.covers = self._plans.covers(columns, statement, portal.permit.masks)
            portal.masks = portal.permit.masks

    # Errors of the extended protocol --------------------------------------------------------------------------------

    def _failed(self, head: Expected, body: bytes) -> None:
        fields = wire.report_fields(body)
        if isinstance(head, Failing) and fields.get("C") == "34000":
            self._said.append(head.refusal)
        elif isinstance(head, Looking) and fields.get("C") != CANCELLED:
            self._said.append(refusal.NOT_LOOKED_UP)
        else:
            self._say(b"E", self._report(body))
        if isinstance(head, Executed | OwnExecute) and head.running is not None:
            head.running.status = f"ERROR {fields.get('C', '')}"
        if isinstance(head, Looking):
            self._queue.popleft()
        self._drop()

    def _drop(self) -> None:
        """Do as the server does: forget everything up to the next Sync, in reverse, so that names get their old meaning."""
        dropped: list[Expected] = []
        while self._queue and not isinstance(self._queue[0], Synced | Simple | Looking):
            dropped.append(self._queue.popleft())
        for expected in dropped:
            if isinstance(expected, Executed | OwnExecute) and expected.running is not None:
                expected.running.status = expected.running.status or "SKIPPED"
                self._answered(expected.running)
        for expected in reversed(dropped):
            if isinstance(expected, Parsed | Bound):
                self._restore(expected)
        self.skipping = not self._queue

    def _restore(self, dropped: Parsed | Bound) -> None:
        """Give a name its old meaning, unless a later message on its way has given it another: then that one's old meaning."""
        later: Any = next((one for one in self._queue if is_next(dropped, one)), None)
        if later is not None:
            later.previous = dropped.previous
            return
        names: dict[str, Any] = self.prepared if isinstance(dropped, Parsed) else self.portals
        if names.get(dropped.name) is dropped.made:
            if dropped.previous is None:
                names.pop(dropped.name, None)
            else:
                names[dropped.name] = dropped.previous

    # Covering -------------------------------------------------------------------------------------------------------

    def sets(self, names: Iterable[str]) -> list[MaskSet]:
        """The mask sets of these names."""
        if self.covering is None:
            return []
        return [self.covering.sets[name] for name in sorted(names)]

    def meaning(self, reading: Reading, step: str = "run") -> Meaning:
        """What a text means by what is known now, when it is run or prepared. Only once the session is open."""
        if self._meanings is None:
            raise AssertionError("a request before the session was opened")
        return self._meanings.of(reading, step)

    def readable(self, statement: Statement) -> Statement:
        """FETCH and its like name no relation: the numbers worth knowing are those of what the cursors declared so far read."""
        if statement.outputs is None and not statement.relations and not statement.executes:
            return Statement(statement.deeds, None, frozenset(self.cursors))
        return statement

    @property
    def _plans(self) -> Plans:
        if self._made_plans is None:
            raise WireError("the target sent rows before the session was open")
        return self._made_plans

    def _plan(self, body: bytes, running: Running) -> rows.RowCover:
        columns = self._plans.columns(body)
        return self._plans.rows(columns, self._plans.covers(columns, statement_at(running), running.permit.masks))

    def _portal_plan(self, portal: Portal, running: Running) -> rows.RowCover | None:
        if portal.columns is None or portal.covers is None:
            return None
        same = portal.masks == running.permit.masks
        return self._plans.rows(portal.columns, portal.covers if same else [WHOLE] * len(portal.columns))

    def _answered(self, running: Running) -> None:
        running.keep_masked()
        self._flush()
        self._out.append(Answered(running.action, running.status, running.rows, running.size, running.masked.copy()))
