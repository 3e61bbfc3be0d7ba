"""The requests of an open session: read, asked for, and sent on once they may go.

Requests are taken one at a time: each that can do something is asked for (``Ask``) before a byte of it moves on; later ones
wait. A Query is one action. In the extended protocol Parse is asked for with its text (step ``prepare``) and Bind with its
parameters (step ``run``), since planning can already run code; the Execute that follows is covered by the Bind, a later one is
asked for again. Sync, Flush, Close and Describe run nothing and pass.

A refusal is made real at the server: an Execute of a portal that cannot exist takes the place of what was refused. The server's
own error 34000 is swallowed, ours is shown instead, and transaction state, skipping to Sync and ReadyForQuery are the server's.

A held request waits with its client's later ones; a cancel withdraws it, an approval sends it on once the names in it are found
to mean what they meant.

What a request means is found in ``relay_inquiry.py``.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import assert_never

from gatebook.errors import WireError
from gatebook.model import Action, Permit, RefusalClass, Ruling, Session, Verdict
from gatebook.protocols.postgres import bound, calls, ceilings, lineage, refusal, tagged, unsettled, wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.asked import (
    Asked,
    AskedBind,
    AskedCall,
    AskedExecute,
    AskedNothing,
    AskedParse,
    AskedQuery,
    AskedStart,
    forms,
    not_carried,
    reading_of,
    uncounted_of,
    unknown,
    untaggable,
)
from gatebook.protocols.postgres.drafting import Tryable, tryable
from gatebook.protocols.postgres.expected import (
    CANCELLED,
    Closed,
    Described,
    Executed,
    OwnExecute,
    OwnParsed,
    Portal,
    Prepared,
    Running,
    Simple,
    Synced,
)
from gatebook.protocols.postgres.hashes import Hashes
from gatebook.protocols.postgres.own_code import with_types
from gatebook.protocols.postgres.reading import Reading
from gatebook.protocols.postgres.relay_plain import AHEAD_BYTES, Plain
from gatebook.protocols.postgres.resolving import AS_PARAMETER, PLAIN
from gatebook.protocols.postgres.statement import read
from gatebook.protocols.relay import Answered, Ask, Effect, Held, Own, Refused, ToClient, ToServer, Withdraw


class Asking(Plain):
    """Owned by one relay, to whose effects ``out`` it adds. ``secret`` names what must not exist."""

    def __init__(self, answers: Answers, secret: str, out: list[Effect], client: wire.Frames) -> None:
        super().__init__(answers, secret, out, client)
        self._bound_name = f"{secret}-bound"
        self._draining = False
        self._undescribed: tuple[str, Portal] | None = None
        self._later: tuple[Permit, str] | None = None
        self._withdrawn: Action | None = None
        self._fenced: tuple[Running, bytes] | None = None
        self._due: tuple[Portal, bytes] | None = None
        answers.own = ceilings.Statements(f"gatebook-{sha256(secret.encode()).hexdigest()[:32]}")

    @property
    def free(self) -> bool:
        """Whether the next request can be taken."""
        waits = self._asked or self._again or self._fenced or self._due or self._draining or self._withdrawn
        return not waits and not self._answers.waits

    @property
    def rests(self) -> bool:
        """Whether nothing is on its way, asked for or open: the next request finds the session as it was at its beginning."""
        answers = self._answers
        apart = self._undescribed is not None or self._whole or answers.portals or answers.untagged is not None or answers.fatal
        return not apart and self.free and answers.rests

    def start(self, session: Session, settings: str, *, whole: bool) -> bool:
        """The session stands. Asks for the settings of its startup packet; False when there are none.

        ``whole`` says that each Query is a script that people decide about as one.
        """
        self._session, self._whole = session.id, whole
        self._answers.tag = tagged.tag(session.id)
        if settings:
            action, line = self._action(read(settings), "run", settings)
            self._ask(AskedStart(action), frozenset(), line)
        return bool(settings)

    def tryable(self) -> Tryable:
        """What of the request that waits for its verdict could be tried in a preview."""
        return tryable(self._asked, self._answers, whole=self._whole)

    def resume(self) -> None:
        """The server answered something: go on with what waited for its last answer."""
        if not self._answers.idle:
            return
        self._tag_again()
        if not self._answers.idle:
            return
        self._ahead, self._draining = 0, False
        cut, self._answers.cut = self._answers.cut, b""
        if self._fenced is not None:
            (running, body), self._fenced = self._fenced, None
            if not running.status:  # else the gateway's own failed, as the Query would have
                self._send_query(running, body)
        elif self._due is not None:
            (portal, body), self._due = self._due, None
            self._run(portal, body)
        elif self._later is not None and self._asked is not None:
            permit, decision = self._later
            reading = reading_of(self._asked)
            if cut:
                asked, self._asked, self._later = self._asked, None, None
                self._out.append(Answered(asked.action, f"ERROR {CANCELLED}", 0, 0, {}))
                self._make_real(asked, cut)
                return
            if reading is not None and self._learn(reading):
                return  # time passed while it was asked for, or half of it was answered
            if self._still_meant(self._asked):
                self._go(permit, decision)
            else:
                asked, self._asked, self._later = self._asked, None, None
                self._refuse_here(asked, "changed-while-held", "what it names has changed since it was decided", decision)
        elif self._again is not None:
            again, self._again = self._again, None
            if cut:
                self._fail(cut, whole=again[0] in b"QF")
            else:
                self.take(*again)

    # Requests -------------------------------------------------------------------------------------------------------

    def take(self, kind: bytes, body: bytes) -> None:
        """Take one request, when ``free``. Raises WireError for one that is not of this protocol."""
        self._retags = True
        if self._answers.skipping and kind != b"S":
            return
        self._describe_bound(kind, body)
        copying = self._answers.copying
        if copying is not None:
            self._copy_data(copying, kind, body)
            return
        match kind:
            case b"Q":
                self._query(body)
            case b"P":
                self._parse(body)
            case b"B":
                self._bind(body)
            case b"E":
                self._execute(body)
            case b"D":
                self._describe(body)
            case b"C":
                self._close(body)
            case b"S":
                if self._answers.own_block and not self._answers.skipping:
                    self._out.append(self._answers.say_execute(ceilings.COMMIT, OwnExecute(block=False)))
                self._answers.skipping = False
                self._own("sync", wire.SYNC, Synced())
            case b"H":
                self._out.append(Own("flush", wire.message(b"H")))
            case b"F":
                self._call(body)
            case b"d" | b"c" | b"f":
                pass  # COPY data outside COPY: the server drops it too
            case _:
                raise WireError(f"message type {kind!r} is not of this protocol")

    def _copy_data(self, running: Running, kind: bytes, body: bytes) -> None:
        if running.copying.from_client(kind, again=len(running.reading.statements) > running.at + 1):
            running.size += len(body) if kind == b"d" else 0
            self._out.append(ToServer(running.permit, wire.message(kind, body)))

    def _query(self, body: bytes) -> None:
        if self._waits_for_answers(b"Q", body):
            return
        reading = self._answers.settled(self._read(wire.query_text(body)))
        if self._asks_query(reading, body):
            return
        if self._look_up(reading, b"Q", body):
            return
        resolved = self._resolve(reading, ())
        action, line = self._action(reading, "run", reading.text, (), resolved)
        if resolved.refusal:
            self._ask(AskedNothing(action, resolved.refusal, True), self._answers.meaning(reading).columns, line)
            return
        body = resolved.text(reading.text).encode() + b"\0" if resolved.values else body
        parts = lineage.counted(reading, self._answers.catalog) if self._whole else ()
        self._ask(AskedQuery(action, reading, body, resolved), self._answers.meaning(reading).columns, line, parts)

    def _waits_for_answers(self, kind: bytes, body: bytes) -> bool:
        """Whether a request with a ReadyForQuery of its own must be taken up again when what came before is answered."""
        if not self._answers.idle:
            self._again = (kind, body)
            if self._answers.unsynced:  # the server keeps what it owes until it is told
                self._out.append(Own("flush", wire.message(b"H")))
            return True
        if self._answers.own_block:
            raise WireError("a Query in a batch whose rows are counted; send a Sync before it")
        return False

    def _waits_for_names(self, reading: Reading, kind: bytes, body: bytes) -> bool:
        """Whether an EXECUTE must be taken up again when what came before, which may prepare its name anew, is answered."""
        if self._answers.idle or not any(statement.executes for statement in reading.statements):
            return False
        self._again = (kind, body)
        if self._answers.unsynced:
            self._out.append(Own("flush", wire.message(b"H")))
        return True

    def _call(self, body: bytes) -> None:
        if self._waits_for_answers(b"F", body):
            return
        call = calls.parse(body)
        if call.function is None:
            self._uncarried("function call message", calls.NOT_CARRIED, True)
            return
        reading = self._read(call.function.text)
        if self._look_up(reading, b"F", body):
            return
        meant = forms(call.given, call.function.takes)
        action, line = self._action(reading, "run", reading.text, call.given.values, PLAIN, meant)
        columns = self._answers.meaning(reading).columns
        self._ask(AskedCall(action, reading, body, calls.answer(call.function, call.form)), columns, line)

    def _parse(self, body: bytes) -> None:
        parse = wire.parse(body)
        if self._waits_for_names(read(parse.text), b"P", body):
            return
        reading = with_types(self._answers.settled(unsettled.unsure_of_names(self._read(parse.text))), parse.types)
        if self._look_up(reading, b"P", body):
            return
        action, line = self._action(reading, "prepare", reading.text)
        resolved = self._resolve(reading, ())
        if resolved.values or resolved.refusal:
            why = resolved.refusal or AS_PARAMETER
            self._ask(AskedNothing(action, why, False), self._answers.meaning(reading).columns, line)
            return
        self._ask(AskedParse(action, reading, parse.name, body), self._answers.meaning(reading).columns, line)

    def _bind(self, body: bytes) -> None:
        bind = wire.bind(body)
        prepared = self._answers.prepared.get(bind.statement)
        if prepared is not None and self._asks_bind(bind, prepared, body):
            return
        if prepared is None:
            prepared = Prepared(unknown(f'EXECUTE "{bind.statement}"', f"no prepared statement {bind.statement!r} is known"))
        if self._waits_for_names(prepared.reading, b"B", body):
            return
        if any(statement.executes for statement in prepared.reading.statements):  # what that name stands for now
            read_anew = unsettled.unsure_of_names(self._read(prepared.reading.text))
            prepared = replace(prepared, reading=with_types(read_anew, prepared.types))
        if self._look_up(prepared.reading, b"B", body):
            return
        resolved = self._resolve(prepared.reading, bind.values)
        meant = forms(bind, prepared.types)
        action, line = self._action(prepared.reading, "run", prepared.reading.text, bind.values, resolved, meant)
        columns = self._answers.meaning(prepared.reading).columns
        if resolved.refusal:
            self._ask(AskedNothing(action, resolved.refusal, False), columns, line)
            return
        body = wire.with_values(body, resolved.parameters(bind.values)) if resolved.values else body
        self._ask(AskedBind(action, prepared, bind.portal, body, resolved), columns, line)

    def _execute(self, body: bytes) -> None:
        name = wire.execute_portal(body)
        portal = self._answers.portals.get(name)
        if portal is None or portal.taken:
            known = "may be a cursor of that name, or run another statement, by now"
            why, code = (known, "") if portal else ("is not one that this session bound", refusal.NO_PORTAL)
            self._uncarried(f'EXECUTE PORTAL "{name}"', f"portal {name!r} {why}; bind it again, or use FETCH", False, code)
        elif portal.fresh:
            portal.fresh = False
            self._run(portal, body)
        elif not self._look_up(portal.prepared.reading, b"E", body):
            was = portal.action
            action, line = self._action(portal.prepared.reading, "run", was.text, was.parameters, portal.resolved, was.forms)
            self._ask(AskedExecute(action, portal, body), self._answers.meaning(portal.prepared.reading).columns, line)

    def _run(self, portal: Portal, body: bytes) -> None:
        if self._answers.skipping:
            self._out.append(Answered(portal.action, "SKIPPED", 0, 0, {}))
            return
        reading = portal.prepared.reading
        counted = ceilings.holds(portal.permit, reading)
        if counted and not self._answers.idle:
            self._due = (portal, body)  # what came before in the batch says whether a transaction is open
            self._out.append(Own("flush", wire.message(b"H")))
            return
        if why := self._answers.out_of_place(reading, counted=counted):
            asked = AskedExecute(portal.action, portal, body)
            self._refuse_here(asked, portal.permit.ceiling.rule if portal.permit.ceiling else "one-batch", why, portal.decision)
            return
        self._answers.sent(reading, portal.touches)
        running = Running(portal.action, portal.permit, reading, portal.touches, hashes=portal.hashes)
        if portal.hashes is not None and not portal.hashes.shows:
            body = body[:-4] + bytes(4)  # rows that the client does not know of come whole
        if counted:
            self._out += self._answers.fence(running, portal.decision)
        self._answers.expect(Executed(running, portal))
        self._out.append(ToServer(portal.permit, wire.message(b"E", body)))
        if counted or running.copying.waits:
            self._out.append(Own("flush", wire.message(b"H")))  # nothing is sent before it says whether it takes data

    def _describe_bound(self, kind: bytes, body: bytes) -> None:
        """Ask for the columns of what was bound before anything else is sent, unless that is what the client asks for now."""
        if self._undescribed is None:
            return
        name, portal = self._undescribed
        if self._answers.skipping:  # the server skips too, and forgets the portal
            self._undescribed = None
        elif kind != b"D" or wire.target_of(body) != ("P", name):
            self._undescribed = None
            self._own("describe", wire.describe("P", name), Described(portal, own=True, first=True))

    def _describe(self, body: bytes) -> None:
        kind, name = wire.target_of(body)
        portal = self._answers.portals.get(name) if kind == "P" else None
        first, self._undescribed = self._undescribed is not None, None
        self._own("describe", wire.message(b"D", body), Described(portal, own=False, first=first))

    def _close(self, body: bytes) -> None:
        kind, name = wire.target_of(body)
        if kind == "P":
            self._answers.portals.pop(name, None)
        else:
            self._answers.closing(name)
        self._own("close", wire.message(b"C", body), Closed())

    def _uncarried(self, text: str, why: str, whole: bool, code: str = "") -> None:
        action, line = self._action(unknown(text, why), "run", text)
        self._ask(AskedNothing(action, why, whole, code), frozenset({"*"}), line)

    def _held_to(self, asked: AskedQuery | AskedBind, permit: Permit) -> tuple[str, Hashes] | None:
        """What is sent in its place where it is held to the rows that people saw."""
        key = self._answers.covering.key if self._answers.covering is not None else b""
        return bound.rewritten(asked, permit, self._answers.catalog, key)

    def _send_query(self, running: Running, body: bytes) -> None:
        self._answers.sent(running.reading, running.touches)
        self._answers.expect(Simple(running))
        self._out.append(ToServer(running.permit, wire.message(b"Q", body)))

    def _ask(self, asked: Asked, columns: frozenset[str], line: str, parts: tuple[int, ...] = ()) -> None:
        self._asked = asked
        self._out.append(Ask(asked.action, columns, line, self._fault(asked), parts, uncounted_of(asked)))

    # Verdicts -------------------------------------------------------------------------------------------------------

    @property
    def starting(self) -> bool:
        """Whether what was asked for are the settings of the startup packet: their verdict is no request's."""
        return isinstance(self._asked, AskedStart)

    def allowed(self, permit: Permit, decision: str) -> None:
        """What was asked for may go."""
        if permit.action is self._withdrawn:
            self._withdrawn = None
            return
        if self._asked is None or self._asked.action is not permit.action:
            raise AssertionError("a permit for an action that was not asked for")
        held, self.held = self.held, False
        reading = reading_of(self._asked)
        if (held or permit.conditions) and reading is not None and self._learn(reading):
            self._later = permit, decision  # what it names may have changed while people thought
        elif not held and self._sends_plain(self._asked, permit, decision):
            self._asked = None
        else:
            self._go(permit, decision)

    def started(self, permit: Permit) -> None:
        """The settings of the startup packet may be used."""
        if not isinstance(self._asked, AskedStart) or self._asked.action is not permit.action:
            raise AssertionError("a permit for settings that were not asked for")
        self._asked, self.held = None, False

    def refused(self, refused: Refused) -> None:
        """What was asked for may not go."""
        if refused.action is not None and refused.action is self._withdrawn:
            self._withdrawn = None
            return
        self.held = False
        asked, self._asked = self._asked, None
        if asked is None:
            raise AssertionError("a refusal of an action that was not asked for")
        position = asked.reading.position if isinstance(asked, AskedQuery | AskedParse) else 0
        self._make_real(asked, refusal.statement_refused(asked.action, refused, position))

    def hold(self, waiting: Held) -> None:
        """What was asked for waits for people."""
        self.held = True
        self._out.append(ToClient(refusal.held(waiting)))

    def withdraw(self) -> None:
        """The client does not want what is held any more; its next request is taken once what was asked for it is undone."""
        asked, self._asked, self.held = self._asked, None, False
        if asked is None:
            raise AssertionError("nothing is held")
        self._withdrawn = asked.action
        self._out.append(Withdraw(asked.action))
        if not isinstance(asked, AskedStart):
            self._make_real(asked, refusal.withdrawn())

    def _go(self, permit: Permit, decision: str) -> None:
        asked, self._asked, self._later = self._asked, None, None
        if asked is None:
            raise AssertionError("nothing was asked for")
        if self._answers.skipping:
            self._out.append(Answered(asked.action, "SKIPPED", 0, 0, {}))
        elif why := not_carried(asked) or untaggable(asked, self._session):
            self._refuse_here(asked, "not-carried", why, decision)
        elif why := bound.unfit(asked, permit, self._answers.catalog):
            self._refuse_here(asked, refusal.CHANGED, why, decision)
        else:
            self._send(asked, permit, decision)

    def _send(self, asked: Asked, permit: Permit, decision: str) -> None:
        match asked:
            case AskedQuery(action, reading, body):
                body = tagged.body(reading, self._session, body, 0)
                running = Running(action, permit, reading, self._answers.meaning(reading).touches)
                if made := self._held_to(asked, permit):
                    body, running.hashes = made[0].encode() + b"\0", made[1]
                if ceilings.holds(permit, reading):
                    self._out.append(self._answers.fence_query(running, decision))
                    self._fenced = (running, body)
                else:
                    self._send_query(running, body)
            case AskedParse(action, reading, name, body):
                self._answers.parsing(name, Prepared(reading, wire.parse(body).types, action.settings))
                self._out.append(
                    ToServer(permit, wire.message(b"P", tagged.body(reading, self._session, body, len(name.encode()) + 1)))
                )
                self._sent_ahead(body)
            case AskedBind(action, prepared, name, body, resolved):
                touches = self._answers.meaning(prepared.reading).touches
                portal = Portal(action, permit, prepared, touches, decision=decision, resolved=resolved)
                self._answers.sent(prepared.reading, portal.touches)
                sent = wire.message(b"B", body)
                if made := self._held_to(asked, permit):
                    portal.hashes, sent = made[1], bound.bind_of(body, self._bound_name)
                    self._answers.expect(OwnParsed())
                    parse = bound.statement_of(made[0], self._bound_name, prepared.types)
                    self._out.append(ToServer(permit, parse))
                self._answers.binding(name, portal)
                self._out.append(ToServer(permit, sent))
                self._undescribed = name, portal
                self._sent_ahead(body)
            case AskedExecute(action, portal, body):
                portal.action, portal.permit, portal.decision = action, permit, decision
                self._run(portal, body)
            case AskedCall(action, reading, body, answer):
                running = Running(action, permit, reading, self._answers.meaning(reading).touches, calls=answer)
                self._answers.sent(reading, running.touches)
                self._answers.expect(Simple(running))
                self._out.append(ToServer(permit, wire.message(b"F", body)))
            case AskedStart() | AskedNothing():
                raise AssertionError(f"{asked.action.text!r} is not for sending")
            case _:
                assert_never(asked)

    def _sent_ahead(self, body: bytes) -> None:
        """What is not answered yet is remembered whole, so there is an end to it."""
        self._ahead += len(body)
        if self._ahead > AHEAD_BYTES:
            self._describe_bound(b"H", b"")
            self._draining = True
            self._out.append(Own("flush", wire.message(b"H")))

    def _refuse_here(self, asked: Asked, rule: str, why: str, decision: str) -> None:
        self._out.append(Answered(asked.action, rule.upper().replace("-", " "), 0, 0, {}))
        verdict = Verdict(ruling=Ruling.BLOCK, rule=rule, reason=why, policy_digest="")
        refused = Refused(asked.action, verdict, RefusalClass.FIX, decision)
        code = asked.code if isinstance(asked, AskedNothing) else ""
        self._make_real(asked, refusal.statement_refused(asked.action, refused, code=code))

    def _make_real(self, asked: Asked, said: bytes) -> None:
        self._fail(said, whole=isinstance(asked, AskedQuery | AskedCall) or (isinstance(asked, AskedNothing) and asked.whole))
