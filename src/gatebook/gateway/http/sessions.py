"""Sessions of HTTP clients: one for each token, target, role, purpose and address, however many connections its client makes.

A client of HTTP opens and closes connections as it likes; curl makes one for each request. What an auditor wants to see is one
session of an agent at work: so a session stays open while requests come, and for ``IDLE_SECONDS`` after the last. Each request
shows the token again, and is taken in only for those very bytes. It ends like any other: with its identity's time, its token,
its grants, or by somebody's word, within the same seconds, and what is under way ends with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from gatebook.config import WebTarget
from gatebook.errors import GatebookError, IdentityError, RecordingError
from gatebook.gateway.desk import Welcome
from gatebook.gateway.holding import Place
from gatebook.gateway.http.introducing import introduction
from gatebook.gateway.http.shortcut import Flight, Tickets
from gatebook.gateway.recent import Recent
from gatebook.gateway.standing import Standing, close_in_book
from gatebook.gateway.tape import UNRECORDED, Tape
from gatebook.identity.tokens import digest_of
from gatebook.model import Deed, RefusalClass, Ruling, Session, Verdict
from gatebook.protocols.http.door import Knock
from gatebook.protocols.http.known import REQUESTS, Known
from gatebook.protocols.http.refusal import Problem, turned
from gatebook.protocols.http.terms import Injected, Terms
from gatebook.protocols.relay import NO_IDENTITY, Covering, Prove, Refused

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.http.exchange import Exchange

IDLE_SECONDS = 120.0
EACH_TOKEN = 20  # sessions, one for each purpose, role, target and address: so that nobody takes all there are
AT_ONCE = 1_000  # requests of one session under way
HELD_BYTES = 67_108_864  # of content of one token, over all its sessions and connections, that waits for decisions, at least
FULL = "this token has as much content under way as may wait for decisions; send it again once some of its requests went on"
NO_ROOM = "no-room"  # the rule's name where all sessions are taken

log = structlog.get_logger("gatebook.http")


@dataclass(frozen=True, slots=True)
class Key:
    """Whose requests are of one session: a digest of the token, and where it goes, as what, why and from where.

    ``browser``: the token came by cookie, so what it proves is another thing.
    """

    token: bytes
    target: str
    role: str
    purpose: str
    address: str
    browser: bool = False


def key_of(knock: Knock, address: str) -> Key:
    """The key of a request's session."""
    token = hashlib.sha256(knock.token.encode()).digest()
    return Key(token, knock.target, knock.role, knock.purpose, address, knock.browser)


class HttpSession:
    """One session, live. Owned by the sessions of its process."""

    def __init__(
        self, gateway: Gateway, key: Key, token: bytes | None, welcome: Welcome, target: WebTarget, tape: Tape
    ) -> None:
        self.key, self.token, self.target = key, token, target
        self.session: Session = welcome.session
        self.role, self.tape = welcome.role, tape
        self.place = Place(welcome.role, "", f"{welcome.target.place} {gateway.http.meaning(target.name)}")
        self.covering: Covering = gateway.desk.covering(welcome.session, target)
        self.introduces = introduction(target, welcome.role, welcome.session)
        self.known, self.recent, self.tickets = Known(), Recent(REQUESTS), Tickets()
        self.received = self.sent = 0
        self.ended = ""
        self.writing: set[asyncio.Task[None]] = set()
        self._gateway = gateway
        self._standing = Standing(gateway.desk, welcome.session, welcome.role)
        self._seq = 0
        self._live: set[Exchange | Flight] = set()
        self._holding: dict[Exchange | Flight, int] = {}
        self._used_at = asyncio.get_running_loop().time()

    # Requests -----------------------------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """The number of the next action."""
        return self._seq + 1

    def enter(self, exchange: Exchange | Flight) -> int:
        """Another request of it: the number of its action."""
        self._live.add(exchange)
        return self.number()

    def number(self) -> int:
        """The number of another action, inside of a request."""
        self._seq += 1
        return self._seq

    def take_over(self, flight: Flight, exchange: Exchange) -> None:
        """A request that is under way is another's from now on."""
        self._live.discard(flight)
        self._live.add(exchange)

    def leave(self, exchange: Exchange | Flight) -> None:
        """A request is done."""
        self._live.discard(exchange)
        self.let_go(exchange)
        self._used_at = asyncio.get_running_loop().time()

    def terms(self, injected: Callable[[], Injected], base: str) -> Terms:
        """What holds for one of its requests; ``base`` is how its client addresses the target."""
        return Terms(
            session=self.session.id,
            covering=self.covering,
            dialect=self._gateway.http.dialect(self.target.name),
            injected=injected,
            origins=self.target.origins,
            base=base,
            client_address=self.key.address,
            introduces=self.introduces,
            may=self.may,
            random=secrets.token_bytes,
            number=self.number,
            held=lambda deeds: self._gateway.desk.holds(self.session, deeds),
            elsewhere=frozenset(self.target.redirects),
            passes=self.target.passes,
            known=self.known,
        )

    def hold(self, exchange: Exchange, count: int) -> bool:
        """Whether so many bytes more of a request may wait until it was decided about."""
        http = self._gateway.http
        held, most = http.held, max(HELD_BYTES, http.dialect(self.target.name).body_bytes)  # one request that may come has room
        if held.get(self.key.token, 0) + count > most:
            return False
        held[self.key.token] = held.get(self.key.token, 0) + count
        self._holding[exchange] = self._holding.get(exchange, 0) + count
        return True

    def let_go(self, exchange: Exchange | Flight) -> None:
        """What was held of a request waits no more."""
        count = self._holding.pop(exchange, 0)
        if count:
            held = self._gateway.http.held
            held[self.key.token] -= count
            if not held[self.key.token]:
                del held[self.key.token]

    def may(self, deed: Deed) -> bool:
        """Whether the policy would let this session do a deed."""
        return self._gateway.desk.may(self.session, deed)

    @property
    def full(self) -> bool:
        """Whether no further request may be under way."""
        return len(self._live) >= AT_ONCE

    @property
    def barred(self) -> Problem | None:
        """Why no further request of it may begin."""
        if self.full:
            return Problem(429, "too many requests of this session are under way", {"instead": "Wait for some."})
        return turned(401, self.ended, "Send it again.") if self.ended else None

    # What the gateway asks of each live session ---------------------------------------------------------------------------

    def tick(self) -> None:
        """About once a second."""
        try:
            self.tape.tick()
        except RecordingError as error:
            self.end(UNRECORDED.format(error))
        now = self._gateway.clock()
        for one in list(self._live):
            one.tick(now)
        if not self._live and asyncio.get_running_loop().time() - self._used_at > IDLE_SECONDS:
            self.end("nothing was asked for a while")

    def stale(self) -> None:
        """What was learnt of the target some seconds ago counts no more; here is nothing of the kind."""

    def check_grants(self) -> None:
        """A session that stands on a grant ends with it."""
        if why := self._standing.lost():
            self.end(why)

    def end(self, why: str) -> None:
        """Nothing more of it; what is under way ends."""
        if self.ended:
            return
        self.ended = why
        for exchange in list(self._live):
            exchange.end(why)
        self._gateway.http.forget(self)
        self._gateway.spawn(self._close(why))

    async def _close(self, why: str) -> None:
        if self.writing:
            await asyncio.wait(set(self.writing))
        await self.tape.close(why)
        await close_in_book(self._gateway, self.session, why, self.received, self.sent)


