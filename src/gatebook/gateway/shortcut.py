"""The plain way of one connection where it is compiled: known requests past the relay, decided and written down as all are.

The lane (``protocols/postgres/relay_lane.py``) knows a request by its bytes and gives a ticket for it. Here it is seen that
the decision still counts, by the very look that every decision has (``Recent.find``); the entry is written; then the lane
gives out what the target gets. Of the answer, its entry is written and request, end and bytes are recorded before the client
gets any of it. Whatever cannot go so is left to the connection, untouched: it has the relay take over what is on its way first
(``give_back``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gatebook.errors import LedgerError, RecordingError
from gatebook.gateway.book import Said
from gatebook.gateway.recent import Recent, Ruled
from gatebook.gateway.released import Released
from gatebook.gateway.store import ActionValues
from gatebook.gateway.tape import Tape
from gatebook.model import Session
from gatebook.policy.permit import permit
from gatebook.protocols.postgres.relay_lane import ANSWER_BYTES, Kept, Lane, Sent
from gatebook.protocols.relay import Ask

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

LONG_MICROSECONDS = 500_000  # on its way; then it gets its row, and its place in the recording, before its answer


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that may go by the lane, the decision about it, and how many salts were erased when it was made."""

    kept: Kept
    ruled: Ruled
    said: Said
    erased: int


class Flight(NamedTuple):
    """A request on its way: its number, decision, text for the log, place in the book, and when it was sent and recorded."""

    ticket: Ticket
    data: bytes
    seq: int
    decision: str
    shown: str
    place: int
    at: int


class Shortcut:
    """Owned by one connection."""

    def __init__(self, gateway: Gateway, session: Session, lane: Lane, recent: Recent) -> None:
        self._gateway, self._session, self._lane, self._recent = gateway, session, lane, recent
        self._flight: Flight | None = None
        self._recorded = 0

    def learn(self) -> None:
        """Let what the relay did last go by the lane when it comes again, if it may. Raises LedgerError."""
        kept, self._lane.offer = self._lane.offer, None
        if kept is None:
            return
        gateway, session = self._gateway, self._session
        meaning, now = kept.meaning, gateway.clock()
        ruled = gateway.desk.ruled_before(session, meaning.deeds, meaning.columns, self._recent, now)
        if ruled is None or ruled.said is None or ruled.verdict.masks != kept.masks:
            return
        salt, erased = gateway.book.salt(session.identity)
        pieces = gateway.book.pieces(session, ruled.said)
        self._lane.keep(kept, Ticket(kept, ruled, ruled.said, erased), salt, pieces)

    def request(self, data: bytes, tape: Tape) -> bytes | None:
        """What the target gets of these bytes, once that is in the book; None: they are the relay's. Raises LedgerError."""
        lane, gateway, session = self._lane, self._gateway, self._session
        ticket: Ticket | None = lane.request(data)
        if ticket is None:
            return None
        way, meaning = lane.way, ticket.kept.meaning
        now = gateway.clock()
        ruled = gateway.desk.ruled_before(session, meaning.deeds, meaning.columns, self._recent, now)
        if ruled is not ticket.ruled or ticket.erased != gateway.book.erased:
            way.drop()
            return None
        seq, self._recorded = lane.next_number, tape.now()
        decision, shown = way.decided(seq, now, self._recorded)
        try:
            index = gateway.book.fill_at_once(session, way.entry)
        except LedgerError:
            way.drop()
            raise
        if index is None:
            way.drop()
            return None
        lane.took()
        self._flight = Flight(ticket, data, seq, decision, shown, index, now)
        sent: bytes = way.sent()
        return sent

    def answer(self, data: bytes, tape: Tape, released: Released) -> bytes | None:
        """What the client gets of these bytes, once it is recorded; None: they are the relay's. Raises RecordingError."""
        flight, way = self._flight, self._lane.way
        if flight is None:
            return None
        milliseconds = (self._gateway.clock() - flight.at) // 1000
        found = way.answer(data, ANSWER_BYTES, milliseconds)
        if found is None:
            return None
        try:
            if self._gateway.book.fill_at_once(self._session, way.answer_entry) is None:
                return None
        except LedgerError:
            return None  # whoever waits with the entry meets that fault
        self._flight = None
        try:
            tape.together(way.events, 3)
        except RecordingError:
            way.drop()
            raise
        status, rows = found
        said, one = flight.ticket.said, flight
        row = ActionValues(
            self._session.id, one.seq, "run", said.row, one.shown, one.decision, one.at, status=status, rows=rows
        )
        self._gateway.book.passed(row)
        shown: bytes = way.told()
        released.left(flight.place, len(shown))
        return shown

    def is_long(self, now: int) -> bool:
        """Whether something is on its way that was not answered at once."""
        return self._flight is not None and now - self._flight.at > LONG_MICROSECONDS

    def give_back(self, tape: Tape, released: Released, started: dict[int, int]) -> None:
        """Have the relay take over what is on its way. Raises RecordingError."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        ticket, book = flight.ticket, self._gateway.book
        kept, receipt = ticket.kept, book.receipt(flight.place)
        allowed: Any = partial(permit, verdict=ticket.ruled.verdict, receipt=receipt)
        action = self._lane.give_back(kept, Sent(flight.data, flight.seq, flight.decision), allowed)
        started[flight.seq] = flight.at
        released.under(receipt)
        book.taken_over(action, ticket.said, flight.shown, flight.decision, flight.at)
        tape.asked(Ask(action, kept.meaning.columns, flight.shown), ticket.said.row, flight.decision, self._recorded)
