"""Approvals: something waits, people vote, and a yes is used once, for exactly what it was given for.

    open --quorum of yes--> approved --use--> used
      \\--one no--> denied        \\--time over--> expired, requester gone--> void   (both from open, too)

Every step is one transaction that holds the request against everybody else, looks again at all that must hold, has the entry on
disk, and only then commits the row. So of two who race one comes first and the other sees what is then true, and nothing is
true that the ledger does not say. A grant that is approved is given in the same step.

Time is an argument, and no step counts as earlier than the last that was kept: a clock set back between two runs prolongs
nothing. A database that does not answer raises AccessError: the answer is no.

The digest and the voters' standing are looked at when the approval is used, too: a provider that has meanwhile said that a
voter left the group takes that yes away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.access import giving, standing, store
from gatebook.access.book import Book, shortened
from gatebook.access.digests import digest
from gatebook.access.requests import ACTION, ENDED, GRANT, Asked, Request, State
from gatebook.db import writing
from gatebook.errors import AccessError
from gatebook.model import Identity

__all__ = ["PENDING_MAX", "Approvals", "Asked", "Request", "State", "database", "digest"]

PENDING_MAX = 20  # per identity: approvers must be able to read what they are asked
LISTED = 200
KEPT_MICROSECONDS = 90 * 86_400 * 1_000_000  # rows of what ended; the ledger keeps it for good
ALIVE = (State.OPEN, State.APPROVED)
JUST_NOW_MICROSECONDS = 10 * 1_000_000  # in which a client that was refused may try by another way, as kubectl does
ASKED_ANEW = "it was sent again, and would do something else by now"
NOT_KNOWN = "there is no such approval"


@contextmanager
def database() -> Iterator[None]:
    """A database that does not answer is a no, and so is one whose rows cannot be read."""
    try:
        yield
    except (SQLAlchemyError, ValueError, KeyError, TypeError) as error:
        what = "approvals and grants cannot be read or kept, so the answer is no: tell whoever runs the gateway"
        raise AccessError(what, "away") from error


@dataclass(frozen=True, slots=True)
class _Word:
    """What somebody says: ``seen`` is the digest they looked at, the names are commitments for the book."""

    voter: Identity
    verdict: str
    reason: str
    seen: str | None
    name: str
    holder: str


class Approvals:
    """All requests of a deployment. Calls block on database and ledger; any thread may make them.

    Raises AccessError wherever the answer is no, and LedgerError when the book cannot be written: then nothing has happened.
    """

    def __init__(self, engine: Engine, clock: Callable[[], int], book: Book) -> None:
        self._engine, self._clock, self._book = engine, clock, book

    def now(self) -> int:
        """The time in µs, as this deployment's clock has it."""
        return self._clock()

    # Asking ---------------------------------------------------------------------------------------------------------------

    def open(self, request: Request) -> Request:
        """Let a request wait for a person.

        What is asked by the same requester while it waits, or has its yes, is not asked about again: what is sent again, or
        at the same instant, has part in the first, and who waits leaves it once. Where it would do something else by now, as
        its preview shows, people look at this one; the first is void unless its client waits.
        """
        one = request.requester
        _check_request(request)
        with database():
            name = self._book.name(one.issuer, one.subject)
            self._book.know(request)
            with writing(self._engine) as connection:
                store.lock_requests(connection, one.issuer, one.subject)
                request = _writable(_not_before(request, store.latest(connection)))
                if (same := self._same(connection, request)) is not None:
                    return same
                store.forget_votes(connection, request.opened_at - KEPT_MICROSECONDS)
                store.forget_approvals(connection, request.opened_at - KEPT_MICROSECONDS)
                _check_room(connection, one, request.opened_at)
                self._book.requested(request, name)
                store.insert_approval(connection, request, standing.chain(one))
                return request

    def _same(self, connection: Connection, request: Request) -> Request | None:
        if request.kind == GRANT:
            return None
        waits = request.kind == ACTION and not request.resent
        for alive in store.find_alive(connection, request, waits=waits):
            found = _known(connection, alive)
            if found.state is State.APPROVED or _held_to(found.request) == _held_to(request):
                if waits:
                    store.join(connection, alive)
                return found.request
            if not waits:
                store.move(connection, alive, before=(State.OPEN,), after=State.VOID, at=request.opened_at, why=ASKED_ANEW)
                self._book.ended(found.request, State.VOID, ASKED_ANEW)
        return None

    def check_room(self, requester: Identity, now: int) -> None:
        """Raises AccessError when so much of one requester waits that nothing more may be asked."""
        with database(), self._engine.connect() as connection:
            _check_room(connection, requester, max(now, store.latest(connection)))

    def approved(self, digest: str, requester: Identity, now: int) -> str | None:
        """An approval that can still be used for exactly this digest by this requester: for what is sent again."""
        with database(), self._engine.connect() as connection:
            return store.find_approved(connection, digest, requester, max(now, store.latest(connection)))

    def refused(self, digest: str, requester: Identity, now: int) -> Asked | None:
        """Who said no to exactly this just now, that nobody answered, or that one of several who waited has used the yes:
        clients try at once by another way.
        """
        with database(), self._engine.connect() as connection:
            now = max(now, store.latest(connection))
            found = store.find_refused(connection, digest, requester, now - JUST_NOW_MICROSECONDS, now)
            return _known(connection, found) if found is not None else None

    def use(self, approval: str, digest: str, now: int) -> bool:
        """Spend an approval on what has this digest. True once; whoever gets anything else may run nothing."""
        with database(), writing(self._engine) as connection:
            if not store.lock_approval(connection, approval):
                return False
            now = max(now, store.latest(connection))
            found = _known(connection, approval)
            if found.request.kind == GRANT or not store.spend(connection, approval, digest, now):
                return False
            if _still_standing(connection, approval) < found.request.quorum:
                why = "an approver is no longer in the group they voted by"
                store.move(connection, approval, before=(State.USED,), after=State.VOID, at=now, why=why)
                self._book.ended(found.request, State.VOID, why)
                return False
            self._book.ended(found.request, State.USED)
            return True

    def leave(self, approval: str, now: int, why: str) -> bool:
        """One of those who asked is gone: without any, a request ends without an answer. Whether it ended by this."""
        with database(), writing(self._engine) as connection:
            if not store.leave(connection, approval):
                return False
            found = _known(connection, approval)
            now = max(now, store.latest(connection))
            alive = (State.OPEN,) if found.request.kind == GRANT else ALIVE
            if not store.move(connection, approval, before=alive, after=State.VOID, at=now, why=shortened(why)):
                return False
            self._book.ended(found.request, State.VOID, why)
            return True

    # Answering --------------------------------------------------------------------------------------------------------------

    def check_vote(self, approval: str, voter: Identity, now: int) -> None:
        """Raises AccessError with the reason why this voter's word would not count now."""
        with database(), self._engine.connect() as connection:
            found = _known(connection, approval)
            _check_vote(connection, found, voter, max(now, store.latest(connection)))

    def vote(self, approval: str, voter: Identity, approved: bool, reason: str, now: int, digest: str | None = None) -> State:
        """Somebody's word, and where the request stands after it. ``digest`` is what they saw, when they say so.

        A try to vote on one's own request is written down, once for each who tries.
        """
        if not approved and not reason.strip():
            raise AccessError("a denial needs a reason: whoever asked will read it", "wrong")
        with database():
            with self._engine.connect() as connection:
                one = _known(connection, approval).request.requester
            names = self._book.name(voter.issuer, voter.subject), self._book.name(one.issuer, one.subject)
            word = _Word(voter, "approve" if approved else "deny", shortened(reason), digest, *names)
            try:
                with writing(self._engine) as connection:
                    return self._vote(connection, approval, word, now)
            except AccessError:
                if standing.own(standing.chain(one), voter):
                    self._write_down_own(approval, replace(word, verdict="refused"), now)
                raise

    def _vote(self, connection: Connection, approval: str, word: _Word, now: int) -> State:
        store.lock_approval(connection, approval)
        found, now = _known(connection, approval), max(now, store.latest(connection))
        request = found.request
        seats = _check_vote(connection, found, word.voter, now)
        if word.seen is not None and word.seen != request.digest:
            raise AccessError("the request is not the one you looked at: read it again", "closed")
        self._keep_vote(connection, request, word, seats, now)
        if word.verdict == "deny":
            after = State.DENIED
        elif _still_standing(connection, approval) >= request.quorum:
            after = State.APPROVED
        else:
            return State.OPEN
        self._book.ended(request, after, word.reason)
        if after is State.APPROVED and request.kind == GRANT:
            giving.give(connection, self._book, request, now=now, holder=word.holder, by=word.name, given_by=word.voter.subject)
        why = word.reason if after is State.DENIED else ""
        store.move(connection, approval, before=(State.OPEN,), after=after, at=now, why=why)
        return after

    def _keep_vote(self, connection: Connection, request: Request, word: _Word, seats: Collection[str], now: int) -> None:
        said = {"verdict": word.verdict, "reason": word.reason}
        self._book.voted(request, word.voter, word.name, said, seats)
        store.insert_vote(connection, request.id, word.voter, standing.chain(word.voter), said, seats, now)

    def _write_down_own(self, approval: str, word: _Word, now: int) -> None:
        """Whoever tries to approve their own is told no, and the book knows that they tried."""
        with writing(self._engine) as connection:
            store.lock_approval(connection, approval)
            if store.vote_of(connection, approval, word.voter) is None:
                self._keep_vote(connection, _known(connection, approval).request, word, (), now)

    # Reading ----------------------------------------------------------------------------------------------------------------

    def states(self, approvals: Collection[str]) -> dict[str, State]:
        """Where these stand now; one that is not known is void. What is overdue counts, and is written down, as expired."""
        if not approvals:
            return {}
        self.expire(self.now())
        with database(), self._engine.connect() as connection:
            found = store.states_of(connection, approvals)
        return {approval: found.get(approval, State.VOID) for approval in approvals}

    def expire(self, now: int) -> list[str]:
        """Write down the end of everything that is overdue."""
        with database():
            with self._engine.connect() as connection:
                if not store.overdue(connection, max(now, store.latest(connection))):
                    return []
            with writing(self._engine) as connection:
                now = max(now, store.latest(connection))
                due = store.overdue(connection, now)
                ended = [one for one in due if store.move(connection, one, before=ALIVE, after=State.EXPIRED, at=now)]
                for approval in ended:
                    self._book.expired(approval)
                return ended

    def find(self, approval: str) -> Asked:
        """One request, by its id or the beginning of one that no other has."""
        self.expire(self.now())
        with database(), self._engine.connect() as connection:
            return _only(store.find_by_prefix(connection, approval), approval)

    def list(self, state: State | None = None, kind: str | None = None, limit: int = LISTED) -> list[Asked]:
        """The newest requests first."""
        self.expire(self.now())
        with database(), self._engine.connect() as connection:
            return store.list_approvals(connection, state.value if state else None, kind, limit)

    def may_vote(self, found: Asked, voter: Identity) -> bool:
        """Whether it is this voter's to decide, as far as who they are goes."""
        try:
            standing.check_votes(voter, 0)
        except AccessError:
            return False
        request = found.request
        if standing.own(standing.chain(request.requester), voter):
            return False
        return bool(standing.seats(request.approvers, request.requester.issuer, voter, voter.groups))

    def own(self, found: Asked, viewer: Identity) -> bool:
        """Whether this viewer is the requester, or stands behind them."""
        return standing.own(standing.chain(found.request.requester), viewer)

    def may_see(self, found: Asked, viewer: Identity) -> bool:
        """Those who may decide see a request, and those who stand behind it."""
        return self.may_vote(found, viewer) or self.own(found, viewer)


