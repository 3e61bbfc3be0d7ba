"""One client connection: the relay's effects carried out, in order.

This is the only place where a socket, the policy, the ledger and a relay meet. The relay says what is to be done; proving,
asking and dialling take time and run as tasks of the gateway's group, one at a time per connection, since the relay asks for
one thing at a time; everything else happens at once.

Flow. The client is not read while the relay is not hungry or the target does not take more; the target is not read while the
client does not take more. So memory per connection is what the sockets' buffers and one unfinished message hold.

Release. Of an answer whose entry is not on disk yet, 64 KiB leave and the rest waits (``released.py``).

End. Whatever happens, ``_finish`` runs once: it closes both sockets and writes ``session.close``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, assert_never, cast

import structlog

from gatebook.config import PostgresTarget
from gatebook.errors import GatebookError, IdentityError, LedgerError, RecordingError
from gatebook.gateway import credentials
from gatebook.gateway.book import told
from gatebook.gateway.desk import Needs, Welcome
from gatebook.gateway.dial import binding, dial, say_once
from gatebook.gateway.doorstep import Doorstep
from gatebook.gateway.doorway import TLS_HANDSHAKE
from gatebook.gateway.holding import Place
from gatebook.gateway.preview_rows import RowsTrial
from gatebook.gateway.recent import Recent
from gatebook.gateway.released import Released
from gatebook.gateway.shortcut import Shortcut
from gatebook.gateway.standing import Standing, close_in_book
from gatebook.gateway.store import Decided, decided
from gatebook.gateway.tape import UNRECORDED, Tape
from gatebook.gateway.upstream import Upstream
from gatebook.gateway.waiting import Waiting
from gatebook.identity.tokens import digest_of
from gatebook.model import Ruling, Session, Verdict
from gatebook.protocols.postgres.refusal import too_many
from gatebook.protocols.postgres.wire import TERMINATE
from gatebook.protocols.relay import (
    NO_IDENTITY,
    Allowed,
    Answered,
    Ask,
    Cancel,
    Cancelled,
    Effect,
    Ended,
    FromClient,
    FromServer,
    HangUp,
    Interrupt,
    Opened,
    Own,
    Prove,
    Refused,
    Side,
    Signal,
    Stale,
    StartTls,
    ToClient,
    ToServer,
    Trying,
    Withdraw,
)

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

TURN_SIGNALS = 32  # requests of one client taken in one turn of the loop, before others have theirs
GOODBYE_SECONDS = 5.0  # for a client to take the last words

NO_TAPE = Tape(None, required=False)
log = structlog.get_logger("gatebook.session")


class Connection(Doorstep):
    """The client's side, and the driver of its relay. Lives in one event loop."""

    def __init__(self, gateway: Gateway, certificate: ssl.SSLContext | None) -> None:
        super().__init__(gateway, certificate)
        self._upstream: Upstream | None = None
        self._session: Session | None = None
        self._target: PostgresTarget | None = None
        self._place = Place("", "", "")
        self._people = Waiting(gateway)
        self._standing: Standing | None = None
        self._recent, self._answer = Recent(), cast(Allowed | None, None)
        self._shortcut: Shortcut | None = None
        self._tape = NO_TAPE
        self.token: bytes | None = None  # the digest of the gateway token that the session stands on
        self._received = self._sent = self._written = 0
        self._started: dict[int, int] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._released = Released()
        self._to_target: list[bytes] = []
        self._to_client: list[bytes] = []
        self._client_full = False
        self._interrupting, self._again = False, cast(bytes | None, None)

    # asyncio.BufferedProtocol ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if not self._received and data.startswith(TLS_HANDSHAKE) and self._certificate is not None and not self._finished:
            self._begin_tls(data)
            return
        self._received += len(data)
        if self._shortcut is None or self._interrupting or not self._goes_short(data):
            self.signal(FromClient(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.signal(Ended(Side.CLIENT, "the client went away"))
        self._finish("the client went away")
        self._client = None
        self._gateway.reads.left(self, 0)

    def pause_writing(self) -> None:
        """The client does not read: stop reading the target."""
        self._client_full = True
        if self._client is not None:
            self._gateway.reads.left(self, max(self._written, self._client.get_write_buffer_size()))  # kept until all is sent
        self.flow()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._client_full = False
        self._gateway.reads.left(self, 0)
        self.flow()

    # Signals and effects --------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session, once it is in the book."""
        return self._session

    def tick(self) -> None:
        """About once a second."""
        try:
            if self._shortcut is not None and self._shortcut.is_long(self._gateway.clock()):
                self._shortcut.give_back(self._tape, self._released, self._started)
            self._tape.tick()
        except RecordingError as error:
            self.end(UNRECORDED.format(error))

    def stale(self) -> None:
        """Some seconds have passed: what was learnt of the target's catalog counts no more."""
        self.signal(Stale())

    def check_grants(self) -> None:
        """A session that stands on a grant ends with it."""
        if self._session is not None and self._standing is not None and (why := self._standing.lost()):
            self.end(why)

    def signal(self, signal: Signal) -> None:
        """Feed the relay and carry out what it says."""
        if self._relay is None or self._finished:
            return
        try:
            if self._shortcut is not None:
                self._shortcut.give_back(self._tape, self._released, self._started)
            self._feed(signal)
            if self._shortcut is not None:
                self._shortcut.learn()
        except (LedgerError, RecordingError) as error:
            self._stop(error)
        except Exception:
            self._fail()
        self.flow()

    def _fail(self) -> None:
        """A fault of ours, being handled, ends this session alone, closed."""
        log.exception("relay failed", session=self._session.id if self._session else "")
        self._finish("an error inside the gateway; its operators' log has it")

    def _feed(self, signal: Signal) -> None:
        """Carry out what the relay says, and what it says to the decisions that need no waiting, each in its turn."""
        try:
            for _ in range(TURN_SIGNALS):
                if self._relay is None:
                    return
                for effect in self._relay.feed(signal):
                    self._do(effect)
                if self._answer is None:
                    return
                signal, self._answer = self._answer, None
            asyncio.get_running_loop().call_soon(self.signal, signal)  # others have a turn too
        finally:
            self._push()

    def _push(self) -> None:
        """What the relay said to either side, with one write to each."""
        if not self._interrupting:
            if self._to_target and self._upstream is not None:
                self._upstream.write(b"".join(self._to_target))
            self._to_target.clear()
        if self._to_client:
            data, self._to_client = b"".join(self._to_client), []
            self._write(data)

    def end(self, why: str) -> None:
        """The gateway ends the session; the client is told why."""
        self.signal(Ended(Side.GATEWAY, why))

    def cancel(self) -> None:
        """Somebody who has this session's cancel key wants what is running stopped."""
        self.signal(Cancelled())

    def from_target(self, data: bytes) -> None:
        """Bytes of the target."""
        if self._shortcut is None or not self._comes_short(data):
            self.signal(FromServer(data))

    # Past the relay -------------------------------------------------------------------------------------------------

    def _goes_short(self, data: bytes) -> bool:
        """Send on what the shortcut takes of the client; whether it took it."""
        try:
            sent = self._shortcut.request(data, self._tape) if self._shortcut is not None else None
        except LedgerError as error:
            self._stop(error)
            return True
        except Exception:
            self._fail()
            return True
        if sent is not None and self._upstream is not None:
            self._upstream.write(sent)
        return sent is not None

    def _comes_short(self, data: bytes) -> bool:
        """The same for what comes of the target."""
        if self._client is None or self._client.is_closing() or self._writing or self._released.holds:
            return False
        try:
            shown = self._shortcut.answer(data, self._tape, self._released) if self._shortcut is not None else None
        except RecordingError as error:
            self._unrecorded(error)
            return True
        except Exception:
            self._fail()
            return True
        if shown is not None:
            self._hand(shown)
        return shown is not None

    def _stop(self, error: GatebookError) -> None:
        self.end(told(error))
        self._finish(told(error))  # what the relay said last may not have been carried out to its end

    def _do(self, effect: Effect) -> None:
        match effect:
            case ToServer() | Own():
                self._to_target.append(effect.data)
            case ToClient():
                self._release(effect.data)
            case Ask():
                self._ask(effect)
            case Answered():
                self._answered(effect)
            case Prove():
                self._spawn(self._prove(effect))
            case Withdraw():
                self._people.withdraw("withdrawn by the requester")
            case StartTls(data):
                self._start_tls(data)
            case Cancel(key):
                self._gateway.cancel(key, self._address)
            case Interrupt(data):
                self._interrupt(data)
            case HangUp(why):
                self._finish(why)
            case _:
                assert_never(effect)

    def _interrupt(self, data: bytes) -> None:
        """Stop what runs at the target. What is asked for next waits until the target has heard, or it would be hit."""
        if self._interrupting:
            self._again = data if self._to_target else None  # what waits is to be stopped as well
        elif self._target is not None:
            self._push()
            self._interrupting = True
            self._gateway.spawn(self._say(self._target, data))

    async def _say(self, target: PostgresTarget, data: bytes) -> None:
        try:
            await say_once(target, self._gateway.trust, data)
        finally:
            self._interrupting, again, self._again = False, self._again, None
            if not self._finished:
                self._push()
                if again is not None:
                    self._interrupt(again)
                self.flow()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._gateway.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A fault of ours ends this session alone, closed, and is told to the operator."""
        try:
            await work
        except GatebookError as error:
            self.end(told(error))
        except Exception:
            log.exception("session failed", session=self._session.id if self._session else "")
            self.end("an error inside the gateway; its operators' log has it")

    def flow(self) -> None:
        """Read each side only while the other takes more."""
        if self._finished or self._relay is None:
            return
        blocked = self._client_full or self._released.holds
        if self._upstream is not None:
            self._upstream.read(not blocked)
        if self._client is not None and not self._client.is_closing():
            full = self._upstream is not None and self._upstream.full
            wanted = self._relay.hungry and not full and not self._interrupting
            if wanted is not self._reads:
                self._reads = wanted
                (self._client.resume_reading if wanted else self._client.pause_reading)()

    # Identity, session ----------------------------------------------------------------------------------------------

    async def _prove(self, effect: Prove) -> None:
        gateway, now = self._gateway, self._gateway.clock()
        self.token = digest_of(effect.token)
        try:
            identity = await gateway.proving.prove(effect.token, effect.target, now)
        except IdentityError as error:
            verdict = Verdict(ruling=Ruling.BLOCK, rule=NO_IDENTITY, reason=str(error), policy_digest="")
            await self._refuse_session(None, effect.target, verdict, str(error))
            return
        welcome = gateway.desk.welcome(identity, effect, self._address, now)
        if not isinstance(welcome, Welcome):
            await self._refuse_session(identity, effect.target, welcome.verdict, welcome.why)
            return
        if self._finished:
            return
        if why := gateway.seat(self):
            self._write(too_many(why))
            self._finish(why)
            return
        self._place = Place(welcome.role, welcome.database, welcome.target.place)
        self._people.hold = effect.hold
        self._standing = Standing(gateway.desk, welcome.session, welcome.role)
        await gateway.book.opened(welcome.session, welcome.role, welcome.verdict)
        await gateway.granted.use(identity, effect.target, welcome.session.id)
        self._session = welcome.session
        log.info("session opened", session=welcome.session.id, target=effect.target, client=self._address)
        if self._finished:
            await self._close_in_book("the client went away")
            return
        self._tape = gateway.tapes.begin(welcome.session, welcome.role)
        await self._dial(welcome)

    async def _dial(self, welcome: Welcome) -> None:
        upstream = Upstream(self, self._gateway.reads)
        try:
            if not isinstance(target := welcome.target, PostgresTarget):
                raise AssertionError("a PostgreSQL session on a target of another protocol")
            transport, _ = await dial(target, self._gateway.trust, lambda: upstream)
            credential = credentials.postgres(target, welcome.role, welcome.database, binding(transport))
        except GatebookError as error:
            self.signal(Ended(Side.SERVER, str(error)))
            return
        if self._finished:
            upstream.close()
            return
        self._upstream, self._target = upstream, target
        if self._relay is not None and self._relay.lane is not None:
            self._shortcut = Shortcut(self._gateway, welcome.session, self._relay.lane, self._recent)
        self.signal(Opened(welcome.session, credential, self._gateway.desk.covering(welcome.session, target)))
        if self._patience is not None:
            self._patience.cancel()

    async def _refuse_session(self, identity: Any, target: str, verdict: Verdict, why: str) -> None:
        self.signal(await self._gateway.turn_away(identity, target, self._address, verdict, why))

    # Actions --------------------------------------------------------------------------------------------------------

    def _ask(self, ask: Ask) -> None:
        if self._session is None:
            raise AssertionError("an action without a session")
        at_once = self._gateway.desk.decide_at_once(self._session, ask, self._recent)
        if at_once is None:
            self._spawn(self._decide(ask, self._session))
            return
        self._answer, said = at_once
        self._decided(ask, self._answer, said)

    def _decided(self, ask: Ask, answer: Allowed | Refused, said: Decided) -> None:
        self._tape.asked(ask, said, answer.decision)
        if isinstance(answer, Allowed):
            self._started[ask.action.seq] = self._gateway.clock()
            self._released.under(answer.permit.receipt)

    async def _decide(self, ask: Ask, session: Session) -> None:
        answer = await self._gateway.desk.decide(session, ask)
        if isinstance(answer, Needs):
            if self._relay is None or self._target is None:
                return  # the client is gone
            tryable, begun = self._relay.tryable(), lambda: self.signal(Trying())
            trial = RowsTrial(self._gateway, session, self._target, self._place, tryable, begun)
            answer = await self._people.asked(session, ask, answer, self._place, trial, self.signal)
        verdict = answer.verdict if isinstance(answer, Refused) else answer.ruled
        self._decided(ask, answer, decided(ask.action, verdict))
        self.signal(answer)

    def _answered(self, answer: Answered) -> None:
        if self._session is None:
            return
        now = self._gateway.clock()
        started = self._started.pop(answer.action.seq, now)
        self._tape.answered(answer)
        milliseconds = (now - started) // 1000
        if not self._writing and self._gateway.book.answered_at_once(self._session, answer, milliseconds):
            return
        task = self._spawn(self._gateway.book.answered(self._session, answer, milliseconds))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _release(self, data: bytes) -> None:
        """To the client, unless more of an answer would leave than its entry on disk allows."""
        waits = self._released.holds
        if self._released.passes(data, self._gateway):
            self._to_client.append(data)
        elif not waits:
            self._released.tell(self._gateway, self._release_held)

    def _release_held(self) -> None:
        if self._finished:
            return
        if not self._released.settled(self._gateway):
            self._released.tell(self._gateway, self._release_held)
        else:
            self._write(self._released.take(self._gateway))
            self.flow()

    def _write(self, data: bytes) -> None:
        if not data or self._client is None or self._client.is_closing():
            return
        try:
            self._tape.said(data)
        except RecordingError as error:
            self._unrecorded(error)
            return
        self._hand(data)

    def _unrecorded(self, error: RecordingError) -> None:
        self._tape = NO_TAPE  # so that the last words get through
        self.end(UNRECORDED.format(error))

    def _hand(self, data: bytes) -> None:
        self._written = len(data)
        self._sent += self._written
        if self._client is not None:
            self._client.write(data)

    # The end --------------------------------------------------------------------------------------------------------

    def _finish(self, why: str) -> None:
        if self._finished:
            return
        if self._interrupting:  # what was held back does not go with a session that is over
            self._to_target = [one for one in self._to_target if one == TERMINATE]
            self._interrupting = False
        self._push()
        self._finished = True
        if self._patience is not None:
            self._patience.cancel()
        if self._upstream is not None:
            self._upstream.close()
        self._recent, self._shortcut = Recent(), None
        self._relay = self._upstream = None  # they hold what the session held, and this object until a collector comes
        self._write(self._released.take(self._gateway))
        if self._client is not None:
            self._client.close()
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._client.abort)
        self._people.gone()
        self._gateway.release(self)
        if self._session is not None:
            self._gateway.spawn(self._close_in_book(why))

    async def _close_in_book(self, why: str) -> None:
        if self._session is None:
            return
        if self._writing:
            await asyncio.wait(set(self._writing))
        await self._tape.close(why)
        self._tape = NO_TAPE
        await close_in_book(self._gateway, self._session, why, self._received, self._sent)
