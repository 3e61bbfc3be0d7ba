"""The plain way of requests over HTTP/1.1: one that came before, byte for byte, past codec, relay and exchange.

A session keeps a ticket for each request that went the plain way (``protocols/http/lane.py``), by a digest of all that its
client sent and nothing less. It counts while the session does, while what the target is shown is the same, and while the
decision does: that is seen by the very look that every decision has (``Recent.find``), grants and minute among it. Its entry is
written before the target is sent anything, by the same log. Of the answer, which must be here whole, the entry is written, and
request and answer are recorded, before the client gets any of it.

Whatever cannot go so is an exchange's (``exchange.py``). What is on its way becomes one first, as if it had been one from the
beginning (``give_back``), before anything else is done about it: when more comes of the client or not all of the answer, when
either side goes away or does not take what it is sent, when the session ends, and when it takes long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson
import structlog

from gatebook.errors import GatebookError, LedgerError, RecordingError
from gatebook.gateway.book import Said, new_id
from gatebook.gateway.http.upstream import Upstream
from gatebook.gateway.recent import Ruled
from gatebook.gateway.released import UNSYNCED_BYTES
from gatebook.gateway.store import ActionValues
from gatebook.gateway.tape import UNRECORDED
from gatebook.ledger.entries import canonical_value, clip, uuid7
from gatebook.model import Action
from gatebook.policy.permit import permit
from gatebook.protocols.http.lane import Answered, Answers, Went
from gatebook.protocols.http.message import Data, End, Message
from gatebook.protocols.http.relay import ClientSaid, HttpRelay
from gatebook.protocols.relay import ANY_FIELD, Allowed, Ask
from gatebook.protocols.relay import Answered as Ended
from gatebook.recording import grec
from gatebook.recording.packing import LEAST_BYTES
from gatebook.recording.recorder import event, request_pieces

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.http.exchange import Exchange
    from gatebook.gateway.http.sessions import HttpSession

COLUMNS = frozenset({ANY_FIELD})
TICKETS = 128  # of a session; one that has more begins anew
HELD_BYTES = 8_388_608  # of answers that are not whole yet, or wait for the disk, of all connections of a process
LONG_MICROSECONDS = 500_000  # on its way; then it gets its row, and its place in the recording, before its answer

log = structlog.get_logger("gatebook.http")


class Client(Protocol):
    """The client's side of it."""

    def tell(self, pieces: tuple[bytes, ...]) -> None:
        """The answer, or a part of it, in order."""
        ...

    def landed(self) -> None:
        """The rest of the answer is out."""
        ...

    def cut(self, why: str) -> None:
        """The answer will not be complete, and must not look so."""
        ...

    def become(self, flight: Flight) -> Exchange:
        """An exchange that goes on with what is on its way."""
        ...

    def fail(self, data: bytes, why: str) -> None:
        """An answer that is not given, to the request that these bytes are."""
        ...


class Ticket(NamedTuple):
    """A request that came before, the decision about it, and what is written each time, between what differs."""

    went: Went
    ruled: Ruled
    said: Said
    erased: int
    shown: str
    action: list[bytes]
    answer: list[bytes]
    asked: tuple[bytes, bytes]
    answers: Answers
    sent: dict[str, bytes]


