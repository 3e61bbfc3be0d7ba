"""One request on its way and its answer on the way back: the relay's effects carried out, in order.

Where the session is known, the decision is at hand and a connection to the target is idle, all of it happens at once, in the
call that brought the request. Proving, asking people and dialling take time and run as tasks of the gateway's group, one at a
time.

Flow. The client is read while the relay wants more and the target takes it; the target is read while the client takes what it
said and the disk has the entry (``released.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, assert_never

import structlog

from gatebook.errors import GatebookError, LedgerError, RecordingError
from gatebook.gateway.book import told
from gatebook.gateway.desk import Needs
from gatebook.gateway.http import trying
from gatebook.gateway.http.browsers import LED_HERE, Shown
from gatebook.gateway.http.client import Client
from gatebook.gateway.http.credentials import ShownAs
from gatebook.gateway.http.errand import Errand
from gatebook.gateway.http.sessions import FULL, HttpSession, key_of
from gatebook.gateway.http.shortcut import Flight, asked_again
from gatebook.gateway.http.telling import tell
from gatebook.gateway.released import Released
from gatebook.gateway.store import decided
from gatebook.gateway.tape import UNRECORDED
from gatebook.gateway.waiting import Waiting
from gatebook.model import Reach
from gatebook.protocols.http import door, grpc, refusal
from gatebook.protocols.http.lane import Went
from gatebook.protocols.http.message import Data, End, Message, Request, Response
from gatebook.protocols.http.relay import (
    ClientSaid,
    Continue,
    Effect,
    Failed,
    Forward,
    HttpRelay,
    Idle,
    Inquire,
    Reply,
    Signal,
    TargetSaid,
    shown,
)
from gatebook.protocols.relay import Allowed, Answered, Ask, Ended, HangUp, Refused, Side, Withdraw

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

INSIDE = "an error inside the gateway; its operators' log has it"

log = structlog.get_logger("gatebook.http")


class Exchange:
    """Owned by the client's connection. Lives in one event loop."""

    def __init__(self, gateway: Gateway, client: Client, address: str) -> None:
        self._gateway, self._client, self._address = gateway, client, address
        self._relay: HttpRelay | None = None
        self._session: HttpSession | None = None
        self._errand: Errand | None = None
        self._people = Waiting(gateway)
        self._released = Released()
        self._held_end: End | None = None
        self._early: list[Message] = []  # what the client said before its session was found
        self._answering = self._over = self._led = False  # led by a page of another site
        self._streams = False  # by gRPC or a WebSocket
        self._asked: Request | None = None  # as it came
        self._patience: asyncio.TimerHandle | None = None
        self._protocol = "http"  # of the target that it wants
        self._started: dict[int, int] = {}  # when each of its actions was let go
        self._answer: Allowed | None = None
        self._shown_as: ShownAs | None = None
        self.went: Went | None = None  # what can go by the lane when it comes again, once it is over

    @property
    def session(self) -> HttpSession | None:
        """Whose request it is, once that is known."""
        return self._session

    @property
    def _whose(self) -> HttpSession:
        if self._session is None:
            raise AssertionError("a request without a session")
        return self._session

    # The client ---------------------------------------------------------------------------------------------------------

    @property
    def hungry(self) -> bool:
        """Whether more of the request is wanted now."""
        if self._over or self._relay is None:
            return False
        return self._relay.hungry and not (self._errand is not None and self._errand.full)

    @property
    def waits(self) -> bool:
        """Whether its content is waited for, which comes without long pauses: streams may pause."""
        return self.hungry and self._relay is not None and (self._relay.keeps or not self._streams)

    def begin(self, request: Request, domain: str) -> None:
        """A request came."""
        self._streams, self._asked = bool(request.upgrade) or grpc.spoken(request.fields), request
        knocked = door.knock(request, domain)
        self._protocol = door.protocol_of(request, domain) or self._gateway.http.protocol(knocked.target)
        if isinstance(knocked, door.Own):
            self._spawn(self._show_own(knocked))
            return
        if isinstance(knocked, door.Turned):
            self._turn_away(self._gateway.http.browsers.turned(request, knocked))
            return
        self._people.hold, self._led = knocked.hold, knocked.led
        key = key_of(knocked, self._address)
        session = self._gateway.http.find(key)
        if session is None:
            self._spawn(self._open(key, knocked, request))
            return
        try:
            self._enter(session, knocked)
        except GatebookError as error:
            self.fail(told(error))

    async def _show_own(self, asked: door.Own) -> None:
        shown = await self._gateway.http.browsers.own(asked)
        if not self._over:
            self._turn_away(shown)

    async def _open(self, key: Any, knocked: door.Knock, request: Request) -> None:
        found = await self._gateway.http.open(key, knocked, self._address)
        if self._over:
            return
        if isinstance(found, Refused):
            self._turn_away(self._gateway.http.browsers.not_let_in(request, knocked, found))
            return
        self._enter(found, knocked)
        self._catch_up()

    def _catch_up(self) -> None:
        """What the client said meanwhile."""
        early, self._early = self._early, []
        for message in early:
            self.from_client(message)
        self._client.flow()

    def _enter(self, session: HttpSession, knocked: door.Knock) -> None:
        if (barred := session.barred) is not None:
            self._turn_away(barred)
            return
        self._session = session
        self._shown_as = shown_as = ShownAs(self._gateway.http.credentials, session.target, session.role)
        self._client.proved()
        seq = session.enter(self)
        base = knocked.prefix or f"{knocked.request.scheme}://{knocked.request.authority}"
        self._relay = HttpRelay(session.terms(lambda: shown_as.injected, base), seq)
        self.signal(ClientSaid(knocked.request))

    def take_over(self, flight: Flight) -> None:
        """Go on with a request that is on its way, as if it had been this exchange's from the beginning."""
        ticket, session, upstream, went = flight.ticket, flight.session, flight.upstream, flight.ticket.went
        if upstream is None:
            raise AssertionError("on its way, and nowhere")
        session.take_over(flight, self)
        self._session, self._asked = session, went.request
        self._shown_as = ShownAs(self._gateway.http.credentials, session.target, session.role)
        relay, ask = asked_again(went, flight.seq)
        self._relay = relay
        allowed = flight.lane.allowed(flight, ask.action)
        self._errand = errand = Errand(self._gateway, self, session.target, session.role)
        for effect in relay.feed(allowed):
            if isinstance(effect, Forward):
                errand.take_over(upstream, effect.message, effect.length)
        self._started[flight.seq] = flight.at
        self._released.under(allowed.permit.receipt)
        self._gateway.book.taken_over(ask.action, ticket.said, ask.shown, flight.decision, flight.at)
        try:
            session.tape.asked(ask, ticket.said.row, flight.decision, flight.recorded)
        except RecordingError as error:
            self._unrecorded(str(error))

    def tick(self, now: int) -> None:
        """Some time has passed; nothing depends on that here."""

    def from_client(self, message: Message) -> None:
        """The client said more of its request."""
        if self._relay is None:
            if not self._over:
                self._early.append(message)
            return
        if self._session is not None and isinstance(message, Data):
            self._session.received += len(message.data)
            if self._relay.keeps and not self._session.hold(self, len(message.data)):
                self.signal(Failed(HTTPStatus.TOO_MANY_REQUESTS, FULL))
                return
        self.signal(ClientSaid(message))

    def client_gone(self) -> None:
        """The client went away."""
        self._people.gone()
        self.signal(Ended(Side.CLIENT, "the client went away"))
        self._finish()

    def end(self, why: str) -> None:
        """The gateway ends it."""
        session = self._session
        timely = session is not None and self._gateway.clock() >= session.session.identity.expires_at
        self.signal(Ended(Side.GATEWAY, why, timely))
        if self._released.holds:
            self._client.cut(why)
        self._finish()

    def _turn_away(self, problem: refusal.Problem | Shown) -> None:
        self._answering = True
        tell(self._client, self._asked, problem, self._gateway.http.said(self._protocol))
        self._finish()

    # Signals and effects --------------------------------------------------------------------------------------------------

    def signal(self, signal: Signal) -> None:
        """Feed the relay and carry out what it says."""
        if self._relay is None or self._over:
            return
        try:
            self._feed(signal)
        except LedgerError as error:
            self.fail(told(error))
        except RecordingError as error:
            self._unrecorded(str(error))
        except Exception:
            self._broke()
        self._await_more()
        self._flow()

    def _await_more(self) -> None:
        """What is held back in case more of it comes goes on when nothing does."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._relay is not None and self._relay.waits:
            self._patience = asyncio.get_running_loop().call_later(self._relay.waits, self.signal, Idle())

    def _unrecorded(self, why: str) -> None:
        """What must be recorded cannot be: nothing more of this session, and not only of this request."""
        why = UNRECORDED.format(why)
        self.fail(why)
        if self._session is not None:
            self._session.end(why)

    def _feed(self, signal: Signal | Allowed) -> None:
        while self._relay is not None and not self._over:
            if isinstance(signal, Allowed) and self._shown_as is not None:
                taken = self._shown_as.take(signal)
                if taken is None:
                    self._spawn(self._hear(self._shown_as.fetch(signal)))
                    break
                signal = taken
            for effect in self._relay.feed(signal):
                self._do(effect)
            if self._answer is None:
                break
            signal, self._answer = self._answer, None
        self._push()

    async def _hear(self, work: Coroutine[Any, Any, Signal]) -> None:
        self.signal(await work)

    def _push(self) -> None:
        if self._errand is not None:
            self._errand.push()
        self._client.push()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Ask():
                self._ask(effect)
            case Inquire(inquirable):
                self._spawn(self._hear(trying.inquired(self._gateway, self._whose, self._shown_as, inquirable)))
            case Forward(_, message, length):
                self._forward(message, length)
            case Reply():
                self._reply(effect)
            case Continue():
                self._client.proceed()
            case Answered():
                self._answered(effect)
            case Withdraw():
                self._people.withdraw("withdrawn by the requester")
            case HangUp(why):
                self._client.cut(why)
                self._finish()
            case _:
                assert_never(effect)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._gateway.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault of ours ends this exchange alone, and is told to the operator."""
        try:
            await work
        except RecordingError as error:
            self._unrecorded(str(error))
        except GatebookError as error:
            self.fail(told(error))
        except Exception:
            self._broke()

    def _broke(self) -> None:
        log.exception("exchange failed", session=self._session.session.id if self._session else "")
        self.fail(INSIDE)

    def fail(self, why: str) -> None:
        """Nothing goes on here; who did not hear an answer yet hears this. It raises nothing: tasks end with it."""
        try:
            if not (self._over or self._answering):
                self._turn_away(refusal.Problem(503, why, {"class": "fix"}))
        except Exception:
            log.exception("an exchange could not say that it failed")
        if not self._over:
            self._client.cut(why)
            self._finish()

    # Deciding -----------------------------------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        session = self._whose
        led = self._led and ask.action.reach is not Reach.READ  # then nobody's will is in it
        at_once = None if led else self._gateway.desk.decide_at_once(session.session, ask, session.recent)
        if at_once is None:
            self._spawn(self._decide(ask, session, led))
            return
        self._answer, said = at_once
        session.tape.asked(ask, said, self._answer.decision)
        self._under(self._answer, session)

    def _under(self, answer: Allowed | Refused, session: HttpSession) -> None:
        if isinstance(answer, Allowed):
            session.let_go(self)
            self._started[answer.permit.action.seq] = self._gateway.clock()
            self._released.under(answer.permit.receipt)

    async def _decide(self, ask: Ask, session: HttpSession, led: bool) -> None:
        desk, of = self._gateway.desk, session.session
        answer = await (desk.refuse(of, ask, LED_HERE) if led else desk.decide(of, ask))
        if isinstance(answer, Needs):
            if self._over:
                return  # the client is gone
            trial = trying.trial(self._gateway, session, self._shown_as, self._relay)
            answer = await self._people.asked(of, ask, answer, session.place, trial, self.signal)
        if self._over:
            return
        verdict = answer.verdict if isinstance(answer, Refused) else answer.ruled
        session.tape.asked(ask, decided(ask.action, verdict), answer.decision)
        self._under(answer, session)
        self.signal(await trying.still(self._gateway, session, self._shown_as, self._relay, answer))

    # The target -----------------------------------------------------------------------------------------------------------

    def _forward(self, message: Message, length: int | None) -> None:
        session = self._whose
        if isinstance(message, Request):
            if self._errand is not None:
                self._errand.drop()
            self._errand = Errand(self._gateway, self, session.target, session.role)
            self._errand.begin(message, length)
        elif self._errand is not None and isinstance(message, Data | End):
            self._errand.send(message)

    def from_target(self, message: Message) -> None:
        """A message of the target."""
        if self._shown_as is not None:
            self._shown_as.heard(message)
        self.signal(TargetSaid(message))

    def target_failed(self, status: int, why: str) -> None:
        """The target does not do its part."""
        self.signal(Failed(status, why))

    @property
    def only_reads(self) -> bool:
        """Whether what is asked changes nothing, as far as rules know."""
        return self._relay is not None and self._relay.only_reads

    @property
    def may_repeat(self) -> bool:
        """Whether nobody heard of an answer yet."""
        return not self._answering

    # The answer -----------------------------------------------------------------------------------------------------------

    def _reply(self, reply: Reply) -> None:
        session = self._whose
        seq = self._relay.seq if self._relay is not None else 0
        match reply.message:
            case Response():
                session.tape.head(seq, shown(reply.message))
                self._answering = True
                self._client.respond(reply.message, reply.length)
            case Data(data):
                session.tape.content(seq, data if reply.shown is None else reply.shown)
                session.sent += len(data)
                if not data:
                    return
                waits = self._released.holds
                if self._released.passes(data, self._gateway):
                    self._client.say(reply.message)
                elif not waits:
                    self._released.tell(self._gateway, self._release)
            case End(trailers):
                if trailers:
                    session.tape.head(seq, shown(reply.message))
                if self._released.holds:
                    self._held_end = reply.message
                else:
                    self._complete(reply.message)
            case _:
                raise AssertionError("a request as an answer")

    def _release(self) -> None:
        try:
            self._let_go()
        except Exception:
            log.exception("an answer could not be released")
            self._client.cut(INSIDE)
            self._finish()

    def _let_go(self) -> None:
        if self._over:
            return
        if not self._released.settled(self._gateway):
            self._released.tell(self._gateway, self._release)
            return
        data = self._released.take(self._gateway)
        if not data:
            self._client.cut("the book cannot be written, so nothing may go on")
            self._finish()
            return
        self._client.say(Data(data))
        if self._held_end is not None:
            self._complete(self._held_end)
        self._client.push()
        self._flow()

    def _complete(self, end: End) -> None:
        """The answer is whole. The target's connection is good for another request if all was said on it."""
        self._client.say(end)
        if self._errand is not None:
            self._errand.done()
        asyncio.get_running_loop().call_soon(self._finish)

    def _answered(self, answer: Answered) -> None:
        session = self._session
        if session is None:
            return
        session.tape.answered(answer)
        now = self._gateway.clock()
        milliseconds = (now - self._started.pop(answer.action.seq, now)) // 1000
        if not session.writing and self._gateway.book.answered_at_once(session.session, answer, milliseconds):
            return
        work = self._gateway.book.answered(session.session, answer, milliseconds)
        task = self._gateway.spawn(self._guarded(work))
        session.writing.add(task)
        task.add_done_callback(session.writing.discard)

    # Flow and end -------------------------------------------------------------------------------------------------------

    def flow(self) -> None:
        """The target, or the client, takes more, or no more."""
        self._flow()

    def _flow(self) -> None:
        if self._over:
            return
        if self._errand is not None:
            self._errand.read(not (self._client.full or self._released.holds))
        self._client.flow()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._patience is not None:
            self._patience.cancel()
        if self._errand is not None:
            self._errand.drop()
        self._people.gone()
        self.went = self._relay.went if self._relay is not None else None
        self._relay = None
        self._early.clear()
        if self._session is not None:
            self._session.leave(self)
        self._client.done(self)