def _check_request(request: Request) -> None:
    if not request.approvers or request.quorum < 1:
        raise AssertionError(f"a request that nobody could approve: {sorted(request.approvers)}, quorum {request.quorum}")
    if request.expires_at <= request.opened_at:
        raise AssertionError("a request that is over before it begins")


def _check_room(connection: Connection, one: Identity, now: int) -> None:
    if store.count_open(connection, one.issuer, one.subject, now) >= PENDING_MAX:
        raise AccessError(f"{PENDING_MAX} requests of yours wait already: wait until some are decided", "limit")


def _not_before(request: Request, latest: int) -> Request:
    """The request at a time that does not go back; it lasts as long as it was to last."""
    late = max(0, latest - request.opened_at)
    return replace(request, opened_at=request.opened_at + late, expires_at=request.expires_at + late)


def _writable(request: Request) -> Request:
    """The request with a text that a database takes: what is not Unicode is written out."""
    return replace(request, text=request.text.encode(errors="backslashreplace").decode())


def _held_to(request: Request) -> Mapping[str, str] | None:
    return None if request.preview is None else request.preview.held_to


def _known(connection: Connection, approval: str) -> Asked:
    found = store.find_approval(connection, approval)
    if found is None:
        raise AccessError(NOT_KNOWN, "unknown")
    return found