class Tickets:
    """Owned by one session, and of no use to another."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Ticket] = {}
        self._seen: set[bytes] = set()

    def find(self, key: bytes) -> Ticket | None:
        """The ticket of these bytes."""
        return self._kept.get(key)

    def keep(self, key: bytes, ticket: Ticket) -> None:
        """Have it at hand."""
        if len(self._kept) >= TICKETS:
            self._kept.clear()
        self._kept[key] = ticket

    def again(self, key: bytes) -> bool:
        """Whether it came before: what comes once is not worth the work."""
        if key in self._kept or key in self._seen:
            return True
        if len(self._seen) >= TICKETS:
            self._seen.clear()
        self._seen.add(key)
        return False


class Flight:
    """A request on its way, and who waits for its answer. Counts among the requests of its session."""

    def __init__(self, lane: Shortcut, session: HttpSession, ticket: Ticket, data: bytes, decision: str) -> None:
        self.lane, self.session, self.ticket, self.data, self.decision = lane, session, ticket, data, decision
        self.seq = self.index = self.at = self.recorded = 0
        self.held = b""  # of its answer
        self.counted = 0  # bytes of it
        self.rest: tuple[bytes, ...] = ()  # of what the client gets, until the disk has the entry
        self.upstream: Upstream | None = None

    def entry(self, time: int, seq: int) -> bytes:
        """Its entry in the ledger."""
        one, decision, own = self.ticket.action, self.decision.encode(), uuid7(time).encode()
        first = (one[0], self.seq, one[1], decision, one[2], own, one[3])
        return b'%b%d%b"%b"%b"%b"%b%d%b%d%b' % (*first, seq, one[4], time, one[5])

    def answer_entry(self, answered: Answered, milliseconds: int) -> Callable[[int, int], bytes]:
        """The entry of its answer."""
        one, masked = self.ticket.answer, canonical_value(answered.masked)
        size, status = len(answered.content), answered.head.status

        def write(time: int, seq: int) -> bytes:
            first = (one[0], self.seq, one[1], size, one[2], uuid7(time).encode(), one[3], masked, one[4], milliseconds)
            return b'%b%d%b%d%b"%b"%b%b%b%d%b%d%b"%d"%b%d%b' % (*first, one[5], seq, one[6], status, one[7], time, one[8])

        return write

    def events(self, answered: Answered) -> Callable[[int], bytes]:
        """Request, head, content and end as the recording has them."""
        number, masked = grec.NUMBER.pack(self.seq), orjson.dumps(answered.masked)
        before, behind = self.ticket.asked

        def write(now: int) -> bytes:
            end = b'{"seq":%d,"status":"%d","rows":0,"masked":%b}' % (self.seq, answered.head.status, masked)
            content = event(b"p", now, number + answered.content) if answered.content else b""
            return b"".join(
                (
                    event(b"q", self.recorded, b'{"seq":%d%b"%b"%b' % (self.seq, before, self.decision.encode(), behind)),
                    event(b"h", now, number + answered.head.shown),
                    content,
                    event(b"a", now, end),
                )
            )

        return write

    def action_asked(self) -> Ask:
        """What was asked, as the relay says it."""
        one = self.ticket.went
        parameters = (one.content,) if one.content else ()
        action = Action(
            session=self.session.session.id,
            seq=self.seq,
            deeds=one.meant.reading.deeds,
            text=one.meant.text,
            parameters=parameters,
        )
        return Ask(action, self.ticket.ruled.columns, one.meant.reading.shown, fault=one.meant.fault, seen=one.meant.seen)

    # What its target and its session say ----------------------------------------------------------------------------------

    def answered(self, data: bytes) -> None:
        """Bytes of the target."""
        self.held = self.held + data if self.held else data
        self.lane.count(self, len(data))
        self.lane.answer(self)

    def give_back(self) -> None:
        """It becomes an exchange."""
        self.lane.give_back()

    def end(self, why: str) -> None:
        """The session ends."""
        if self.rest:
            self.lane.drop(why)
            return
        exchange = self.lane.give_back()
        if exchange is not None:
            exchange.end(why)

    def tick(self, now: int) -> None:
        """Some time has passed."""
        if now - self.at > LONG_MICROSECONDS and not self.rest:
            self.lane.give_back()


class Shortcut:
    """Owned by one connection of a client. ``session`` is that of its last exchange."""

    def __init__(self, gateway: Gateway, client: Client, scheme: str) -> None:
        self._gateway, self._client, self._scheme = gateway, client, scheme.encode()
        self.session: HttpSession | None = None
        self.flight: Flight | None = None
        self.taken = 0  # requests so far

    def learn(self, data: bytes, exchange: Exchange) -> None:
        """Let what went by an exchange go by the lane when it comes again, if it may."""
        session, went = exchange.session, exchange.went
        if session is None or went is None or session.ended:
            return
        key = self._key(data)
        if not session.tickets.again(key):
            return
        gateway, deeds = self._gateway, went.meant.reading.deeds
        ruled = gateway.desk.ruled_before(session.session, deeds, COLUMNS, session.recent, gateway.clock())
        if ruled is None or ruled.said is None or ruled.verdict.masks != went.masks:
            return
        try:
            session.tickets.keep(key, self._ticket(went, ruled, ruled.said, session))
        except LedgerError as error:
            log.warning("a request is not kept", session=session.session.id, why=str(error))

    def _ticket(self, went: Went, ruled: Ruled, said: Said, session: HttpSession) -> Ticket:
        book = self._gateway.book
        erased, row, reading = book.erased, said.row, went.meant.reading
        parameters = (went.content,) if went.content else ()
        action = Action(session=session.session.id, seq=0, deeds=reading.deeds, text=went.meant.text, parameters=parameters)
        entry, answer = book.pieces_of_one(session.session, said, action, reading.shown)
        _, text, middle, last = request_pieces(row.verb, row.reach, row.ruling, row.rule, row.reason)
        asked = text + orjson.dumps(went.meant.seen or reading.shown) + middle, last
        return Ticket(went, ruled, said, erased, clip(reading.shown), entry, answer, asked, Answers(went), {})

    def _key(self, data: bytes) -> bytes:
        return hashlib.sha256(self._scheme + b" " + data).digest()

    def request(self, data: bytes) -> bool:
        """Whether these bytes were a request that came before, and it is on its way now."""
        session = self.session
        if session is None or session.ended or session.full or self.flight is not None:
            return False
        ticket = session.tickets.find(self._key(data))
        if ticket is None or not self._counts(session, ticket):
            return False
        pool = self._gateway.http.pool
        upstream = pool.take(session.target.name, session.role)
        if upstream is None:
            return False
        sent = ticket.sent.get(upstream.origin)
        if sent is None:
            sent = ticket.sent[upstream.origin] = ticket.went.sent(upstream.origin)
        flight = self._written(session, ticket, data)
        if flight is None:
            pool.give_back(session.target.name, session.role, upstream)
            return False
        self.flight, flight.upstream = flight, upstream
        session.enter(flight)
        session.received += len(ticket.went.content)
        self.taken += 1
        upstream.fly(flight, sent)
        return True

    def _counts(self, session: HttpSession, ticket: Ticket) -> bool:
        """Whether all is as it was when it came last."""
        gateway, now = self._gateway, self._gateway.clock()
        if session.session.identity.expires_at <= now or ticket.erased != gateway.book.erased:
            return False
        try:
            injected = gateway.http.credentials.at_once(session.target, session.role)
        except GatebookError:
            return False
        went = ticket.went
        if injected is not went.terms.injected() or went.plan.tree.grown:
            return False
        deeds = went.meant.reading.deeds
        return gateway.desk.ruled_before(session.session, deeds, COLUMNS, session.recent, now) is ticket.ruled

    def _written(self, session: HttpSession, ticket: Ticket, data: bytes) -> Flight | None:
        """The request once it is in the book; None where an exchange must wait for that, or hear why it cannot be."""
        now = self._gateway.clock()
        flight = Flight(self, session, ticket, data, new_id(now))
        flight.seq, flight.at, flight.recorded = session.next_number, now, session.tape.now()
        try:
            index = self._gateway.book.fill_at_once(session.session, flight.entry)
        except LedgerError:
            return None
        if index is None:
            return None
        flight.index = index
        return flight

    def answer(self, flight: Flight) -> None:
        """More of the answer came: the client gets it once it is whole, or an exchange goes on with it."""
        upstream = flight.upstream
        if upstream is None:
            raise AssertionError("an answer from nowhere")
        size = flight.ticket.answers.size(flight.held, upstream.origin)
        if size is not None and len(flight.held) < size and self._gateway.http.flying <= HELD_BYTES:
            return
        try:
            answered = self._answered(flight, upstream.origin) if size == len(flight.held) else None
        except RecordingError as error:
            self._lost(flight, str(error))
            return
        if answered is None:
            self.give_back()
            return
        flight.held = b""
        flight.session.sent += len(answered.content)
        upstream.landed()
        self._gateway.http.pool.give_back(flight.session.target.name, flight.session.role, upstream)
        if len(answered.content) > UNSYNCED_BYTES and not self._gateway.book.synced(flight.index):
            self._client.tell(answered.told[:1])
            flight.rest = answered.told[1:]
            self._gateway.book.when_synced(flight.index, partial(self._land, flight))
        else:
            self._client.tell(answered.told)
            self._over(flight)

    def _land(self, flight: Flight) -> None:
        """The rest of an answer leaves when the disk has its entry."""
        if flight is not self.flight:
            return
        if not self._gateway.book.synced(flight.index):
            self.drop("the book cannot be written, so nothing may go on")
            return
        self._client.tell(flight.rest)
        self._over(flight)
        self._client.landed()

    def count(self, flight: Flight, size: int) -> None:
        """So much more is held of an answer; a negative number: less."""
        flight.counted += size
        self._gateway.http.flying += size

    def _over(self, flight: Flight) -> None:
        self.flight = None
        self.count(flight, -flight.counted)
        flight.session.leave(flight)

    @property
    def lands(self) -> bool:
        """Whether an answer is whole and on its way to the client: what comes of it meanwhile has to wait."""
        return self.flight is not None and bool(self.flight.rest)

    def drop(self, why: str) -> None:
        """The rest of an answer does not go on, and must not seem to have been all."""
        if self.flight is not None:
            self._over(self.flight)
            self._client.cut(why)

    def _answered(self, flight: Flight, origin: str) -> Answered | None:
        gateway, session, ticket = self._gateway, flight.session, flight.ticket
        answered = ticket.answers.read(flight.held, origin)
        if answered is None:
            return None
        now = gateway.clock()
        try:
            write = flight.answer_entry(answered, (now - flight.at) // 1000)
            if gateway.book.fill_at_once(session.session, write) is None:
                return None
        except LedgerError:
            return None  # whoever waits with the entry meets that fault
        self._record(flight, answered)
        row = ActionValues(session.session.id, flight.seq, "run", ticket.said.row, ticket.shown, flight.decision, flight.at)
        row.status, row.rows = str(answered.head.status), 0
        gateway.book.passed(row)
        return answered

    def _record(self, flight: Flight, answered: Answered) -> None:
        tape, seq = flight.session.tape, flight.seq
        if len(answered.content) < LEAST_BYTES:
            tape.together(flight.events(answered), 4 if answered.content else 3)
            return
        ask = flight.action_asked()
        tape.asked(ask, flight.ticket.said.row, flight.decision, flight.recorded)
        tape.head(seq, answered.head.shown)
        tape.content(seq, answered.content)
        tape.answered(Ended(ask.action, str(answered.head.status), 0, len(answered.content), answered.masked))

    def _lost(self, flight: Flight, why: str) -> None:
        """The answer stands in the book and cannot be recorded, so nobody gets it."""
        self._over(flight)
        if flight.upstream is not None:
            flight.upstream.close()
        self._client.fail(flight.data, why)
        flight.session.end(UNRECORDED.format(why))

    def give_back(self) -> Exchange | None:
        """Have an exchange take over what is on its way, if anything is."""
        if self.flight is None or self.lands:
            return None
        flight, self.flight = self.flight, None
        held, flight.held = flight.held, b""
        self.count(flight, -flight.counted)
        exchange = self._client.become(flight)
        if held and flight.upstream is not None:
            flight.upstream.data_received(held)
        return exchange

    def allowed(self, flight: Flight, action: Action) -> Allowed:
        """The permit of what is on its way: it stands in the book."""
        ruled = flight.ticket.ruled.verdict
        return Allowed(permit(action, ruled, self._gateway.book.receipt(flight.index)), ruled, flight.decision)


def asked_again(went: Went, seq: int) -> tuple[HttpRelay, Ask]:
    """A relay that was told all of a request which went before, and what it asks."""
    relay = HttpRelay(went.terms, seq)
    said: list[Message] = [went.request, *([Data(went.content)] if went.content else []), End()]
    *_, ask = [effect for message in said for effect in relay.feed(ClientSaid(message))]
    if not isinstance(ask, Ask):
        raise AssertionError("the same request asks for something else")
    return relay, ask