class Sessions:
    """Of one process. Used from one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._live: dict[Key, HttpSession] = {}
        self._opening: dict[Key, asyncio.Future[HttpSession | Refused]] = {}

    def find(self, key: Key) -> HttpSession | None:
        """A live session, if this very token opened one and its time is not over."""
        found = self._live.get(key)
        if found is None or found.ended or found.session.identity.expires_at <= self._gateway.clock():
            return None
        return found

    async def open(self, key: Key, knock: Knock, address: str) -> HttpSession | Refused:
        """Prove who asks and open a session, once for all who ask for the same at the same time. Raises GatebookError."""
        live = self.find(key)
        if live is not None:
            return live  # another request opened it between this one's look and its turn
        opening = self._opening.get(key)
        if opening is not None:
            return await asyncio.shield(opening)
        self._opening[key] = opening = asyncio.get_running_loop().create_future()
        try:
            found = await self._open(key, knock, address)
        except BaseException as error:
            opening.set_exception(error if isinstance(error, GatebookError) else GatebookError("the gateway is stopping"))
            opening.exception()  # nobody may be waiting for it
            raise
        finally:
            del self._opening[key]
        opening.set_result(found)
        return found

    async def _open(self, key: Key, knock: Knock, address: str) -> HttpSession | Refused:
        gateway, now = self._gateway, self._gateway.clock()
        protocol, browser = knock.protocol or gateway.http.protocol(knock.target), knock.browser
        wanted = Prove(knock.token, knock.target, "", knock.role, knock.purpose, knock.hold, protocol=protocol, browser=browser)
        try:
            identity = await gateway.proving.prove(knock.token, knock.target, now, browser=browser)
        except IdentityError as error:
            nobody = Verdict(ruling=Ruling.BLOCK, rule=NO_IDENTITY, reason=str(error), policy_digest="")
            return await gateway.turn_away(None, knock.target, address, nobody, str(error))
        welcome = gateway.desk.welcome(identity, wanted, address, now)
        if not isinstance(welcome, Welcome):
            return await gateway.turn_away(identity, knock.target, address, welcome.verdict, welcome.why)
        target = welcome.target
        if not isinstance(target, WebTarget):
            raise AssertionError("an HTTP session on a target of another protocol")
        full = sum(1 for one in self._live if one.token == key.token) >= EACH_TOKEN
        why = "this token has as many sessions as one may have" if full else gateway.seat_at_once(key)
        if why:
            crowded = Verdict(ruling=Ruling.BLOCK, rule=NO_ROOM, reason=why, policy_digest="")
            return Refused(None, crowded, RefusalClass.ASK, "")
        try:
            await gateway.book.opened(welcome.session, welcome.role, welcome.verdict)
            await gateway.granted.use(identity, target.name, welcome.session.id)
            tape = gateway.tapes.begin(welcome.session, welcome.role)
        except BaseException:
            gateway.unseat(key)
            raise
        made = HttpSession(gateway, key, digest_of(knock.token), welcome, target, tape)
        self._live[key] = made
        gateway.add(made)
        log.info("session opened", session=welcome.session.id, target=target.name, client=address)
        return made

    def forget(self, session: HttpSession) -> None:
        """A session has ended."""
        if self._live.get(session.key) is session:
            del self._live[session.key]
        self._gateway.unseat(session.key)
        self._gateway.drop(session)