def _only(found: list[Asked], prefix: str) -> Asked:
    if len(found) != 1 or not prefix:
        raise AccessError(NOT_KNOWN if not found else "several approvals' ids begin so: give more of it", "unknown")
    return found[0]


def _check_vote(connection: Connection, found: Asked, voter: Identity, now: int) -> frozenset[str]:
    """The seats by which this voter votes; raises AccessError."""
    request = found.request
    if standing.own(standing.chain(request.requester), voter):
        raise AccessError("this is your own: somebody else must decide, whatever groups you are in", "forbidden")
    standing.check_votes(voter, now)
    seen = store.groups_seen(connection, voter.issuer, voter.subject, voter.proven_at)
    groups = voter.groups if seen is None else voter.groups & seen
    seats = standing.seats(request.approvers, request.requester.issuer, voter, groups)
    if not seats:
        raise AccessError(f"you are not one of its approvers: {', '.join(sorted(request.approvers))}", "forbidden")
    if found.state in ENDED or found.state is State.APPROVED:
        raise AccessError(f"it is {found.state} already", "closed")
    if request.expires_at <= now:
        raise AccessError("its time is over", "closed")
    mine, voted = standing.chain(voter), store.seats_taken(connection, request.id)
    if any((seat.issuer, seat.subject) == (voter.issuer, voter.subject) or seat.chain & mine for seat in voted):
        raise AccessError("you have voted on this already", "closed")
    return seats


def _still_standing(connection: Connection, approval: str) -> int:
    """How many people's yes counts: their provider has not said since that they lost the seat they voted by."""
    return sum(_stands(connection, seat) for seat in store.seats_taken(connection, approval) if seat.verdict == "approve")


def _stands(connection: Connection, seat: store.Seat) -> bool:
    groups = store.groups_seen(connection, seat.issuer, seat.subject, seat.at)
    return groups is None or bool(seat.seats & ({f"group:{name}" for name in groups} | {f"subject:{seat.subject}"}))
